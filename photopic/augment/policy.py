"""What happens to each training image in each epoch: all parameters drawn at once, applied batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from photopic.augment.auto import apply_auto
from photopic.augment.color import (
    apply_brightness,
    apply_channel_shift,
    apply_contrast,
    apply_grey,
    apply_hue,
    apply_saturation,
)
from photopic.augment.draw import Draw, draw_all
from photopic.augment.erasing import apply_cutout, apply_erasing
from photopic.augment.filters import apply_blur, blur_radius
from photopic.augment.geometry import apply_whole_pixels, is_still, is_whole_pixels, sample, sampling_terms
from photopic.augment.noise import apply_noise, uniform_noise
from photopic.augment.perspective import perspective_grid, with_affine
from photopic.config import AugmentConfig
from photopic.errors import ConfigError
from photopic.runtime import to_device

_NEUTRAL = (1.0, 1.0)
_CHUNK_PIXELS = (
    65536  # images of so many pixels are finished before the next ones are begun: they stay in cache
)


class Augment:
    """Random changes of training images: draw once per epoch, apply to every batch."""

    def __init__(
        self, config: AugmentConfig, channels: int, size: int, *, mean: Sequence[float] | None = None
    ) -> None:
        """channels: 1 or 3. size: side of the square images, pixels.
        mean: per-channel colour (0..1) of cutout's squares; None: each image's own mean.

        Raises ConfigError for what has no effect on such images.
        """
        problem = config.problem_with(channels, size)
        if problem is not None:
            raise ConfigError(problem)
        self.config = config
        self.size = size
        self.mean = None if mean is None else torch.tensor(list(mean))
        perspective = config.perspective.probability > 0
        self._moves = perspective or not is_still(config)
        self._interpolates = perspective or not is_whole_pixels(config)
        ranges = (config.brightness_range, config.contrast_range, config.saturation_range)
        others = config.channel_shift_range or config.hue_range != (0.0, 0.0) or config.grey
        self._recolours = bool(others) or any(factors != _NEUTRAL for factors in ranges)
        # Brightness then costs no pass of its own: pixels are multiplied while they come into the cache.
        black_outside = config.fill_mode != "constant" or config.cval == 0
        first = config.brightness_range != _NEUTRAL and not config.channel_shift_range
        self._lights_early = self._interpolates and first and black_outside
        self._radius = blur_radius(config.blur.sigma_range[1], size)

    def draw(self, n: int, seed: int, epoch: int) -> Draw:
        """Parameters for rows 0..n-1 of the training set in this epoch. The first m of n are those of m."""
        return draw_all(self.config, self.size, n, seed, epoch)

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
        # Which images an operation changes is read from the draw on the CPU: a GPU would be waited for.
        draw = draw.take(rows.to(draw.affine.device))
        there = draw.to(images.device)
        if self._interpolates or self._recolours:
            changed = self._in_chunks(images, dtype, there)
        else:
            changed = _as_float(self._move(images, there.affine), dtype)
        changed = self._filter(changed, draw, there)
        changed = self._erase(changed, draw, there)
        return changed.clone() if changed is images else changed

    def _in_chunks(self, images: Tensor, dtype: torch.dtype, draw: Draw) -> Tensor:
        """Geometry and colour, some images at a time: all steps but the first find them in the cache."""
        n, _, height, width = images.shape
        out = torch.empty(images.shape, dtype=dtype, device=images.device)
        terms = self._terms(draw, height, width, dtype) if self._interpolates else ()
        on_gpu = images.device.type != "cpu"
        step = max(1, n if on_gpu else _CHUNK_PIXELS // (height * width))
        for start in range(0, n, step):
            part = slice(start, start + step)
            # No name for what lies between: it is freed, and its memory used again while it is in the cache.
            self._recolour(self._moved(images[part], draw, part, terms), draw, part, out[part])
        return out

    def _moved(self, images: Tensor, draw: Draw, part: slice, terms: tuple[Tensor, ...]) -> Tensor:
        """These images, resampled at the part's sum of terms, or by whole pixels."""
        if not self._interpolates:
            return self._move(images, draw.affine[part])
        factor = draw.brightness[part] if self._lights_early else None
        return self._resample(images, tuple(term[part] for term in terms), factor)

    def _terms(self, draw: Draw, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Where pixels are read: one or two tensors, to be added."""
        if draw.perspective is None:
            return sampling_terms(draw.affine, height, width, dtype)
        return (perspective_grid(with_affine(draw.perspective, draw.affine), height, width, dtype),)

    def _resample(self, images: Tensor, terms: tuple[Tensor, ...], factor: Tensor | None) -> Tensor:
        """Images read at the sum of these terms, each multiplied by its factor (n,)."""
        # On a copy: sampling jumps about, and is quicker on pixels that have just been brought into the cache
        # one after the other (12 instead of 18 ns per pixel at 224 px).
        staged = _as_float(images, terms[0].dtype, copy=True, factor=factor)
        grid = terms[0] + terms[1] if len(terms) == 2 else terms[0]
        return sample(staged, grid, fill_mode=self.config.fill_mode, cval=self.config.cval / 255)

    def _move(self, images: Tensor, affine: Tensor) -> Tensor:
        """Whole pixels moved; the same tensor when nothing moves."""
        if not self._moves:
            return images
        cval = self.config.cval if images.dtype == torch.uint8 else self.config.cval / 255
        return apply_whole_pixels(images, affine, fill_mode=self.config.fill_mode, cval=cval)

    def _recolour(self, images: Tensor, draw: Draw, part: slice, out: Tensor) -> None:
        """Channel shift, brightness, contrast, saturation, hue, grey, in this order, into `out`."""
        config = self.config
        images = _as_float(images, out.dtype)
        if config.channel_shift_range:
            images = apply_channel_shift(images, draw.channel_shift[part])
        if self._lights_early:
            images = torch.clamp(images, max=1, out=out)
        elif config.brightness_range != _NEUTRAL:
            images = apply_brightness(images, draw.brightness[part], out=out)
        if config.contrast_range != _NEUTRAL:
            images = apply_contrast(images, draw.contrast[part], out=out)
        if config.saturation_range != _NEUTRAL:
            images = apply_saturation(images, draw.saturation[part], out=out)
        if config.hue_range != (0.0, 0.0):
            images = apply_hue(images, draw.hue[part])
        if config.grey:
            images = apply_grey(images, draw.grey[part])
        if images is not out:
            out.copy_(images)

    def _filter(self, images: Tensor, draw: Draw, there: Draw) -> Tensor:
        """RandAugment or TrivialAugment, blur, noise; each on the images that it was drawn for.

        there: the draw on the device of the images.
        """
        if draw.choice is not None and there.strength is not None:
            cval = self.config.cval / 255
            fill = self.config.fill_mode
            images = apply_auto(images, draw.choice, there.strength, fill_mode=fill, cval=cval)
        if draw.blur is not None and there.blur is not None:
            sigma = there.blur
            blurred = draw.blur > 0
            images = _on_some(images, blurred, lambda part, at: apply_blur(part, sigma[at], self._radius))
        if draw.noise is not None and there.noise is not None and there.key is not None:
            std, key = there.noise, there.key
            images = _on_some(images, draw.noise > 0, lambda part, at: apply_noise(part, std[at], key[at]))
        return images

    def _erase(self, images: Tensor, draw: Draw, there: Draw) -> Tensor:
        """Cutout and erasing."""
        if self.config.cutout_size:
            images = apply_cutout(images, there.cutout, self.config.cutout_size, self._colour(images))
        if draw.erasing is None:
            return images
        assert there.erasing is not None
        assert there.key is not None
        box, key = there.erasing, there.key

        def erase(part: Tensor, at: Tensor) -> Tensor:
            noisy = self.config.erasing.fill == "noise"
            # The bits of the key turned over: not the numbers that noise of the same image has.
            colour = uniform_noise(key[at] ^ 0x7FFFFFFF, part.shape[1:]) if noisy else self._colour(part)
            return apply_erasing(part, box[at], colour)

        return _on_some(images, draw.erasing[:, 2] > draw.erasing[:, 0], erase)

    def _colour(self, images: Tensor) -> Tensor:
        """Of what is taken away: one for all images, or each image's own mean."""
        return images.mean((2, 3)) if self.mean is None else to_device(self.mean, images.device)


def _on_some(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`change`(images, their places) on those that are chosen (b,) bool; the others as they are."""
    at = to_device(chosen.nonzero()[:, 0], images.device)
    if len(at) == 0:
        return images
    out = images.clone()
    out[at] = change(images[at], at)
    return out


def _as_float(
    images: Tensor, dtype: torch.dtype, *, copy: bool = False, factor: Tensor | None = None
) -> Tensor:
    """Images 0..1 of this type, bytes divided by 255; each multiplied by its factor (n,).

    copy: in memory of their own; so they are, too, if they are multiplied.
    """
    is_bytes = images.dtype == torch.uint8
    if factor is not None:
        scale = (factor / 255 if is_bytes else factor).to(dtype)[:, None, None, None]
        return images.to(dtype).mul_(scale) if is_bytes else images.to(dtype) * scale
    floats = images.to(dtype, copy=copy)
    return floats.mul_(1 / 255) if is_bytes else floats
