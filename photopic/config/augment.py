"""How training images are changed at random. The first options are those of Keras' ImageDataGenerator."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from photopic.config.base import Frozen, NonNegative, Positive, Range

Probability = Annotated[float, Field(ge=0, le=1)]
NonNegativeRange = tuple[NonNegative, NonNegative]


def _shift(value: Any) -> Any:
    """Check a shift range in its four forms, in words that name them."""
    if isinstance(value, list | tuple):
        return _shift_list(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number, or a list of pixels such as [-2, -1, 0, 1, 2]")
    if not math.isfinite(value) or value < 0:
        raise ValueError("must be at least 0, and finite")
    if isinstance(value, int) and value == 1:
        raise ValueError(
            "the whole number 1 means only 0 pixels, as in ImageDataGenerator. "
            "Write 2 or [-1, 0, 1] for whole pixels, 1.0 for any real shift in ±1 pixel"
        )
    return value


def _shift_list(values: Any) -> tuple[float, ...]:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not values or not numbers:
        raise ValueError("a list of shifts needs at least one number, and nothing but finite numbers")
    if max(map(abs, values)) < 1:
        raise ValueError(
            "a list holds pixels, and none of these is as much as one. Write a fraction of the side as one "
            "number: 0.1 means any shift in ±10 %"
        )
    return tuple(float(v) for v in values)


def _zoom(value: Any) -> Any:
    """z -> [1 - z, 1 + z]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not 0 <= value < 1:
        raise ValueError("a single number z means [1 - z, 1 + z], so it must be in [0, 1)")
    return (1 - value, 1 + value)


def _flip(value: Any) -> Any:
    """true and false, as in Keras, beside the names."""
    return {True: "random", False: "none"}[value] if isinstance(value, bool) else value


def _check_ranges(config: Frozen) -> None:
    for name, value in config:
        if name.endswith("_range") and isinstance(value, tuple) and len(value) == 2 and "shift" not in name:
            low, high = value
            if low > high:
                raise ValueError(f"{name}: the lower bound {low} is above the upper bound {high}")


Shift = Annotated[int | float | tuple[float, ...], BeforeValidator(_shift)]
Zoom = Annotated[Range, BeforeValidator(_zoom)]
Flip = Annotated[Literal["none", "random", "alternating"], BeforeValidator(_flip)]


class _Chance(Frozen):
    """An operation that each image meets with a probability; a bare number is that probability."""

    probability: Probability = 0.0
    """Share of images that are changed."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"probability": value} if number else value

    @model_validator(mode="after")
    def _check(self) -> _Chance:
        _check_ranges(self)
        if self.probability == 0 and self.model_dump(exclude_defaults=True):
            raise ValueError("no option has an effect while probability=0. Set it, or leave all out")
        return self


class PerspectiveConfig(_Chance):
    """The image seen from an angle."""

    distortion: float = Field(default=0.5, gt=0, le=0.6)
    """Each corner moves inwards by up to this share of half a side, on each axis (torchvision's
    distortion_scale). From 2/3 on, images could be folded."""


class BlurConfig(_Chance):
    """Gaussian blur."""

    sigma_range: tuple[Positive, Positive] = (0.1, 2.0)
    """Standard deviation of the Gaussian, pixels."""


class NoiseConfig(_Chance):
    """Gaussian noise, drawn for each pixel and channel."""

    std_range: NonNegativeRange = (0.0, 25.0)
    """Standard deviation, grey levels of 255."""


class ErasingConfig(_Chance):
    """Random erasing (Zhong et al. 2017, arXiv:1708.04896): a rectangle is overwritten."""

    area_range: tuple[Probability, Probability] = (0.02, 0.33)
    """Share of the image's area."""
    aspect_range: Range = (0.3, 3.3)
    """Height divided by width; its logarithm is uniform."""
    fill: Literal["noise", "mean"] = "noise"
    """noise: each value uniform in 0..255, the paper's best; mean: the mean colour, as of cutout."""


class RandAugmentConfig(Frozen):
    """RandAugment (Cubuk et al. 2019, arXiv:1909.13719): some of 14 operations, all of one strength."""

    ops: int = Field(default=0, ge=0, le=14)
    """Operations one after the other on each image; 0: none. Usual: 2."""
    magnitude: int = Field(default=9, ge=0, le=30)
    """Strength of all of them, 0..30."""

    @model_validator(mode="after")
    def _check(self) -> RandAugmentConfig:
        if self.ops == 0 and self.model_dump(exclude_defaults=True):
            raise ValueError("magnitude has no effect while ops=0. Set ops, usually 2")
        return self


class AugmentConfig(Frozen):
    """Random changes of training images, drawn anew for each image and epoch. The default changes nothing.

    Order: the moves (one resampling), channel shift, brightness, contrast, saturation, hue, grey,
    RandAugment or TrivialAugment, blur, noise, cutout, erasing, then mixup or CutMix.
    """

    rotation_range: float = Field(default=0.0, ge=0, le=180)
    """Rotation by a uniform angle in ± this many degrees."""
    width_shift_range: Shift = 0.0
    """Horizontal shift. A number below 1: a fraction of the width, any real shift in ± that much. A whole
    number n: -(n-1)..n-1 whole pixels (0 is twice as likely as each other, as in ImageDataGenerator). A
    number v with a decimal point, from 1.0 on: any real shift in ± v pixels. A list: one of these, pixels."""
    height_shift_range: Shift = 0.0
    """Vertical shift, in the same four forms."""
    shear_range: float = Field(default=0.0, ge=0, lt=90)
    """Shear angle, degrees, uniform in ± the value, counter-clockwise."""
    zoom_range: Zoom = (1.0, 1.0)
    """[low, high]: one factor for each axis, uniform between the two; below 1 magnifies. z: [1-z, 1+z]."""
    horizontal_flip: Flip = "none"
    """random (or true): each image with probability ½; alternating: every other epoch, from a random start
    (Jordan 2024, arXiv:2404.00498, section 3.6); none (or false)."""
    vertical_flip: bool = False
    """Upside down with probability ½."""
    perspective: PerspectiveConfig = PerspectiveConfig()
    """The image seen from an angle."""
    fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "nearest"
    """What stands outside the image: kkkk|abcd|kkkk, aaaa|abcd|dddd, dcba|abcd|dcba, abcd|abcd|abcd."""
    cval: float = Field(default=0.0, ge=0, le=255)
    """Value outside the image with fill_mode = constant, 0..255."""
    channel_shift_range: float = Field(default=0.0, ge=0, le=255)
    """One number, uniform in ± this many grey levels, is added to all channels; the sum is cut off at the
    image's own smallest and largest value (so does ImageDataGenerator)."""
    brightness_range: Range = (1.0, 1.0)
    """Factor on all pixels, as Pillow's ImageEnhance.Brightness."""
    contrast_range: Range = (1.0, 1.0)
    """Factor on the distance from the image's mean grey, as Pillow's ImageEnhance.Contrast."""
    saturation_range: Range = (1.0, 1.0)
    """Factor on the distance from grey, as Pillow's ImageEnhance.Color; colour images only."""
    hue_range: tuple[float, float] = (0.0, 0.0)
    """Turn of the colour circle between these two, -0.5..0.5 of a full turn; colour images only."""
    grey: Probability = 0.0
    """Share of images that lose their colour; colour images only."""
    rand_augment: RandAugmentConfig = RandAugmentConfig()
    """A few random operations of one strength."""
    trivial_augment: bool = False
    """TrivialAugment Wide (Müller 2021, arXiv:2103.10158): one of 14 operations, of any strength."""
    blur: BlurConfig = BlurConfig()
    """Gaussian blur."""
    noise: NoiseConfig = NoiseConfig()
    """Gaussian noise."""
    cutout_size: int = Field(default=0, ge=0)
    """Side of a square, pixels, at a random place that is set to the mean colour (DeVries 2017,
    arXiv:1708.04552): preprocess.mean, or each image's own: with another scaling than standardise, in the
    views of the way frozen, and in the sheet."""
    erasing: ErasingConfig = ErasingConfig()
    """A random rectangle is overwritten."""
    mixup: NonNegative = 0.0
    """alpha: each image is blended with another of its batch, labels alike; weights from Beta(alpha, alpha)
    (Zhang 2017, arXiv:1710.09412). 0: off."""
    cutmix: NonNegative = 0.0
    """alpha: a rectangle of another image of the batch is pasted into each; the labels' weights are the areas
    (Yun et al. 2019, arXiv:1905.04899). 0: off. With mixup too: one of both for each batch, by chance."""

    @model_validator(mode="after")
    def _check(self) -> AugmentConfig:
        _check_ranges(self)
        if not all(-0.5 <= turn <= 0.5 for turn in self.hue_range):
            raise ValueError(f"hue_range: {list(self.hue_range)} must be within [-0.5, 0.5]")
        if self.cval and self.fill_mode != "constant":
            raise ValueError("cval has no effect unless fill_mode = constant")
        if self.fill_mode != "nearest" and not self.looks_outside:
            raise ValueError(f"fill_mode = {self.fill_mode} has no effect: nothing moves. Leave it out")
        if self.rand_augment.ops and self.trivial_augment:
            raise ValueError("rand_augment and trivial_augment exclude each other. Choose one")
        return self

    def problem_with(self, channels: int, size: int) -> str | None:
        """What has no effect on, or would destroy, square images of 1 or 3 channels and this many pixels."""
        colour = {
            "saturation_range": self.saturation_range != (1.0, 1.0),
            "hue_range": self.hue_range != (0.0, 0.0),
            "grey": self.grey > 0,
        }
        useless = [name for name, wanted in colour.items() if wanted]
        if channels == 1 and useless:
            return f"{useless[0]} has no effect on grey images (channels=1). Leave it out."
        if self.cutout_size > 2 * size:
            return f"cutout_size={self.cutout_size} hides whole images of {size} pixels."
        return None

    @property
    def is_identity(self) -> bool:
        """Whether no image would be changed."""
        return self == AugmentConfig()

    @property
    def looks_outside(self) -> bool:
        """Whether pixels from outside of the image may come into it."""
        moves = self.rotation_range or self.shear_range or self.zoom_range != (1.0, 1.0)
        shifts = self.width_shift_range or self.height_shift_range
        return bool(moves or shifts or self.perspective.probability or self.picks_operations)

    @property
    def picks_operations(self) -> bool:
        """Whether RandAugment or TrivialAugment is on."""
        return self.rand_augment.ops > 0 or self.trivial_augment

    @property
    def mixes_labels(self) -> bool:
        """Whether images, and with them their labels, are mixed."""
        return self.mixup > 0 or self.cutmix > 0
