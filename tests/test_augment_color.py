"""photopic.augment.color against Pillow's ImageEnhance, torchvision's hue and Keras' channel shift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from photopic.augment.color import (
    apply_brightness,
    apply_channel_shift,
    apply_contrast,
    apply_grey,
    apply_hue,
    apply_saturation,
    draw_factor,
    grey,
)

Apply = Callable[[Tensor, Tensor], Tensor]
OPERATIONS: list[tuple[Apply, type]] = [
    (apply_brightness, ImageEnhance.Brightness),
    (apply_contrast, ImageEnhance.Contrast),
    (apply_saturation, ImageEnhance.Color),
]
FACTORS = [0.0, 0.4, 0.9, 1.0, 1.3, 2.0]


def pictures_u8(n: int, channels: int = 3) -> Tensor:
    """Coloured noise around a different brightness for each image."""
    random = torch.Generator().manual_seed(n)
    base = torch.randint(40, 200, (n, 1, 1, channels), generator=random)
    noise = torch.randint(-40, 56, (n, 13, 18, channels), generator=random)
    return (base + noise).to(torch.uint8)


def to_01(images_u8: Tensor) -> Tensor:
    return images_u8.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(("apply", "enhance"), OPERATIONS)
@pytest.mark.parametrize("factor", FACTORS)
def test_colour_changes_are_pillows(apply: Apply, enhance: type, factor: float) -> None:
    images = pictures_u8(6)
    got = apply(to_01(images), torch.full((6,), factor)) * 255
    for i, image in enumerate(images.numpy()):
        wanted = np.asarray(enhance(Image.fromarray(image)).enhance(factor)).astype(float)
        difference = got[i].permute(1, 2, 0).numpy() - wanted
        # Pillow cuts off the fraction of its result, and rounds its grey: up to one level each.
        bound = 1 + abs(1 - factor) * 0.51 if enhance is ImageEnhance.Color else 1
        assert np.abs(difference).max() < bound + 1e-3
        assert abs(difference.mean()) < 0.75


@pytest.mark.parametrize(("apply", "enhance"), OPERATIONS[:2])
def test_grey_images_are_treated_as_pillow_treats_mode_l(apply: Apply, enhance: type) -> None:
    images = pictures_u8(4, channels=1)
    got = apply(to_01(images), torch.tensor([0.5, 0.8, 1.2, 1.9])) * 255
    for i, (image, factor) in enumerate(zip(images.numpy(), (0.5, 0.8, 1.2, 1.9), strict=True)):
        wanted = np.asarray(enhance(Image.fromarray(image[:, :, 0])).enhance(factor)).astype(float)
        assert np.abs(got[i, 0].numpy() - wanted).max() < 1.001


def test_grey_is_pillows_luma() -> None:
    images = pictures_u8(3)
    for got, image in zip(grey(to_01(images)), images.numpy(), strict=True):
        wanted = np.asarray(Image.fromarray(image).convert("L")).astype(float)
        assert np.abs(got[0].numpy() * 255 - wanted).max() < 0.51


@pytest.mark.parametrize(("apply", "_"), OPERATIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_image_has_its_own_factor(apply: Apply, _: type, layout: torch.memory_format) -> None:
    images = to_01(pictures_u8(5)).contiguous(memory_format=layout)
    before = images.clone()
    factors = torch.tensor([0.0, 0.7, 1.0, 1.4, 3.0])
    whole = apply(images, factors)
    single = torch.cat([apply(images[i : i + 1], factors[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole, single, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole[2], images[2], rtol=0, atol=1e-6)  # factor 1
    assert torch.equal(images, before)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert apply(images[:0], factors[:0]).shape == (0, 3, 13, 18)
    assert apply(images.double(), factors).dtype == torch.float64


@pytest.mark.parametrize(("apply", "_"), OPERATIONS)
def test_writing_in_place_gives_the_same(apply: Callable[..., Tensor], _: type) -> None:
    images, factors = to_01(pictures_u8(4)).contiguous(), torch.tensor([0.2, 0.8, 1.2, 2.2])
    wanted = apply(images, factors)
    out = torch.empty_like(images)
    assert apply(images, factors, out=out) is out
    assert torch.equal(out, wanted)
    apply(images, factors, out=images)
    assert torch.equal(images, wanted)


def test_factors_are_uniform_in_their_range() -> None:
    factors = draw_factor(torch.linspace(0, 1, 101), (0.5, 1.5))
    torch.testing.assert_close(factors, torch.linspace(0.5, 1.5, 101))


@pytest.mark.parametrize("turn", [-0.5, -0.3, -0.1, 0.0, 0.05, 0.25, 0.4, 0.5])
def test_hue_is_torchvisions(turn: float) -> None:
    images = to_01(pictures_u8(6))
    images[0] = torch.tensor([1.0, 0.5, 0.5])[:, None, None]  # two channels alike
    images[1] = torch.tensor([0.2, 0.9, 0.2])[:, None, None]
    images[2] = 0.4  # grey
    got = apply_hue(images, torch.full((6,), turn))
    torch.testing.assert_close(got, tv.adjust_hue(images, turn), rtol=0, atol=3e-6)


def test_hue_is_pillows_within_its_coarse_steps() -> None:
    images = pictures_u8(4)
    got = apply_hue(to_01(images), torch.full((4,), 64 / 256)) * 255
    for i, image in enumerate(images.numpy()):
        hue, saturation, value = Image.fromarray(image).convert("HSV").split()
        turned = hue.point(lambda level: (level + 64) % 256)
        wanted = np.asarray(Image.merge("HSV", (turned, saturation, value)).convert("RGB")).astype(float)
        assert (
            np.abs(got[i].permute(1, 2, 0).numpy() - wanted).max() < 10
        )  # Pillow has 256 hues and saturations


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [-300, -40, 0, 25, 90])
def test_channel_shift_is_keras(levels: float, channels: int) -> None:
    """apply_channel_shift of Keras: np.clip(channel + intensity, min of the image, max of the image)."""
    images = pictures_u8(5, channels)
    got = apply_channel_shift(to_01(images), torch.full((5,), levels / 255)) * 255
    for i, image in enumerate(images.numpy().astype(float)):
        wanted = np.stack(
            [np.clip(image[..., c] + levels, image.min(), image.max()) for c in range(channels)]
        )
        np.testing.assert_allclose(got[i], wanted, atol=1e-3)


def test_grey_takes_the_colour_of_the_chosen_images_alone() -> None:
    images = to_01(pictures_u8(4))
    got = apply_grey(images, torch.tensor([True, False, True, False]))
    assert torch.equal(got[1::2], images[1::2])
    torch.testing.assert_close(got[::2], tv.rgb_to_grayscale(images[::2], 3), rtol=0, atol=1e-3)
