"""The layers that a recipe's `layers` can name, one type each; config/layer_lists.py reads their short forms.

Maps are C×H×W (channels, height, width) or, once flat, D numbers. The output side of a window of side F that
moves by S over N pixels with P pixels of padding on each side is (N + 2P − F)/S + 1, rounded down; with a
dilation d the window's side is d (F − 1) + 1. `valid` is P = 0; `same` gives N/S, rounded up, and puts the
odd pixel of padding right and below, as Keras does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from photopic.config.base import Fraction, Frozen, NonNegative, Positive
from photopic.config.elements import Activation, Initializer
from photopic.config.layer_lists import read_layers

Count = Annotated[int, Field(strict=True, ge=1)]


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _padding(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not number and value not in ("valid", "same"):
        raise ValueError("padding is valid, same or a number of pixels from 0 on")
    return value


Pair = Annotated[tuple[Count, Count], BeforeValidator(_pair)]
"""Height and width; one number stands for both."""
Padding = Annotated[Literal["valid", "same"] | int, BeforeValidator(_padding)]


class _Layer(Frozen):
    name: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    """What to call it: letters, digits and _; None: its type and a number, as in conv1."""


class _Weighted(_Layer):
    bias: bool = True
    """Whether a number is added to each unit or filter."""
    init: Initializer | None = None
    """How its weights begin; None: the model's init."""
    bias_init: Initializer | None = None
    """How its biases begin; None: the model's bias_init."""
    activity_l1: NonNegative | None = None
    """Penalty on its output a: activity_l1 · Σ|a| / images of the batch; None: the model's."""
    activity_l2: NonNegative | None = None
    """Penalty on its output a: activity_l2 · Σa² / images of the batch; None: the model's."""

    @model_validator(mode="after")
    def _check_bias(self) -> _Weighted:
        if self.bias_init is not None and not self.bias:
            raise ValueError("bias_init has no effect with bias=false")
        return self


class ConvLayer(_Weighted):
    """Convolution over height and width: `conv: 32`. C×H×W to filters×H'×W'."""

    type: Literal["conv"] = "conv"
    filters: Count
    """Channels that it puts out."""
    kernel: Pair = (3, 3)
    """Height and width of the filters, pixels."""
    stride: Pair = (1, 1)
    """Pixels from one place to the next."""
    padding: Padding = "valid"
    """valid: none; same: output side = input side / stride; or pixels of zeros on every side."""
    dilation: Pair = (1, 1)
    """Pixels from one tap of the filter to the next; other than 1 it excludes a stride other than 1."""
    groups: Count = 1
    """Input and output channels are cut into so many groups that do not see each other."""
    activation: Activation = Activation()
    """Function of its output."""

    @model_validator(mode="after")
    def _check(self) -> ConvLayer:
        if self.dilation != (1, 1) and self.stride != (1, 1):
            raise ValueError("a dilation other than 1 excludes a stride other than 1")
        if self.filters % self.groups:
            raise ValueError(f"{self.filters} filters cannot be cut into {self.groups} groups")
        return self


class DenseLayer(_Weighted):
    """Fully connected: `dense: 128`. D numbers to `units`."""

    type: Literal["dense"] = "dense"
    units: Count
    """Numbers that it puts out."""
    activation: Activation = Activation()
    """Function of its output."""


class OutputLayer(_Weighted):
    """The last layer, written out to choose its options: `output`. D numbers to one logit for each class.

    Without activation: losses and probabilities are computed from logits. The model's activity penalty does
    not reach it; one of its own counts the logits.
    """

    type: Literal["output"] = "output"


class _Pool(_Layer):
    size: Pair = (2, 2)
    """Height and width of the window, pixels."""
    stride: Pair | None = None
    """Pixels from one window to the next; None: the size."""
    padding: Padding = "valid"
    """valid, same or a number of pixels; pixels outside the map never count."""

    @model_validator(mode="after")
    def _check(self) -> _Pool:
        if isinstance(self.padding, int) and 2 * self.padding > min(self.size):
            raise ValueError(f"padding={self.padding} is more than half of the window")
        return self


class MaxPoolLayer(_Pool):
    """The largest value of each window: `max-pool: 2`. Keeps the channels."""

    type: Literal["max-pool"] = "max-pool"


class AvgPoolLayer(_Pool):
    """The mean of each window: `avg-pool: 2`. Keeps the channels."""

    type: Literal["avg-pool"] = "avg-pool"


class GlobalAvgPoolLayer(_Layer):
    """The mean of each channel: `global-avg-pool`. C×H×W to C numbers."""

    type: Literal["global-avg-pool"] = "global-avg-pool"


class GlobalMaxPoolLayer(_Layer):
    """The largest value of each channel: `global-max-pool`. C×H×W to C numbers."""

    type: Literal["global-max-pool"] = "global-max-pool"


class FlattenLayer(_Layer):
    """All numbers of a map in one row: `flatten`. C×H×W to C·H·W numbers."""

    type: Literal["flatten"] = "flatten"


class ActivationLayer(_Layer):
    """A function alone, as after a batch norm: `activation: relu`."""

    type: Literal["activation"] = "activation"
    function: Activation
    """Its name."""


class DropoutLayer(_Layer):
    """In training each number is 0 with probability `rate`, the others grow by 1/(1 − rate): `dropout: 0.3`.

    Srivastava et al. 2014. The rate is that of dropping, not of keeping.
    """

    type: Literal["dropout"] = "dropout"
    rate: Fraction
    """Probability of 0."""


class SpatialDropoutLayer(_Layer):
    """Dropout of whole channels: `spatial-dropout: 0.2` (Tompson et al. 2015, arXiv:1411.4280)."""

    type: Literal["spatial-dropout"] = "spatial-dropout"
    rate: Fraction
    """Probability that a channel is 0."""


class BatchNormLayer(_Layer):
    """γ(x − μ)/√(σ² + ε) + β for each channel: `batch-norm` (Ioffe and Szegedy 2015, arXiv:1502.03167).

    μ and σ² are the batch's in training, moving averages in evaluation.
    """

    type: Literal["batch-norm"] = "batch-norm"
    momentum: float = Field(default=0.1, gt=0, le=1)
    """Weight of the newest batch in the moving averages; Keras gives that of the old: its 0.99 is 0.01."""
    eps: Positive = 1e-5
    """ε (Keras: 1e-3)."""
    scale: bool = True
    """Whether there is a γ."""
    center: bool = True
    """Whether there is a β."""


class LRNLayer(_Layer):
    """Local response normalisation across channels: `lrn: 5` (Krizhevsky et al. 2012, section 3.3).

    b_i = a_i / (k + alpha Σ a_j²)^beta, the sum over the `size` channels around i.
    """

    type: Literal["lrn"] = "lrn"
    size: Count = 5
    """Channels in the sum."""
    alpha: Positive = 1e-4
    """Factor on the sum."""
    beta: Positive = 0.75
    """Exponent."""
    k: Positive = 2.0
    """What is added to the sum."""


class ResidualLayer(_Layer):
    """A list of layers whose input is added to their output: `residual: [...]`.

    y = activation(layers(x) + shortcut(x)) (He et al. 2015, arXiv:1512.03385).
    """

    type: Literal["residual"] = "residual"
    layers: tuple[Layer, ...]
    """The layers of the branch."""
    shortcut: Literal["auto", "identity", "projection"] = "auto"
    """identity: x itself; projection: a 1×1 convolution with batch norm (of flat maps, a dense layer), with
    the stride that fits; auto: identity where shapes agree, else projection."""
    drop_rate: Fraction = 0.0
    """Stochastic depth (Huang et al. 2016, arXiv:1603.09382): in training the branch is left out for each
    image with this probability, and otherwise grows by 1/(1 − drop_rate)."""
    activation: Activation = Activation()
    """Function of the sum."""

    @field_validator("layers", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return read_layers(value, inside="residual")


class BranchesLayer(_Layer):
    """Lists of layers side by side, their outputs joined along the channels: `branches: [[...], [...]]`.

    The inception block (Szegedy et al. 2014, arXiv:1409.4842). An empty list passes its input on.
    """

    type: Literal["branches"] = "branches"
    branches: tuple[tuple[Layer, ...], ...] = Field(min_length=2)
    """Two or more lists of layers."""

    @field_validator("branches", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("expected two or more lists of layers, as in [[conv: 8], [max-pool: 2]]")
        return tuple(
            read_layers(branch, inside=f"branch {number}", may_be_empty=True)
            for number, branch in enumerate(value, 1)
        )


AnyLayer = (
    ConvLayer
    | DenseLayer
    | OutputLayer
    | MaxPoolLayer
    | AvgPoolLayer
    | GlobalAvgPoolLayer
    | GlobalMaxPoolLayer
    | FlattenLayer
    | ActivationLayer
    | DropoutLayer
    | SpatialDropoutLayer
    | BatchNormLayer
    | LRNLayer
    | ResidualLayer
    | BranchesLayer
)
Layer = Annotated[AnyLayer, Field(discriminator="type")]
LAYER_TYPES: dict[str, type[AnyLayer]] = {
    kind.model_fields["type"].default: kind for kind in get_args(AnyLayer)
}
"""By the name that a layer list uses."""
for _kind in (ResidualLayer, BranchesLayer):
    _kind.model_rebuild()
