"""Networks from layer lists: checked first, then built, one module for each layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from photopic.config.elements import Activation as ActivationConfig
from photopic.config.layers import (
    ActivationLayer,
    AnyLayer,
    AvgPoolLayer,
    BatchNormLayer,
    BranchesLayer,
    ConvLayer,
    DenseLayer,
    DropoutLayer,
    FlattenLayer,
    GlobalAvgPoolLayer,
    GlobalMaxPoolLayer,
    LRNLayer,
    MaxPoolLayer,
    OutputLayer,
    ResidualLayer,
    SpatialDropoutLayer,
)
from photopic.config.networks import LayersModel
from photopic.errors import ConfigError
from photopic.models.building_blocks import (
    Activation,
    ActivityTerm,
    Branches,
    Conv,
    Dense,
    Dropout,
    GlobalPool,
    Pool,
    Residual,
)
from photopic.models.initializers import fill
from photopic.models.shapes import Placed, Shape, place, projection_stride


class LayeredNet(nn.Sequential):
    """The layers in their order: images (N, C, H, W) to logits (N, outputs)."""


def build_layers(
    model: LayersModel, channels: int, size: int, outputs: int, *, what: str = "model.layers"
) -> LayeredNet:
    """The network of a layer list, with weights drawn from torch's current generator.

    channels, size: of the square input. outputs: logits of the last layer. what: the list's name in errors.
    Raises ConfigError, naming the layer, where the layers do not fit each other.
    """
    placed = check_layers(model, channels, size, outputs, what=what)
    return LayeredNet(OrderedDict((layer.name, _module(layer, model)) for layer in placed))


def check_layers(
    model: LayersModel, channels: int, size: int, outputs: int, *, what: str = "model.layers"
) -> list[Placed]:
    """The layers with names and shapes, the output layer too. Raises ConfigError where one does not fit."""
    placed = place(complete(model.layers), (channels, size, size), outputs, inside=f"{what}: ")
    for layer in placed:
        if hasattr(nn.Sequential, layer.name):
            raise ConfigError(f'{what}: a layer cannot have the name "{layer.name}". Choose another.')
    return placed


def complete(layers: Sequence[AnyLayer]) -> tuple[AnyLayer, ...]:
    """The list with an output layer at its end."""
    return tuple(layers) if isinstance(layers[-1], OutputLayer) else (*layers, OutputLayer())


def build_hidden(layers: Sequence[AnyLayer], features: int) -> tuple[nn.Sequential, int]:
    """The layers of a head before its last one, and how many numbers they put out.

    features: numbers that come in. Raises ConfigError, naming the layer, where one does not fit.
    """
    model = LayersModel(layers=tuple(layers))
    placed = place(layers, (features,), 0, inside="head: ")
    return _sequence(layers, (features,), model), placed[-1].after[0]


_TERMS: WeakKeyDictionary[nn.Module, tuple[ActivityTerm, ...]] = WeakKeyDictionary()


def activity_penalty(model: nn.Module) -> Tensor | None:
    """What activity_l1 and activity_l2 add to the loss after a forward pass in training mode.

    l1 Σ|a| + l2 Σa² over all outputs a of the regularised layers, divided by the images of the batch; a
    scalar that belongs to the graph of that pass. None where no layer has a penalty, or none was computed
    since the last call.
    """
    if model not in _TERMS:
        _TERMS[model] = tuple(module for module in model.modules() if isinstance(module, ActivityTerm))
    total: Tensor | None = None
    for term in _TERMS[model]:
        if term.value is not None:
            total = term.value if total is None else total + term.value
            term.value = None
    return total


def _sequence(layers: Sequence[AnyLayer], shape: Shape, model: LayersModel) -> nn.Sequential:
    placed = place(layers, shape, 0)
    return nn.Sequential(OrderedDict((layer.name, _module(layer, model)) for layer in placed))


def _module(placed: Placed, model: LayersModel) -> nn.Module:
    layer, before, after = placed.layer, placed.before, placed.after
    match layer:
        case ConvLayer():
            return _conv(layer, before[0], model)
        case DenseLayer() | OutputLayer():
            return _dense(layer, before[0], after[0], model)
        case MaxPoolLayer() | AvgPoolLayer():
            kind = "max" if isinstance(layer, MaxPoolLayer) else "avg"
            return Pool(kind, layer.size, layer.stride or layer.size, layer.padding)
        case GlobalAvgPoolLayer() | GlobalMaxPoolLayer():
            return GlobalPool("avg" if isinstance(layer, GlobalAvgPoolLayer) else "max")
        case FlattenLayer():
            return nn.Flatten()
        case ActivationLayer():
            return Activation(layer.function)
        case DropoutLayer():
            return Dropout(layer.rate)
        case SpatialDropoutLayer():
            return nn.Dropout2d(layer.rate)
        case BatchNormLayer():
            return _batch_norm(layer, before)
        case LRNLayer():  # torch divides alpha by the size; the paper does not
            return nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)
        case ResidualLayer():
            return _residual(layer, before, after, model)
        case BranchesLayer():
            return Branches(*(_sequence(branch, before, model) for branch in layer.branches))


def _conv(layer: ConvLayer, channels: int, model: LayersModel) -> Conv:
    module = Conv(
        channels,
        layer.filters,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
        activation=_activation(layer.activation),
        activity=_activity(layer, model),
    )
    _draw(module, layer, model)
    return module


def _dense(layer: DenseLayer | OutputLayer, inputs: int, units: int, model: LayersModel) -> Dense:
    activation = _activation(layer.activation) if isinstance(layer, DenseLayer) else None
    activity = _activity(layer, model)
    module = Dense(inputs, units, bias=layer.bias, activation=activation, activity=activity)
    _draw(module, layer, model)
    return module


def _draw(module: Conv | Dense, layer: ConvLayer | DenseLayer | OutputLayer, model: LayersModel) -> None:
    fill(module.weight, layer.init or model.init)
    if module.bias is not None:
        fill(module.bias, layer.bias_init or model.bias_init)


def _activation(config: ActivationConfig) -> Activation | None:
    """None for linear. The layer's own output is overwritten, which nobody else has seen."""
    return None if config.name == "linear" else Activation(config, inplace=True)


def _activity(layer: ConvLayer | DenseLayer | OutputLayer, model: LayersModel) -> ActivityTerm | None:
    shared = (0.0, 0.0) if isinstance(layer, OutputLayer) else (model.activity_l1, model.activity_l2)
    l1 = shared[0] if layer.activity_l1 is None else layer.activity_l1
    l2 = shared[1] if layer.activity_l2 is None else layer.activity_l2
    return ActivityTerm(l1, l2) if l1 or l2 else None


def _batch_norm(layer: BatchNormLayer, shape: Shape) -> nn.Module:
    kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    norm = kind(shape[0], eps=layer.eps, momentum=layer.momentum)
    if not layer.scale:
        norm.register_parameter("weight", None)
    if not layer.center:
        norm.register_parameter("bias", None)
    return norm


def _residual(layer: ResidualLayer, before: Shape, after: Shape, model: LayersModel) -> Residual:
    branch = _sequence(layer.layers, before, model)
    shortcut: nn.Module | None = None
    if layer.shortcut == "projection" or before != after:
        shortcut = _projection(before, after, model)
    return Residual(branch, shortcut, layer.drop_rate, _activation(layer.activation))


def _projection(before: Shape, after: Shape, model: LayersModel) -> nn.Module:
    """1×1 convolution and batch norm (He et al. 2015, option B); of flat maps a dense layer."""
    if len(before) == 1:
        return _dense(DenseLayer(units=after[0], bias=False), before[0], after[0], model)
    stride = projection_stride(before, after, "shortcut")
    conv = _conv(ConvLayer(filters=after[0], kernel=(1, 1), stride=stride, bias=False), before[0], model)
    norm = _batch_norm(BatchNormLayer(), after)
    return nn.Sequential(OrderedDict(conv=conv, batch_norm=norm))
