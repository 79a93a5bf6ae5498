"""C01, C02: softmax regression on MNIST, and the best epoch kept, read back and asked about one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.evaluation.intervals import Measured
from photopic.evaluation.metrics import accuracy, log_loss, softmax
from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.held_out import (
    accuracies_of,
    accuracy_row,
    compared_curves,
    history_rows,
    loss_row,
    notes,
    parameters,
    train,
    train_seeds,
)
from photopic.lab.course.trainings import curves, score
from photopic.report.answers import Answer, answer_figure
from photopic.training.opening import reopen

if TYPE_CHECKING:
    from photopic.api import Run

QUICK_EPOCHS = 12
"""Of C01: more than its early stop's patience."""
LOW_RATE = 1e-4
"""A tenth of Adam's own learning rate."""


# ---- C01 ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reloaded:
    """What weights that were read back from their file answer."""

    name: str
    """The file's, without folder and suffix."""
    val_loss: float
    val_accuracy: float
    number: int
    """Of the drawn test image, counted from 0."""
    image: np.ndarray
    """(28, 28, 1) uint8."""
    truth: str
    probs: np.ndarray
    """(10,)."""


def c01(context: Context) -> Outcome:
    """Train, keep the best, read it back, score it, and ask it about one test image drawn at random."""
    run = train(context, "mnist-softmax-best", quick_epochs=QUICK_EPOCHS)
    history = run.history()
    best = next(row for row in history if row["best"])
    reloaded = _reload_best(run, context.seed)
    answer = run.class_names[int(reloaded.probs.argmax())]
    shown = Answer(
        reloaded.image,
        run.class_names,
        reloaded.probs,
        truth=reloaded.truth,
        title=f"test image {reloaded.number}: {reloaded.truth}",
    )
    rows = [
        context.row("best epoch", best["epoch"], n=len(history), note="by validation loss"),
        context.row("validation loss", best["val_loss"], note="of the best epoch"),
        context.row("validation loss, read back", reloaded.val_loss, note=f"{reloaded.name}.safetensors"),
        context.row("validation accuracy, read back", reloaded.val_accuracy),
        *_history_rows(context, history),
        accuracy_row(context, [run]),
        loss_row(context, [run]),
        _drawn_row(context, reloaded, answer),
        context.row("parameters", parameters(run)),
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw(
                "curves.png",
                "Cost and accuracy over the epochs, training and validation",
                curves({"softmax": run}, title="C01: softmax regression on MNIST"),
            ),
            context.draw("image.png", "One test image and the ten probabilities", answer_figure([shown])),
        ),
        sentences=_what_c01_shows(run, reloaded, answer),
        notes=(
            *notes(context, run, quick_epochs=QUICK_EPOCHS),
            f"The table of all epochs: `photopic history` with the run's folder, {run.path.name}.",
        ),
    )


def _history_rows(context: Context, history: Sequence[Mapping[str, Any]]) -> list[Row]:
    """First, best and last line of the history table."""
    best = next(row for row in history if row["best"])
    columns = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    note = "loss and accuracy of training, of validation"
    return [
        context.row(
            f"history, {which} epoch",
            ", ".join(f"{row[column]:.4f}" for column in columns),
            note=f"epoch {row['epoch']}: {note}",
        )
        for which, row in (("first", history[0]), ("best", best), ("last", history[-1]))
    ]


def _reload_best(run: Run, seed: int) -> Reloaded:
    """Read the newest named checkpoint from the disk; ask it about validation and one test image.

    The image is drawn from all test images, the last one too (E01).
    """
    file = [name for name in run.kept_weights() if name.startswith("checkpoints/")][-1]
    predictor = Predictor.load(run, weights_name=file)
    dataset, rows = reopen(run)
    answers = predictor.answer_rows(dataset, rows["val"])
    labels = dataset.index.labels[answers.rows]
    number = int(np.random.default_rng(seed).integers(len(rows["test"])))
    row = rows["test"][number : number + 1]
    return Reloaded(
        name=PurePosixPath(file).stem,
        val_loss=log_loss(answers.logits, labels),
        val_accuracy=accuracy(answers.logits, labels),
        number=number,
        image=dataset.image(int(row[0])),
        truth=run.class_names[int(dataset.index.labels[row[0]])],
        probs=softmax(predictor.answer_rows(dataset, row).logits)[0],
    )


def _drawn_row(context: Context, reloaded: Reloaded, answer: str) -> Row:
    note = f"test image {reloaded.number} is a {reloaded.truth}, the answer {answer}"
    prob = float(reloaded.probs.max())
    return context.row("probability of the drawn image's class", prob, n=1, note=note)


def _what_c01_shows(run: Run, reloaded: Reloaded, answer: str) -> tuple[str, ...]:
    history = run.history()
    best, last = next(row for row in history if row["best"]), history[-1]
    same = abs(reloaded.val_loss - best["val_loss"]) < 1e-5
    after = last["epoch"] - best["epoch"]
    stopped = run.manifest.selected.get("stopped")
    end = (
        f"The early stop ended it after epoch {last['epoch']}: {stopped}."
        if stopped
        else f"The early stop did not fire in {last['epoch']} epochs, of which {after} came after the best."
    )
    if after:
        end += f" The last epoch's loss is {last['val_loss'] - best['val_loss']:.4f} higher than the best."
    right = "rightly" if answer == reloaded.truth else f"wrongly, for it is a {reloaded.truth},"
    return (
        f"Epoch {best['epoch']} has the least validation loss, {best['val_loss']:.4f}; its weights, read "
        f"back from {reloaded.name}.safetensors, give {'the same' if same else 'another one'}: "
        f"{reloaded.val_loss:.4f}.",
        end,
        f"Test image {reloaded.number} is {right} taken for a {answer}, with a probability of "
        f"{reloaded.probs.max():.3f}.",
    )


# ---- C02 ---------------------------------------------------------------------------------------------------


def c02(context: Context) -> Outcome:
    """The deck's training, and the same at a tenth of the rate, for the deck's figure is far below."""
    runs = train_seeds(context, "mnist-softmax")
    slow = [train(context, "mnist-softmax", settings={"optimizer.learning_rate": LOW_RATE})]
    rows = (
        accuracy_row(context, runs),
        accuracy_row(context, slow, f"accuracy, learning rate {LOW_RATE:g}"),
        *history_rows(context, runs),
        context.row("parameters", parameters(runs[0])),
    )
    values, slow_score = accuracies_of(runs), score(slow[0])
    told = context.experiment.reported_value("accuracy")
    assert isinstance(told, float)
    verdict = _verdict(float(values.mean()), slow_score, told)
    losses = [row["val_loss"] for row in slow[0].history()]
    graph = compared_curves(
        {"rate 0.001": runs, f"rate {LOW_RATE:g}": slow}, title="C02: softmax regression from small weights"
    )
    return Outcome(
        rows=rows,
        figures=(context.draw("curves.png", "Validation cost and accuracy at two learning rates", graph),),
        sentences=(
            f"With Adam's own rate of 0.001 softmax regression reaches {values.mean():.4f}, "
            f"{_distance(float(values.mean()), told)} the deck's figure.",
            f"At a tenth of that rate it is {slow_score.value:.4f}, and the loss still falls by "
            f"{1 - losses[-1] / losses[-2]:.1%} in the last epoch{verdict}.",
        ),
        notes=notes(context, runs[0]),
    )


def _distance(value: float, told: float) -> str:
    """Of two accuracies, in percentage points: "3.01 points above"."""
    return f"{100 * abs(value - told):.2f} points {'above' if value >= told else 'below'}"


def _verdict(usual: float, slow: Measured, told: float) -> str:
    """What the accuracies at two rates say of the deck's figure."""
    if slow.interval is not None and slow.interval.low <= told <= slow.interval.high:
        return ". The deck's figure lies in its 95 % interval: that of a network not trained to the end"
    if abs(slow.value - told) < abs(usual - told):
        return ", nearer to the deck's figure"
    return ", farther from the deck's figure"
