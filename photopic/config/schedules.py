"""The course of the learning rate, by name. Formulas give the factor on the peak rate; t is the time since
the first step, p = step / total steps the share of the training that is done (0 at the first step)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from photopic.config.base import Fraction, Frozen, NonNegative, Positive, by_name

Share = Annotated[float, Field(ge=0, le=1)]


class ConstantSchedule(Frozen):
    """The same learning rate from first to last step: 1."""

    name: Literal["constant"] = "constant"
    warmup: Fraction = 0.0
    """Share of all steps in which the rate is multiplied by a line from 0 to 1."""


class PowerSchedule(Frozen):
    """1 / (1 + t/scale)^power. Keras' `decay` d is scale = 1/d, power = 1, unit = steps."""

    name: Literal["power"] = "power"
    scale: Positive = 1.0
    """Time after which the rate has fallen to 1 / 2^power."""
    power: Positive = 1.0
    """1: a half, a third, a quarter … after 1, 2, 3 times the scale."""
    unit: Literal["steps", "epochs"] = "epochs"
    """What the time is counted in; parts of epochs count too."""
    warmup: Fraction = 0.0
    """Share of all steps in which the rate is multiplied by a line from 0 to 1."""


class ExponentialSchedule(Frozen):
    """factor^(t/scale)."""

    name: Literal["exponential"] = "exponential"
    scale: Positive = 10.0
    """Time in which the rate falls by the factor."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What is left of the rate after that time."""
    unit: Literal["steps", "epochs"] = "epochs"
    """What the time is counted in; parts of epochs count too."""
    warmup: Fraction = 0.0
    """Share of all steps in which the rate is multiplied by a line from 0 to 1."""


class PiecewiseSchedule(Frozen):
    """factors[i] between boundaries[i−1] and boundaries[i]: learning rate 0.1 and factors [1, 0.01] are 0.1,
    then 0.001."""

    name: Literal["piecewise"] = "piecewise"
    boundaries: tuple[Positive, ...] = (0.5, 0.75)
    """When the rate changes, in rising order; the step at the boundary has the new rate."""
    factors: tuple[Positive, ...] = (1.0, 0.1, 0.01)
    """Learning rates as fractions of the peak: one more than boundaries."""
    unit: Literal["share", "epochs"] = "share"
    """What boundaries are counted in: share of all steps, or epochs."""
    warmup: Fraction = 0.0
    """Share of all steps in which the rate is multiplied by a line from 0 to 1."""

    @model_validator(mode="after")
    def _check(self) -> PiecewiseSchedule:
        if not self.boundaries:
            raise ValueError("boundaries needs at least one time; without any, take the schedule constant")
        if len(self.factors) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} factors, "
                f"got {len(self.factors)}"
            )
        if any(first >= second for first, second in pairwise(self.boundaries)):
            raise ValueError(f"boundaries must rise, got {_listed(self.boundaries)}")
        if any(first == second for first, second in pairwise(self.factors)):
            raise ValueError(
                f"a boundary between equal factors has no effect, got factors {_listed(self.factors)}"
            )
        if self.unit == "share" and self.boundaries[-1] >= 1:
            raise ValueError(
                f"boundaries are shares of the training, below 1, got {_listed(self.boundaries)}; "
                "for epochs set unit=epochs"
            )
        return self


class PerformanceSchedule(Frozen):
    """1 / divide_by^n, n times the validation loss did not improve in `patience` epochs in a row.

    As Keras' ReduceLROnPlateau with factor = 1/divide_by, and torch's with patience − 1 and an absolute
    threshold. Counting starts anew after each division.
    """

    name: Literal["performance"] = "performance"
    divide_by: float = Field(default=10.0, gt=1)
    """What the rate is divided by."""
    patience: int = Field(default=5, ge=1)
    """Validations in a row without an improvement."""
    min_delta: NonNegative = 0.0
    """A loss must be lower than the best so far by more than this to count as an improvement."""
    floor: Fraction = 0.0
    """Lowest learning rate as a fraction of the peak."""
    warmup: Fraction = 0.0
    """Share of all steps in which the rate is multiplied by a line from 0 to 1."""


class OneCycleSchedule(Frozen):
    """Linear up to the peak, linear down to the end (Smith 2018, arXiv:1803.09820).

    From start to 1 while p < peak_at, from 1 to end while p < 1 − tail, from end to tail_end after that.
    """

    name: Literal["one-cycle"] = "one-cycle"
    start: Share = 0.2
    """First learning rate as a fraction of the peak."""
    peak_at: Fraction = 0.25
    """Share of all steps at which the peak is reached; 0.5 is a triangle."""
    end: Share = 0.0
    """Learning rate after the fall as a fraction of the peak."""
    tail: Fraction = 0.0
    """Share of all steps, the last ones, in which the rate falls on from end to tail_end."""
    tail_end: Share = 0.0
    """Last learning rate of the tail as a fraction of the peak."""

    @model_validator(mode="after")
    def _check(self) -> OneCycleSchedule:
        if self.peak_at + self.tail >= 1:
            raise ValueError(
                f"peak_at + tail must stay below 1, to leave steps for the fall; got {self.peak_at:g} + "
                f"{self.tail:g}"
            )
        if self.tail and self.tail_end >= self.end:
            raise ValueError(
                f"tail has no effect unless tail_end ({self.tail_end:g}) is below end ({self.end:g})"
            )
        if self.tail_end and not self.tail:
            raise ValueError("tail_end has no effect with tail=0: set tail, as 0.1")
        return self


class CosineSchedule(Frozen):
    """Linear warm-up, then half a cosine down to the end (Loshchilov and Hutter 2017, arXiv:1608.03983).

    end + (1 − end)·(1 + cos(π·q))/2, q the share of the fall that is done. With several cycles the rate jumps
    back to the peak at whole epochs, as equally spaced as they come: warm restarts. Their ends are members
    of a snapshot ensemble (Huang 2017, arXiv:1704.00109).
    """

    name: Literal["cosine"] = "cosine"
    warmup: Fraction = 0.05
    """Share of all steps for the warm-up, a line from 0 to the peak."""
    end: Share = 0.0
    """Last learning rate of each cycle as a fraction of the peak."""
    cycles: int = Field(default=1, ge=1)
    """How often the rate falls from the peak to the end; the warm-up is a part of the first cycle."""


Schedule = Annotated[
    ConstantSchedule
    | PowerSchedule
    | ExponentialSchedule
    | PiecewiseSchedule
    | PerformanceSchedule
    | OneCycleSchedule
    | CosineSchedule,
    Field(discriminator="name"),
    BeforeValidator(by_name),
]


def cycle_ends(schedule: Schedule, total_epochs: int) -> tuple[int, ...]:
    """How many epochs are done at the end of each cycle: of 3 cycles in 10 epochs after 3, 7 and 10."""
    cycles = schedule.cycles if isinstance(schedule, CosineSchedule) else 1
    return tuple((2 * total_epochs * number + cycles) // (2 * cycles) for number in range(1, cycles + 1))


def unreachable(schedule: Schedule, total_epochs: int) -> str | None:
    """What of the schedule lies beyond the end of the training, in one sentence; None if nothing does."""
    epochs = f"total_epochs={total_epochs}"
    match schedule:
        case PiecewiseSchedule(unit="epochs") if schedule.boundaries[-1] >= total_epochs:
            late = [boundary for boundary in schedule.boundaries if boundary >= total_epochs]
            return f"schedule.boundaries: {_listed(late)} is never reached with {epochs}"
        case PerformanceSchedule() if schedule.patience + 2 > total_epochs:
            # one validation sets the mark, `patience` others miss it, and one epoch is left to feel it
            return (
                f"schedule.patience={schedule.patience} never lowers the rate with {epochs}: "
                f"it takes {schedule.patience + 2} epochs or more"
            )
        case CosineSchedule() if schedule.cycles > total_epochs:
            return f"schedule.cycles={schedule.cycles} is more than {epochs}"
        case CosineSchedule() if schedule.cycles > 1:
            first = cycle_ends(schedule, total_epochs)[0]
            if schedule.warmup * total_epochs >= first:
                return (
                    f"schedule.warmup={schedule.warmup:g} takes all of the first of {schedule.cycles} cycles "
                    f"({first} of {epochs}): shorten it, or take fewer cycles"
                )
    return None


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
