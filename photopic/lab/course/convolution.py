"""C31, C32: convolution and pooling by hand, random filters, and an image's way through a network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from photopic.config import LayersModel
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.models.building_blocks import Conv, Pool
from photopic.models.layered import LayeredNet, build_layers
from photopic.report.figures import image_grid
from photopic.runtime import derive_seed, seeded

GROUND = np.arange(1.0, 10.0).reshape(3, 3)
"""The deck's 3×3 image."""
FILTERS = 5
FIRST_LAYERS: list[Any] = [
    {"conv": FILTERS, "stride": 2, "padding": "same", "init": {"name": "normal", "std": 0.01}},
    {"max-pool": 2},
    "flatten",
]
WAY: list[Any] = [
    *[{"conv": 32, "padding": "same"}, {"activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *[{"conv": 64, "padding": "same"}, {"activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *[{"conv": 128, "padding": "same"}, {"activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *["flatten", {"dense": 128, "activation": "relu"}],
]
"""The network of C10, its activations as layers of their own, so that each state can be drawn."""
SHOWN_CHANNELS = 8


def convolve(image: np.ndarray, filters: np.ndarray, *, same: bool = False) -> np.ndarray:
    """(h, w) image and (k, size, size) filters -> (k, h', w'), by photopic's convolution in float64.

    What networks call convolution: the filter is not flipped. h' = h − size + 1, or h with `same`.
    """
    conv = Conv(
        1,
        len(filters),
        (filters.shape[1], filters.shape[2]),
        stride=(1, 1),
        padding="same" if same else 0,
        dilation=(1, 1),
        groups=1,
        bias=False,
        activation=None,
        activity=None,
    ).double()
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(filters)[:, None])
        return np.asarray(conv(_as_batch(image))[0].numpy())


def max_pool(image: np.ndarray, size: int, *, stride: int, same: bool = False) -> np.ndarray:
    """(h, w) -> (h', w'): the greatest value in each window, by photopic's pool; padding never wins."""
    pool = Pool("max", (size, size), (stride, stride), "same" if same else 0)
    return np.asarray(pool(_as_batch(image))[0, 0].numpy())


def _as_batch(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(image, np.float64))[None, None]


def c31(context: Context) -> Outcome:
    """Convolution and pooling of the image 1…9, as exact arrays."""
    ones = np.ones((1, 2, 2))
    values = (1, 10, -1)
    three = np.stack([np.full((2, 2), float(value)) for value in values])
    arrays = {
        "conv 2×2 of ones, valid": convolve(GROUND, ones)[0],
        "conv 2×2 of ones, same": convolve(GROUND, ones, same=True)[0],
        "max pool 2×2, stride 1, same": max_pool(GROUND, 2, stride=1, same=True),
    }
    filtered = convolve(GROUND, three, same=True)
    more = {f"conv 2×2 of {value}, same": array for value, array in zip(values, filtered, strict=True)}
    rows = tuple(context.row(name, array.astype(int)) for name, array in (arrays | more).items())
    pictures = [GROUND, *arrays.values(), *filtered]
    names = ["image", "ones, valid", "ones, same", "max pool, same", "filter 1", "filter 10", "filter −1"]
    figure = image_grid(pictures, columns=4, titles=names, decimals=0, inches=1.2)
    agreeing = sum(row.measured == row.reported for row in rows[: len(arrays)])
    valid, same = (len(array) for array in list(arrays.values())[:2])
    return Outcome(
        rows=rows,
        figures=(context.draw("arrays.png", "The arrays as pictures, each from dark to bright", figure),),
        sentences=(
            f"{agreeing} of the deck's {len(arrays)} arrays come out exactly.",
            f"A 2×2 window on a 3×3 image leaves {valid}×{valid} values, (3 + 2·0 − 2)/1 + 1; 'same' "
            f"adds a row below and a column at the right, and leaves {same}×{same}.",
            f"The filter of tens gives {filtered[1].max() / filtered[0].max():.0f} times the values of the "
            f"filter of ones, that of −1 the same with their sign turned, of which ReLU would leave "
            f"{(filtered[2] > 0).sum()} of {filtered[2].size} values.",
        ),
    )


def c32(context: Context) -> Outcome:
    """Random filters on MNIST's first training image, and its state after every layer of C10's network."""
    dataset = context.dataset("mnist")
    image = dataset.image(0)[:, :, 0]
    images = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
    filters = _network(FIRST_LAYERS, context.seed)
    states = _states(filters, images)
    conv, pool = (state[0].numpy() for _, state in states[:2])
    weights = next(iter(filters.children())).weight.detach()[:, 0].numpy()  # type: ignore[operator]
    rows = image_grid(
        [*weights, *conv, *pool],
        columns=FILTERS,
        row_titles=["filter 3×3", "after conv", "after pool"],
        title="Five random filters on a 5",
    )
    way = [(name, state) for name, state in _states(_network(WAY, context.seed), images) if state.ndim == 4]
    pictures = [state[0, channel].numpy() for _, state in way for channel in range(SHOWN_CHANNELS)]
    names = [f"{name} {_shape(state)}" for name, state in way]
    journey = image_grid(pictures, columns=SHOWN_CHANNELS, row_titles=names, inches=0.8)
    relu = [(before, after) for (_, before), (name, after) in pairwise(way) if "act" in name]
    zeros = float(np.mean([(after == 0).float().mean() for _, after in relu]))
    return Outcome(
        rows=(
            context.row("shape after the convolution", _shape(states[0][1])),
            context.row("shape after the pool", _shape(states[1][1])),
            *(_state_row(context, name, state) for name, state in way),
        ),
        figures=(
            context.draw("filters.png", "Filters, feature maps and pooled maps", rows),
            context.draw("way.png", f"The first {SHOWN_CHANNELS} channels after every layer", journey),
        ),
        sentences=(
            f"28×28 pixels become {_shape(states[0][1])} and {_shape(states[1][1])}: each random filter "
            f"answers to other strokes, with values up to {np.abs(conv).max():.3f}.",
            f"On its way through the network the picture shrinks from 28×28 to {_shape(way[-1][1])}; ReLU "
            f"sets {zeros:.0%} of the values that it gets to 0.",
        ),
        notes=("The network of the second figure has its initial weights: nothing has been learned yet.",),
    )


def _network(layers: list[Any], seed: int) -> LayeredNet:
    model = LayersModel.model_validate({"layers": layers})
    with seeded(derive_seed(seed, "course", "c32")):
        return build_layers(model, 1, 28, 10).eval()


@torch.no_grad()
def _states(network: nn.Sequential, images: Tensor) -> list[tuple[str, Tensor]]:
    """Name and output of every layer, in order."""
    states = []
    for name, layer in network.named_children():
        images = layer(images)
        states.append((name, images.clone()))
    return states


def _shape(state: Tensor) -> str:
    """Height × width × channels, as the decks write it."""
    return f"{state.shape[2]}×{state.shape[3]}×{state.shape[1]}"


def _state_row(context: Context, name: str, state: Tensor) -> Row:
    return context.row(f"{name}: shape", _shape(state))
