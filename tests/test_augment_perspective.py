"""photopic.augment.perspective against torchvision's, and its corners against where they should go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import _get_perspective_coeffs
from torchvision.transforms.v2 import functional as tv

from photopic.augment.geometry import apply_affine, draw_affine, with_flips
from photopic.augment.perspective import (
    PERSPECTIVE_UNIFORMS,
    apply_perspective,
    corner_maps,
    draw_perspective,
    with_affine,
)
from photopic.config import AugmentConfig


def pictures(n: int, height: int = 24, width: int = 30) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(n)).double()


def uniforms(n: int) -> Tensor:
    return torch.rand(n, PERSPECTIVE_UNIFORMS, generator=torch.Generator().manual_seed(5))


def from_coefficients(coefficients: list[float], height: int, width: int) -> Tensor:
    """torchvision's numbers, on (x + ½, y + ½) from the corner, as a map on (row, column) from the centre."""
    theirs = torch.tensor([*coefficients, 1.0], dtype=torch.float64).view(3, 3)
    swap = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    centre = torch.eye(3, dtype=torch.float64)
    centre[:2, 2] = torch.tensor([height / 2, width / 2])
    ours = centre.inverse() @ swap @ theirs @ swap @ centre
    return ours / ours[2, 2]


@pytest.mark.parametrize("seed", range(4))
def test_resampling_is_torchvisions_inside_the_image(seed: int) -> None:
    height, width = 24, 30
    random = torch.Generator().manual_seed(seed)
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    inwards = torch.randint(0, 6, (4, 2), generator=random).tolist()
    signs = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    end = [
        [x + sx * dx, y + sy * dy] for (x, y), (sx, sy), (dx, dy) in zip(start, signs, inwards, strict=True)
    ]
    images = pictures(2)
    maps = from_coefficients(_get_perspective_coeffs(start, end), height, width).repeat(2, 1, 1)
    got = apply_perspective(images, maps, fill_mode="constant")
    wanted = tv.perspective(images, start, end, fill=0.0)
    inside = (
        tv.perspective(torch.ones_like(images), start, end, fill=0.0) > 0.999
    )  # torchvision blends the edge
    assert inside.double().mean() > 0.4
    torch.testing.assert_close(got[inside], wanted[inside], rtol=0, atol=1e-4)  # its numbers are float32


def test_every_corner_goes_where_it_was_drawn() -> None:
    inwards = torch.rand(7, 4, 2, generator=torch.Generator().manual_seed(0)).double() * 0.6
    height, width = 20, 50
    maps = corner_maps(inwards, height, width)
    outline = torch.tensor([[-1.0, -1], [-1, 1], [1, 1], [1, -1]]).double()
    half = torch.tensor([height / 2, width / 2]).double()
    seen = torch.cat([outline * (1 - inwards) * half, torch.ones(7, 4, 1).double()], 2)
    read = seen @ maps.transpose(1, 2)
    torch.testing.assert_close(read[:, :, :2] / read[:, :, 2:], (outline * half).expand(7, 4, 2))


def test_corners_move_by_up_to_distortion_times_half_a_side_for_the_share_of_images() -> None:
    maps = draw_perspective(uniforms(4000), 0.25, 0.4, 32, 32)
    still = torch.isclose(maps, torch.eye(3).double()).all(2).all(1)
    assert (~still).double().mean().item() == pytest.approx(0.25, abs=0.02)
    corner = torch.tensor(
        [16.0, 16.0, 1.0]
    ).double()  # bottom right of the input, found by the map turned round
    place = maps[~still].inverse() @ corner
    inwards = 1 - place[:, :2] / place[:, 2:] / 16
    assert inwards.min() >= -1e-9
    assert inwards.max() <= 0.4 + 1e-9
    assert inwards.mean().item() == pytest.approx(0.2, abs=0.01)


def test_no_drawn_outline_is_folded() -> None:
    """Inside of the outline the divisor is positive: nothing is seen from behind."""
    inwards = (torch.rand(3000, 4, 2, generator=torch.Generator().manual_seed(2)) > 0.5).double() * 0.6
    maps = corner_maps(inwards, 2, 2)
    outline = torch.tensor([[-1.0, -1], [-1, 1], [1, 1], [1, -1]]).double()
    seen = torch.cat([outline * (1 - inwards), torch.ones(3000, 4, 1).double()], 2)
    assert (seen @ maps[:, 2, :, None]).min() > 0


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
def test_without_distortion_it_is_the_affine_map(fill_mode: str) -> None:
    config = AugmentConfig(rotation_range=40, zoom_range=0.3, width_shift_range=0.2)
    affine = with_flips(
        draw_affine(torch.rand(6, 6), config, 24), torch.arange(6) % 2 == 0, torch.arange(6) % 3 == 0
    )
    maps = with_affine(draw_perspective(uniforms(6), 0.0, 0.5, 24, 30), affine)
    images = pictures(6)
    got = apply_perspective(images, maps, fill_mode=fill_mode, cval=0.2)
    wanted = apply_affine(images, affine, fill_mode=fill_mode, cval=0.2)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)


def test_the_image_is_moved_first_and_then_seen_in_perspective() -> None:
    affine = draw_affine(
        torch.rand(5, 6, generator=torch.Generator().manual_seed(1)), AugmentConfig(height_shift_range=4), 24
    )
    perspective = draw_perspective(uniforms(5), 1.0, 0.5, 24, 24)
    smooth = torch.nn.functional.interpolate(pictures(5, 4, 4), (24, 24), mode="bicubic")
    got = apply_perspective(smooth, with_affine(perspective, affine), fill_mode="nearest")
    moved = apply_affine(smooth, affine, fill_mode="nearest")
    wanted = apply_perspective(moved, perspective, fill_mode="nearest")
    # Whole pixels were moved: only what comes from outside differs.
    inner = (slice(None), slice(None), slice(9, 15), slice(9, 15))
    torch.testing.assert_close(got[inner], wanted[inner], rtol=0, atol=1e-6)


def test_a_map_that_is_seen_from_behind_gives_the_outside() -> None:
    behind = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0.5, 1]]).double()[None]
    got = apply_perspective(torch.ones(1, 1, 8, 32), behind, fill_mode="constant")
    assert torch.isfinite(got).all()
    assert (got[0, 0, :, :14] == 0).all()  # from column 2 left of the centre on the divisor is below 0
    assert (got[0, 0, 4, 15:] > 0.999).all()
