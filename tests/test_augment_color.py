"""photopic.augment.color against Pillow's ImageEnhance, cutout of photopic.augment.erasing against slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from photopic.augment.color import apply_brightness, apply_contrast, apply_saturation, draw_factor, grey
from photopic.augment.erasing import apply_cutout, draw_cutout

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


@pytest.mark.parametrize("side", [1, 2, 5, 8, 30])
def test_cutout_fills_the_square_and_nothing_else(side: int) -> None:
    images = to_01(pictures_u8(9))
    before = images.clone()
    centre = torch.stack([torch.arange(9) % 13, (torch.arange(9) * 5) % 18], 1)
    colour = torch.tensor([0.1, 0.2, 0.3])
    got = apply_cutout(images, centre, side, colour)
    wanted = images.clone()
    for i, (row, column) in enumerate(centre.tolist()):
        top, left = row - side // 2, column - side // 2
        wanted[i, :, max(0, top) : top + side, max(0, left) : left + side] = colour[:, None, None]
    assert torch.equal(got, wanted)
    assert torch.equal(images, before)


def test_cutout_with_a_colour_for_each_image() -> None:
    images, colours = torch.zeros(4, 3, 6, 6), torch.rand(4, 3)
    got = apply_cutout(images, torch.full((4, 2), 3), 2, colours)
    assert torch.equal(got[:, :, 3, 3], colours)
    assert apply_cutout(images[:0], torch.zeros(0, 2, dtype=torch.int64), 2, colours[:0]).shape == (
        0,
        3,
        6,
        6,
    )


def test_every_pixel_is_as_likely_to_be_a_centre() -> None:
    uniform = torch.rand(40000, 2, generator=torch.Generator().manual_seed(0))
    centre = draw_cutout(uniform, 8)
    counts = torch.bincount(centre[:, 0] * 8 + centre[:, 1], minlength=64)
    assert counts.min() > 500
    assert counts.max() < 750
    assert draw_cutout(torch.ones(1, 2), 8).tolist() == [[7, 7]]
