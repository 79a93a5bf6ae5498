"""C14: cats and dogs from scratch: plain, with augmentation, with augmentation and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photopic.api import model_summary
from photopic.config import FrozenRecipe
from photopic.lab.course.context import Context, find_recipe
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.trainings import score, score_row
from photopic.report.figures import Line, Panel, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

DATA = "cats-dogs"
VARIANTS = {
    "plain": "cats-dogs-plain",
    "augmentation": "cats-dogs-augmented",
    "augmentation and dropout": "cats-dogs-dropout",
}
"""What each run is called, and its recipe."""
QUICK_SIDE, QUICK_EPOCHS, QUICK_IMAGES = 64, 2, 200
BY_HEART = 0.99
"""Training accuracy from which on the photos are said to be learned by heart."""
SHEAR = "A shear_range of 0.2 is 0.2 degrees, as in the deck's framework: next to nothing."


def c14(context: Context) -> Outcome:
    """Three trainings of one network; training against validation in one figure."""
    runs = {name: train(context, recipe) for name, recipe in VARIANTS.items()}
    rows = [
        context.row("parameters", model_summary(recipe=find_recipe("cats-dogs-plain"), classes=2).parameters)
    ]
    for name, run in runs.items():
        rows += score_rows(context, name, run)
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("curves.png", "Accuracy and loss, training and validation", curves(runs)),
        ),
        sentences=_sentences(runs),
        notes=(*split_notes(runs["plain"]), SHEAR, *shortened(context, runs["plain"])),
    )  # fmt: skip


# ---- what C15 shares ---------------------------------------------------------------------------------------


def train(context: Context, recipe: str, settings: Mapping[str, Any] | None = None) -> Run:
    """One training on the photos; a quick one on fewer and smaller photos, for fewer epochs."""
    changes: dict[str, Any] = dict(settings or {})
    if not context.quick:
        return context.train(recipe, DATA, settings=changes)
    changes |= {"preprocess.size": QUICK_SIDE, "total_epochs": QUICK_EPOCHS}
    return context.train(recipe, DATA, settings=changes, train_images=QUICK_IMAGES)


def score_rows(context: Context, name: str, run: Run) -> list[Row]:
    """Training and validation of the last epoch, and the accuracy on the test images."""
    end = run.history()[-1]
    validated = run.manifest.data["counts"]["val"]
    return [
        context.row(f"training accuracy, {name}", end["train_accuracy"], note="last epoch, as it learned"),
        context.row(f"validation accuracy, {name}", end["val_accuracy"], n=validated, note="last epoch"),
        context.row(f"training loss, {name}", end["train_loss"], note="last epoch, as it learned"),
        context.row(f"validation loss, {name}", end["val_loss"], n=validated, note="last epoch"),
        score_row(context, f"test accuracy, {name}", run),
    ]


def curves(runs: Mapping[str, Run]) -> Figure:
    """A column for each run: accuracy above, loss below; the same axes in a row."""
    panels = []
    for quantity in ("accuracy", "loss"):
        series = {name: _series(run, quantity) for name, run in runs.items()}
        values = [value for both in series.values() for line in both for value in line]
        margin = 0.05 * (max(values) - min(values))
        y_range = (min(values) - margin, max(values) + margin)
        for name, (training, validation) in series.items():
            epochs = range(1, len(training) + 1)
            lines = [Line("training", epochs, training), Line("validation", epochs, validation)]
            title = name if quantity == "accuracy" else ""
            panels.append(Panel(lines, title, "epoch", quantity, y_range=y_range))
    return line_panels(panels, columns=len(runs))


def _series(run: Run, quantity: str) -> tuple[list[float], list[float]]:
    history = run.history()
    return [row[f"train_{quantity}"] for row in history], [row[f"val_{quantity}"] for row in history]


def split_notes(run: Run, chosen: str = "epochs ({epochs}) and batch ({batch})") -> tuple[str, ...]:
    """Which images were for what, and what was chosen here because the deck does not say."""
    trained, validated, tested = (run.manifest.data["counts"][split] for split in ("train", "val", "test"))
    recipe = run.recipe
    assert not isinstance(recipe, FrozenRecipe)
    steps = recipe.total_epochs * -(-trained // recipe.batch_size)
    named = chosen.format(epochs=recipe.total_epochs, batch=recipe.batch_size) + f": {steps:,} steps"
    return (
        f"{trained} photos are learned from, {validated} are for validation, and {tested} others are scored "
        "once, at the end; the deck has no third part.",
        f"Chosen here, for the deck does not name them: the photos, {named}.",
    )


def shortened(context: Context, run: Run) -> tuple[str, ...]:
    """What a quick run leaves out."""
    recipe = run.recipe
    return context.shortened(
        f"{QUICK_IMAGES} photos to learn from, {recipe.preprocess.size} pixels instead of 150 (a smaller "
        f"network), {QUICK_EPOCHS} epochs; the number of parameters is that of 150 pixels."
    )


def gap(run: Run) -> float:
    """Training minus validation accuracy in the last epoch."""
    end = run.history()[-1]
    return float(end["train_accuracy"] - end["val_accuracy"])


def _sentences(runs: Mapping[str, Run]) -> tuple[str, ...]:
    plain, augmented, both = (run.history()[-1] for run in runs.values())
    apart = [_apart(gap(run)) for run in runs.values()]
    learned = "has learned" if plain["train_accuracy"] >= BY_HEART else "has not yet learned"
    ends = {name: run.history()[-1]["val_accuracy"] for name, run in runs.items()}
    best = max(ends, key=lambda name: ends[name])
    tests = {name: score(runs[name]) for name in (best, "plain")}
    told = f"By validation accuracy {best} is best; on the test photos it has {tests[best].value:.3f}"
    if best != "plain":
        disjoint = _interval(tests[best])[0] > _interval(tests["plain"])[1]
        told += f", plain {tests['plain'].value:.3f}; their intervals "
        told += "do not touch" if disjoint else "overlap"
    return (
        f"After {plain['epoch']} epochs without augmentation training accuracy ends {apart[0]} validation "
        f"accuracy ({plain['train_accuracy']:.2f} against {plain['val_accuracy']:.2f}): the network "
        f"{learned} its photos by heart; {_rise(runs['plain'])}.",
        f"With augmentation it ends {apart[1]} it ({augmented['train_accuracy']:.2f} on training images), "
        f"with dropout too {apart[2]} ({both['train_accuracy']:.2f}).",
        f"{told}.",
    )


def _rise(run: Run) -> str:
    """How the validation loss went on after its least value."""
    losses = [row["val_loss"] for row in run.history()]
    least = losses.index(min(losses))
    if least == len(losses) - 1:
        return "the validation loss still falls"
    return f"the validation loss has risen by {losses[-1] - losses[least]:.2f} since epoch {least + 1}"


def _apart(difference: float) -> str:
    return f"{100 * abs(difference):.0f} points {'above' if difference >= 0 else 'below'}"


def _interval(measured: Any) -> tuple[float, float]:
    return measured.interval.low, measured.interval.high
