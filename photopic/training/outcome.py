"""What a way of training gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from photopic.config import AnyRecipe, BinaryCrossEntropy, CrossEntropy, Loss
from photopic.errors import TrainingError
from photopic.evaluation.metrics import accuracy, log_loss
from photopic.training.loop import Validation
from photopic.training.losses import image_losses

_CROSS_ENTROPY = CrossEntropy()


@dataclass(frozen=True)
class SplitLogits:
    """A network's answers for one split."""

    rows: np.ndarray
    """(N,) int64 index rows; unreadable images are left out."""
    labels: np.ndarray
    """(N,) int64."""
    logits: np.ndarray
    """(N, K) float32."""

    def validation(self) -> Validation:
        """The score that selects."""
        return validation_of(self.logits, self.labels)


@dataclass(frozen=True)
class Fitted:
    """A trained network, with the weights that validation selected."""

    recipe: AnyRecipe
    """The resolved recipe."""
    model: nn.Module
    selected: dict[str, Any]
    """What validation chose."""
    answer: Callable[[str], SplitLogits]
    """Logits of a split, by its name."""
    stopped_by: KeyboardInterrupt | TrainingError | None = None
    """What ended the training early; the weights are then the best ones before."""


def validation_of(logits: np.ndarray, labels: np.ndarray, loss: Loss = _CROSS_ENTROPY) -> Validation:
    """Accuracy and mean loss of some logits, the loss without smoothing and class weights.

    Of logits that are not finite the loss is infinite.
    """
    if not np.isfinite(logits).all():
        return Validation(0.0, float("inf"))
    if isinstance(loss, CrossEntropy | BinaryCrossEntropy):
        return Validation(accuracy(logits, labels), log_loss(logits, labels))
    losses = image_losses(loss, torch.from_numpy(logits), torch.from_numpy(labels))
    return Validation(accuracy(logits, labels), losses.double().mean().item())
