"""Takes content away: cutout (DeVries 2017, arXiv:1708.04552), random erasing (Zhong 2017, arXiv:1708.04896).

Axis letters: n images, c channels, h height, w width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ERASING_UNIFORMS = 23
"""Columns of uniform numbers that draw_erasing uses: whether, place (two), ten trials of area and aspect."""
_TRIALS = 10  # as many as torchvision's RandomErasing


def draw_cutout(uniform: Tensor, size: int) -> Tensor:
    """(n, 2) uniform numbers in 0..1 -> (n, 2) int64 centres (row, column), each pixel equally likely."""
    return (uniform.double() * size).to(torch.int64).clamp_(max=size - 1)


def apply_cutout(images: Tensor, centre: Tensor, side: int, colour: Tensor) -> Tensor:
    """Fill a square of `side` pixels around each image's centre; a part outside the image is lost.

    images: (n, c, h, w). centre: (n, 2). colour: (c,) for all images, or (n, c). Returns a new tensor. The
    square is one pixel longer towards the top left when the side is even.
    """
    first = centre.to(images.device) - side // 2
    box = torch.cat([first, first + side], 1)
    return fill_box(images, box, colour.to(images.device, images.dtype).view(-1, images.shape[1]))


def draw_erasing(
    uniform: Tensor,
    probability: float,
    area_range: tuple[float, float],
    aspect_range: tuple[float, float],
    height: int,
    width: int,
) -> Tensor:
    """(n, ERASING_UNIFORMS) uniform numbers in 0..1 -> (n, 4) int64 boxes: first row, first column, ends.

    Area uniform in its share of the image, the logarithm of height / width uniform, the place uniform. As in
    torchvision's RandomErasing a box must be smaller than the image on both sides; the first of ten trials
    that is, counts. Without one, and with 1 - probability, the box is empty.
    """
    u = uniform.double()
    trials = u[:, 3:].view(len(u), _TRIALS, 2)
    area = _between(trials[:, :, 0], *area_range) * (height * width)
    aspect = _between(trials[:, :, 1], *map(math.log, aspect_range)).exp()
    heights, widths = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (heights < height) & (widths < width)
    first = fits.long().argmax(1, keepdim=True)  # of equal numbers the first
    sides = torch.cat([heights.gather(1, first), widths.gather(1, first)], 1)
    sides = sides * (fits.any(1) & (u[:, 0] < probability))[:, None]
    places = torch.floor(u[:, 1:3] * (u.new_tensor([height, width]) - sides + 1))
    return torch.cat([places, places + sides], 1).long()


def apply_erasing(images: Tensor, box: Tensor, colour: Tensor) -> Tensor:
    """Overwrite each image's box (n, 4) with `colour`: (c,), (n, c), or (n, c, h, w) of the images' shape."""
    colour = colour.to(images.device, images.dtype)
    if colour.ndim == 4:
        return torch.where(box_mask(box.to(images.device), *images.shape[2:]), colour, images)
    return fill_box(images, box.to(images.device), colour.view(-1, images.shape[1]))


def box_mask(box: Tensor, height: int, width: int) -> Tensor:
    """(n, 4) boxes, ends not included -> (n, 1, h, w) bool, true inside; a part outside the image is lost."""
    rows, columns = _inside(box[:, 0:1], box[:, 2:3], height), _inside(box[:, 1:2], box[:, 3:4], width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def fill_box(images: Tensor, box: Tensor, colour: Tensor) -> Tensor:
    """Each image's box (n, 4) in its colour (n or 1, c); a new tensor."""
    n, channels, height, width = images.shape
    if images.is_contiguous():
        return torch.where(box_mask(box, height, width), colour[:, :, None, None], images)
    # As rows of w·c values: an innermost axis of three channels is too short to vectorise.
    rows, columns = _inside(box[:, 0:1], box[:, 2:3], height), _inside(box[:, 1:2], box[:, 3:4], width)
    hole = rows[:, :, None] & columns.repeat_interleave(channels, 1)[:, None, :]
    pixel_rows = images.permute(0, 2, 3, 1).flatten(2)
    filled = torch.where(hole, colour.repeat(1, width)[:, None, :], pixel_rows)
    return filled.view(n, height, width, channels).permute(0, 3, 1, 2)


def _inside(first: Tensor, end: Tensor, length: int) -> Tensor:
    """(n, length) bool: the places from `first` to before `end`, both (n, 1)."""
    places = torch.arange(length, device=first.device)
    return (places >= first) & (places < end)


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform
