"""Mixes the images of a batch in pairs, and their labels with them: mixup and CutMix.

mixup (Zhang 2017, arXiv:1710.09412): λ·image + (1 − λ)·partner, λ from Beta(alpha, alpha).
CutMix (Yun 2019, arXiv:1905.04899): a rectangle of the partner, 1 − λ of the area before its parts outside of
the image are cut off, is pasted into the image; the weights of the labels are the areas that are seen.

Partners depend on (seed, epoch, the rows of the batch) alone. So a resumed training sees the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from photopic.augment.erasing import box_mask
from photopic.config import AugmentConfig
from photopic.runtime import generator, to_device

_UNIFORMS = 6  # order, which of both, weights of mixup and CutMix, centre of the rectangle (two)


@dataclass(frozen=True)
class Mix:
    """How the images of a batch were mixed with others of it, for the loss.

    An image's loss is weight · L(its own label) + (1 − weight) · L(its partner's label).
    """

    partners: Tensor
    """(b,) int64: the place in this batch of the image that was mixed in."""
    weight: Tensor
    """(b,) float32, 0..1: share of the image itself."""


@dataclass(frozen=True)
class MixDraw:
    """What the mixing of an epoch needs, for each of n rows; on the CPU."""

    order: Tensor
    """(n,) float: the images of a batch, sorted by it, have the one before them as partner."""
    choice: Tensor
    """(n,) float in 0..1: that of the first image in this order chooses between mixup and CutMix."""
    weight: Tensor
    """(n,) float32: λ of mixup."""
    box: Tensor
    """(n, 4) int64: CutMix's rectangle, inside the image: first row, first column, ends."""


class Mixer:
    """mixup, CutMix, or in each batch one of both, each as likely."""

    def __init__(self, config: AugmentConfig, size: int) -> None:
        """config: with `mixup` or `cutmix` above 0. size: side of the square images, pixels."""
        self.config = config
        self.size = size

    def draw(self, n: int, seed: int, epoch: int) -> MixDraw:
        """For rows 0..n-1 of the training set in this epoch."""
        u = torch.rand(n, _UNIFORMS, generator=generator(seed, "augment", epoch, "mix"))
        area = 1 - draw_beta(u[:, 3], self.config.cutmix)
        return MixDraw(
            order=u[:, 0],
            choice=u[:, 1],
            weight=draw_beta(u[:, 2], self.config.mixup).float(),
            box=draw_paste(u[:, 4:6], area, self.size, self.size),
        )

    def apply(self, images: Tensor, draw: MixDraw, rows: Tensor) -> tuple[Tensor, Mix]:
        """Mixed images (b, c, h, w) and how. rows: (b,) int64, the row of each image."""
        rows = rows.cpu()
        partners = choose_partners(draw.order[rows])
        if self._pastes(draw, rows):
            box = draw.box[rows]
            mix = _on(Mix(partners, own_share(box, *images.shape[2:])), images.device)
            return apply_cutmix(images, mix.partners, to_device(box, images.device)), mix
        mix = _on(Mix(partners, draw.weight[rows]), images.device)
        return apply_mixup(images, mix.partners, mix.weight), mix

    def _pastes(self, draw: MixDraw, rows: Tensor) -> bool:
        """Whether this batch has CutMix."""
        if len(rows) == 0 or not (self.config.mixup and self.config.cutmix):
            return self.config.cutmix > 0
        return bool(draw.choice[rows[draw.order[rows].argmin()]] < 0.5)


# ---- draw ------------------------------------------------------------------------------------------------


def draw_beta(uniform: Tensor, alpha: float) -> Tensor:
    """(n,) uniform numbers in 0..1 -> (n,) numbers with the distribution Beta(alpha, alpha), float64.

    By the inverse of its distribution function: each number depends on its own uniform alone. alpha 0: ones.
    """
    if alpha == 0:
        return torch.ones(len(uniform), dtype=torch.float64)
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, uniform.double().numpy()))


def draw_paste(uniform: Tensor, area: Tensor, height: int, width: int) -> Tensor:
    """(n, 2) uniform numbers, (n,) shares of the area -> (n, 4) int64 boxes, cut off at the image's border.

    Centres are uniform over the pixels, sides are √area of the image's, in whole pixels to both sides.
    """
    sides = torch.tensor([height, width])
    centre = torch.floor(uniform.double() * sides)
    half = torch.floor(area.double().clamp(0, 1).sqrt()[:, None] * sides / 2)
    first, end = (centre - half).clamp_(min=0), torch.minimum(centre + half, sides)
    return torch.cat([first, end], 1).long()


def choose_partners(order: Tensor) -> Tensor:
    """(b,) numbers -> (b,) int64: for each place the place of the next smaller number; for the smallest, of
    the largest. No image is its own partner in a batch of two or more, and each is partner once."""
    places = order.argsort(stable=True)
    partners = torch.empty_like(places)
    partners[places] = places.roll(1)
    return partners


def own_share(box: Tensor, height: int, width: int) -> Tensor:
    """(n, 4) boxes inside the image -> (n,) float32: the share of the area outside the box."""
    pasted = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    return 1 - pasted.float() / (height * width)


# ---- apply -----------------------------------------------------------------------------------------------


def apply_mixup(images: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """weight · image + (1 − weight) · its partner; weight: (b,). A new tensor of the same memory format."""
    share = weight.to(images.device, images.dtype)[:, None, None, None]
    return torch.lerp(images[partners.to(images.device)], images, share, out=torch.empty_like(images))


def apply_cutmix(images: Tensor, partners: Tensor, box: Tensor) -> Tensor:
    """Each image with the partner's pixels inside its box (b, 4). A new tensor of the same memory format."""
    inside = box_mask(box.to(images.device), *images.shape[2:])
    out = torch.empty_like(images)
    return torch.where(inside, images[partners.to(images.device)], images, out=out)


def _on(mix: Mix, device: torch.device) -> Mix:
    return Mix(to_device(mix.partners, device), to_device(mix.weight, device))
