"""The random parameters of an epoch: what happens to each training image.

An image's parameters depend on (seed, epoch, row) alone: not on the batch it is in, its place there, or how
many images there are. So a resumed training sees what an unbroken one would have seen. Every operation has
columns of uniform numbers of its own, so that one option more leaves the numbers of the others alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from photopic.augment.auto import (
    RAND_UNIFORMS,
    TRIVIAL_UNIFORMS,
    draw_rand_augment,
    draw_trivial_augment,
)
from photopic.augment.color import draw_factor
from photopic.augment.erasing import ERASING_UNIFORMS, draw_cutout, draw_erasing
from photopic.augment.filters import draw_sigma
from photopic.augment.geometry import UNIFORMS, draw_affine, with_flips
from photopic.augment.noise import draw_std
from photopic.augment.perspective import PERSPECTIVE_UNIFORMS, draw_perspective
from photopic.config import AugmentConfig
from photopic.runtime import generator, to_device

_COLUMNS = 16  # uniform numbers per image that are always drawn; all are in use, what comes later has its own


@dataclass(frozen=True)
class Draw:
    """The parameters of n images for one epoch; tensors with n rows, on any device. None: not wanted."""

    affine: Tensor
    """(n, 2, 3) float64: see geometry.draw_affine; flips included."""
    brightness: Tensor
    """(n,) factor."""
    contrast: Tensor
    """(n,) factor."""
    saturation: Tensor
    """(n,) factor."""
    cutout: Tensor
    """(n, 2) int64 centre of the square, pixels (row, column)."""
    channel_shift: Tensor
    """(n,) float32 in 0..1 units."""
    hue: Tensor
    """(n,) float32, turns."""
    grey: Tensor
    """(n,) bool."""
    perspective: Tensor | None = None
    """(n, 3, 3) float64: see perspective.draw_perspective."""
    choice: Tensor | None = None
    """(n, k) int64: the operations of RandAugment or TrivialAugment, places in auto.NAMES."""
    strength: Tensor | None = None
    """(n, k) float32: their strengths."""
    blur: Tensor | None = None
    """(n,) float32 standard deviation, pixels."""
    noise: Tensor | None = None
    """(n,) float32 standard deviation, 0..1."""
    erasing: Tensor | None = None
    """(n, 4) int64 box."""
    key: Tensor | None = None
    """(n,) int64: of the pixels of noise and erasing; see noise.py."""

    def __len__(self) -> int:
        return len(self.brightness)

    def take(self, rows: Tensor | slice) -> Draw:
        """The parameters of these rows, in their order."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Draw:
        """The same on another device.

        Apple's GPUs know no float64: maps come to them in single precision, 1e-4 pixels exact.
        """
        known = self.single() if device.type == "mps" else self
        return known._each(lambda tensor: to_device(tensor, device))

    def single(self) -> Draw:
        """The same with all float64 numbers as float32."""
        return self._each(lambda tensor: tensor.float() if tensor.dtype == torch.float64 else tensor)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Draw:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Draw(**{name: change(value) for name, value in values.items() if value is not None})


def draw_all(config: AugmentConfig, size: int, n: int, seed: int, epoch: int) -> Draw:
    """Parameters for rows 0..n-1 of the training set in this epoch. The first m of n are those of m."""
    uniform = torch.rand(n, _COLUMNS, generator=generator(seed, "augment", epoch))
    flip_rows = (uniform[:, 6] < 0.5) & config.vertical_flip
    flip_columns = _draw_flip(config, uniform[:, 7], seed, epoch)
    return Draw(
        affine=with_flips(draw_affine(uniform[:, :UNIFORMS], config, size), flip_rows, flip_columns),
        brightness=draw_factor(uniform[:, 8], config.brightness_range),
        contrast=draw_factor(uniform[:, 9], config.contrast_range),
        saturation=draw_factor(uniform[:, 10], config.saturation_range),
        cutout=draw_cutout(uniform[:, 11:13], size),
        channel_shift=(2 * uniform[:, 13] - 1) * (config.channel_shift_range / 255),
        hue=draw_factor(uniform[:, 14], config.hue_range),
        grey=uniform[:, 15] < config.grey,
        **_draw_wanted(config, size, n, seed, epoch),
    )


def _draw_flip(config: AugmentConfig, uniform: Tensor, seed: int, epoch: int) -> Tensor:
    """(n,) bool: which images are mirrored left to right."""
    if config.horizontal_flip == "random":
        return uniform < 0.5
    if config.horizontal_flip == "alternating":
        start = torch.rand(len(uniform), generator=generator(seed, "augment", "flip")) < 0.5
        return start ^ bool(epoch % 2)
    return torch.zeros(len(uniform), dtype=torch.bool)


def _draw_wanted(config: AugmentConfig, size: int, n: int, seed: int, epoch: int) -> dict[str, Tensor]:
    """The parameters that only some configurations need, each from a generator of its own."""

    def uniform(name: str, columns: int) -> Tensor:
        return torch.rand(n, columns, generator=generator(seed, "augment", epoch, name))

    drawn: dict[str, Tensor] = {}
    if config.perspective.probability:
        chance, distortion = config.perspective.probability, config.perspective.distortion
        numbers = uniform("perspective", PERSPECTIVE_UNIFORMS)
        drawn["perspective"] = draw_perspective(numbers, chance, distortion, size, size)
    if config.rand_augment.ops:
        ops = config.rand_augment.ops
        numbers = uniform("auto", ops * RAND_UNIFORMS)
        drawn["choice"], drawn["strength"] = draw_rand_augment(
            numbers, ops, config.rand_augment.magnitude, size
        )
    if config.trivial_augment:
        drawn["choice"], drawn["strength"] = draw_trivial_augment(uniform("auto", TRIVIAL_UNIFORMS), size)
    if config.blur.probability:
        drawn["blur"] = draw_sigma(uniform("blur", 2), config.blur.probability, config.blur.sigma_range)
    if config.noise.probability:
        drawn["noise"] = draw_std(uniform("noise", 2), config.noise.probability, config.noise.std_range)
    if config.erasing.probability:
        erasing, numbers = config.erasing, uniform("erasing", ERASING_UNIFORMS)
        ranges = (erasing.area_range, erasing.aspect_range)
        drawn["erasing"] = draw_erasing(numbers, erasing.probability, *ranges, size, size)
    if config.noise.probability or config.erasing.probability:
        drawn["key"] = torch.randint(2**31, (n,), generator=generator(seed, "augment", epoch, "key"))
    return drawn
