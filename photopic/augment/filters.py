"""Blurs and sharpens float images 0..1, (n, c, h, w)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_sigma(uniform: Tensor, probability: float, sigma_range: tuple[float, float]) -> Tensor:
    """(n, 2) uniform numbers in 0..1 -> (n,) float32 standard deviations in the range, 0 for no blur."""
    low, high = sigma_range
    return (low + (high - low) * uniform[:, 1]) * (uniform[:, 0] < probability)


def blur_radius(sigma: float, side: int) -> int:
    """Pixels to each side that a blur of this sigma looks at: three sigma, less than the image's side."""
    return min(math.ceil(3 * sigma), side - 1)


def apply_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Gaussian blur with each image's own sigma (n,), pixels; 0 leaves it as it is.

    Weights exp(-d²/2σ²) for |d| <= radius, with sum 1; images are mirrored at the middle of their border
    pixels (dcb|abcd|cba, torch's "reflect", as in torchvision). radius: below both sides.
    """
    dtype = images.dtype if images.dtype == torch.float64 else torch.float32
    weights = _gauss(sigma.to(images.device, dtype), radius)
    padded = F.pad(images.to(dtype), (radius, radius, radius, radius), mode="reflect")
    blurred = _weighted_sum(_weighted_sum(padded, weights, 2, radius), weights, 3, radius)
    return blurred.to(images.dtype)


def _gauss(sigma: Tensor, radius: int) -> Tensor:
    """(n, radius + 1): the weights of distances 0..radius, those of both sides together 1."""
    distance = torch.arange(radius + 1, device=sigma.device, dtype=sigma.dtype)
    weights = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    return weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])


def _weighted_sum(images: Tensor, weights: Tensor, dim: int, radius: int) -> Tensor:
    """Along one axis, which gets shorter by radius at both ends. Shifted copies are added up: each image has
    its own weights, for which a convolution would need as many groups as there are images."""
    length = images.shape[dim] - 2 * radius
    total = images.narrow(dim, radius, length) * weights[:, 0, None, None, None]
    for distance in range(1, radius + 1):
        both = images.narrow(dim, radius - distance, length) + images.narrow(dim, radius + distance, length)
        total.addcmul_(both, weights[:, distance, None, None, None])
    return total


def apply_sharpness(images_01: Tensor, factor: Tensor) -> Tensor:
    """Multiply the distance from a smoothed version by each image's factor (n,), clip; as Pillow's
    ImageEnhance.Sharpness: below 1 blurs, 1 changes nothing, above 1 sharpens.

    Smoothed: weights 5/13 for a pixel and 1/13 for each of its eight neighbours. The border stays as it is.
    """
    out = images_01.clone()
    if min(images_01.shape[2:]) < 3:
        return out
    of_three = images_01[:, :, :-2] + images_01[:, :, 1:-1] + images_01[:, :, 2:]
    of_nine = of_three[..., :-2] + of_three[..., 1:-1] + of_three[..., 2:]
    centre = images_01[:, :, 1:-1, 1:-1]
    smooth = (of_nine + 4 * centre) / 13
    weight = factor.to(images_01.device, images_01.dtype)[:, None, None, None]
    out[:, :, 1:-1, 1:-1] = torch.lerp(smooth, centre, weight)
    return out.clamp_(0, 1)
