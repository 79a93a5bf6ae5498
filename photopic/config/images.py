"""How images become network input, and how training images are changed at random."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from photopic.config.base import Frozen, NonNegative, Range


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
