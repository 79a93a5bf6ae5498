"""What an experiment of the course is, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from pydantic import Field

from photopic.config import Frozen
from photopic.evaluation.intervals import Measured

if TYPE_CHECKING:
    from photopic.lab.course.context import Context

Value = float | str | None
"""A number; text for arrays, shapes and what is not finite; None: there is none."""

Group = Literal[
    "data",
    "first-steps",
    "convolution",
    "evaluation",
    "inside",
    "augmentation",
    "architectures",
    "softmax-mlp",
    "cnn",
    "cats-dogs",
    "cifar10",
    "transfer",
    "optimisers",
    "beat",
]


class Reported(Frozen):
    """A figure that a deck printed."""

    name: str
    """What it is a figure of; an outcome's row of the same name stands beside it."""
    value: float | str
    """The figure."""
    note: str = ""
    """What to know about it."""


class Experiment(Frozen):
    """One experiment: what it is, what the decks printed, and the function that runs it."""

    id: str = Field(pattern=r"^C\d\d$")
    """C01 to C40; C00 for the opening pictures of the data, C41 for what beats the decks."""
    title: str
    """In a few words."""
    group: Group
    """The chapter that it belongs to."""
    data: str
    """Names of data sets, or what else it works on."""
    description: str
    """Network and training, as the decks describe them."""
    estimate_s: float = Field(gt=0)
    """Time of a full run on the reference machine (speed.py), seconds."""
    reported: tuple[Reported, ...]
    """The decks' figures."""
    errors: dict[str, str]
    """The decks' errors that touch it: number → one sentence."""
    shortens: bool = False
    """Whether its trainings can be cut to a time limit."""
    weights: str = ""
    """Architecture whose pretrained weights can be given by their path; empty: it needs none."""
    target: str
    """The function that runs it, as `module:name`."""

    def reported_value(self, name: str) -> Value:
        """What the decks printed under this name; None: nothing."""
        return next((reported.value for reported in self.reported if reported.name == name), None)

    def run(self, context: Context) -> Outcome:
        """Run it. Raises the errors of photopic.errors, such as DataError for data that is not here."""
        module, _, name = self.target.partition(":")
        return cast(Outcome, getattr(import_module(module), name)(context))


class Row(Frozen):
    """One figure, as it was reported and as it was measured."""

    name: str
    """What was measured."""
    reported: Value = None
    """What a deck printed."""
    measured: Value = None
    """What came out here; None: this run did not measure it."""
    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    """Upper end of the interval."""
    n: int | None = None
    """Images, seeds or draws behind the number."""
    note: str = ""
    """What the interval is, or what else to know."""


class Drawing(Frozen):
    """A figure on the disk."""

    title: str
    """What it shows; its caption."""
    file: str
    """Name of the PNG file beside the outcome."""


class Outcome(Frozen):
    """What an experiment found."""

    rows: tuple[Row, ...]
    """Reported against measured."""
    figures: tuple[Drawing, ...] = ()
    """In reading order."""
    sentences: tuple[str, ...]
    """Two or three on what the numbers show, made from these numbers."""
    notes: tuple[str, ...] = ()
    """What was shortened, or done otherwise than the decks did it."""


def plain(value: float | str | np.ndarray | Sequence[Any] | None) -> Value:
    """A value as it can be stored: arrays and what is not finite become text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    if isinstance(value, Sequence):
        return str(list(value))
    number = float(value)
    return number if math.isfinite(number) else str(number)


def show(value: Value) -> str:
    """A value for people: whole numbers with commas, others with four significant decimals."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:.4f}"


def from_measured(name: str, measured: Measured, *, reported: Value = None, note: str = "") -> Row:
    """A row from a score with its interval (photopic.evaluation)."""
    interval = measured.interval
    level = "" if interval is None else f"{interval.level:.0%} interval ({interval.method})"
    return Row(
        name=name,
        reported=reported,
        measured=plain(measured.value),
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        n=measured.n,
        note="; ".join(text for text in (level, note) if text),
    )


def median_and_range(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """The median of repeated measurements, and the range that holds the middle nine tenths of them."""
    low, middle, high = np.quantile(np.asarray(values, float), [0.05, 0.5, 0.95])
    return float(middle), float(low), float(high)


def parse_experiments(listed: Sequence[Mapping[str, Any]], targets: Mapping[str, str]) -> list[Experiment]:
    """The experiments of a list that have a function in `targets`, in the order of the list."""
    known = [values for values in listed if values["id"] in targets]
    return [Experiment.model_validate({**values, "target": targets[values["id"]]}) for values in known]
