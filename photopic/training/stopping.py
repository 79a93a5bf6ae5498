"""When to stop before the last epoch: computed from the epochs so far, so that resuming changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from photopic.config import EarlyStopping, GradientRecipe, Monitor, StopAt


class Scores(Protocol):
    """The numbers of an epoch."""

    @property
    def train_loss(self) -> float: ...
    @property
    def train_accuracy(self) -> float: ...
    @property
    def val_loss(self) -> float: ...
    @property
    def val_accuracy(self) -> float: ...


def stop_reason(recipe: GradientRecipe, history: Sequence[Scores]) -> str | None:
    """Why the training is over after these epochs, though more were planned; None to go on."""
    if not history or len(history) >= recipe.total_epochs:
        return None
    if recipe.stop_at is not None and (reason := _reached(recipe.stop_at, history[-1])):
        return reason
    if recipe.early_stopping is not None:
        return _stuck(recipe.early_stopping, history)
    return None


def _reached(goal: StopAt, scores: Scores) -> str | None:
    value = getattr(scores, goal.monitor)
    if _gain(goal.monitor, value, goal.value) < 0:
        return None
    return f"{goal.monitor} has reached {value:.4f}; the goal was {goal.value:g}"


def _stuck(rule: EarlyStopping, history: Iterable[Scores]) -> str | None:
    """Keras' rule: count the epochs since the last one that beat the best by more than min_delta."""
    values = [getattr(scores, rule.monitor) for scores in history]
    best, waited = values[0], 0
    for value in values[1:]:
        if _gain(rule.monitor, value, best) > rule.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    if waited < rule.patience:
        return None
    direction = "fallen" if rule.monitor.endswith("loss") else "risen"
    return f"{rule.monitor} has not {direction} for {waited} epochs; its best was {best:.4f}"


def _gain(monitor: Monitor, value: float, reference: float) -> float:
    """By how much a value is better than another."""
    return reference - value if monitor.endswith("loss") else value - reference
