"""Initial values of weights and biases by name (config/elements.py has the formulas and sources).

The fans are Keras' and torch's: of a dense layer its inputs and outputs; of a convolution the area of its
kernel times input channels (of a group) and times filters.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from photopic.config.elements import Initializer

DEFAULT_SPREAD = 0.05
"""std and limit where none is given: Keras' RandomNormal and RandomUniform."""
CUT_SPREAD = 0.87962566103423978
"""Standard deviation of N(0, 1) cut at ±2; scipy.stats.truncnorm(-2, 2).std()."""


@torch.no_grad()
def fill(weight: Tensor, rule: Initializer) -> None:
    """Draw a weight or a bias anew from torch's current generator.

    weight: (out, in, ...) where the rule needs fans; constants suit any shape.
    """
    kind, _, shape = rule.name.partition("-")
    if rule.name in ("zeros", "ones", "constant"):
        weight.fill_({"zeros": 0.0, "ones": 1.0}.get(rule.name, rule.value or 0.0))
    elif rule.name == "normal":
        weight.normal_(0.0, rule.std or DEFAULT_SPREAD)
    elif rule.name == "truncated-normal":
        _truncated(weight, rule.std or DEFAULT_SPREAD)
    elif rule.name == "uniform":
        limit = rule.limit or DEFAULT_SPREAD
        weight.uniform_(-limit, limit)
    else:
        variance = _variance(weight, kind)
        if shape == "uniform":
            limit = sqrt(3 * variance)  # U(-a, a) has the variance a²/3
            weight.uniform_(-limit, limit)
        else:
            _truncated(weight, sqrt(variance) / CUT_SPREAD)


def fans(weight: Tensor) -> tuple[int, int]:
    """(n_in, n_out) of a weight (out, in, ...), or of a bias (n,), which has n of both."""
    if weight.ndim == 1:
        return len(weight), len(weight)
    area = weight[0, 0].numel()
    return weight.shape[1] * area, weight.shape[0] * area


def _variance(weight: Tensor, kind: str) -> float:
    n_in, n_out = fans(weight)
    return {"glorot": 2 / (n_in + n_out), "he": 2 / n_in, "lecun": 1 / n_in}[kind]


def _truncated(weight: Tensor, std: float) -> None:
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
