"""The time that a training may take: planned for, and held where the plan was too hopeful."""

from __future__ import annotations

from time import monotonic

PLANNED_SHARE = 0.9
"""Share of the limit that is planned for; the rest is for noise and for scoring."""
TOLERANCE = 0.1
"""Share of the limit by which a training may be late: its last steps, at small learning rates, gain most."""


class TimeLimit:
    """Counts from the moment at which it is made."""

    def __init__(self, seconds: float | None) -> None:
        """seconds: None: no limit."""
        self._limit_s = float("inf") if seconds is None else seconds
        self._start = monotonic()

    @property
    def left_s(self) -> float:
        """Seconds to the limit; below 0 when it is past."""
        return self._limit_s - self._used_s

    @property
    def plannable_s(self) -> float:
        """Seconds that a plan may still use; 0 or more."""
        return max(0.0, self._limit_s * PLANNED_SHARE - self._used_s)

    @property
    def is_over(self) -> bool:
        """Whether the work has to stop: the tolerance is used up too."""
        return self._used_s > self._limit_s * (1 + TOLERANCE)

    @property
    def _used_s(self) -> float:
        return monotonic() - self._start
