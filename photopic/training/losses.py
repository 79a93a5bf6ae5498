"""The loss of a step: per image, weighted by class, shared between mixed labels, averaged over the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from photopic.augment.mix import Mix
from photopic.config import (
    BinaryCrossEntropy,
    CrossEntropy,
    FocalLoss,
    GradientRecipe,
    Loss,
    MeanSquaredError,
)

_SMALLEST = 1e-12
"""Of 1 − p in the focal loss: at 0 its power has no finite slope when gamma is below 1."""


def step_loss(
    recipe: GradientRecipe,
    logits: Tensor,
    labels: Tensor,
    mix: Mix | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The number that a step makes smaller: Σ_i w(y_i) · L(logits_i, y_i) / B.

    logits: (B, K) of any floating type. labels: (B,) int64. class_weights: (K,) float32. The sum is divided
    by the number of images, as in Keras; torch's `weight=` divides by the sum of the weights. Mixed images
    have weight · w(y) · L(y) + (1 − weight) · w(y') · L(y'), y' the label of what was mixed in.
    """
    loss, smoothing = recipe.loss, recipe.label_smoothing
    if mix is None and class_weights is None and isinstance(loss, CrossEntropy | BinaryCrossEntropy):
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)  # one fused pass
    losses = _weighted(image_losses(loss, logits, labels, smoothing), labels, class_weights)
    if mix is not None:
        others = labels[mix.partners]
        theirs = _weighted(image_losses(loss, logits, others, smoothing), others, class_weights)
        losses = mix.weight * losses + (1 - mix.weight) * theirs
    return losses.mean()


def image_losses(loss: Loss, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """(B,) float32: the loss of each image. Smoothing gives each class label_smoothing / K of the target."""
    match loss:
        case CrossEntropy() | BinaryCrossEntropy():
            return functional.cross_entropy(
                logits.float(), labels, label_smoothing=label_smoothing, reduction="none"
            )
        case FocalLoss():
            return _focal(loss, logits.float(), labels, label_smoothing)
        case MeanSquaredError():
            targets = functional.one_hot(labels, logits.shape[1])
            return (logits.float().softmax(1) - targets).square().mean(1)


def right_answers(logits: Tensor, labels: Tensor, mix: Mix | None = None) -> Tensor:
    """How many of the batch are answered rightly, a number on the device.

    A mixed image counts `weight` for its own label and the rest for its partner's (as Zhang et al. 2018,
    arXiv:1710.09412, in their code).
    """
    answers = logits.detach().argmax(1)
    own = answers == labels
    if mix is None:
        return own.sum()
    return (mix.weight * own + (1 - mix.weight) * (answers == labels[mix.partners])).sum()


def _weighted(losses: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    return losses if class_weights is None else losses * class_weights[labels]


def _focal(loss: FocalLoss, logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    log_probs = logits.log_softmax(1)
    rest = (-torch.expm1(log_probs)).clamp_min(_SMALLEST)  # 1 − p, exact where p is nearly 1
    terms = -(rest**loss.gamma) * log_probs
    losses = (1 - label_smoothing) * terms.gather(1, labels[:, None])[:, 0]
    if label_smoothing:
        losses = losses + label_smoothing * terms.mean(1)
    if loss.alpha is None:
        return losses
    return losses * torch.where(labels == 1, loss.alpha, 1 - loss.alpha)
