"""What a recipe asks of the weights beside a small loss: penalties on their size, and a largest length."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from photopic.config import Regularizer


@torch.no_grad()
def add_penalty_gradients(model: nn.Module, regularizer: Regularizer) -> None:
    """Add the gradient of l1 · Σ|w| + l2 · Σw², which is l1 · sign(w) + 2 · l2 · w, after `backward`.

    The sums run over kernels (two or more dimensions), or with `biases` over all that is trained. The
    gradient of |w| at 0 is taken as 0. Quicker than a penalty in the loss, and the same numbers.
    """
    weights: list[Tensor] = [
        weight
        for weight in model.parameters()
        if weight.requires_grad and (regularizer.biases or weight.ndim > 1)
    ]
    for weight in weights:
        if weight.grad is None:  # trained, but without a part in this batch's loss
            weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if regularizer.l2:
        torch._foreach_add_(gradients, weights, alpha=2 * regularizer.l2)
    if regularizer.l1:
        torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=regularizer.l1)


@torch.no_grad()
def limit_norms(modules: Iterable[nn.Module], max_norm: float) -> None:
    """Shorten each unit's incoming weights to an L2 norm of `max_norm` where they are longer.

    A unit is a row of a dense layer's (out, in) weight or a filter of a convolution's (out, in, h, w) one:
    Keras' MaxNorm with axis 0 and [0, 1, 2] of its transposed shapes (Srivastava 2014, section 5.1). Biases
    and layers that are not trained are left alone.
    """
    for module in modules:
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd) and module.weight.requires_grad:
            module.weight.renorm_(2, 0, max_norm)
