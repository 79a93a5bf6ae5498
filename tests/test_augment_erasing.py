"""photopic.augment.erasing: cutout against slices, random erasing against torchvision's distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import RandomErasing

from photopic.augment.erasing import (
    ERASING_UNIFORMS,
    apply_cutout,
    apply_erasing,
    box_mask,
    draw_cutout,
    draw_erasing,
)


def pictures(n: int, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, 13, 18, generator=torch.Generator().manual_seed(n))


def uniforms(n: int, columns: int = ERASING_UNIFORMS) -> Tensor:
    return torch.rand(n, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", [1, 2, 5, 8, 30])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_cutout_fills_the_square_and_nothing_else(side: int, layout: torch.memory_format) -> None:
    images = pictures(9).contiguous(memory_format=layout)
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
    nobody = torch.zeros(0, 2, dtype=torch.int64)
    assert apply_cutout(images[:0], nobody, 2, colours[:0]).shape == (0, 3, 6, 6)


def test_every_pixel_is_as_likely_to_be_a_centre() -> None:
    centre = draw_cutout(uniforms(40000, 2), 8)
    counts = torch.bincount(centre[:, 0] * 8 + centre[:, 1], minlength=64)
    assert counts.min() > 500
    assert counts.max() < 750
    assert draw_cutout(torch.ones(1, 2), 8).tolist() == [[7, 7]]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_erasing_overwrites_the_box_with_a_colour_or_with_pixels(layout: torch.memory_format) -> None:
    images = pictures(4).contiguous(memory_format=layout)
    box = torch.tensor([[0, 0, 13, 18], [3, 4, 6, 5], [12, 17, 13, 18], [5, 5, 5, 9]])
    colour = torch.rand(4, 3)
    pixels = torch.rand(4, 3, 13, 18)
    for i, (top, left, bottom, right) in enumerate(box.tolist()):
        wanted = images[i].clone()
        wanted[:, top:bottom, left:right] = colour[i][:, None, None]
        assert torch.equal(apply_erasing(images, box, colour)[i], wanted)
        wanted[:, top:bottom, left:right] = pixels[i, :, top:bottom, left:right]
        assert torch.equal(apply_erasing(images, box, pixels)[i], wanted)
    assert torch.equal(images, pictures(4))


def test_boxes_have_the_distribution_of_torchvisions() -> None:
    n = 4000
    ours = draw_erasing(uniforms(n), 1.0, (0.02, 0.33), (0.3, 3.3), 32, 40).double().numpy()
    theirs_change, image = RandomErasing(p=1.0), torch.zeros(3, 32, 40)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        params = [theirs_change.make_params([image]) for _ in range(n)]
    theirs = np.array([[p["i"], p["j"], p["i"] + p["h"], p["j"] + p["w"]] for p in params], float)

    def measures(boxes: np.ndarray) -> list[np.ndarray]:
        heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        return [boxes[:, 0], boxes[:, 1], heights, widths, heights * widths, np.log(heights / widths)]

    for one, other in zip(measures(ours), measures(theirs), strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3


def test_boxes_lie_inside_and_come_with_their_probability() -> None:
    boxes = draw_erasing(uniforms(5000), 0.3, (0.02, 0.9), (0.3, 3.3), 20, 30)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([20, 30])).all()
    seen = box_mask(boxes, 20, 30).flatten(1).any(1)
    assert seen.float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_no_box_is_drawn_where_none_fits() -> None:
    boxes = draw_erasing(uniforms(50), 1.0, (0.99, 1.0), (1.0, 1.0), 8, 8)
    assert (boxes[:, 2:] == boxes[:, :2]).all()
