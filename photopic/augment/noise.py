"""Noise from a key for each image: the same on every device, in every batch, in a resumed training.

A pixel's number is a hash of its place and the image's key (the finaliser of MurmurHash3, Appleby 2011), so
nothing needs to be drawn one after the other. Keys: int64, 0..2^31-1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FACTORS = (0x85EBCA6B - 2**32, 0xC2B2AE35 - 2**32)  # MurmurHash3's, as signed 32-bit numbers


def draw_std(uniform: Tensor, probability: float, std_range: tuple[float, float]) -> Tensor:
    """(n, 2) uniform numbers in 0..1 -> (n,) float32 standard deviations 0..1 from levels of 255, or 0."""
    low, high = std_range
    return (low + (high - low) * uniform[:, 1]) / 255 * (uniform[:, 0] < probability)


def apply_noise(images_01: Tensor, std: Tensor, key: Tensor) -> Tensor:
    """Add Gaussian noise with each image's standard deviation (n,), 0..1 units, and clip to 0..1."""
    noise = gaussian_noise(key.to(images_01.device), images_01.shape[1:])
    noise *= std.to(images_01.device, torch.float32)[:, None, None, None]
    return noise.add_(images_01).clamp_(0, 1).to(images_01.dtype)


def gaussian_noise(key: Tensor, shape: torch.Size) -> Tensor:
    """(n,) keys -> (n, *shape) float32 from the standard normal distribution, within ± 5.5."""
    return _symmetric_noise(key, shape).erfinv_().mul_(math.sqrt(2))


def uniform_noise(key: Tensor, shape: torch.Size) -> Tensor:
    """(n,) keys -> (n, *shape) float32, uniform in 0..1."""
    return _symmetric_noise(key, shape).add_(1).mul_(0.5)


def _symmetric_noise(key: Tensor, shape: torch.Size) -> Tensor:
    """Uniform in -1..1, ends not included: 2^24 values that float32 holds exactly."""
    places = _mix(torch.arange(shape.numel(), dtype=torch.int32, device=key.device))
    numbers = _mix(places + key.to(torch.int32)[:, None])
    numbers >>= 8
    return numbers.to(torch.float32).add_(0.5).mul_(2.0**-23).view(-1, *shape)


def _mix(numbers: Tensor) -> Tensor:
    """MurmurHash3's finaliser, in place. Products wrap around; shifts bring in zeros, hence the masks."""
    for shift, factor in ((16, _FACTORS[0]), (13, _FACTORS[1])):
        numbers ^= (numbers >> shift) & (2 ** (32 - shift) - 1)
        numbers *= factor
    numbers ^= (numbers >> 16) & 0xFFFF
    return numbers
