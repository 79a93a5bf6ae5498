"""What happens to each training image in each epoch: all parameters drawn at once, applied batch by batch.

An image's parameters depend on (seed, epoch, row) alone: not on the batch it is in, its place there, or how
many images there are. So a resumed training sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from photopic.augment.color import apply_brightness, apply_contrast, apply_saturation, draw_factor
from photopic.augment.geometry import (
    UNIFORMS,
    apply_whole_pixels,
    draw_affine,
    is_still,
    is_whole_pixels,
    resample,
    sampling_terms,
    with_flips,
)
from photopic.augment.erasing import apply_cutout, draw_cutout
from photopic.config import AugmentConfig
from photopic.errors import ConfigError
from photopic.runtime import generator

_COLUMNS = (
    16  # uniform numbers per image; some are spare, so that a new operation leaves the others' draws alone
)
_NEUTRAL = (1.0, 1.0)
_CHUNK_PIXELS = (
    65536  # images of so many pixels are finished before the next ones are begun: they stay in cache
)


@dataclass(frozen=True)
class Draw:
    """The parameters of n images for one epoch; tensors with n rows, on any device."""

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

    def __len__(self) -> int:
        return len(self.brightness)

    def take(self, rows: Tensor | slice) -> Draw:
        """The parameters of these rows, in their order."""
        return Draw(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def to(self, device: torch.device) -> Draw:
        """The same on another device. On a GPU, do this once per epoch rather than once per batch."""
        return Draw(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class Augment:
    """Random changes of training images: draw once per epoch, apply to every batch."""

    def __init__(
        self, config: AugmentConfig, channels: int, size: int, *, mean: Sequence[float] | None = None
    ) -> None:
        """channels: 1 or 3. size: side of the square images, pixels.
        mean: per-channel colour (0..1) of cutout's squares; None: each image's own mean.

        Raises ConfigError for what has no effect on such images.
        """
        if channels == 1 and config.saturation_range != (1.0, 1.0):
            raise ConfigError("saturation_range has no effect on grey images (channels=1). Leave it out.")
        if config.cutout_size > 2 * size:
            raise ConfigError(f"cutout_size={config.cutout_size} hides whole images of {size} pixels.")
        self.config = config
        self.size = size
        self.mean = None if mean is None else torch.tensor(list(mean))
        self._moves = not is_still(config)
        self._interpolates = not is_whole_pixels(config)
        ranges = (config.brightness_range, config.contrast_range, config.saturation_range)
        self._recolours = any(factors != _NEUTRAL for factors in ranges)

    def draw(self, n: int, seed: int, epoch: int) -> Draw:
        """Parameters for rows 0..n-1 of the training set in this epoch. The first m of n are those of m."""
        config = self.config
        uniform = torch.rand(n, _COLUMNS, generator=generator(seed, "augment", epoch))
        affine = draw_affine(uniform[:, :UNIFORMS], config, self.size)
        flip_rows = (uniform[:, 6] < 0.5) & config.vertical_flip
        return Draw(
            affine=with_flips(affine, flip_rows, self._draw_flip(uniform[:, 7], seed, epoch)),
            brightness=draw_factor(uniform[:, 8], config.brightness_range),
            contrast=draw_factor(uniform[:, 9], config.contrast_range),
            saturation=draw_factor(uniform[:, 10], config.saturation_range),
            cutout=draw_cutout(uniform[:, 11:13], self.size),
        )

    def _draw_flip(self, uniform: Tensor, seed: int, epoch: int) -> Tensor:
        """(n,) bool: which images are mirrored left to right."""
        if self.config.horizontal_flip == "random":
            return uniform < 0.5
        if self.config.horizontal_flip == "alternating":
            start = torch.rand(len(uniform), generator=generator(seed, "augment", "flip")) < 0.5
            return start ^ bool(epoch % 2)
        return torch.zeros(len(uniform), dtype=torch.bool)

    def apply(self, images_01: Tensor, draw: Draw, rows: Tensor) -> Tensor:
        """Change a batch.

        images_01: (b, c, h, w) floats in 0..1, any memory format; left as it is. draw: of the epoch. rows:
        (b,) int64, the training-set row of each image. Returns a new (b, c, h, w) tensor of the same type on
        the same device: contiguous after interpolation or recolouring, else channels_last or as it came.
        """
        return self._apply(images_01, images_01.dtype, draw, rows)

    def apply_u8(self, images_u8: Tensor, draw: Draw, rows: Tensor) -> Tensor:
        """As apply, from (b, h, w, c) uint8 as stored to (b, c, h, w) float32 in 0..1.

        Quicker than converting first: pixels are read, and whole ones moved, as bytes.
        """
        return self._apply(images_u8.permute(0, 3, 1, 2), torch.float32, draw, rows)

    def _apply(self, images: Tensor, dtype: torch.dtype, draw: Draw, rows: Tensor) -> Tensor:
        if len(images) != len(rows):
            raise ValueError(f"{len(images)} images, but {len(rows)} rows")
        draw = draw.take(rows.to(draw.affine.device)).to(images.device)
        if self._interpolates or self._recolours:
            changed = self._in_chunks(images, dtype, draw)
        else:
            changed = _as_float(self._move(images, draw.affine), dtype)
        if self.config.cutout_size:
            colour = changed.mean((2, 3)) if self.mean is None else self.mean
            changed = apply_cutout(changed, draw.cutout, self.config.cutout_size, colour)
        return changed.clone() if changed is images else changed

    def _in_chunks(self, images: Tensor, dtype: torch.dtype, draw: Draw) -> Tensor:
        """Geometry and colour, some images at a time: all steps but the first find them in the cache."""
        n, _, height, width = images.shape
        out = torch.empty(images.shape, dtype=dtype, device=images.device)
        terms = sampling_terms(draw.affine, height, width, dtype) if self._interpolates else ()
        step = max(1, n if images.is_cuda else _CHUNK_PIXELS // (height * width))
        for start in range(0, n, step):
            part = slice(start, start + step)
            mine = draw.take(part)
            if self._interpolates:
                moved = self._resample(images[part], tuple(term[part] for term in terms))
            else:
                moved = self._move(images[part], mine.affine)
            self._recolour(moved, mine, out[part])
        return out

    def _resample(self, images: Tensor, terms: tuple[Tensor, ...]) -> Tensor:
        # A contiguous copy, even of what is contiguous: sampling jumps about, and is quicker on pixels that
        # have just been brought into the cache one after the other (12 instead of 18 ns per pixel at 224 px).
        staged = _as_float(images, terms[0].dtype, copy=True)
        return resample(staged, *terms, fill_mode=self.config.fill_mode, cval=self.config.cval / 255)

    def _move(self, images: Tensor, affine: Tensor) -> Tensor:
        """Whole pixels moved; the same tensor when nothing moves."""
        if not self._moves:
            return images
        cval = self.config.cval if images.dtype == torch.uint8 else self.config.cval / 255
        return apply_whole_pixels(images, affine, fill_mode=self.config.fill_mode, cval=cval)

    def _recolour(self, images: Tensor, draw: Draw, out: Tensor) -> None:
        """Brightness, contrast, saturation, in this order, into `out`."""
        images = _as_float(images, out.dtype)
        if self.config.brightness_range != _NEUTRAL:
            images = apply_brightness(images, draw.brightness, out=out)
        if self.config.contrast_range != _NEUTRAL:
            images = apply_contrast(images, draw.contrast, out=out)
        if self.config.saturation_range != _NEUTRAL:
            images = apply_saturation(images, draw.saturation, out=out)
        if images is not out:
            out.copy_(images)


def _as_float(images: Tensor, dtype: torch.dtype, *, copy: bool = False) -> Tensor:
    """Images 0..1 of this type; bytes are divided by 255. copy: in contiguous memory of their own."""
    layout = torch.contiguous_format if copy else torch.preserve_format
    floats = images.to(dtype, copy=copy, memory_format=layout)
    return floats.mul_(1 / 255) if images.dtype == torch.uint8 else floats
