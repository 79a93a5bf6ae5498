"""C40: batch norm at high rates and in two places, against dropout and L2; penalties of several strengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.errors import TrainingError
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Drawing, Outcome, Row
from photopic.lab.course.held_out import HELD_OUT
from photopic.report.figures import Line, Panel, bar_with_intervals, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

DATA, RECIPE = "mnist", "mnist-norm"
HIDDEN, UNITS = 5, 256
RATES, QUICK_RATES = (0.03, 0.1, 0.3, 1.0, 3.0), (0.1, 1.0)
RATE = 0.1
"""Of everything that does not compare rates."""
LEARNED = 0.9
"""Validation accuracy from which on a network is said to have learned."""
GUESSING = 0.15
"""Validation accuracy below which it hardly does more than always name the most frequent digit (0.11)."""
IMAGES, EPOCHS = 10_000, 10
QUICK_IMAGES, QUICK_EPOCHS = 1000, 3
NEAR_ZERO = 1e-3
PLACES = {"none": "no batch norm", "before": "before the activation", "after": "after the activation"}
REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "dropout 0.3": {"dropout": 0.3},
    "L2 0.0001": {"l2": 1e-4},
    "batch norm": {"norm": "before"},
    "batch norm, dropout": {"norm": "before", "dropout": 0.3},
    "batch norm, L2": {"norm": "before", "l2": 1e-4},
}
PENALTIES: dict[str, dict[str, Any]] = {
    "L2 0": {},
    "L2 0.001": {"l2": 0.001},
    "L2 1": {"l2": 1.0},
    "L1 + L2 0.01": {"l1": 0.01, "l2": 0.01},
}


def c40(context: Context) -> Outcome:
    """Four questions, each a row of trainings of one network."""
    rates = QUICK_RATES if context.quick else RATES
    places = {
        place: {rate: validation_accuracy(_train(context, rate=rate, norm=place)) for rate in rates}
        for place in PLACES
    }
    remedies = {name: _train(context, **changes) for name, changes in REMEDIES.items()}
    penalties = {name: _train(context, **changes) for name, changes in PENALTIES.items()}
    rows = [
        *_place_rows(context, places),
        *_remedy_rows(context, remedies),
        *_penalty_rows(context, penalties),
    ]
    return Outcome(
        rows=tuple(rows),
        figures=_figures(context, places, remedies),
        sentences=(
            what_rates_say(places),
            _what_remedies_say(remedies),
            _what_penalties_say(penalties),
        ),
        notes=_notes(context, rates),
    )


# ---- the trainings -----------------------------------------------------------------------------------------


def layers(norm: str = "none", dropout: float = 0.0) -> list[Any]:
    """The network's layers, as `layers` of a recipe. norm: none, before or after each activation."""
    hidden: list[Any] = [{"dense": UNITS, "activation": "relu"}]
    if norm == "before":  # its β is the bias
        hidden = [{"dense": UNITS, "bias": False}, "batch-norm", {"activation": "relu"}]
    elif norm == "after":
        hidden.append("batch-norm")
    if dropout:
        hidden.append({"dropout": dropout})
    return ["flatten", *(HIDDEN * hidden)]


def _train(
    context: Context,
    *,
    rate: float = RATE,
    norm: str = "none",
    dropout: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
) -> Run | None:
    """One training; None: its loss was no number any more."""
    settings: dict[str, Any] = {
        "model.layers": layers(norm, dropout),
        "optimizer.learning_rate": rate,
        "total_epochs": QUICK_EPOCHS if context.quick else EPOCHS,
    }
    if l1 or l2:
        settings |= {"regularizer.l1": l1, "regularizer.l2": l2}
    try:
        return context.train(
            RECIPE,
            DATA,
            settings=settings,
            val_fraction=HELD_OUT,
            train_images=QUICK_IMAGES if context.quick else IMAGES,
        )
    except TrainingError:
        return None


def validation_accuracy(run: Run | None) -> float:
    """After the last epoch; NaN of a training that diverged."""
    return float("nan") if run is None else float(run.history()[-1]["val_accuracy"])


# ---- rows --------------------------------------------------------------------------------------------------


def _place_rows(context: Context, places: dict[str, dict[float, float]]) -> list[Row]:
    return [
        context.row(
            f"validation accuracy, rate {rate:g}, {PLACES[place]}",
            "diverged" if np.isnan(value) else value,
        )
        for place, by_rate in places.items()
        for rate, value in by_rate.items()
    ]


def _remedy_rows(context: Context, remedies: dict[str, Run | None]) -> list[Row]:
    rows = []
    for name, run in remedies.items():
        if run is None:
            rows.append(context.row(f"validation accuracy, {name}", "diverged"))
            continue
        last = run.history()[-1]
        note = f"training {last['train_accuracy']:.4f}; validation loss {last['val_loss']:.4f}"
        rows.append(context.row(f"validation accuracy, {name}", last["val_accuracy"], note=note))
    return rows


def _penalty_rows(context: Context, penalties: dict[str, Run | None]) -> list[Row]:
    rows = []
    for name, run in penalties.items():
        if run is None:
            rows.append(context.row(f"validation accuracy, {name}", "diverged"))
            continue
        size, small = weights_of(run)
        note = f"root mean square of the weights {size:.3g}; {small:.1%} of them below {NEAR_ZERO:g}"
        value = validation_accuracy(run)
        note += "; guessing" if value < GUESSING else ""
        rows.append(context.row(f"validation accuracy, {name}", value, note=note))
    return rows


def weights_of(run: Run) -> tuple[float, float]:
    """Root mean square of all kernels' weights, and the share of them that are nearly 0."""
    kernels = [values.flatten() for name, values in run.load_weights().items() if name.endswith(".weight")]
    numbers = np.concatenate([values.numpy() for values in kernels]).astype(np.float64)
    return float(np.sqrt(np.square(numbers).mean())), float((np.abs(numbers) < NEAR_ZERO).mean())


# ---- words and pictures ------------------------------------------------------------------------------------


def what_rates_say(places: dict[str, dict[float, float]]) -> str:
    """Up to which rate each place learns, and which place is better where both learn."""
    highest = {
        place: max((rate for rate, value in by_rate.items() if value >= LEARNED), default=None)
        for place, by_rate in places.items()
    }
    told = [
        f"{PLACES[place]} " + ("at no rate" if rate is None else f"up to a rate of {rate:g}")
        for place, rate in highest.items()
    ]
    both = [
        (places["before"][rate], places["after"][rate])
        for rate in places["before"]
        if all(places[place][rate] >= LEARNED for place in ("before", "after"))
    ]
    text = f"A validation accuracy of {LEARNED:g} is reached with {', '.join(told)}"
    if not both:
        return text + "."
    gains = [before - after for before, after in both]
    ahead = sum(gain > 0 for gain in gains)
    if 0 < ahead < len(both):
        return f"{text}; before the activation is better at {ahead} of {len(both)} rates, so no ranking."
    return (
        f"{text}; {'before' if ahead else 'after'} the activation is better at all rates where both learn "
        f"({len(both)}), by {100 * abs(float(np.mean(gains))):.2f} points on average, from one seed."
    )


def _what_remedies_say(remedies: dict[str, Run | None]) -> str:
    values = {name: validation_accuracy(run) for name, run in remedies.items() if run is not None}
    best = max(values, key=lambda name: values[name])
    told = {name: f"{values[name]:.4f}" if name in values else "none (it diverged)" for name in remedies}
    return (
        f"At a rate of {RATE:g} validation accuracy is {told['none']} with nothing added, "
        f"{told['dropout 0.3']} with dropout, {told['batch norm']} with batch norm and "
        f"{told['batch norm, dropout']} with both; best is: {best} ({values[best]:.4f})."
    )


def _what_penalties_say(penalties: dict[str, Run | None]) -> str:
    told = []
    for name, run in penalties.items():
        if run is None:
            told.append(f"{name}: diverged")
            continue
        value = validation_accuracy(run)
        guessing = ", guessing" if value < GUESSING else ""
        told.append(f"{name}: {value:.4f}{guessing} (weights {weights_of(run)[0]:.2g})")
    return f"Penalties: {'; '.join(told)}."


def _figures(
    context: Context, places: dict[str, dict[float, float]], remedies: dict[str, Run | None]
) -> tuple[Drawing, ...]:
    learned = {name: validation_accuracy(run) for name, run in remedies.items() if run is not None}
    low, high = min(learned.values()), max(learned.values())
    room = max(0.25 * (high - low), 1e-3)
    dots = bar_with_intervals(
        list(learned),
        list(learned.values()),
        title="C40: instead of dropout and L2?",
        value_label="validation accuracy",
        decimals=4,
        value_range=(low - room, high + room),
    )
    return (
        context.draw("rates.png", "Validation accuracy over the learning rate", _rate_chart(places)),
        context.draw("remedies.png", "Validation accuracy with batch norm, dropout and L2", dots),
    )


def _rate_chart(places: dict[str, dict[float, float]]) -> Figure:
    lines = [
        Line(PLACES[place], list(by_rate), list(by_rate.values()), points=True)
        for place, by_rate in places.items()
    ]
    panel = Panel(lines, "C40: batch norm and the rate", "learning rate", "validation accuracy", log_x=True)
    return line_panels([panel])


def _notes(context: Context, rates: tuple[float, ...]) -> tuple[str, ...]:
    images, epochs = (QUICK_IMAGES, QUICK_EPOCHS) if context.quick else (IMAGES, EPOCHS)
    return (
        f"784, five hidden layers of {UNITS}, ReLU, Glorot, 10; SGD without momentum, batch 128; {images:,} "
        f"training images of MNIST, so that overfitting shows, {epochs} epochs; 5,000 others for validation. "
        "One seed: differences of some tenths of a point are chance.",
        "L2 λ is λΣw² over the kernels; L1 + L2 0.01 is 0.01·Σ|w| + 0.01·Σw².",
        *context.shortened(
            f"{images:,} images, {epochs} epochs, rates {' and '.join(f'{r:g}' for r in rates)}."
        ),
    )
