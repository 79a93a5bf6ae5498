"""C03 to C08: perceptrons on MNIST, each beside the one that it changes in one point."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Drawing, Outcome
from photopic.lab.course.held_out import (
    accuracies_of,
    accuracy_row,
    compared_curves,
    history_rows,
    last,
    notes,
    overlap,
    parameters,
    points,
    train_seeds,
)
from photopic.models.building_blocks import Dense
from photopic.training.opening import reopen

if TYPE_CHECKING:
    from photopic.api import Run

RATES = (0.1, 0.2, 0.3)
HIDDEN, UNITS = 5, 256
PENALTY = 1e-6
PROBED = 1000
"""Validation images whose activations are looked at."""
KNOWN = 0.99
"""Training accuracy from which on a network is said to know its training images."""
GLOROT = {"model.init": "glorot-uniform"}


# ---- C03: no activations -----------------------------------------------------------------------------------


def c03(context: Context) -> Outcome:
    """Three matrices in a row, and the one matrix that they are together."""
    runs = train_seeds(context, "mnist-linear-layers")
    softmax = train_seeds(context, "mnist-softmax")
    matrix, bias = collapse(Predictor.load(runs[0]).model)
    gap = _distance_to_collapsed(runs[0], matrix, bias)
    rows = (
        accuracy_row(context, runs),
        accuracy_row(context, softmax, "accuracy, softmax regression (C02)"),
        *history_rows(context, runs),
        context.row("parameters", parameters(runs[0])),
        context.row("numbers in the one matrix and bias", matrix.numel() + bias.numel()),
        context.row("greatest difference of a logit", gap, note="network and one matrix, all test images"),
    )
    return Outcome(
        rows=rows,
        figures=(_curves(context, {"two linear layers": runs, "none (C02)": softmax}, "C03: layers alone"),),
        sentences=(
            f"Two hidden layers without activations have "
            f"{parameters(runs[0]) / parameters(softmax[0]):.0f} times the parameters of none.",
            _ranking(runs, softmax, "two layers", "none"),
            f"Multiplied with each other, the three matrices are one of {matrix.shape[0]}×{matrix.shape[1]}: "
            f"it gives the same logits for all test images, to {gap:.0e}.",
        ),
        notes=notes(context, runs[0]),
    )


def collapse(model: nn.Module) -> tuple[Tensor, Tensor]:
    """The matrix (784, K) and the bias (K,) that a network of linear layers is, float64.

    The network's answer to 0 is the bias; its answer to an image with one pixel of 1, less the bias, is that
    pixel's row.
    """
    exact = copy.deepcopy(model).double()
    with torch.inference_mode():
        pixels = torch.eye(784, dtype=torch.float64).view(784, 1, 28, 28)
        bias = exact(torch.zeros_like(pixels[:1]))
        return exact(pixels) - bias, bias[0]


def _distance_to_collapsed(run: Run, matrix: Tensor, bias: Tensor) -> float:
    """Greatest absolute difference between the stored test logits and those of one matrix."""
    dataset, _ = reopen(run)
    stored = run.load_predictions("test")
    assert dataset.array is not None
    images = torch.from_numpy(np.array(dataset.array[stored.index])).double().flatten(1) / 255
    return float((images @ matrix + bias - torch.from_numpy(stored.logits)).abs().max())


# ---- C04 to C06: ReLU, Xavier, depth -----------------------------------------------------------------------


def c04(context: Context) -> Outcome:
    """ReLU against nothing between the layers."""
    runs, linear = train_seeds(context, "mnist-mlp"), train_seeds(context, "mnist-linear-layers")
    values, before = accuracies_of(runs), accuracies_of(linear)
    fewer = (1 - before.mean()) / (1 - values.mean())
    return _comparison(
        context,
        {"ReLU": runs, "no activation (C03)": linear},
        "C04: what a nonlinearity buys",
        f"The same layers, the same {parameters(runs[0]):,} parameters: with ReLU the test error is "
        f"{1 - values.mean():.2%} instead of {1 - before.mean():.2%}: divided by {fewer:.1f}.",
        f"After one epoch validation accuracy is {_first(runs):.4f} with it, {_first(linear):.4f} without.",
    )


def c05(context: Context) -> Outcome:
    """Glorot-uniform weights against weights in ±0.05."""
    runs, uniform = train_seeds(context, "mnist-mlp", settings=GLOROT), train_seeds(context, "mnist-mlp")
    return _comparison(
        context,
        {"Glorot": runs, "uniform ±0.05 (C04)": uniform},
        "C05: Xavier's initialisation",
        f"Glorot's bounds are ±{glorot_bound(784, 256):.3f}, ±{glorot_bound(256, 256):.3f} and "
        f"±{glorot_bound(256, 10):.3f} instead of ±0.05; after one epoch validation accuracy is "
        f"{_first(runs):.4f} against {_first(uniform):.4f}.",
        _ranking(runs, uniform, "Glorot", "uniform weights"),
    )


def glorot_bound(inputs: int, units: int) -> float:
    """√(6 / (n_in + n_out)): weights are drawn uniformly from ± this (Glorot and Bengio 2010)."""
    return float(np.sqrt(6 / (inputs + units)))


def c06(context: Context) -> Outcome:
    """Five hidden layers against two."""
    runs, shallow = train_seeds(context, "mnist-deep-mlp"), train_seeds(context, "mnist-mlp", settings=GLOROT)
    known = [last(variant, "train_accuracy") for variant in (runs, shallow)]
    return _comparison(
        context,
        {"five hidden layers": runs, "two (C05)": shallow},
        "C06: deeper",
        f"Five hidden layers have {parameters(runs[0]):,} parameters instead of {parameters(shallow[0]):,}.",
        _ranking(runs, shallow, "five layers", "two"),
        f"Of their training images they know {known[0]:.2%} and {known[1]:.2%}"
        + (": what is missing is not capacity." if min(known) > KNOWN else "."),
    )


# ---- C07, C08: dropout, activity penalty -------------------------------------------------------------------


def dropout_layers(rate: float) -> list[Any]:
    """C06's layers with dropout after each hidden one, as `layers` of a recipe."""
    hidden = [{"dense": UNITS, "activation": "relu"}, {"dropout": rate}]
    return ["flatten", *(HIDDEN * hidden)]


def with_dropout(context: Context, rate: float, **settings: float) -> list[Run]:
    """Runs of C07's network; settings: of the model."""
    changes: dict[str, Any] = {f"model.{name}": value for name, value in settings.items()}
    if rate != 0.2:  # what the file says
        changes["model.layers"] = dropout_layers(rate)
    return train_seeds(context, "mnist-deep-mlp-dropout", settings=changes)


def c07(context: Context) -> Outcome:
    """Three rates, chosen from by validation accuracy, and none."""
    variants = {f"dropout {rate}": with_dropout(context, rate) for rate in RATES}
    without = train_seeds(context, "mnist-deep-mlp")
    everything = variants | {"no dropout (C06)": without}
    rows = [accuracy_row(context, runs, f"accuracy, {name}") for name, runs in everything.items()]
    rows += [
        context.row(f"validation {what}, {name}", last(runs, f"val_{what}"), note="last epoch")
        for what in ("accuracy", "loss")
        for name, runs in everything.items()
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(_curves(context, variants | {"none (C06)": without}, "C07: dropout"),),
        sentences=_what_dropout_does(variants, without),
        notes=notes(context, without[0]),
    )


def _what_dropout_does(variants: Mapping[str, Sequence[Run]], without: Sequence[Run]) -> tuple[str, ...]:
    """variants: dropout and its rate → runs. The rate is chosen on validation images, not on the test's."""
    known = {name: last(runs, "val_accuracy") for name, runs in variants.items()}
    best = max(known, key=lambda name: known[name])
    values = accuracies_of(variants[best])
    close = [name for name in variants if name != best and overlap(accuracies_of(variants[name]), values)]
    losses = {name: last(runs, "val_loss") for name, runs in variants.items()}
    least, plain = min(losses, key=lambda name: losses[name]), last(without, "val_loss")
    order = "less" if losses[least] < plain else "no less"
    return (
        f"Best by validation accuracy, {known[best]:.4f}, is {best}; on the test images it has "
        f"{values.mean():.4f}"
        + (f", and the ranges of {' and '.join(close)} meet its own." if close and len(values) > 1 else "."),
        _ranking(variants[best], without, best, "none"),
        f"The least validation loss with dropout is {losses[least]:.4f}, of {least}: {order} than "
        f"{plain:.4f} without.",
    )


def c08(context: Context) -> Outcome:
    """What 1e-6 · Σ|a| makes of the activations a."""
    runs = with_dropout(context, 0.2, activity_l1=PENALTY)
    without = with_dropout(context, 0.2)
    size, zeros = activity(runs[0])
    size_without, zeros_without = activity(without[0])
    outcome = _comparison(
        context,
        {"L1 on activations": runs, "without (C07, 0.2)": without},
        "C08: activity regularisation",
        f"The penalty takes the sum of an image's hidden activations from {size_without:,.0f} to "
        f"{size:,.0f}, times {PENALTY:g} a {PENALTY * size:.1e} beside a training loss of "
        f"{last(runs, 'train_loss'):.4f}.",
        _ranking(runs, without, "the penalty", "none"),
    )
    extra = (
        context.row("sum of |a| per image", size, note=f"hidden layers, {PROBED:,} validation images"),
        context.row("sum of |a| per image, without the penalty", size_without),
        context.row("share of activations that are 0", zeros),
        context.row("share of activations that are 0, without the penalty", zeros_without),
    )
    note = "The output layer's penalty is left out: its softmax sums to 1, so that Σ|a| is constant."
    return outcome.model_copy(update={"rows": outcome.rows + extra, "notes": (*outcome.notes, note)})


def activity(run: Run) -> tuple[float, float]:
    """Σ|a| per image over the hidden layers' outputs a, and the share of them that are 0, on validation."""
    predictor = Predictor.load(run)
    hidden = [module for module in predictor.model.modules() if isinstance(module, Dense)][:-1]
    outputs: list[Tensor] = []
    handles = [module.register_forward_hook(lambda _, __, a: outputs.append(a.clone())) for module in hidden]
    try:
        dataset, rows = reopen(run)
        chosen = rows["val"][:PROBED]
        images = np.stack([predictor.preprocess.to_store(dataset.image(int(row))) for row in chosen])
        with torch.inference_mode():
            predictor.model(
                predictor.preprocess.to_float(torch.from_numpy(images)).to(predictor.runtime.device)
            )
    finally:
        for handle in handles:
            handle.remove()
    values = torch.cat([a.flatten(1) for a in outputs], dim=1)
    return float(values.abs().sum() / len(chosen)), float((values == 0).float().mean())


# ---- what they share ---------------------------------------------------------------------------------------


def _comparison(
    context: Context, variants: Mapping[str, Sequence[Run]], title: str, *sentences: str
) -> Outcome:
    """The first of the variants is the deck's, the others stand beside it."""
    runs = next(iter(variants.values()))
    others = list(variants.items())[1:]
    rows = (
        accuracy_row(context, runs),
        *(accuracy_row(context, of_runs, f"accuracy, {name}") for name, of_runs in others),
        *history_rows(context, runs),
        context.row("parameters", parameters(runs[0])),
    )
    figure = _curves(context, variants, title)
    return Outcome(rows=rows, figures=(figure,), sentences=sentences, notes=notes(context, runs[0]))


def _curves(context: Context, variants: Mapping[str, Sequence[Run]], title: str) -> Drawing:
    seeds = len(next(iter(variants.values())))
    caption = "Validation cost and accuracy" + (f": mean and range of {seeds} seeds" if seeds > 1 else "")
    return context.draw("curves.png", caption, compared_curves(variants, title=title))


def _first(runs: Sequence[Run]) -> float:
    """Mean validation accuracy after the first epoch."""
    return float(np.mean([run.history()[0]["val_accuracy"] for run in runs]))


def _mean_gain(runs: Sequence[Run], others: Sequence[Run]) -> float:
    return float(accuracies_of(runs).mean() - accuracies_of(others).mean())


def _ranking(runs: Sequence[Run], others: Sequence[Run], name: str, other: str) -> str:
    """Whether the seeds can tell two configurations apart.

    Of the C(a + b, a) ways to deal equally good seeds out to two groups, two leave the ranges apart.
    """
    gain = f"On the test images {name} against {other}: {points(_mean_gain(runs, others))}"
    if len(runs) == 1:
        return f"{gain}; one seed cannot rank them."
    if overlap(accuracies_of(runs), accuracies_of(others)):
        return f"{gain}, and the ranges of the seeds meet: no ranking."
    chance = 2 / math.comb(len(runs) + len(others), len(runs))
    return (
        f"{gain}, and the ranges of the seeds do not meet; with {len(runs)} and {len(others)} seeds chance "
        f"alone does that in one case of {1 / chance:.0f}."
    )
