"""photopic.augment.filters against torchvision and Pillow, photopic.augment.noise against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from photopic.augment.filters import apply_blur, apply_sharpness, blur_radius, draw_sigma
from photopic.augment.noise import apply_noise, draw_std, gaussian_noise, uniform_noise


def pictures(n: int, channels: int = 3, height: int = 33, width: int = 28) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("radius", [1, 4, 7, 27])
def test_blur_is_torchvisions_with_a_sigma_for_each_image(radius: int, channels: int) -> None:
    images, sigma = pictures(5, channels), torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0])
    got = apply_blur(images, sigma, radius)
    for i in range(5):
        wanted = tv.gaussian_blur(images[i], [2 * radius + 1] * 2, [float(sigma[i])] * 2)
        torch.testing.assert_close(got[i], wanted, rtol=0, atol=5e-6)  # float32 sums of up to 55² terms


def test_blur_of_sigma_zero_and_of_even_images_changes_nothing() -> None:
    images = pictures(3)
    torch.testing.assert_close(apply_blur(images, torch.zeros(3), 5), images, rtol=0, atol=1e-7)
    flat = torch.full((2, 3, 12, 12), 0.3)
    torch.testing.assert_close(apply_blur(flat, torch.tensor([0.7, 3.0]), 9), flat)


def test_the_radius_of_a_blur_is_three_sigma_within_the_image() -> None:
    assert blur_radius(2.0, 224) == 6
    assert blur_radius(0.5, 224) == 2
    assert blur_radius(20, 28) == 27


def test_blurs_are_drawn_from_their_range_for_the_share_of_images() -> None:
    uniform = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0))
    sigma = draw_sigma(uniform, 0.3, (0.5, 2.0))
    assert (sigma > 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    chosen = sigma[sigma > 0]
    assert stats.kstest((chosen - 0.5) / 1.5, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [0.0, 0.1, 0.5, 1.0, 1.9, 3.0])
def test_sharpness_is_pillows(factor: float, channels: int) -> None:
    images_u8 = torch.randint(0, 256, (4, 21, 17, channels), dtype=torch.uint8)
    got = apply_sharpness(images_u8.permute(0, 3, 1, 2) / 255, torch.full((4,), factor)) * 255
    for i, image in enumerate(images_u8.numpy()):
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
        wanted = np.asarray(ImageEnhance.Sharpness(picture).enhance(factor)).reshape(image.shape)
        # Pillow rounds the smoothed image, and cuts off the fraction of its result.
        bound = 1 + 0.51 * abs(1 - factor) + 1e-3
        assert np.abs(got[i].permute(1, 2, 0).numpy() - wanted).max() < bound


def test_noise_is_normal_independent_and_different_for_each_key() -> None:
    key = torch.randint(2**31, (40,), generator=torch.Generator().manual_seed(3))
    noise = gaussian_noise(key, torch.Size((3, 64, 64)))
    assert stats.kstest(noise[:8].flatten().numpy(), "norm").pvalue > 1e-3
    assert noise.abs().max() < 5.5
    flat = noise.flatten(1).numpy()
    between = np.corrcoef(flat)[np.triu_indices(40, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(flat.shape[1])
    for shift in (1, 2, 3, 64, 4096):  # along rows, columns and channels
        along = [np.corrcoef(row[shift:], row[:-shift])[0, 1] for row in flat]
        assert abs(np.mean(along)) < 5 / np.sqrt(flat.size)


def test_uniform_noise_is_uniform() -> None:
    noise = uniform_noise(torch.tensor([0, 1, 2, 2**31 - 1]), torch.Size((3, 50, 50)))
    for image in noise:
        assert stats.kstest(image.flatten().numpy(), "uniform").pvalue > 1e-3
    assert noise.min() > 0
    assert noise.max() < 1


def test_noise_depends_on_the_key_alone_and_is_clipped() -> None:
    images, key = torch.full((6, 3, 16, 16), 0.5), torch.arange(6) * 77
    std = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.5, 2.0])
    got = apply_noise(images, std, key)
    assert torch.equal(got[0], images[0])
    turned = apply_noise(images.flip(0), std.flip(0), key.flip(0)).flip(0)
    torch.testing.assert_close(got, turned, rtol=0, atol=1e-6)
    assert got.min() == 0
    assert got.max() == 1
    spread = (got[1:3] - 0.5).std((1, 2, 3))
    torch.testing.assert_close(spread, std[1:3], rtol=0.08, atol=0)


def test_the_strength_of_noise_is_drawn_in_grey_levels() -> None:
    uniform = torch.rand(20000, 2, generator=torch.Generator().manual_seed(1))
    std = draw_std(uniform, 0.6, (5.1, 25.5))
    assert (std > 0).float().mean().item() == pytest.approx(0.6, abs=0.015)
    assert std[std > 0].min() >= 0.02
    assert std.max() <= 0.1
