"""Layers of the fast networks: a whitening stem, batch norm without scale, filters that start as identity.

The ideas come from the CIFAR-10 speed runs: D. Page, "How to train your ResNet" (2018-2019), T. Gunasekera,
hlb-CIFAR10 (2022-2023), K. Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv:2404.00498).
Shapes: N images, C channels, H x W pixels; tensors are float32 NCHW, best in channels_last memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Whitening(nn.Module):
    """Fixed first convolution that decorrelates patches of the training images (Jordan 2024, section 3.2).

    The filters are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue,
    and their negatives. Of the C * size**2 directions those of least variance are dropped until a multiple of
    4 is left, so that the number of output channels is one of 8, the width of a vector register; convolutions
    over 18 channels cost as much as over 24. At most the bias is trained. No padding:
    (N, C, H, W) -> (N, out_channels, (H - size) // stride + 1, ...).
    """

    weight: Tensor

    def __init__(self, channels: int, size: int = 2, stride: int = 1, *, bias: bool = True) -> None:
        super().__init__()
        self.stride = stride
        patch = channels * size * size
        kept = patch // 4 * 4
        self.out_channels = 2 * kept
        basis = torch.eye(patch)[:kept].view(kept, channels, size, size)
        self.register_buffer("weight", torch.cat([basis, -basis]))
        self.bias = nn.Parameter(torch.zeros(self.out_channels)) if bias else None

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], eps: float = 5e-4) -> None:
        """Take the filters from images, normalised as in training; 2,000 of them are plenty.

        batches: of (N, C, H, W), at least one; some dozen images each, for their patches take size**2 times
        the memory in double precision. eps: added to the eigenvalues, so that directions without variance
        are not blown up.
        """
        _, channels, size, _ = self.weight.shape
        patch = channels * size * size
        products, count = torch.zeros(patch, patch, dtype=torch.float64), 0
        for images in batches:
            patches = F.unfold(images.float(), size, stride=self.stride)  # (N, patch, places)
            flat = patches.transpose(1, 2).reshape(-1, patch).double()
            products += flat.T @ flat
            count += len(flat)
        values, vectors = torch.linalg.eigh(products / count)
        values, vectors = values.flip(0), _fix_signs(vectors.flip(1))  # largest variance first
        whitened = (vectors / (values.clamp(min=0) + eps).sqrt()).T.reshape(-1, channels, size, size)
        filters = whitened[: self.out_channels // 2]
        self.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        """Filter responses.

        The bias is added apart: as an argument of conv2d, its gradient would cost that of the filters too.
        """
        responses = F.conv2d(images, self.weight, stride=self.stride)
        return responses if self.bias is None else responses + self.bias.view(1, -1, 1, 1)


def _fix_signs(vectors: Tensor) -> Tensor:
    """Columns with their largest entry positive, because eigenvectors are defined up to their sign."""
    largest = vectors.abs().argmax(dim=0, keepdim=True)
    return vectors * vectors.gather(0, largest).sign()


class BatchNorm(nn.Module):
    """Batch normalisation without scale: (x - mean) / std + bias (Ioffe and Szegedy 2015, arXiv:1502.03167).

    The next layer can learn the scale, and the bias may learn fast. `momentum` is the weight of the newest
    batch in the running statistics, larger than usual because trainings are short.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.4, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, normalised per channel."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, None, self.bias, self.training, self.momentum, self.eps
        )


class Conv(nn.Conv2d):
    """3x3 convolution with padding and without bias whose first filters pass their input through.

    The identity start acts like a residual connection at no cost (Jordan 2024, section 3.3).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, bias=False)

    def reset_parameters(self) -> None:
        """Kaiming-uniform filters, the first `in_channels` of them replaced by the identity."""
        super().reset_parameters()
        with torch.no_grad():
            nn.init.dirac_(self.weight[: self.in_channels])
