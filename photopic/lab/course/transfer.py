"""C26: two kinds of clothing from few labelled images, on the layers of a network that knows eight others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.evaluation.metrics import accuracy
from photopic.files import sha256_file
from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.held_out import HELD_OUT, parameters
from photopic.lab.course.trainings import over_seeds, score, score_row
from photopic.report.figures import Line, Panel, line_panels
from photopic.training.opening import reopen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

DATA = "fashion-mnist"
PAIR = ("sandal", "shirt")
"""Task B; the second is the positive class."""
LABELLED, SEEDS, EPOCHS, FROZEN = 200, 5, 20, 4
FEWER = (10, 20, 50)
"""Labelled images of the other comparisons; trained for as many steps. A quick run has the last alone."""
RATE, SLOW_RATE = 0.01, 0.001
BATCH = 32


@dataclass(frozen=True)
class Pair:
    """Task B from the same labelled images, once for each seed: alone, and on A."""

    alone: list[Run]
    on_a: list[Run]

    @property
    def error_ratio(self) -> float:
        """Mean error alone, divided by mean error on A; infinite where A's has none."""
        errors = [1 - float(_accuracies(runs).mean()) for runs in (self.alone, self.on_a)]
        return errors[0] / errors[1] if errors[1] else float("inf")


def c26(context: Context) -> Outcome:
    """Task A; task B alone and on A; A afterwards, and as it would be if B had changed its layers."""
    eight = _train_a(context)
    before = sha256_file(eight.path / "weights.safetensors")
    fewer = FEWER[-1:] if context.quick else FEWER
    pairs = {labelled: _train_b(context, eight, labelled) for labelled in (*fewer, LABELLED)}
    slow = [_alone(context, LABELLED, seed, SLOW_RATE) for seed in _seeds(context)]
    unchanged = sha256_file(eight.path / "weights.safetensors") == before
    shared = accuracy_with_layers_of(eight, pairs[LABELLED].on_a[0])
    main = pairs[LABELLED]
    loss = over_seeds(context, "loss, B on A", main.on_a, "log_loss")
    rows = (
        score_row(context, "accuracy, task A", eight),
        over_seeds(context, "accuracy, B alone", main.alone),
        over_seeds(context, f"accuracy, B alone, rate {SLOW_RATE:g}", slow),
        over_seeds(context, "accuracy, B on A", main.on_a),
        over_seeds(context, "loss, B alone", main.alone, "log_loss"),
        loss,
        context.row("error divided by", main.error_ratio, note=f"mean errors of {len(main.alone)} seeds"),
        *(_fewer_row(context, count, pairs[count]) for count in fewer),
        context.row("A's weights after all of B", "unchanged" if unchanged else "changed", note="SHA-256"),
        context.row("accuracy, task A, if it shared B's layers", shared, note="A's output on B's layers"),
        context.row("parameters, A", parameters(eight)),
    )
    return Outcome(
        rows=rows,
        figures=(
            context.draw(
                "labelled.png",
                "Accuracy of B over its labelled images: mean and range of the seeds",
                _chart(pairs),
            ),
        ),
        sentences=_what_transfer_does(pairs, slow, score(eight).value, shared),
        notes=_notes(context, eight),
    )


# ---- the trainings -----------------------------------------------------------------------------------------


def _seeds(context: Context) -> list[int]:
    return [context.seed + number for number in range(2 if context.quick else SEEDS)]


def _train_a(context: Context) -> Run:
    known = tuple(name for name in context.dataset(DATA).class_names if name not in PAIR)
    options: dict[str, Any] = {"train_images": 8000} if context.quick else {}
    settings = {"total_epochs": 2} if context.quick else {}
    return context.train(
        "fashion-eight", DATA, settings=settings, classes=known, val_fraction=HELD_OUT, **options
    )


def _train_b(context: Context, eight: Run, labelled: int) -> Pair:
    """Other labelled images and other first weights for each seed."""
    seeds = _seeds(context)
    return Pair(
        [_alone(context, labelled, seed, RATE) for seed in seeds],
        [_on_a(context, eight, labelled, seed) for seed in seeds],
    )


def _alone(context: Context, labelled: int, seed: int, rate: float) -> Run:
    settings = {"optimizer.learning_rate": rate, "total_epochs": epochs_for(labelled, EPOCHS)}
    return _pair(context, "fashion-pair", labelled, seed, settings)


def _on_a(context: Context, eight: Run, labelled: int, seed: int) -> Run:
    settings = {
        "backbone.weights": str(eight.path.resolve()),
        "optimizer.learning_rate": RATE,
        "total_epochs": epochs_for(labelled, EPOCHS),
        "frozen_epochs": epochs_for(labelled, FROZEN),
    }
    return _pair(context, "fashion-pair-on-eight", labelled, seed, settings)


def _pair(context: Context, recipe: str, labelled: int, seed: int, settings: dict[str, Any]) -> Run:
    return context.train(
        recipe,
        DATA,
        settings=settings,
        seed=seed,
        split_seed=seed,
        classes=PAIR,
        train_images=labelled,
        val_fraction=HELD_OUT,
    )


def epochs_for(labelled: int, epochs: int) -> int:
    """Epochs on so many images that have about the steps of `epochs` on LABELLED images."""
    steps = -(-LABELLED // BATCH)
    return round(epochs * steps / -(-labelled // BATCH))


# ---- what came out -----------------------------------------------------------------------------------------


def accuracy_with_layers_of(eight: Run, pair: Run) -> float:
    """A's test accuracy if its layers were B's, as where B is built on A itself and not on a clone."""
    predictor = Predictor.load(eight)
    theirs = {
        name.removeprefix("backbone."): values
        for name, values in pair.load_weights().items()
        if name.startswith("backbone.")
    }
    predictor.model.load_state_dict(theirs, strict=False)
    dataset, rows = reopen(eight)
    answers = predictor.answer_rows(dataset, rows["test"])
    return accuracy(answers.logits, dataset.index.labels[answers.rows])


def _accuracies(runs: list[Run]) -> np.ndarray:
    return np.array([score(run).value for run in runs])


def _fewer_row(context: Context, labelled: int, pair: Pair) -> Row:
    means = [float(_accuracies(runs).mean()) for runs in (pair.alone, pair.on_a)]
    note = f"B alone {means[0]:.4f}, on A {means[1]:.4f}"
    return context.row(f"error divided by, {labelled} labelled images", pair.error_ratio, note=note)


def _what_transfer_does(
    pairs: dict[int, Pair], slow: list[Run], known: float, shared: float
) -> tuple[str, ...]:
    main = pairs[LABELLED]
    alone, on_a = _accuracies(main.alone), _accuracies(main.on_a)
    meet = alone.min() <= on_a.max() and on_a.min() <= alone.max()
    verdict = "their ranges meet, so no winner" if meet else "their ranges do not meet"
    few, slow_accuracy = min(pairs), float(_accuracies(slow).mean())
    return (
        f"From {LABELLED} labelled images B alone reaches {alone.mean():.4f} ({alone.min():.4f} to "
        f"{alone.max():.4f}), on A {on_a.mean():.4f} ({on_a.min():.4f} to {on_a.max():.4f}): errors divided "
        f"by {main.error_ratio:.2f}; {verdict}.",
        f"From {few} images the errors are divided by {pairs[few].error_ratio:.2f}.",
        f"At a rate of {SLOW_RATE:g} B alone has {slow_accuracy:.4f}, and beside it B on A would look "
        f"{(1 - slow_accuracy) / max(1 - on_a.mean(), 1e-9):.2f} times better; {_still_learning(slow)}.",
        f"A stays as it was, {known:.4f}; had B changed A's own layers, A would have {shared:.4f}.",
    )


def _still_learning(runs: list[Run]) -> str:
    """Whether the training loss, the mean of the runs, still fell in the last epoch."""
    before, last = np.mean([[row["train_loss"] for row in run.history()[-2:]] for run in runs], axis=0)
    if last >= before:
        return "its training loss has stopped falling"
    return (
        f"it is not trained to its end: its training loss fell by {1 - last / before:.1%} in the last epoch"
    )


def _chart(pairs: dict[int, Pair]) -> Figure:
    counts = list(pairs)
    lines = []
    for name, values in (
        ("B alone", [_accuracies(pair.alone) for pair in pairs.values()]),
        ("B on A", [_accuracies(pair.on_a) for pair in pairs.values()]),
    ):
        means, low, high = ([float(each(v)) for v in values] for each in (np.mean, np.min, np.max))
        lines.append(Line(name, counts, means, low=low, high=high))
    panel = Panel(lines, "C26: shirt or sandal?", "labelled images", "accuracy on the test images")
    return line_panels([panel])


def _notes(context: Context, eight: Run) -> tuple[str, ...]:
    count = eight.manifest.data["counts"]["train"]
    return (
        "The decks name neither layers nor rates. Here: 300-100-50-50-50 with SELU; SGD, batch "
        f"{BATCH}; A {len(eight.history())} epochs on {count:,} images; B {EPOCHS} epochs at {RATE:g}; B on "
        f"A {FROZEN} of them with A's layers frozen, the others at a tenth of the rate. With fewer labelled "
        "images there are more epochs, so that the steps are as many.",
        "Each seed has its own labelled images and first weights. No epoch is chosen: the last one's weights "
        "are tested, on all 2,000 test images of the two classes.",
        "The assignment's pictures of what the network looks at (tf-explain: class-activation maps, "
        "occlusion, integrated gradients) are not drawn: photopic has none of these yet.",
        *context.shortened(f"A has {count:,} images and 2 epochs; two seeds."),
    )
