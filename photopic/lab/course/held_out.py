"""Trainings on 28×28 images as the decks did them, but validated on images held out of the training set.

The decks validate on the test images and report one run (E03). Here a twelfth of the training images, drawn
at random, takes that place: 5,000 of MNIST's 60,000. The test images are scored once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.api import model_summary
from photopic.lab.course.experiment import Row
from photopic.lab.course.trainings import over_seeds, score, score_row
from photopic.report.figures import Line, Panel, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run
    from photopic.config import AnyRecipe
    from photopic.lab.course.context import Context

HELD_OUT = 1 / 12
SEEDS = 3
"""Runs of one configuration where differences of tenths of a point are looked at."""
QUICK_EPOCHS, QUICK_IMAGES = 5, 10_000
_COLUMNS = {
    "training accuracy": "train_accuracy",
    "training loss": "train_loss",
    "validation accuracy": "val_accuracy",
    "validation loss": "val_loss",
}
"""Row → column of a history."""


def train(
    context: Context,
    recipe: str | AnyRecipe,
    *,
    data: str = "mnist",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    quick_epochs: int = QUICK_EPOCHS,
    quick_images: int = QUICK_IMAGES,
) -> Run:
    """One training as the deck describes it; a quick run takes fewer training images and epochs.

    seed: added to the course's own.
    """
    changes: dict[str, Any] = dict(settings or {})
    options: dict[str, Any] = {"val_fraction": HELD_OUT, "seed": context.seed + seed}
    if context.quick:
        changes["total_epochs"] = quick_epochs
        options["train_images"] = quick_images
    return context.train(recipe, data, settings=changes, **options)


def train_seeds(context: Context, recipe: str | AnyRecipe, **options: Any) -> list[Run]:
    """The same training from SEEDS seeds, of a quick run from one; options as of `train`."""
    return [train(context, recipe, seed=seed, **options) for seed in range(1 if context.quick else SEEDS)]


# ---- numbers -----------------------------------------------------------------------------------------------


def accuracies_of(runs: Sequence[Run]) -> np.ndarray:
    """(R,) test accuracy of each run."""
    return np.array([score(run).value for run in runs])


def accuracy_row(context: Context, runs: Sequence[Run], name: str = "accuracy") -> Row:
    """The test accuracy: of one run with its interval, of several their mean with lowest and highest."""
    return _score_of(context, runs, name, "accuracy")


def _score_of(context: Context, runs: Sequence[Run], name: str, measure: str) -> Row:
    if len(runs) == 1:
        return score_row(context, name, runs[0], measure)
    return over_seeds(context, name, runs, measure)


def last(runs: Sequence[Run], column: str) -> float:
    """The mean over runs of a column of the history, in the last epoch."""
    return float(np.mean([run.history()[-1][column] for run in runs]))


def history_rows(context: Context, runs: Sequence[Run]) -> list[Row]:
    """Accuracy and loss of the last epoch, training and validation."""
    seeds = "" if len(runs) == 1 else f", mean of {len(runs)} seeds"
    return [
        context.row(name, last(runs, column), note=f"last epoch{seeds}") for name, column in _COLUMNS.items()
    ]


def loss_row(context: Context, runs: Sequence[Run]) -> Row:
    """Cross-entropy on the test images: what the decks' validation losses are, for they validate there."""
    return _score_of(context, runs, "test loss", "log_loss")


def parameters(run: Run) -> int:
    """Trainable numbers of the run's network."""
    return model_summary(recipe=run.recipe, classes=len(run.class_names)).parameters


# ---- words -------------------------------------------------------------------------------------------------


def notes(context: Context, run: Run, *, quick_epochs: int = QUICK_EPOCHS) -> tuple[str, ...]:
    """How it was measured, and what a quick run left out."""
    trained, held_out, tested = (run.manifest.data["counts"][split] for split in ("train", "val", "test"))
    measured = (
        f"{held_out:,} training images, drawn at random, are for validation; {trained:,} are learned from, "
        f"and the {tested:,} test images are scored once, at the end."
    )
    epochs = f"{quick_epochs} epoch" + ("" if quick_epochs == 1 else "s")
    return (measured, *context.shortened(f"{trained:,} training images, {epochs}, one seed."))


def points(difference: float) -> str:
    """A difference of accuracies as percentage points, with its sign."""
    return f"{100 * difference:+.2f} points"


def overlap(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> bool:
    """Whether the ranges of two sets of values meet."""
    return bool(min(first) <= max(second) and min(second) <= max(first))


# ---- pictures ----------------------------------------------------------------------------------------------


def compared_curves(variants: Mapping[str, Sequence[Run]], *, title: str) -> Figure:
    """Validation cost and accuracy of several variants: the mean of their runs, their range as a band.

    variants: name → runs that differ in their seed alone.
    """
    histories = {name: [run.history() for run in runs] for name, runs in variants.items()}
    panels = [
        Panel(
            [_mean_line(name, of_runs, f"val_{column}") for name, of_runs in histories.items()],
            word.capitalize(),
            "epoch",
            f"{word} on validation images",
        )
        for column, word in (("loss", "cost"), ("accuracy", "accuracy"))
    ]
    return line_panels(panels, title=title)


def _mean_line(name: str, histories: Sequence[list[dict[str, Any]]], column: str) -> Line:
    epochs = [row["epoch"] for row in histories[0]]
    values = np.array([[row[column] for row in history] for history in histories], float)
    if len(values) == 1:
        return Line(name, epochs, values[0])
    return Line(name, epochs, values.mean(0), low=values.min(0), high=values.max(0))
