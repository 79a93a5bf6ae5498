"""photopic.augment.geometry, checked against SciPy, NumPy and a copy-free reading of Keras' definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from photopic.augment.geometry import (
    UNIFORMS,
    apply_affine,
    apply_whole_pixels,
    compose_affine,
    draw_affine,
    draw_shift,
    is_still,
    is_whole_pixels,
    with_flips,
)
from photopic.config import AugmentConfig

FILL_MODES = ["constant", "nearest", "reflect", "wrap"]
SCIPY_MODES = {"constant": "constant", "nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap"}
NUMPY_MODES = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}
STRONG = AugmentConfig(
    rotation_range=180, width_shift_range=0.6, height_shift_range=0.6, shear_range=40, zoom_range=(0.3, 2.5)
)


def pictures(n: int, channels: int = 3, height: int = 17, width: int = 17, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def maps(n: int, config: AugmentConfig = STRONG, size: int = 17, seed: int = 1) -> Tensor:
    uniform = torch.rand(n, UNIFORMS, generator=torch.Generator().manual_seed(seed))
    return draw_affine(uniform, config, size)


def scipy_affine(images: Tensor, affine: Tensor, fill_mode: str, cval: float) -> np.ndarray:
    """Every channel of every image through scipy.ndimage, in float64."""
    out = np.empty(images.shape)
    for i, (image, (matrix)) in enumerate(zip(images.double().numpy(), affine.double().numpy(), strict=True)):
        centre = (np.array(image.shape[1:]) - 1) / 2
        offset = matrix[:, 2] + centre - matrix[:, :2] @ centre
        for channel, plane in enumerate(image):
            out[i, channel] = ndimage.affine_transform(
                plane, matrix[:, :2], offset, order=1, mode=SCIPY_MODES[fill_mode], cval=cval
            )
    return out


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize(("height", "width"), [(17, 17), (32, 32), (9, 23), (1, 5)])
def test_resampling_is_scipys_affine_transform(fill_mode: str, height: int, width: int) -> None:
    images, affine = pictures(20, height=height, width=width).double(), maps(20)
    cval = 0.3 if fill_mode == "constant" else 0.0
    got = apply_affine(images, affine, fill_mode=fill_mode, cval=cval)
    np.testing.assert_allclose(got, scipy_affine(images, affine, fill_mode, cval), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("size", [32, 224])
def test_single_precision_stays_close_to_scipy(fill_mode: str, size: int) -> None:
    images, affine = pictures(4, height=size, width=size), maps(4, size=size)
    got = apply_affine(images, affine, fill_mode=fill_mode).numpy()
    wanted = scipy_affine(images, affine, fill_mode, 0.0)
    # A coordinate is off by up to 2e-5 px of 224 in float32, and noise changes by up to 1 per pixel.
    off = np.abs(got - wanted) > 3e-4
    # On the border itself "constant" jumps: a hair's breadth decides between inside and cval.
    assert off.mean() < (2e-4 if fill_mode == "constant" else 1e-9)


def test_the_map_is_keras_composition_of_rotation_shift_shear_and_zoom() -> None:
    angle, shear, tx, ty, zx, zy = 0.5, -0.3, 2.0, -3.5, 0.8, 1.3  # on (x, y)
    rotation = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    sheared = np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([zx, zy, 1])
    values = [torch.tensor([value], dtype=torch.float64) for value in (angle, ty, tx, shear, zy, zx)]
    got = compose_affine(*values)[0]
    exchanged = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # axes: Keras turns the matrix to (row, column)
    wanted = exchanged @ rotation @ shift @ sheared @ zoom @ exchanged
    np.testing.assert_allclose(got, wanted[:2], atol=1e-12)


def test_rotation_and_shear_turn_counter_clockwise() -> None:
    """A pixel above the centre goes to the left, as with theta=90 and shear=45 in Keras."""
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 2, 4] = 1
    zero, one = torch.zeros(1).double(), torch.ones(1).double()
    rotated = apply_affine(
        image, compose_affine(one * math.pi / 2, zero, zero, zero, one, one), fill_mode="nearest"
    )
    assert rotated[0, 0, 4, 2] == pytest.approx(1, abs=1e-5)
    sheared = apply_affine(
        image, compose_affine(zero, zero, zero, one * math.pi / 4, one, one), fill_mode="nearest"
    )
    places = sheared[0, 0] * torch.arange(9)
    assert places.sum() / sheared.sum() < 3  # its column


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_flips_come_after_the_map(fill_mode: str) -> None:
    images, affine = pictures(8).double(), maps(8)
    rows, columns = torch.arange(8) % 2 == 0, torch.arange(8) % 4 < 2
    got = apply_affine(images, with_flips(affine, rows, columns), fill_mode=fill_mode)
    plain = apply_affine(images, affine, fill_mode=fill_mode)
    for i in range(8):
        dims = [dim for dim, wanted in ((1, rows[i]), (2, columns[i])) if wanted]
        torch.testing.assert_close(got[i], plain[i].flip(dims), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_the_map_that_does_nothing_returns_the_pixels(fill_mode: str) -> None:
    images = pictures(3, height=224, width=224)
    still = maps(3, AugmentConfig())
    got = apply_affine(images, still, fill_mode=fill_mode)
    torch.testing.assert_close(got, images, rtol=0, atol=3e-5)  # float32 coordinates


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("shift", [0, 1, 4, 30])
def test_whole_pixels_are_numpys_pad_crop_and_flip(fill_mode: str, shift: int) -> None:
    pixels = shift + 1 if shift else 0  # the whole number n is -(n-1)..n-1
    config = AugmentConfig(width_shift_range=pixels, height_shift_range=pixels)
    images = torch.randint(0, 256, (12, 3, 11, 11), dtype=torch.uint8)
    affine = maps(12, config, 11)
    rows, columns = torch.arange(12) % 2 == 0, torch.arange(12) % 3 == 0
    got = apply_whole_pixels(images, with_flips(affine, rows, columns), fill_mode=fill_mode, cval=7)
    assert got.dtype == torch.uint8
    options = {"constant_values": 7} if fill_mode == "constant" else {}
    for i, image in enumerate(images.numpy()):
        dy, dx = (int(value) for value in affine[i, :, 2])
        padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), NUMPY_MODES[fill_mode], **options)
        crop = padded[:, shift + dy : shift + dy + 11, shift + dx : shift + dx + 11]
        crop = crop[:, ::-1] if rows[i] else crop
        np.testing.assert_array_equal(got[i], crop[:, :, ::-1] if columns[i] else crop)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_whole_pixels_and_resampling_agree(fill_mode: str) -> None:
    config = AugmentConfig(width_shift_range=3, height_shift_range=2)
    images = pictures(10).double()
    flips = torch.arange(10) % 2 == 0
    affine = with_flips(maps(10, config), ~flips, flips)
    exact = apply_whole_pixels(images, affine, fill_mode=fill_mode)
    torch.testing.assert_close(apply_affine(images, affine, fill_mode=fill_mode), exact, rtol=0, atol=1e-9)


EVEN = (torch.arange(3000) + 0.5) / 3000


def test_a_shift_below_one_is_a_fraction_of_the_side() -> None:
    part = draw_shift(torch.linspace(0, 1, 1001), 0.25, 32)
    assert part.min() == -8
    assert part.max() == 8
    assert len(part.unique()) == 1001
    assert draw_shift(EVEN, 0.0, 32).abs().max() == 0


def test_a_shift_of_one_point_zero_and_more_is_any_number_of_pixels() -> None:
    for pixels in (1.0, 2.5):
        shifts = draw_shift(torch.linspace(0, 1, 1001), pixels, 32)
        torch.testing.assert_close(shifts, torch.linspace(-pixels, pixels, 1001).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_whole_shift_has_the_values_and_weights_of_keras(n: int) -> None:
    values, counts = draw_shift(EVEN, n, 32).unique(return_counts=True)
    sizes, signs = np.meshgrid(np.arange(n), [-1, 1])  # Keras: choice(n), then *= choice([-1, 1])
    wanted, weights = np.unique(sizes * signs, return_counts=True)
    assert values.tolist() == wanted.tolist()
    assert (counts / 3000).tolist() == pytest.approx(weights / (2 * n), abs=1e-3)
    assert draw_shift(torch.tensor([1.0]), n, 32).item() == n - 1


def test_a_list_of_shifts_gives_each_of_its_values_alike() -> None:
    values, counts = draw_shift(EVEN, (-2.0, 0.0, 5.5), 32).unique(return_counts=True)
    assert values.tolist() == [-2, 0, 5.5]
    assert counts.tolist() == [1000] * 3
    assert draw_shift(torch.tensor([1.0]), (1.0, 4.0), 32).item() == 4


def test_draws_fill_their_ranges_evenly() -> None:
    config = AugmentConfig(rotation_range=30, zoom_range=(0.8, 1.2))
    affine = maps(20000, config, 32)
    # With rotation and zoom alone the columns of the matrix have the lengths of the two zooms.
    zooms = affine[:, :, :2].norm(dim=1)
    assert zooms.min() >= 0.8
    assert zooms.max() <= 1.2
    np.testing.assert_allclose(zooms.mean(0), [1, 1], atol=0.005)
    assert np.corrcoef(zooms.T)[0, 1] == pytest.approx(0, abs=0.03)
    angles = torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))
    np.testing.assert_allclose(
        torch.quantile(angles, torch.tensor([0.25, 0.5, 0.75]).double()), [-15, 0, 15], atol=0.7
    )
    assert angles.abs().max() <= 30


def test_which_configurations_move_what() -> None:
    assert is_still(AugmentConfig(brightness_range=(0.5, 1.5), cutout_size=3))
    assert not is_still(AugmentConfig(horizontal_flip="alternating"))
    assert is_whole_pixels(AugmentConfig(width_shift_range=2, horizontal_flip="random", vertical_flip=True))
    assert is_whole_pixels(AugmentConfig(width_shift_range=[-4, 4], height_shift_range=3))
    for config in (
        AugmentConfig(rotation_range=1),
        AugmentConfig(zoom_range=(1, 1.1)),
        AugmentConfig(shear_range=5),
        AugmentConfig(width_shift_range=0.1),
        AugmentConfig(width_shift_range=2, height_shift_range=0.1),
        AugmentConfig(width_shift_range=2.0),
        AugmentConfig(width_shift_range=[-1, 0.5]),
    ):
        assert not is_whole_pixels(config)
        assert not is_still(config)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_type_is_kept_and_the_input_left_alone(dtype: torch.dtype) -> None:
    images = pictures(5).to(dtype)
    before = images.clone()
    for fill_mode in FILL_MODES:
        got = apply_affine(images, maps(5), fill_mode=fill_mode, cval=0.5)
        assert got.dtype == dtype
        wanted = apply_affine(images.double(), maps(5), fill_mode=fill_mode, cval=0.5)
        assert (got.double() - wanted).abs().mean() < 0.01
        assert torch.equal(images, before)


@pytest.mark.parametrize("apply", [apply_affine, apply_whole_pixels])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_a_batch_of_zero_works_and_a_batch_equals_one_by_one(apply: object, fill_mode: str) -> None:
    assert callable(apply)
    config = STRONG if apply is apply_affine else AugmentConfig(width_shift_range=3)
    images, affine = pictures(6), maps(6, config)
    whole = apply(images, affine, fill_mode=fill_mode)
    single = [apply(images[i : i + 1], affine[i : i + 1], fill_mode=fill_mode) for i in range(6)]
    assert torch.equal(whole, torch.cat(single))
    assert apply(images[:0], affine[:0], fill_mode=fill_mode).shape == (0, 3, 17, 17)
