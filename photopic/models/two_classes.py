"""One output for two classes: the form of the network that binary cross-entropy is written for."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwoClassLogits(nn.Module):
    """Turns a network's single output z into the logits [0, z] of two classes.

    Their softmax is [1 − σ(z), σ(z)], so whatever reads logits of K classes needs to know nothing of it, and
    their cross-entropy is the binary one of σ(z).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, 2)."""
        z: Tensor = self.network(images)
        return torch.cat([torch.zeros_like(z), z], 1)
