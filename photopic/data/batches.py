"""The order of training images: a function of seed and epoch alone, so that resuming changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from photopic.errors import ConfigError
from photopic.runtime import generator


class Batches:
    """Shuffles 0..n-1 anew in each epoch and cuts it into equal parts.

    Nothing is dropped and no small batch is left over at the end: sizes differ by at most one and none is
    above batch_size.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        """n: training images, at least 1. batch_size: at least 1, images. Raises ConfigError otherwise."""
        if n < 1:
            raise ConfigError(f"n={n} must be at least 1: there is nothing to train on.")
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1.")
        self.n = n
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        """Batches in an epoch: n / batch_size, rounded up."""
        return math.ceil(self.n / self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """(n,) int64: the permutation of 0..n-1 of this epoch."""
        return torch.randperm(self.n, generator=generator(self.seed, "order", epoch))

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Tensor]:
        """The batches of an epoch, each (b,) int64 row numbers; from batch number `start` on, to resume."""
        yield from self.order(epoch).tensor_split(len(self))[start:]
