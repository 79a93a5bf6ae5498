"""Takes content away from images: cutout (DeVries and Taylor 2017, arXiv:1708.04552)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """How the images of a batch were mixed with others of it, for the loss.

    An image's loss is weight · L(its own label) + (1 − weight) · L(its partner's label).
    """

    partners: Tensor
    """(b,) int64: the place in this batch of the image that was mixed in."""
    weight: Tensor
    """(b,) float32, 0..1: share of the image itself."""


def draw_cutout(uniform: Tensor, size: int) -> Tensor:
    """(n, 2) uniform numbers in 0..1 -> (n, 2) int64 centres (row, column), each pixel equally likely."""
    return (uniform.double() * size).to(torch.int64).clamp_(max=size - 1)


def apply_cutout(images: Tensor, centre: Tensor, side: int, colour: Tensor) -> Tensor:
    """Fill a square of `side` pixels around each image's centre; a part outside the image is lost.

    images: (n, c, h, w). centre: (n, 2). colour: (c,) for all images, or (n, c). Returns a new tensor. The
    square is one pixel longer towards the top left when the side is even.
    """
    channels = images.shape[1]
    first = centre.to(images.device) - side // 2
    rows = _inside(first[:, :1], side, images.shape[2])
    columns = _inside(first[:, 1:], side, images.shape[3])
    colour = colour.to(images.device, images.dtype).view(-1, channels)
    if images.is_contiguous():
        hole = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(hole, colour[:, :, None, None], images)
    # As rows of w·c values: an innermost axis of three channels is too short to vectorise.
    hole = rows[:, :, None] & columns.repeat_interleave(channels, 1)[:, None, :]
    pixel_rows = images.permute(0, 2, 3, 1).flatten(2)
    filled = torch.where(hole, colour.repeat(1, images.shape[3])[:, None, :], pixel_rows)
    return filled.view(len(images), *images.shape[2:], channels).permute(0, 3, 1, 2)


def _inside(first: Tensor, side: int, length: int) -> Tensor:
    """(n, length) bool: places from `first` (n, 1) on, `side` of them."""
    places = torch.arange(length, device=first.device)
    return (places >= first) & (places < first + side)
