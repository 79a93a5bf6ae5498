"""What reaches each layer before the first step: the signal on its way up, the gradient on its way down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from photopic.config import ScratchRecipe
from photopic.data.preprocess import Preprocess
from photopic.models.zoo import build_model
from photopic.report.figures import Line, Panel, line_panels
from photopic.runtime import derive_seed, seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.config import AnyRecipe


@dataclass(frozen=True)
class LayerSignal:
    """One layer with weights, before the first step."""

    name: str
    gradient: float
    """Root mean square of ∂L/∂w over the layer's weights."""
    difference: float
    """Spread of an output between images, as a share of the outputs' size: 0 when all images look alike."""


def layer_signals(
    recipe: AnyRecipe, images_u8: np.ndarray, labels: np.ndarray, *, classes: int, seed: int
) -> list[LayerSignal]:
    """Each layer with weights, from input to output, for one batch and the weights that `seed` draws.

    images_u8: (N, S, S, C) uint8. labels: (N,) int64. L is the mean cross-entropy. The spread is the standard
    deviation over images of each output (after its activation), root mean square over outputs, divided by the
    root mean square of the outputs themselves.
    """
    assert isinstance(recipe, ScratchRecipe)
    with seeded(derive_seed(seed, "weights")):
        model = build_model(recipe, classes).train()
        layers = [(name, part) for name, part in model.named_modules() if _has_weights(part)]
        outputs: dict[str, Tensor] = {}
        handles = [part.register_forward_hook(_keeper(outputs, name)) for name, part in layers]
        images = Preprocess(recipe.preprocess).measured_on(images_u8).to_float(torch.from_numpy(images_u8))
        torch.autograd.backward(functional.cross_entropy(model(images), torch.from_numpy(labels)))
        for handle in handles:
            handle.remove()
    return [LayerSignal(name, _size(part.weight.grad), _spread(outputs[name])) for name, part in layers]


def _has_weights(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv2d | nn.Linear)


def _keeper(outputs: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[name] = output.detach()

    return keep


def _size(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _spread(output: Tensor) -> float:
    flat = output.double().flatten(1)
    size = float(flat.square().mean().sqrt())
    return float(flat.var(0, correction=0).mean().sqrt()) / size if size else 0.0


def signal_figure(variants: Mapping[str, list[LayerSignal]], *, title: str) -> Figure:
    """Gradient and spread over the layers, on logarithmic scales; layer 1 is nearest to the image."""
    x = {name: list(range(1, len(signals) + 1)) for name, signals in variants.items()}
    gradients = [
        Line(name, x[name], [each.gradient or np.nan for each in signals])
        for name, signals in variants.items()
    ]
    differences = [
        Line(name, x[name], [each.difference or np.nan for each in signals])
        for name, signals in variants.items()
    ]
    panels = [
        Panel(gradients, "Down: the gradient of the weights", "layer", "root mean square", log_y=True),
        Panel(
            differences,
            "Up: how much outputs differ between images",
            "layer",
            "share of their size",
            log_y=True,
        ),
    ]
    return line_panels(panels, title=title)
