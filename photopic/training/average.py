"""The exponential moving average of a network's weights, which often scores better than they do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """A second network that follows the first: average ← d·average + (1−d)·weights after every step.

    The decay d grows from 0.1 to `decay` as (1+t)/(10+t), so that the random start is soon forgotten
    (as in Abadi et al. 2016, `ExponentialMovingAverage` with num_updates). Batch-norm statistics are averaged
    too; integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average a step towards `model`."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        ours, theirs = _tensors(self.model), _tensors(model)
        floating = [i for i, tensor in enumerate(ours) if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[i] for i in floating], [theirs[i] for i in floating], 1 - decay)
        for mine, their in zip(ours, theirs, strict=True):
            if not mine.is_floating_point():
                mine.copy_(their)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
