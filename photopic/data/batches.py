"""The order of training images: a function of seed and epoch alone, so that resuming changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from photopic.errors import ConfigError
from photopic.runtime import generator


class Batches:
    """Shuffles 0..n-1 anew in each epoch and cuts it into equal parts.

    Nothing is dropped and no small batch is left over at the end: sizes differ by at most one and none is
    above batch_size.
    """

    def __init__(self, n: int, batch_size: int, seed: int, *, balanced: Tensor | None = None) -> None:
        """n: training images, at least 1. batch_size: at least 1, images. Raises ConfigError otherwise.

        balanced: (n,) int64 labels; an epoch then consists of n draws, equally many of each class.
        """
        if n < 1:
            raise ConfigError(f"n={n} must be at least 1: there is nothing to train on.")
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1.")
        self.n = n
        self.batch_size = batch_size
        self.seed = seed
        self._classes = None if balanced is None else _rows_by_class(balanced.cpu().numpy())

    def __len__(self) -> int:
        """Batches in an epoch: n / batch_size, rounded up."""
        return math.ceil(self.n / self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """(n,) int64: the rows of this epoch in their order, a permutation of 0..n-1 unless balanced."""
        draw = generator(self.seed, "order", epoch)
        if self._classes is None:
            return torch.randperm(self.n, generator=draw)
        rows = _balanced(self._classes, self.n, draw)
        return rows[torch.randperm(self.n, generator=draw)]

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: rows, and which of its n draws of augmentation each takes; (b,) int64.

        A row takes its own draw; where rows come several times in an epoch, that of its place there.
        """
        order = self.order(epoch)
        draws = order if self._classes is None else torch.arange(self.n)
        return zip(order.tensor_split(len(self)), draws.tensor_split(len(self)), strict=True)


def _rows_by_class(labels: np.ndarray) -> list[Tensor]:
    """The rows of each class that has any."""
    return [torch.from_numpy(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _balanced(classes: list[Tensor], n: int, draw: torch.Generator) -> Tensor:
    """(n,) rows: n / K of each class, the remainder one more for some classes at random.

    Within a class, how often two images come differs by at most one.
    """
    share, remainder = divmod(n, len(classes))
    more = set(torch.randperm(len(classes), generator=draw)[:remainder].tolist())
    parts = []
    for number, rows in enumerate(classes):
        wanted = share + (number in more)
        shuffled = rows[torch.randperm(len(rows), generator=draw)]
        parts.append(shuffled.repeat(math.ceil(wanted / len(rows)))[:wanted])
    return torch.cat(parts)
