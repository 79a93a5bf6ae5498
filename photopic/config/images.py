"""How images become network input."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from photopic.config.base import Frozen

Scaling = Literal["standardise", "none", "unit", "symmetric", "min-max", "centre-max"]
FIXED_SCALINGS = {"none": (0.0, 1 / 255), "unit": (0.0, 1.0), "symmetric": (0.5, 0.5)}
"""Scalings that need no image to be known: what is subtracted and what is divided by, in 0..1."""


class PreprocessConfig(Frozen):
    """How an image file becomes network input; the same in training, evaluation and prediction."""

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
    scaling: Scaling = "standardise"
    """What the network sees of a pixel value v in 0..255. none: v. unit: v / 255. symmetric: v / 127.5 − 1.
    standardise: (v − mean) / std of each channel. min-max: (v − min) / (max − min) of each channel.
    centre-max: (v − mean of all channels) / its largest value. Statistics are of the training images."""
    mean: tuple[float, ...] | None = None
    """What is subtracted from each channel, in 0..1; None: as scaling says. To be given only with scaling =
    standardise; a trained run has it with all."""
    std: tuple[float, ...] | None = None
    """What each channel is then divided by, in 0..1; None: as scaling says. To be given only with scaling =
    standardise; a trained run has it with all."""

    @model_validator(mode="after")
    def _check(self) -> PreprocessConfig:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values, but channels={self.channels}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if self.resize != "crop" and self.crop_fraction != 1.0:
            raise ValueError("crop_fraction has no effect unless resize = crop")
        for given, fixed in zip((self.mean, self.std), FIXED_SCALINGS.get(self.scaling, ()), strict=False):
            if given is not None and set(given) != {fixed}:
                raise ValueError(f"mean and std have no effect with scaling={self.scaling}: leave them out")
        return self
