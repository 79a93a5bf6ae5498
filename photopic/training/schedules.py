"""The course of the learning rate: pure functions of progress, from 0 at the first step to 1 at the end."""

from __future__ import annotations

import math

from photopic.config import ConstantSchedule, CosineSchedule, OneCycleSchedule, Schedule


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """The learning rate at `progress` (0..1, share of all steps done) as a fraction of its peak.

    Raises ValueError outside 0..1.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress={progress} must be between 0 and 1")
    match schedule:
        case ConstantSchedule():
            return 1.0
        case OneCycleSchedule():
            return _one_cycle(schedule, progress)
        case CosineSchedule():
            return _cosine(schedule, progress)


def _one_cycle(schedule: OneCycleSchedule, progress: float) -> float:
    if progress < schedule.peak_at:
        return schedule.start + (1 - schedule.start) * progress / schedule.peak_at
    fallen = (progress - schedule.peak_at) / (1 - schedule.peak_at)
    return 1 + (schedule.end - 1) * fallen


def _cosine(schedule: CosineSchedule, progress: float) -> float:
    if progress < schedule.warmup:
        return progress / schedule.warmup
    fallen = (progress - schedule.warmup) / (1 - schedule.warmup)
    return schedule.end + (1 - schedule.end) * (1 + math.cos(math.pi * fallen)) / 2
