"""C35: activations and their slopes, and how the spread of values fares from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from photopic.config import LayersModel
from photopic.config.elements import Activation as ActivationConfig
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row, show
from photopic.models.building_blocks import Activation
from photopic.models.layered import LayeredNet, build_layers
from photopic.report.figures import Line, Panel, line_panels
from photopic.runtime import derive_seed, seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN: dict[str, Any] = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "ReLU": "relu",
    "leaky ReLU (0.1)": {"name": "leaky-relu", "slope": 0.1},
}
DEPTH, SIDE, IMAGES = 10, 16, 256
"""Layers, each of SIDE² units; images of random numbers."""
CENTRED = 0.01
"""Mean of values of which one can say that they are centred at 0."""
SMALL, LARGE = {"name": "normal", "std": 0.01}, {"name": "normal", "std": 1.0}


@dataclass(frozen=True)
class Case:
    """One deep network, and what it is fed."""

    name: str
    activation: str
    init: Any
    batch_norm: bool = False
    raw_input: bool = False
    """Pixels of 0 to 255 instead of numbers of mean 0 and spread 1."""


SPREADS = {
    "tanh": (
        Case("σ = 0.01, too small", "tanh", SMALL),
        Case("σ = 1, too large", "tanh", LARGE),
        Case("Xavier", "tanh", "glorot-uniform"),
        Case("σ = 0.01 and batch norm", "tanh", SMALL, batch_norm=True),
    ),
    "relu": (
        Case("σ = 0.01, too small", "relu", SMALL),
        Case("σ = 0.15, too large", "relu", {"name": "normal", "std": 0.15}),
        Case("Xavier", "relu", "glorot-uniform"),
        Case("He", "relu", "he-normal"),
        Case("σ = 0.01 and batch norm", "relu", SMALL, batch_norm=True),
    ),
}
INPUTS = (
    Case("scaled input", "tanh", "glorot-uniform"),
    Case("raw input, 0 to 255", "tanh", "glorot-uniform", raw_input=True),
)
CENTRES = (
    Case("sigmoid", "sigmoid", "glorot-uniform"),
    Case("tanh", "tanh", "glorot-uniform"),
    Case("ReLU", "relu", "he-normal"),
)
GRADIENTS = (
    Case("sigmoid, σ = 0.01", "sigmoid", SMALL),
    Case("sigmoid, Xavier", "sigmoid", "glorot-uniform"),
    Case("ReLU, σ = 0.01", "relu", SMALL),
    Case("ReLU, He", "relu", "he-normal"),
)


# ---- activations -------------------------------------------------------------------------------------------


def value_and_slope(activation: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(x) and f′(x) of one of photopic's activations; the slope by automatic differentiation."""
    function = Activation(ActivationConfig.model_validate(activation))
    points = torch.from_numpy(np.asarray(x, np.float64)).requires_grad_()
    values = function(points)
    (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach().numpy(), slopes.numpy()


def _activation_chart() -> Figure:
    x = np.linspace(-6, 6, 601)
    both = {name: value_and_slope(activation, x) for name, activation in SHOWN.items()}
    values = [Line(name, x, value) for name, (value, _) in both.items()]
    slopes = [Line(name, x, slope) for name, (_, slope) in both.items()]
    return line_panels(
        [
            Panel(values, "activation f(x)", "x", "f(x)", y_range=(-1.2, 3)),
            Panel(slopes, "slope f′(x)", "x", "f′(x)", y_range=(-0.05, 1.1)),
        ]
    )


# ---- deep networks -----------------------------------------------------------------------------------------


def build(case: Case, seed: int) -> LayeredNet:
    """A network of DEPTH equal dense layers with one output, from its initial weights."""
    block: list[Any] = [{"dense": SIDE * SIDE}]
    block += ["batch-norm"] if case.batch_norm else []
    layers = ["flatten", *[*block, {"activation": case.activation}] * DEPTH]
    model = LayersModel.model_validate({"layers": layers, "init": case.init})
    with seeded(derive_seed(seed, "course", "c35", case.name)):
        return build_layers(model, 1, SIDE, 1)


def random_images(case: Case, seed: int) -> Tensor:
    """(IMAGES, 1, SIDE, SIDE) of independent numbers: N(0, 1), or uniform in 0..255."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "course", "c35", "images"))
    shape = (IMAGES, 1, SIDE, SIDE)
    if case.raw_input:
        return torch.rand(shape, generator=generator) * 255
    return torch.randn(shape, generator=generator)


def outputs(case: Case, seed: int) -> list[Tensor]:
    """The values after each of the DEPTH activations, (IMAGES, SIDE²) each; batch statistics of these images.

    They keep their gradients when the network is asked for them (`gradient_spreads`).
    """
    states, values = [], random_images(case, seed)
    for layer in build(case, seed).train():
        values = layer(values)
        if isinstance(layer, Activation):
            values.retain_grad()
            states.append(values)
    torch.autograd.backward(values.sum())
    return states


def spreads(case: Case, seed: int) -> list[float]:
    """Standard deviation of the values after each activation, first layer first."""
    return [float(state.detach().std()) for state in outputs(case, seed)]


def gradient_spreads(case: Case, seed: int) -> list[float]:
    """Standard deviation of the gradient that reaches each layer's values, first layer first."""
    found = []
    for state in outputs(case, seed):
        assert state.grad is not None
        found.append(float(state.grad.std()))
    return found


def saturated(case: Case, seed: int) -> list[float]:
    """Share of tanh's values beyond ±0.99 after each layer, where its slope is below 0.02."""
    return [float((state.detach().abs() > 0.99).float().mean()) for state in outputs(case, seed)]


def silent(case: Case, seed: int) -> list[float]:
    """Share of values that are exactly 0 after each layer: the sparsity of ReLU's outputs."""
    return [float((state.detach() == 0).float().mean()) for state in outputs(case, seed)]


def means(case: Case, seed: int) -> list[float]:
    """Mean of the values after each layer: 0 where they are centred."""
    return [float(state.detach().mean()) for state in outputs(case, seed)]


def c35(context: Context) -> Outcome:
    """Activations and slopes, then spread, saturation, sparsity and gradients through ten layers."""
    seed, layers = context.seed, np.arange(1, DEPTH + 1)
    found = {kind: {case.name: spreads(case, seed) for case in cases} for kind, cases in SPREADS.items()}
    inputs = {case.name: saturated(case, seed) for case in INPUTS}
    gradients = {case.name: gradient_spreads(case, seed) for case in GRADIENTS}
    rows = [_greatest_slope(context, name, activation) for name, activation in SHOWN.items()]
    for kind, cases in found.items():
        rows += [
            context.row(f"spread in layer {DEPTH}, {kind}, {name}", line[-1]) for name, line in cases.items()
        ]
    rows += [context.row(f"saturated in layer 1, tanh, {name}", line[0]) for name, line in inputs.items()]
    large, he = SPREADS["tanh"][1], SPREADS["relu"][3]
    full, zeros = saturated(large, seed)[-1], silent(he, seed)[-1]
    centres = {case.name: means(case, seed)[-1] for case in CENTRES}
    rows += [
        context.row(f"saturated in layer {DEPTH}, tanh, {large.name}", full),
        context.row(f"share of zeros in layer {DEPTH}, ReLU, {he.name}", zeros),
        *(context.row(f"mean output of layer {DEPTH}, {name}", mean) for name, mean in centres.items()),
    ]
    rows += [
        context.row(f"gradient, layer 1 ÷ layer {DEPTH}, {name}", line[0] / line[-1])
        for name, line in gradients.items()
    ]
    panels = [
        Panel(
            [Line(name, layers, line) for name, line in cases.items()],
            f"{kind}: spread of the values",
            "layer",
            "standard deviation",
            log_y=True,
        )
        for kind, cases in found.items()
    ]
    deep = [
        Panel(
            [Line(n, layers, v) for n, v in inputs.items()],
            "tanh, Xavier: saturated values",
            "layer",
            "share",
            y_range=(-0.02, 1.02),
        ),
        Panel(
            [Line(n, layers, v) for n, v in gradients.items()],
            "gradient that reaches a layer",
            "layer",
            "standard deviation",
            log_y=True,
        ),
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("activations.png", "Activations and their slopes", _activation_chart()),
            context.draw(
                "spreads.png", "Spread of the values after each layer, by initialisation", line_panels(panels)
            ),
            context.draw(
                "depth.png", "What raw input saturates, and what reaches the first layers", line_panels(deep)
            ),
        ),
        sentences=(
            *_what_it_shows(found, inputs, gradients),
            f"tanh's outputs are {'' if abs(centres['tanh']) < CENTRED else 'not '}zero-centred (mean "
            f"{show(centres['tanh'])}), sigmoid's and ReLU's have means of {show(centres['sigmoid'])} and "
            f"{show(centres['ReLU'])}; ReLU leaves {zeros:.0%} of its values at 0. Weights of σ = 1 saturate "
            f"{full:.0%} of tanh's.",
        ),
    )


def _greatest_slope(context: Context, name: str, activation: Any) -> Row:
    x = np.linspace(-6, 6, 1201)
    slope = value_and_slope(activation, x)[1]
    return context.row(
        f"greatest slope of the {name}",
        float(slope.max()),
        note=f"at x = 5: {slope[np.abs(x - 5).argmin()]:.4f}",
    )


def _what_it_shows(
    found: dict[str, dict[str, list[float]]],
    inputs: dict[str, list[float]],
    gradients: dict[str, list[float]],
) -> tuple[str, ...]:
    tanh, relu = found["tanh"], found["relu"]
    small, large, xavier, norm = (show(line[-1]) for line in tanh.values())
    scaled, raw = inputs.values()
    vanishing, healthy = gradients["sigmoid, σ = 0.01"], gradients["ReLU, He"]
    return (
        f"After {DEPTH} layers of tanh the spread is {small} from σ = 0.01, {large} from σ = 1 and {xavier} "
        f"from Xavier's weights; batch norm brings σ = 0.01 to {norm}.",
        f"With ReLU Xavier's weights leave {show(relu['Xavier'][-1])}, He's {show(relu['He'][-1])}: they "
        "allow for the half that ReLU cuts off.",
        f"Raw pixels saturate {raw[0]:.0%} of the first layer's values, scaled ones {scaled[0]:.0%}. "
        f"With sigmoid and σ = 0.01 the gradient of the first layer is {show(vanishing[0] / vanishing[-1])} "
        f"of the last one's, with ReLU and He's weights {show(healthy[0] / healthy[-1])}.",
    )
