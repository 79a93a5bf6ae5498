"""Sizes of maps from layer to layer, worked out before a network is built; errors where layers do not fit.

A shape is (C, H, W), or (D,) once flat. No torch here: a recipe is checked in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from photopic.config.layers import (
    AnyLayer,
    AvgPoolLayer,
    BranchesLayer,
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    GlobalAvgPoolLayer,
    GlobalMaxPoolLayer,
    LRNLayer,
    MaxPoolLayer,
    OutputLayer,
    ResidualLayer,
    SpatialDropoutLayer,
)
from photopic.errors import ConfigError

Shape = tuple[int, ...]
FORMULA = "output size = (N + 2P − F)/S + 1, rounded down"


@dataclass(frozen=True)
class Placed:
    """A layer of a list, with its name in the network and the shapes before and after it."""

    name: str
    layer: AnyLayer
    before: Shape
    after: Shape


def place(layers: Sequence[AnyLayer], shape: Shape, outputs: int, *, inside: str = "") -> list[Placed]:
    """The layers of a list with names and shapes.

    shape: of the list's input. outputs: logits of an output layer. inside: how messages begin: what the list
    is part of. Raises ConfigError, naming the layer, where one does not fit on what comes before it.
    """
    placed = []
    for number, (name, layer) in enumerate(zip(layer_names(layers), layers, strict=True), 1):
        where = f"{inside}layer {number} ({name})"
        after = output_shape(layer, shape, outputs, where)
        placed.append(Placed(name, layer, shape, after))
        shape = after
    return placed


def layer_names(layers: Iterable[AnyLayer]) -> list[str]:
    """The layers' own names, or type and a number counted from 1: conv1, max_pool1, conv2; output alone."""
    layers = list(layers)
    taken = {layer.name for layer in layers}
    counts: dict[str, int] = {}
    names = []
    for layer in layers:
        base = layer.type.replace("-", "_")
        name = layer.name or ("output" if isinstance(layer, OutputLayer) else None)
        while name is None:
            counts[base] = counts.get(base, 0) + 1
            candidate = f"{base}{counts[base]}"
            name = None if candidate in taken else candidate
        names.append(name)
    return names


def output_shape(layer: AnyLayer, shape: Shape, outputs: int, where: str) -> Shape:
    """The shape after a layer. where: its name in an error. Raises ConfigError where it does not fit."""
    match layer:
        case ConvLayer():
            _need_map(shape, where, "a convolution")
            _check_groups(layer, shape, where)
            spans = (
                layer.dilation[0] * (layer.kernel[0] - 1) + 1,
                layer.dilation[1] * (layer.kernel[1] - 1) + 1,
            )
            return (layer.filters, *_sides(shape, spans, layer.stride, layer.padding, where))
        case MaxPoolLayer() | AvgPoolLayer():
            _need_map(shape, where, "pooling")
            return (shape[0], *_sides(shape, layer.size, layer.stride or layer.size, layer.padding, where))
        case DenseLayer() | OutputLayer():
            return (_dense(layer, shape, outputs, where),)
        case FlattenLayer():
            _need_map(shape, where, "flatten")
            return (shape[0] * shape[1] * shape[2],)
        case GlobalAvgPoolLayer() | GlobalMaxPoolLayer():
            _need_map(shape, where, "global pooling")
            return (shape[0],)
        case SpatialDropoutLayer() | LRNLayer():
            _need_map(shape, where, layer.type)
            return shape
        case ResidualLayer():
            return _residual(layer, shape, where)
        case BranchesLayer():
            return _branches(layer, shape, where)
        case _:
            return shape


def size_text(shape: Shape) -> str:
    """A shape as a reader writes it: 64×14×14."""
    return "×".join(map(str, shape))


def _need_map(shape: Shape, where: str, what: str) -> None:
    if len(shape) == 1:
        raise ConfigError(
            f"{where}: {what} needs a map with height and width, but its input is flat already "
            f"({shape[0]} numbers). Put it before the flatten, global pool or dense layer."
        )


def _dense(layer: DenseLayer | OutputLayer, shape: Shape, outputs: int, where: str) -> int:
    if len(shape) != 1:
        raise ConfigError(
            f"{where}: a dense layer needs flat input, but gets a {size_text(shape)} map. "
            "Put `- flatten` or `- global-avg-pool` before it."
        )
    return outputs if isinstance(layer, OutputLayer) else layer.units


def _check_groups(layer: ConvLayer, shape: Shape, where: str) -> None:
    if shape[0] % layer.groups:
        raise ConfigError(f"{where}: its {shape[0]} input channels cannot be cut into {layer.groups} groups.")


def _sides(
    shape: Shape, spans: tuple[int, int], strides: tuple[int, int], padding: str | int, where: str
) -> tuple[int, int]:
    """Height and width after a window of these spans. Raises ConfigError if it does not fit even once."""
    if padding == "same":
        return -(-shape[1] // strides[0]), -(-shape[2] // strides[1])
    pixels = padding if isinstance(padding, int) else 0
    for side, span, stride in zip(shape[1:], spans, strides, strict=True):
        if side + 2 * pixels < span:
            raise ConfigError(
                f"{where}: a window of {spans[0]}×{spans[1]} does not fit on its "
                f"{shape[1]}×{shape[2]} input with padding={padding}: {FORMULA} = ({side} + {2 * pixels} − "
                f"{span})/{stride} + 1 = {(side + 2 * pixels - span) // stride + 1}. Use padding: same, a "
                "smaller window, fewer pools and strides before it, or a larger preprocess.size."
            )
    high, wide = (
        (side + 2 * pixels - span) // stride + 1
        for side, span, stride in zip(shape[1:], spans, strides, strict=True)
    )
    return high, wide


def _residual(layer: ResidualLayer, shape: Shape, where: str) -> Shape:
    after = place(layer.layers, shape, 0, inside=f"{where}, ")[-1].after
    if after == shape:
        return after
    if layer.shortcut == "identity":
        raise ConfigError(
            f"{where}: its layers turn {size_text(shape)} into {size_text(after)}, to which "
            "the input cannot be added with shortcut: identity. Use shortcut: projection, or make the sizes "
            "agree."
        )
    if len(after) != len(shape):
        raise ConfigError(
            f"{where}: its layers turn a map of {size_text(shape)} into {size_text(after)}; a "
            "residual block ends as it begins, with a map or flat."
        )
    projection_stride(shape, after, where)
    return after


def projection_stride(before: Shape, after: Shape, where: str) -> tuple[int, int]:
    """The stride of the 1×1 convolution that brings a map to the size of the branch's.

    Raises ConfigError where no stride does.
    """
    strides = []
    for side, wanted in zip(before[1:], after[1:], strict=True):
        fitting = [stride for stride in range(1, side + 1) if (side - 1) // stride + 1 == wanted]
        if not fitting:
            raise ConfigError(
                f"{where}: no shortcut leads from {size_text(before)} to {size_text(after)}. "
                "Use padding: same in its convolutions; strides may make the map smaller."
            )
        strides.append(fitting[0])
    return (strides[0], strides[1]) if strides else (1, 1)


def _branches(layer: BranchesLayer, shape: Shape, where: str) -> Shape:
    ends = []
    for number, branch in enumerate(layer.branches, 1):
        placed = place(branch, shape, 0, inside=f"{where}, branch {number}, ")
        ends.append(placed[-1].after if placed else shape)
    if len({end[1:] for end in ends}) > 1:
        sizes = ", ".join(f"branch {number}: {size_text(end)}" for number, end in enumerate(ends, 1))
        raise ConfigError(
            f"{where}: the outputs of its branches can be joined only where heights and widths "
            f"agree, but they are {sizes}. Use the same strides, and padding: same, in all branches."
        )
    return (sum(end[0] for end in ends), *ends[0][1:])
