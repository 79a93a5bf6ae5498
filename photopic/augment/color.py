"""Changes the colours of float images 0..1.

Brightness, contrast, saturation, as Pillow's ImageEnhance: each factor blends the image with a degenerate
one - black, its mean grey, its grey version - and clips, in this order. Factor 1 changes nothing, 0 gives the
degenerate image. Pillow works on uint8 and cuts off fractions; here nothing is rounded, so results differ by
up to one grey level per step. Beside them channel shift, hue and grey.
"""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""ITU-R 601 weights of red, green and blue, as in Pillow's mode L."""


def draw_factor(uniform: Tensor, factor_range: tuple[float, float]) -> Tensor:
    """(n,) uniform numbers in 0..1 -> (n,) factors, float32, uniform in the range."""
    low, high = factor_range
    return low + (high - low) * uniform


def grey(images_01: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w): luma of colour images; grey images as they are."""
    if images_01.shape[1] == 1:
        return images_01
    red, green, blue = images_01[:, :1], images_01[:, 1:2], images_01[:, 2:]
    return torch.add(red * LUMA[0], green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def apply_brightness(images_01: Tensor, factor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Multiply each image by its factor (n,), clip at 1. out: where to write, may be images_01 itself."""
    out = torch.mul(images_01, _per_image(factor, images_01), out=out)
    return out.clamp_(max=1)


def apply_contrast(images_01: Tensor, factor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Multiply each pixel's distance from the image's mean grey by the image's factor (n,), clip to 0..1.

    The mean grey is rounded to a whole level of 255, as Pillow does.
    """
    factor = _per_image(factor, images_01)
    mean = torch.floor(grey(images_01).mean((1, 2, 3), keepdim=True) * 255 + 0.5) / 255
    out = torch.addcmul(mean * (1 - factor), images_01, factor, out=out)
    return out.clamp_(0, 1)


def apply_saturation(images_01: Tensor, factor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Multiply each pixel's distance from its own grey by the image's factor (n,), clip to 0..1."""
    out = torch.lerp(grey(images_01), images_01, _per_image(factor, images_01), out=out)
    return out.clamp_(0, 1)


def apply_channel_shift(images_01: Tensor, shift: Tensor) -> Tensor:
    """Add each image's shift (n,), in 0..1 units, to all channels; cut off at the image's own extremes.

    Source: apply_channel_shift of Keras, which, its name notwithstanding, shifts all channels alike.
    """
    low, high = images_01.amin((1, 2, 3), keepdim=True), images_01.amax((1, 2, 3), keepdim=True)
    return (images_01 + _per_image(shift, images_01)).clamp_(low, high)


def apply_hue(images_01: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of each image by its turn (n,), in whole turns of the colour circle; grey stays grey.

    In the model HSV, with V the largest channel, C = V - smallest channel, and H in sixths of a turn, a
    channel is V - C · max(0, min(k, 4 - k, 1)), k = (H + offset) modulo 6; the offsets of red, green and blue
    are 5, 3 and 1.
    """
    if images_01.shape[1] == 1:
        return images_01.clone()
    red, green, blue = images_01.unbind(1)
    low, high = images_01.aminmax(dim=1)
    chroma = high - low
    divisor = chroma.masked_fill(chroma == 0, 1)
    hue = torch.where(high == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(high == red, (green - blue) / divisor, hue)
    hue += _per_image(turn, images_01)[:, :, :, 0] * 6
    offsets = torch.arange(5, 0, -2, device=images_01.device, dtype=images_01.dtype)[:, None, None]
    k = torch.remainder(hue[:, None] + offsets, 6)
    return high[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


def apply_grey(images_01: Tensor, chosen: Tensor) -> Tensor:
    """The grey version of each chosen image (n,) bool, in all its channels; the others as they are."""
    return torch.where(chosen.to(images_01.device)[:, None, None, None], grey(images_01), images_01)


def _per_image(factor: Tensor, images: Tensor) -> Tensor:
    return factor.to(images.device, images.dtype)[:, None, None, None]
