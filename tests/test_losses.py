"""photopic.training.losses: against torch's and torchvision's losses and Keras' published formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from photopic.augment.mix import Mix
from photopic.config import (
    BinaryCrossEntropy,
    CrossEntropy,
    FocalLoss,
    Loss,
    MeanSquaredError,
    PreprocessConfig,
    ScratchRecipe,
)
from photopic.training.losses import image_losses, right_answers, step_loss
from photopic.training.outcome import validation_of

LOSSES = [CrossEntropy(), FocalLoss(), FocalLoss(gamma=0.5), MeanSquaredError()]
WEIGHTS = torch.tensor([0.5, 1.0, 3.0, 0.0])


def recipe(loss: Loss | str = "cross-entropy", **changes: Any) -> ScratchRecipe:
    return ScratchRecipe(name="test", preprocess=PreprocessConfig(size=4), loss=loss, **changes)


def batch(n: int = 32, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, classes, generator=generator)
    return logits.requires_grad_(), torch.randint(0, classes, (n,), generator=generator)


def two_classes() -> tuple[Tensor, Tensor, Tensor]:
    """z (n,), logits [0, z] (n, 2), labels (n,)."""
    z = torch.linspace(-6, 6, 25).requires_grad_()
    labels = torch.arange(25) % 2
    return z, torch.stack([torch.zeros(25), z], 1), labels


# ---- each loss --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_that_of_one_sigmoid(smoothing: float) -> None:
    z, logits, labels = two_classes()
    ours = step_loss(recipe("binary-cross-entropy", label_smoothing=smoothing), logits, labels)
    # Keras smooths binary labels to y (1 − s) + s / 2
    targets = labels.float() * (1 - smoothing) + smoothing / 2
    theirs = functional.binary_cross_entropy_with_logits(z, targets)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    (our_slope,) = torch.autograd.grad(ours, z, retain_graph=True)
    (their_slope,) = torch.autograd.grad(theirs, z)
    torch.testing.assert_close(our_slope, their_slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_the_focal_loss_of_two_classes_is_torchvision_s(gamma: float, alpha: float | None) -> None:
    z, logits, labels = two_classes()
    ours = image_losses(FocalLoss(gamma=gamma, alpha=alpha), logits, labels)
    theirs = sigmoid_focal_loss(z, labels.float(), alpha=-1 if alpha is None else alpha, gamma=gamma)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_focal_loss_with_gamma_0_is_the_cross_entropy(smoothing: float) -> None:
    logits, labels = batch()
    theirs = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(image_losses(FocalLoss(gamma=0), logits, labels, smoothing), theirs)


def test_the_focal_loss_follows_keras_s_formula_with_smoothing() -> None:
    logits, labels = batch()
    probs = torch.softmax(logits.double(), 1)
    targets = functional.one_hot(labels, 4).double() * 0.9 + 0.1 / 4
    theirs = (targets * -torch.log(probs) * (1 - probs) ** 2).sum(1)
    ours = image_losses(FocalLoss(gamma=2), logits, labels, 0.1)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_the_focal_loss_of_a_sure_answer_has_a_finite_slope(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = step_loss(recipe(FocalLoss(gamma=gamma)), logits, torch.tensor([0, 0]))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert loss.item() == pytest.approx(100.0)


def test_mse_compares_softmax_with_one_hot() -> None:
    logits, labels = batch()
    probs, targets = torch.softmax(logits, 1), functional.one_hot(labels, 4).float()
    theirs = functional.mse_loss(probs, targets)
    assert step_loss(recipe("mse"), logits, labels).item() == pytest.approx(theirs.item(), rel=1e-6)


# ---- class weights and mixed images -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_class_weights_multiply_and_the_mean_is_over_images(loss: Loss) -> None:
    logits, labels = batch()
    ours = step_loss(recipe(loss), logits, labels, class_weights=WEIGHTS)
    single = [
        step_loss(recipe(loss), logits[i : i + 1], labels[i : i + 1]).item() for i in range(len(labels))
    ]
    expected = np.mean([WEIGHTS[label].item() * value for label, value in zip(labels, single, strict=True)])
    assert ours.item() == pytest.approx(expected, rel=1e-5)


def test_torch_s_weighted_mean_is_ours_divided_by_the_mean_weight() -> None:
    logits, labels = batch()
    theirs = functional.cross_entropy(logits, labels, weight=WEIGHTS)
    ours = step_loss(recipe(), logits, labels, class_weights=WEIGHTS) / WEIGHTS[labels].mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_a_mixed_image_has_the_cross_entropy_of_its_mixed_target() -> None:
    logits, labels = batch()
    mix = Mix(torch.arange(31, -1, -1), torch.linspace(0, 1, 32))
    one_hot = functional.one_hot(labels, 4).float()
    targets = mix.weight[:, None] * one_hot + (1 - mix.weight)[:, None] * one_hot.flip(0)
    theirs = functional.cross_entropy(logits, targets, label_smoothing=0.1)
    ours = step_loss(recipe(label_smoothing=0.1), logits, labels, mix)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_an_unmixed_mix_changes_nothing(loss: Loss) -> None:
    logits, labels = batch()
    mix = Mix(torch.arange(31, -1, -1), torch.ones(32))
    plain = step_loss(recipe(loss), logits, labels, class_weights=WEIGHTS)
    assert step_loss(recipe(loss), logits, labels, mix, WEIGHTS).item() == pytest.approx(plain.item())


def test_each_label_of_a_mixed_image_weighs_by_its_class() -> None:
    logits, labels = torch.zeros(2, 4), torch.tensor([2, 3])
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.25, 1.0]))
    ours = step_loss(recipe(), logits, labels, mix, WEIGHTS)  # 0.25 · 3 + 0.75 · 0, and 0
    assert ours.item() == pytest.approx(0.75 / 2 * np.log(4))


def test_right_answers_of_mixed_images_count_by_their_share() -> None:
    logits = torch.eye(4)[[0, 1, 2, 3]]
    labels = torch.tensor([0, 0, 0, 3])
    assert right_answers(logits, labels).item() == 2
    mix = Mix(torch.tensor([1, 1, 1, 0]), torch.tensor([0.5, 0.5, 0.5, 0.75]))
    assert right_answers(logits, labels, mix).item() == pytest.approx(1.75)


# ---- all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*LOSSES, BinaryCrossEntropy()], ids=lambda loss: loss.name)
def test_half_precision_logits_lose_nothing_in_the_loss(loss: Loss) -> None:
    _, logits, labels = two_classes()
    halves = logits.detach().bfloat16()
    assert image_losses(loss, halves, labels).dtype == torch.float32
    torch.testing.assert_close(
        image_losses(loss, halves, labels), image_losses(loss, halves.float(), labels), rtol=0, atol=0
    )


def test_the_plain_loss_is_the_fused_one_to_the_bit() -> None:
    logits, labels = batch()
    ours = step_loss(recipe(label_smoothing=0.1), logits, labels)
    assert torch.equal(ours, functional.cross_entropy(logits, labels, label_smoothing=0.1))


def test_validation_measures_the_same_loss_without_smoothing() -> None:
    logits, labels = batch()
    values, truth = logits.detach().numpy(), labels.numpy()
    for loss in LOSSES:
        measured = validation_of(values, truth, loss)
        assert measured.loss == pytest.approx(image_losses(loss, logits, labels).mean().item(), rel=1e-5)
        assert measured.accuracy == pytest.approx((values.argmax(1) == truth).mean())
    values[3, 1] = np.nan
    assert validation_of(values, truth, MeanSquaredError()).loss == float("inf")
