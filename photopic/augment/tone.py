"""Changes grey levels by a table, as Pillow's ImageOps: solarize, posterize, equalize, autocontrast, invert.

On float images 0..1, (n, c, h, w). Posterize and equalize think in the 256 whole levels of a byte, to which
values in between are rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEVELS = 256


def apply_invert(images_01: Tensor) -> Tensor:
    """White becomes black and black white."""
    return 1 - images_01


def apply_solarize(images_01: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at or above each image's threshold (n,), grey levels 0..256. 256 changes nothing."""
    level = threshold.to(images_01.device, torch.float32)[:, None, None, None] / 255
    return torch.where(images_01 >= level, 1 - images_01, images_01)


def apply_posterize(images_01: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper bits of each byte; bits: (n,) whole numbers 0..8. 8 changes nothing."""
    bits = bits.to(images_01.device).round().to(torch.int32)[:, None, None, None]
    mask = _LEVELS - torch.bitwise_left_shift(torch.ones_like(bits), 8 - bits)
    kept = (_to_levels(images_01) & mask).to(images_01.dtype) / 255
    return torch.where(bits >= 8, images_01, kept)


def apply_autocontrast(images_01: Tensor) -> Tensor:
    """Stretch each channel to 0..1; a channel of one value stays as it is."""
    low, high = images_01.amin((2, 3), keepdim=True), images_01.amax((2, 3), keepdim=True)
    flat = high == low
    low, span = low.masked_fill(flat, 0), (high - low).masked_fill(flat, 1)
    return ((images_01 - low) / span).clamp_(0, 1)


def apply_equalize(images_01: Tensor) -> Tensor:
    """Give each channel an even histogram, by Pillow's table.

    With count(v) pixels of level v and step = (pixels - count(largest level)) // 255, level v becomes
    (pixels below v + step // 2) // step, at most 255. A channel whose step is 0 stays as it is.
    """
    n, channels, height, width = images_01.shape
    planes, pixels = n * channels, height * width
    levels = _to_levels(images_01).reshape(planes, pixels).long()
    # not bincount, which makes a GPU be waited for
    count = levels.new_zeros(planes, _LEVELS).scatter_add_(1, levels, torch.ones_like(levels))
    largest = levels.amax(1, keepdim=True) if levels.numel() else levels[:, :1]
    step = (pixels - count.gather(1, largest)) // 255
    below = count.cumsum(1) - count
    divisor = step.clamp(min=1)
    table = ((below + step // 2) // divisor).clamp_(max=_LEVELS - 1)
    even = table.gather(1, levels).to(images_01.dtype).div_(255).view(images_01.shape)
    return torch.where((step == 0).view(n, channels, 1, 1), images_01, even)


def _to_levels(images_01: Tensor) -> Tensor:
    """Whole levels 0..255, int32."""
    return (images_01.float() * 255).round_().clamp_(0, 255).to(torch.int32)
