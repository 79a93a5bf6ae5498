"""photopic.augment.tone against Pillow's ImageOps, on images in whole grey levels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from photopic.augment.tone import (
    apply_autocontrast,
    apply_equalize,
    apply_invert,
    apply_posterize,
    apply_solarize,
)

Change = Callable[[Tensor], Tensor]


def pictures_u8(n: int, channels: int = 3) -> np.ndarray:
    """Noise of some range, brightness and roughness, different for each image and channel."""
    random = np.random.default_rng(n)
    low, span = random.integers(0, 120, (n, 1, 1, channels)), random.integers(1, 136, (n, 1, 1, channels))
    return (low + span * random.random((n, 40, 31, channels)) ** 2).astype(np.uint8)


def changed_levels(change: Change, images_u8: np.ndarray) -> np.ndarray:
    images_01 = torch.from_numpy(images_u8).permute(0, 3, 1, 2).float() * (1 / 255)
    return change(images_01).mul(255).permute(0, 2, 3, 1).numpy()


def pillow(change: Callable[[Image.Image], Image.Image], images_u8: np.ndarray) -> np.ndarray:
    grey = images_u8.shape[3] == 1
    parts = [np.asarray(change(Image.fromarray(image[:, :, 0] if grey else image))) for image in images_u8]
    return np.stack(parts).reshape(images_u8.shape).astype(float)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("threshold", [0, 1, 60, 127.5, 128, 178.5, 238, 255, 256])
def test_solarize_is_pillows(threshold: float, channels: int) -> None:
    images = pictures_u8(6, channels)
    got = changed_levels(lambda x: apply_solarize(x, torch.full((6,), threshold)), images)
    wanted = pillow(lambda image: ImageOps.solarize(image, threshold), images)
    np.testing.assert_allclose(got, wanted, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 5, 7, 8])
def test_posterize_is_pillows(bits: int, channels: int) -> None:
    images = pictures_u8(6, channels)
    got = changed_levels(lambda x: apply_posterize(x, torch.full((6,), bits)), images)
    np.testing.assert_allclose(got, pillow(lambda im: ImageOps.posterize(im, bits), images), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_equalize_is_pillows(channels: int) -> None:
    images = pictures_u8(12, channels)
    images[0] = 77  # one level
    images[1, :, :, 0] = 10
    images[1, 0, 0, 0] = 200  # two levels, one of them a single pixel: Pillow leaves the channel
    images[2, :20] = 255  # the largest level has half of the pixels
    got = changed_levels(apply_equalize, images)
    np.testing.assert_allclose(got, pillow(ImageOps.equalize, images), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_autocontrast_is_pillows(channels: int) -> None:
    images = pictures_u8(12, channels)
    images[0] = 77
    got = changed_levels(apply_autocontrast, images)
    difference = got - pillow(ImageOps.autocontrast, images)
    assert difference.min() > -1e-3  # Pillow cuts off the fraction
    assert difference.max() < 1.001


def test_invert_is_pillows() -> None:
    images = pictures_u8(3)
    np.testing.assert_allclose(
        changed_levels(apply_invert, images), pillow(ImageOps.invert, images), atol=1e-3
    )


def test_every_level_is_at_its_own_threshold() -> None:
    """Also for bytes that are divided by 255 as training inputs are: by a product, which rounds otherwise."""
    levels = torch.arange(256.0)[:, None, None, None]
    for images in (levels * (1 / 255), levels / 255):
        assert torch.equal(apply_solarize(images, levels.flatten()), 1 - images)
        assert torch.equal(apply_solarize(images, levels.flatten() + 1), images)


def test_each_image_has_its_own_threshold_and_bits() -> None:
    images = torch.rand(4, 3, 9, 9)
    thresholds, bits = torch.tensor([0.0, 100, 200, 256]), torch.tensor([1, 3, 5, 8])
    for i in range(4):
        one = slice(i, i + 1)
        assert torch.equal(
            apply_solarize(images, thresholds)[one], apply_solarize(images[one], thresholds[one])
        )
        assert torch.equal(apply_posterize(images, bits)[one], apply_posterize(images[one], bits[one]))
