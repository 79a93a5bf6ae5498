"""photopic.augment.auto against torchvision's RandAugment and TrivialAugmentWide: menus and pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment, TrivialAugmentWide

from photopic.augment.auto import (
    NAMES,
    RAND_AUGMENT,
    TRIVIAL_AUGMENT,
    TRIVIAL_UNIFORMS,
    Menu,
    apply_auto,
    draw_rand_augment,
    draw_trivial_augment,
    strength_of,
)
from photopic.augment.operations import apply_operation

THEIR_NAMES = {
    "identity": "Identity",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateX",
    "translate-y": "TranslateY",
    "rotation": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
}
MENUS = [(RAND_AUGMENT, RandAugment), (TRIVIAL_AUGMENT, TrivialAugmentWide)]
FACTORS = ("brightness", "saturation", "contrast", "sharpness")
every_menu = pytest.mark.parametrize(("menu", "theirs"), MENUS, ids=["rand", "trivial"])


def pictures_u8(n: int, size: int = 40) -> Tensor:
    """Smooth blobs: bilinear and whole levels then differ little."""
    small = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(n))
    images = torch.nn.functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    return (images * 255).round().to(torch.uint8)


def their_table(theirs: type, name: str, size: int) -> tuple[Tensor | None, bool]:
    magnitudes, signed = theirs._AUGMENTATION_SPACE[THEIR_NAMES[name]]
    return magnitudes(31, size, size), signed


def to_theirs(name: str, strength: Tensor) -> Tensor:
    """Our strength as torchvision's magnitude."""
    if name in FACTORS:
        return strength - 1
    return strength / 255 if name == "solarize" else strength


@every_menu
@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("name", NAMES)
def test_strengths_are_torchvisions(menu: Menu, theirs: type, size: int, name: str) -> None:
    wanted, signed = their_table(theirs, name, size)
    share = torch.arange(31).double() / 30
    plus = to_theirs(name, strength_of(menu, name, share, torch.ones(31).double(), size))
    minus = to_theirs(name, strength_of(menu, name, share, -torch.ones(31).double(), size))
    if wanted is None:
        return
    wanted = wanted.double()
    if name.startswith("translate"):
        wanted = (wanted + 1e-4).trunc()  # theirs is cut off when applied; its 16 is 15.999999 in float32
    torch.testing.assert_close(plus, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(minus, -wanted if signed else wanted, rtol=0, atol=1e-6)


def test_both_menus_are_torchvisions() -> None:
    for theirs in (RandAugment, TrivialAugmentWide):
        assert {THEIR_NAMES[name] for name in NAMES} == set(theirs._AUGMENTATION_SPACE)


@every_menu
@pytest.mark.parametrize("bin_number", [0, 6, 17, 30])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_torchvisions(menu: Menu, theirs: type, bin_number: int, sign: float, name: str) -> None:
    images_u8 = pictures_u8(3)
    share, signs = torch.full((3,), bin_number / 30).double(), torch.full((3,), sign).double()
    strength = strength_of(menu, name, share, signs, 40)
    magnitude = float(to_theirs(name, strength)[0])
    change = theirs(interpolation=InterpolationMode.BILINEAR)._apply_image_or_video_transform
    options = {"interpolation": InterpolationMode.BILINEAR, "fill": {}}
    wanted = change(images_u8, THEIR_NAMES[name], magnitude, **options).float()
    if name == "identity":
        got = images_u8.float()
    else:
        got = apply_operation(name, images_u8 / 255, strength, fill_mode="constant") * 255
    # torchvision blends the border with the outside, and rounds: up to two levels where all is covered.
    covered = change(torch.ones(3, 3, 40, 40), THEIR_NAMES[name], magnitude, **options) > 0.9999
    compared = covered if name.startswith(("shear", "trans", "rot")) else torch.ones_like(covered)
    assert compared.float().mean() > 0.01
    assert (got - wanted)[compared].abs().max() < (1.02 if name not in FACTORS else 2.1)


def test_operations_signs_and_strengths_are_drawn_evenly() -> None:
    uniform = torch.rand(60000, TRIVIAL_UNIFORMS, generator=torch.Generator().manual_seed(0))
    choice, strength = draw_trivial_augment(uniform, 32)
    assert choice.shape == strength.shape == (60000, 1)
    counts = torch.bincount(choice[:, 0], minlength=14) / 60000
    torch.testing.assert_close(counts, torch.full((14,), 1 / 14), rtol=0, atol=0.005)
    turns = strength[choice[:, 0] == NAMES.index("rotation"), 0]
    assert (turns < 0).float().mean().item() == pytest.approx(0.5 * 30 / 31, abs=0.03)
    values, counts = turns.abs().round(decimals=2).unique(return_counts=True)
    torch.testing.assert_close(values, torch.arange(31) * 4.5)
    assert (counts / len(turns) - 1 / 31).abs().max() < 0.01


def test_rand_augment_draws_as_many_operations_as_asked_all_of_one_strength() -> None:
    uniform = torch.rand(3000, 6, generator=torch.Generator().manual_seed(1))
    choice, strength = draw_rand_augment(uniform, 3, 9, 64)
    assert choice.shape == strength.shape == (3000, 3)
    assert len(choice.unique()) == 14
    assert strength[choice == NAMES.index("rotation")].abs().unique().tolist() == [9.0]
    assert strength[choice == NAMES.index("solarize")].unique().tolist() == pytest.approx([178.5])
    assert strength[choice == NAMES.index("translate-x")].abs().unique().tolist() == [8]  # 8.7 cut off


def test_operations_come_one_after_the_other() -> None:
    images = pictures_u8(2) / 255
    choice = torch.tensor([[NAMES.index("solarize"), NAMES.index("rotation")]]).repeat(2, 1)
    strength = torch.tensor([[100.0, 20], [50, -70]])
    got = apply_auto(images, choice, strength, fill_mode="reflect")
    first = apply_operation("solarize", images, strength[:, 0])
    torch.testing.assert_close(got, apply_operation("rotation", first, strength[:, 1], fill_mode="reflect"))
