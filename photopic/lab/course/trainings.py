"""What experiments that train have in common: numbers as rows, epochs as curves, several seeds as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.evaluation.intervals import Measured
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Row, from_measured
from photopic.report.figures import Line, Panel, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run


def score(run: Run, name: str = "accuracy", split: str = "test") -> Measured:
    """A number of the run with its interval. split: test, or val; name: accuracy, log_loss, macro_f1 …"""
    title = {"val": "validation"}.get(split, split)
    return run.evaluate().scores[title][name]


def score_row(
    context: Context, name: str, run: Run, measure: str = "accuracy", split: str = "test", note: str = ""
) -> Row:
    """The row `name`: a number of the run beside what the decks reported under that name."""
    told = context.experiment.reported_value(name)
    return from_measured(name, score(run, measure, split), reported=told, note=note)


def epochs(run: Run) -> list[dict[str, Any]]:
    """The records of its epochs: epoch (from 0), train_loss, train_accuracy, val_loss, val_accuracy …"""
    return [record for record in run.records() if record["event"] == "epoch"]


def curves(runs: Mapping[str, Run], *, title: str = "") -> Figure:
    """The decks' two graphs: cost and accuracy over the epochs, on training and validation images.

    runs: name → run; with one run the lines are called training and validation, with several the names too.
    """
    panels = []
    for what, label in (("loss", "cost"), ("accuracy", "accuracy")):
        lines = []
        for name, run in runs.items():
            history = epochs(run)
            x = [record["epoch"] + 1 for record in history]
            before = f"{name}, " if len(runs) > 1 else ""
            for split, word in (("train", "training"), ("val", "validation")):
                y = [record.get(f"{split}_{what}", np.nan) for record in history]
                lines.append(Line(f"{before}{word}", x, y))
        panels.append(Panel(lines, label.capitalize(), "epoch", label))
    return line_panels(panels, title=title)


def over_seeds(
    context: Context, name: str, runs: Sequence[Run], measure: str = "accuracy", split: str = "test"
) -> Row:
    """The row `name` for the same training from several seeds: their mean, from the least to the greatest."""
    values = [score(run, measure, split).value for run in runs]
    return context.row(
        name,
        float(np.mean(values)),
        interval=(min(values), max(values)),
        n=len(values),
        note=f"mean and range of {len(values)} seeds",
    )
