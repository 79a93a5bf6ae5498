"""photopic.augment.mix: the formulas of mixup and CutMix, partners, and where the randomness comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from photopic.augment.mix import (
    Mixer,
    apply_cutmix,
    apply_mixup,
    choose_partners,
    draw_beta,
    draw_paste,
    own_share,
)
from photopic.config import AugmentConfig

MIXUP, CUTMIX = AugmentConfig(mixup=0.4), AugmentConfig(cutmix=1.0)
BOTH = AugmentConfig(mixup=0.4, cutmix=1.0)
every_config = pytest.mark.parametrize("config", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])


def pictures(n: int, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, 12, 12, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mixup_is_the_weighted_sum_of_both(layout: torch.memory_format) -> None:
    images = pictures(4).contiguous(memory_format=layout)
    before, weight, partners = images.clone(), torch.tensor([1.0, 0.7, 0.5, 0.0]), torch.tensor([1, 2, 3, 0])
    got = apply_mixup(images, partners, weight)
    share = weight[:, None, None, None]
    torch.testing.assert_close(got, share * before + (1 - share) * before[partners])
    assert torch.equal(images, before)
    assert got.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_cutmix_pastes_the_partners_pixels_into_the_box(layout: torch.memory_format) -> None:
    images = pictures(3).contiguous(memory_format=layout)
    before, partners = images.clone(), torch.tensor([2, 0, 1])
    box = torch.tensor([[0, 0, 12, 12], [3, 4, 3, 9], [2, 5, 8, 12]])
    got = apply_cutmix(images, partners, box)
    wanted = before.clone()
    for i, (top, left, bottom, right) in enumerate(box.tolist()):
        wanted[i, :, top:bottom, left:right] = before[partners[i], :, top:bottom, left:right]
    assert torch.equal(got, wanted)
    assert torch.equal(images, before)
    assert got.is_contiguous(memory_format=layout)


def test_the_weight_of_cutmix_is_the_share_of_the_image_that_is_still_seen() -> None:
    mixer = Mixer(CUTMIX, 12)
    draw, rows = mixer.draw(300, 1, 2), torch.arange(300)
    marks = torch.arange(300.0)[:, None, None, None].expand(300, 1, 12, 12)
    mixed, mix = mixer.apply(marks, draw, rows)
    own = (mixed == marks).float().mean((1, 2, 3))
    torch.testing.assert_close(mix.weight, own)
    others = marks[mix.partners].expand_as(mixed)
    assert ((mixed == marks) | (mixed == others)).all()


def test_the_mixed_loss_is_the_loss_of_the_mixed_label() -> None:
    """weight · L(y) + (1 − weight) · L(partner's y) is the cross-entropy with the blended one-hot label."""
    mixer, logits = Mixer(MIXUP, 12), torch.randn(20, 5)
    labels = torch.arange(20) % 5
    _, mix = mixer.apply(pictures(20), mixer.draw(20, 0, 0), torch.arange(20))
    loss = torch.nn.functional.cross_entropy
    got = mix.weight * loss(logits, labels, reduction="none") + (1 - mix.weight) * loss(
        logits, labels[mix.partners], reduction="none"
    )
    one_hot = torch.eye(5)[labels]
    blended = mix.weight[:, None] * one_hot + (1 - mix.weight[:, None]) * one_hot[mix.partners]
    torch.testing.assert_close(got, loss(logits, blended, reduction="none"))


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 4.0])
def test_weights_have_the_beta_distribution(alpha: float) -> None:
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(1))
    weights = draw_beta(uniform, alpha).numpy()
    assert stats.kstest(weights, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_pasted_boxes_follow_the_paper() -> None:
    """Sides √(1 − λ) of the image's, centre uniform, cut off at the border."""
    uniform = torch.rand(5000, 2, generator=torch.Generator().manual_seed(2))
    area = torch.full((5000,), 0.25)
    box = draw_paste(uniform, area, 32, 48)
    first, end = box[:, :2], box[:, 2:]
    assert (first >= 0).all()
    assert (end <= torch.tensor([32, 48])).all()
    sides = torch.tensor([16, 24])
    inside = ((first > 0) & (end < torch.tensor([32, 48]))).all(1)
    assert ((end - first)[inside] == sides).all()
    assert 0.2 < inside.float().mean() < 0.3  # (1 − ½)²
    centre = (uniform.double() * torch.tensor([32, 48])).floor()
    assert torch.equal(first, (centre - sides / 2).clamp(min=0).long())
    assert draw_paste(uniform, torch.ones(5000), 32, 48).max() <= 48
    assert (own_share(draw_paste(uniform, torch.zeros(5000), 32, 48), 32, 48) == 1).all()


def test_no_image_is_its_own_partner_and_each_is_partner_once() -> None:
    for b in (2, 3, 50):
        partners = choose_partners(torch.rand(b, generator=torch.Generator().manual_seed(b)))
        assert sorted(partners.tolist()) == list(range(b))
        assert (partners != torch.arange(b)).all()
    assert choose_partners(torch.rand(1)).tolist() == [0]


@every_config
def test_mixing_depends_on_seed_epoch_and_the_rows_of_the_batch_alone(config: AugmentConfig) -> None:
    mixer, images = Mixer(config, 12), pictures(40)
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:17]
    got, mix = mixer.apply(images[rows], mixer.draw(40, 3, 4), rows)
    again, _ = Mixer(config, 12).apply(images[rows], mixer.draw(100, 3, 4), rows)
    assert torch.equal(got, again)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(1))
    turned, other = mixer.apply(images[rows[order]], mixer.draw(40, 3, 4), rows[order])
    assert torch.equal(turned, got[order])
    assert torch.equal(other.weight, mix.weight[order])
    assert torch.equal(order[other.partners], mix.partners[order])
    for seed, epoch in ((3, 5), (4, 4)):
        different, _ = mixer.apply(images[rows], mixer.draw(40, seed, epoch), rows)
        assert not torch.equal(got, different)


def test_with_both_each_batch_has_one_of_them_and_each_half_of_the_batches() -> None:
    mixer = Mixer(BOTH, 12)
    images = torch.ones(1, 1, 12, 12) * torch.arange(10.0)[:, None, None, None]
    pasted = []
    for epoch in range(400):
        mixed, mix = mixer.apply(images, mixer.draw(10, 0, epoch), torch.arange(10))
        whole = torch.isin(mixed, torch.arange(10.0)).flatten(1).all(1)  # blends are no whole numbers
        pasted.append(bool(whole.all()))
        if not pasted[-1]:
            blend = mix.weight * torch.arange(10.0) + (1 - mix.weight) * mix.partners
            torch.testing.assert_close(mixed[:, 0, 0, 0], blend)
    assert np.mean(pasted) == pytest.approx(0.5, abs=0.08)


@every_config
def test_batches_of_zero_and_one_work(config: AugmentConfig) -> None:
    mixer, images = Mixer(config, 12), pictures(3)
    draw = mixer.draw(3, 0, 0)
    mixed, mix = mixer.apply(images[:0], draw, torch.arange(0))
    assert mixed.shape == (0, 3, 12, 12)
    assert len(mix.partners) == len(mix.weight) == 0
    mixed, mix = mixer.apply(images[:1], draw, torch.arange(1))
    torch.testing.assert_close(mixed, images[:1])
    assert mix.partners.tolist() == [0]
    assert mix.weight.dtype == torch.float32


def test_partners_have_nothing_to_do_with_the_order_of_the_rows() -> None:
    draw = Mixer(MIXUP, 12).draw(5000, 0, 0)
    distance = (choose_partners(draw.order) - torch.arange(5000)).abs().numpy()
    assert np.mean(distance) == pytest.approx(5000 / 3, rel=0.05)
    assert abs(np.corrcoef(draw.order, draw.weight)[0, 1]) < 0.05
