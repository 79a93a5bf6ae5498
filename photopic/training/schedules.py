"""The course of the learning rate: pure functions of how far a training has come."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from photopic.config import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    GradientRecipe,
    OneCycleSchedule,
    PerformanceSchedule,
    PiecewiseSchedule,
    PowerSchedule,
    Schedule,
    cycle_ends,
)


@dataclass(frozen=True)
class Progress:
    """How far a training has come. Raises ValueError for a step outside of it."""

    step: int
    """Steps done: 0 at the first step, total_steps after the last."""
    total_steps: int
    steps_per_epoch: int
    val_losses: tuple[float, ...] = ()
    """The validation losses so far, oldest first."""

    def __post_init__(self) -> None:
        if not 0 <= self.step <= self.total_steps:
            raise ValueError(f"step={self.step} must be between 0 and total_steps={self.total_steps}")

    @property
    def share(self) -> float:
        """Share of all steps done, 0..1."""
        return self.step / self.total_steps

    @property
    def epochs(self) -> float:
        """Epochs done, with their parts."""
        return self.step / self.steps_per_epoch


def learning_rate_factor(schedule: Schedule, progress: Progress) -> float:
    """The learning rate of the next step as a fraction of its peak, 0..1 (above 1 only where factors are)."""
    match schedule:
        case OneCycleSchedule():
            return _one_cycle(schedule, progress.share)
        case CosineSchedule():
            return _cosine(schedule, progress)
    factor = _without_warmup(schedule, progress)
    return factor * progress.share / schedule.warmup if progress.share < schedule.warmup else factor


def _without_warmup(
    schedule: ConstantSchedule
    | PowerSchedule
    | ExponentialSchedule
    | PiecewiseSchedule
    | PerformanceSchedule,
    progress: Progress,
) -> float:
    match schedule:
        case ConstantSchedule():
            return 1.0
        case PowerSchedule():
            return float((1 + _time(schedule, progress) / schedule.scale) ** -schedule.power)
        case ExponentialSchedule():
            return float(schedule.factor ** (_time(schedule, progress) / schedule.scale))
        case PiecewiseSchedule():
            time = progress.epochs if schedule.unit == "epochs" else progress.share
            return schedule.factors[bisect_right(schedule.boundaries, time)]
        case PerformanceSchedule():
            falls = plateaus(progress.val_losses, schedule.patience, schedule.min_delta)
            return max(schedule.divide_by**-falls, schedule.floor)


def schedule_points(
    recipe: GradientRecipe, steps_per_epoch: int, most: int = 500
) -> list[tuple[float, float]]:
    """(epochs done, learning rate) of the recipe's steps, or of `most` evenly spaced ones, and of the end.

    The schedule performance is shown for a validation loss that never becomes better after the first epoch.
    """
    total_steps = recipe.total_epochs * steps_per_epoch
    count = min(total_steps, most)
    points = []
    for number in range(count):
        step = number * (total_steps - 1) // max(count - 1, 1)
        flat = (1.0,) * (step // steps_per_epoch)
        factor = learning_rate_factor(recipe.schedule, Progress(step, total_steps, steps_per_epoch, flat))
        points.append((step / steps_per_epoch, recipe.optimizer.learning_rate * factor))
    return [*points, (float(recipe.total_epochs), points[-1][1])]


def plateaus(val_losses: Sequence[float], patience: int, min_delta: float) -> int:
    """How often `patience` losses in a row were not below the best so far by more than `min_delta`."""
    best, waited, found = math.inf, 0, 0
    for loss in val_losses:
        if loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
        if waited == patience:
            waited, found = 0, found + 1
    return found


def _time(schedule: PowerSchedule | ExponentialSchedule, progress: Progress) -> float:
    return progress.epochs if schedule.unit == "epochs" else progress.step


def _one_cycle(schedule: OneCycleSchedule, share: float) -> float:
    if share < schedule.peak_at:
        return schedule.start + (1 - schedule.start) * share / schedule.peak_at
    fall_ends = 1 - schedule.tail
    if share > fall_ends:
        return schedule.end + (schedule.tail_end - schedule.end) * (share - fall_ends) / schedule.tail
    fallen = (share - schedule.peak_at) / (fall_ends - schedule.peak_at)
    return 1 + (schedule.end - 1) * fallen


def _cosine(schedule: CosineSchedule, progress: Progress) -> float:
    share = progress.share
    if share < schedule.warmup:
        return share / schedule.warmup
    start, end = schedule.warmup, 1.0
    if schedule.cycles > 1:
        start, end = _cycle(schedule, progress)
    fallen = (share - start) / (end - start)
    return schedule.end + (1 - schedule.end) * (1 + math.cos(math.pi * fallen)) / 2


def _cycle(schedule: CosineSchedule, progress: Progress) -> tuple[float, float]:
    """First and last share of the fall that `progress` is in."""
    total_epochs = progress.total_steps // progress.steps_per_epoch
    shares = [epochs / total_epochs for epochs in cycle_ends(schedule, total_epochs)]
    number = min(bisect_right(shares, progress.share), len(shares) - 1)
    return (schedule.warmup if number == 0 else shares[number - 1]), shares[number]
