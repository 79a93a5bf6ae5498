"""C29, C30, C37: the first networks of the course, on eight rows or five, from many initial draws at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photopic.lab.course import toy_data as toy
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.report.figures import Line, Panel, Points, line_panels, scatter_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
DRAWS, QUICK_DRAWS = 200, 20
RATES = {"0.1": 0.1, "1.5, too large": 1.5, "0.001, too small": 0.001, "0.00001, far too small": 1e-5}


# ---- C29: softmax regression -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SoftmaxRun:
    """Softmax regressions from S draws: losses (epochs + 1, S), each before its step, and the weights."""

    losses: Floats
    weights: Floats
    """(S, 3, 3), inputs by classes."""
    biases: Floats
    """(S, 1, 3)."""


def probabilities(logits: Floats) -> Floats:
    """Softmax over the last axis: exp(zᵢ) / Σ exp(zⱼ). Subtracting the greatest z changes nothing."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def cross_entropy(logits: Floats, labels: NDArray[np.int64]) -> Floats:
    """(S, N, K) logits -> (S,) means of −log p(label)."""
    shifted = logits - logits.max(-1, keepdims=True)
    own = np.take_along_axis(shifted, np.broadcast_to(labels[:, None], (*logits.shape[:-1], 1)), -1)[..., 0]
    return np.asarray((np.log(np.exp(shifted).sum(-1)) - own).mean(-1))


def softmax_regression(start: Floats, rate: float, epochs: int) -> SoftmaxRun:
    """Gradient descent with all rows in each step, from weights (S, 3, 3) and biases of 0.

    The gradient of the mean cross-entropy is xᵀ(p − one-hot)/N.
    """
    x, target = toy.SOFTMAX_X, np.eye(3)[toy.SOFTMAX_Y]
    weights, biases = start.copy(), np.zeros((len(start), 1, 3))
    losses = []
    for _ in range(epochs):
        logits = x @ weights + biases
        losses.append(cross_entropy(logits, toy.SOFTMAX_Y))
        wrong = (probabilities(logits) - target) / len(x)
        weights -= rate * x.T @ wrong
        biases -= rate * wrong.sum(1, keepdims=True)
    losses.append(cross_entropy(x @ weights + biases, toy.SOFTMAX_Y))
    return SoftmaxRun(np.array(losses), weights, biases)


def c29(context: Context) -> Outcome:
    """The deck's training from many initial draws, then rates that are too large and too small."""
    draws = QUICK_DRAWS if context.quick else DRAWS
    start = np.random.default_rng(context.seed).uniform(-1, 1, (draws, 3, 3))  # Glorot: √(6/(3 + 3)) = 1
    runs = {name: softmax_regression(start, rate, 200) for name, rate in RATES.items()}
    good = runs["0.1"]
    evaluation = toy.SOFTMAX_EVALUATION_X @ good.weights + good.biases
    found = {
        "loss, rate 0.1": good.losses[-1],
        "accuracy, rate 0.1": _accuracy(toy.SOFTMAX_X @ good.weights + good.biases, toy.SOFTMAX_Y),
        "evaluation loss, rate 0.1": cross_entropy(evaluation, toy.SOFTMAX_EVALUATION_Y),
        "evaluation accuracy, rate 0.1": _accuracy(evaluation, toy.SOFTMAX_EVALUATION_Y),
    }
    found |= {f"loss, rate {name}": run.losses[-1] for name, run in runs.items() if run is not good}
    rows = tuple(context.draws_row(name, values) for name, values in found.items())
    figure = context.draw("losses.png", "Losses at four rates, three initial draws each", _losses(runs))
    return Outcome(
        rows=rows,
        figures=(figure,),
        sentences=_what_rates_do(rows, runs),
        notes=context.shortened(f"{QUICK_DRAWS} instead of {DRAWS} initial draws."),
    )


def _what_rates_do(rows: tuple[Row, ...], runs: dict[str, SoftmaxRun]) -> tuple[str, ...]:
    told = [row for row in rows if isinstance(row.reported, float)]
    inside = sum(row.low <= row.reported <= row.high for row in told)  # type: ignore[operator]
    good, large, _, tiny = runs.values()
    jumping = float(np.mean(np.diff(large.losses[-50:], axis=0) > 0))
    ends = {run: float(np.median(run.losses[-1])) for run in (good, large, tiny)}
    return (
        f"{inside} of the deck's {len(told)} figures lie where nine tenths of {rows[0].n} draws end.",
        f"At a rate of 1.5 the loss still rises in {jumping:.0%} of the last 50 steps: it overshoots and "
        f"ends at {ends[large]:.2f} (median), at a rate of 0.1 at {ends[good]:.2f}.",
        f"At 0.00001 it falls in {np.mean(tiny.losses[-1] < tiny.losses[0]):.0%} of the draws, but in 200 "
        f"epochs only from {np.median(tiny.losses[0]):.3f} to {ends[tiny]:.3f}: it sticks.",
    )


def _accuracy(logits: Floats, labels: NDArray[np.int64]) -> Floats:
    return np.asarray((logits.argmax(-1) == labels).mean(-1))


def _losses(runs: dict[str, SoftmaxRun]) -> Figure:
    epochs = np.arange(len(next(iter(runs.values())).losses))
    panels = [
        Panel(
            [Line("", epochs, run.losses[:, draw]) for draw in range(3)],
            title=f"rate {name}",
            x_label="epoch",
            y_label="loss",
            y_range=(0, max(4.0, float(run.losses[:, :3].max()) * 1.05)),
        )
        for name, run in runs.items()
    ]
    return line_panels(panels, title="Softmax regression on eight rows")


# ---- C30: features of very different size ----------------------------------------------------------------


def linear_regression(data: Floats, start: Floats, *, rate: float = 0.01, epochs: int = 10) -> Floats:
    """Losses (epochs, S) of mean squared error regressions from weights (S, 4, 1), in float32.

    data: rows of four features and the target. Each loss is the one before its step, all rows in each.
    """
    x, target = data[:, :4].astype(np.float32), data[:, 4:].astype(np.float32)
    weights, biases = start.astype(np.float32), np.zeros((len(start), 1, 1), np.float32)
    step, losses = np.float32(rate), []
    with np.errstate(over="ignore", invalid="ignore"):  # to overflow is the point
        for _ in range(epochs):
            error = x @ weights + biases - target
            losses.append(np.square(error).mean((1, 2), dtype=np.float32))
            slope = 2 * error / np.float32(len(x))
            weights -= step * (x.T @ slope)
            biases -= step * slope.sum(1, keepdims=True)
    return np.array(losses, float)


def min_max(data: Floats) -> Floats:
    """(x − min) / (max − min + 1e-5) for each column: the deck's scaling, features and target."""
    low, high = data.min(0), data.max(0)
    return np.asarray((data - low) / (high - low + 1e-5))


def standardise(data: Floats) -> Floats:
    """(x − mean) / standard deviation for each column."""
    return np.asarray((data - data.mean(0)) / data.std(0))


def c30(context: Context) -> Outcome:
    """The same regression on raw, min-max scaled and standardised values."""
    draws = QUICK_DRAWS if context.quick else DRAWS
    limit = np.sqrt(6 / (4 + 1))  # Glorot
    start = np.random.default_rng(context.seed).uniform(-limit, limit, (draws, 4, 1))
    raw = linear_regression(toy.STOCK, start)
    scaled = {"min-max": linear_regression(min_max(toy.STOCK), start)}
    scaled["standardised"] = linear_regression(standardise(toy.STOCK), start)
    infinite = int(np.median(np.argmax(~np.isfinite(raw), axis=0))) + 1
    undefined = int(np.median(np.argmax(np.isnan(raw), axis=0))) + 1
    rows = [
        context.row("raw: losses of the epochs", _course(raw[:6, 0]), note="of the first draw"),
        context.row("raw: first epoch with an infinite loss", infinite, n=draws, note="median of the draws"),
        context.row(
            "raw: first epoch with an undefined loss", undefined, n=draws, note="median of the draws"
        ),
    ]
    rows += [
        context.draws_row(f"{name}: {when} loss", losses[position])
        for name, losses in scaled.items()
        for when, position in (("first", 0), ("last", -1))
    ]
    figure = context.draw("losses.png", "Losses of ten epochs, five draws each", _stock_chart(raw, scaled))
    return Outcome(
        rows=tuple(rows),
        figures=(figure,),
        sentences=_what_scaling_does(context, infinite, undefined, scaled),
        notes=context.shortened(f"{QUICK_DRAWS} instead of {DRAWS} initial draws."),
    )


def _what_scaling_does(
    context: Context, infinite: int, undefined: int, scaled: dict[str, Floats]
) -> tuple[str, ...]:
    sizes = np.abs(toy.STOCK[:, :4]).mean(0)
    left = {name: float(np.median(losses[-1] / losses[0])) for name, losses in scaled.items()}
    last, first = (context.experiment.reported_value(f"min-max: {when} loss") for when in ("last", "first"))
    assert isinstance(last, float)
    assert isinstance(first, float)
    return (
        f"The greatest feature is {sizes.max() / sizes.min():,.0f} times the smallest; on raw values the "
        f"loss overflows in epoch {infinite} and is undefined from epoch {undefined} on.",
        f"Scaled, it falls: after ten epochs {left['min-max']:.0%} of it is left with min-max scaling (the "
        f"deck: {last / first:.0%}), {left['standardised']:.0%} with standardised values.",
    )


def _course(losses: Floats) -> str:
    return ", ".join(f"{loss:.1e}" if np.isfinite(loss) else str(loss) for loss in losses)


def _stock_chart(raw: Floats, scaled: dict[str, Floats]) -> Figure:
    epochs = np.arange(1, len(raw) + 1)
    panels = []
    for name, losses in ({"raw": raw} | scaled).items():
        lines = [Line("", epochs, losses[:, draw]) for draw in range(5)]
        end = int(np.isfinite(losses[:, 0]).sum())
        title = name if end == len(losses) else f"{name}: no finite loss after epoch {end}"
        panels.append(
            Panel(lines, title, "epoch", "loss", log_y=name == "raw", x_range=(0.5, len(raw) + 0.5))
        )
    return line_panels(panels, title="Linear regression on prices and volumes", columns=3)


# ---- C37: two features -----------------------------------------------------------------------------------


def c37(context: Context) -> Outcome:
    """Scatter plots of raw, zero-centred and normalised points."""
    raw = toy.SCALE
    centred = raw - raw.mean(0)
    normalised = standardise(raw)
    forms = {"raw": raw, "zero-centred": centred, "normalised": normalised}
    panels = [
        (name, [Points(letter, *values[_of(letter)].T) for letter in "ABC"], "x1", "x2")
        for name, values in forms.items()
    ]
    rows = [
        context.row(f"{name}: spread of x2 ÷ spread of x1", float(values[:, 1].std() / values[:, 0].std()))
        for name, values in forms.items()
    ]
    rows += [
        context.row("mean of x1, x2, raw", _pair(raw.mean(0))),
        context.row("mean of x1, x2, zero-centred", _pair(centred.mean(0))),
        context.row("standard deviation of x1, x2, normalised", _pair(normalised.std(0))),
    ]
    ratio = raw[:, 1].std() / raw[:, 0].std()
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw(
                "scatter.png",
                "The same five points, raw, zero-centred and normalised",
                scatter_panels(panels, title="Two features of very different size"),
            ),
        ),
        sentences=(
            f"The second feature spreads {ratio:,.0f} times as wide as the first, so distances and gradients "
            "would see only it.",
            f"Subtracting the means moves the cloud to 0 and leaves that ratio at {ratio:,.0f}; dividing by "
            f"the standard deviations makes it {normalised[:, 1].std() / normalised[:, 0].std():.0f}.",
        ),
    )


def _of(letter: str) -> NDArray[np.bool_]:
    return np.array([name == letter for name in toy.SCALE_CLASSES])


def _pair(values: Floats) -> str:
    return ", ".join(f"{value + 0.0:.4g}" for value in values.round(12))
