"""RandAugment and TrivialAugment: operations picked by chance from one menu, without a search.

RandAugment (Cubuk et al. 2019, arXiv:1909.13719): some operations one after the other, all of one strength.
TrivialAugment Wide (Müller and Hutter 2021, arXiv:2103.10158): one operation, of any strength.
Menus, ranges and the 31 strengths are those of torchvision's RandAugment and TrivialAugmentWide. Unlike
there, moves are bilinear and the outside is what fill_mode says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from photopic.augment.operations import apply_chosen

LARGEST_BIN = 30
"""Strengths are numbered 0..30."""
RAND_UNIFORMS, TRIVIAL_UNIFORMS = 2, 3
"""Columns of uniform numbers: operation and sign, of each of RandAugment's; of TrivialAugment a strength."""


@dataclass(frozen=True)
class Menu:
    """How strong operations are at the largest bin."""

    shear: float
    """Slope."""
    translate: float
    """Pixels, or a share of the side."""
    translate_by_side: bool
    rotation: float
    """Degrees."""
    factor: float
    """Distance from 1 of the factors of brightness, saturation, contrast and sharpness."""
    lost_bits: float
    """Of posterize."""


RAND_AUGMENT = Menu(0.3, 150 / 331, True, 30, 0.9, 4)
TRIVIAL_AUGMENT = Menu(0.99, 32, False, 135, 0.99, 6)

NAMES = (
    "identity",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
    "rotation",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
"""All operations of both menus; a choice is a place in here."""


def strength_of(menu: Menu, name: str, share: Tensor, sign: Tensor, side: int) -> Tensor:
    """(n,) share of the largest bin, 0..1, and sign, -1 or 1 -> (n,) strengths for operations.OPERATIONS."""
    if name in ("shear-x", "shear-y"):
        return sign * menu.shear * share
    if name in ("translate-x", "translate-y"):
        return sign * (menu.translate * (side if menu.translate_by_side else 1) * share).trunc()
    if name == "rotation":
        return sign * menu.rotation * share
    if name in ("brightness", "saturation", "contrast", "sharpness"):
        return 1 + sign * menu.factor * share
    if name == "posterize":
        return (8 - menu.lost_bits * share).round()
    if name == "solarize":
        return 255 * (1 - share)
    return torch.ones_like(share)


def draw_rand_augment(uniform: Tensor, ops: int, magnitude: int, side: int) -> tuple[Tensor, Tensor]:
    """(n, ops · RAND_UNIFORMS) uniform numbers -> choices (n, ops) int64, strengths (n, ops) float32."""
    u = uniform.double().view(len(uniform), ops, RAND_UNIFORMS)
    share = torch.full_like(u[:, :, 0], magnitude / LARGEST_BIN)
    return _draw(RAND_AUGMENT, u[:, :, 0], u[:, :, 1], share, side)


def draw_trivial_augment(uniform: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(n, TRIVIAL_UNIFORMS) uniform numbers -> choices (n, 1) int64, strengths (n, 1) float32."""
    u = uniform.double()[:, None]
    share = torch.floor(u[:, :, 2] * (LARGEST_BIN + 1)).clamp_(max=LARGEST_BIN) / LARGEST_BIN
    return _draw(TRIVIAL_AUGMENT, u[:, :, 0], u[:, :, 1], share, side)


def _draw(menu: Menu, which: Tensor, sign: Tensor, share: Tensor, side: int) -> tuple[Tensor, Tensor]:
    choice = torch.floor(which * len(NAMES)).long().clamp_(max=len(NAMES) - 1)
    sign = torch.where(sign < 0.5, -1.0, 1.0).double()
    strengths = torch.stack([strength_of(menu, name, share, sign, side) for name in NAMES])
    return choice, strengths.gather(0, choice[None])[0].float()


def apply_auto(
    images_01: Tensor, choice: Tensor, strength: Tensor, *, fill_mode: str = "nearest", cval: float = 0.0
) -> Tensor:
    """Change each image by its operations, choices and strengths (n, ops), one after the other."""
    for step in range(choice.shape[1]):
        images_01 = apply_chosen(
            NAMES, choice[:, step], images_01, strength[:, step], fill_mode=fill_mode, cval=cval
        )
    return images_01
