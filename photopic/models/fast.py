"""photopic's own small convolutional network, for images of 28 to 64 pixels on a processor without a GPU.

After K. Jordan's airbench94 (arXiv:2404.00498), with free widths, depths and input size. Per block: 3x3
convolution, 2x2 max-pool at once (what follows is four times cheaper), batch norm, activation, then the
block's other convolutions at the lower resolution. The widest layers stand last, where pixels are few.
docs/design/fast-networks.md tells what was measured and what was rejected.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photopic.config import FastModel
from photopic.errors import ConfigError
from photopic.models.building_blocks import Dropout
from photopic.models.layers import BatchNorm, Conv, Whitening
from photopic.models.two_classes import TwoClassLogits


class Activation(nn.Module):
    """GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) or ReLU; ReLU overwrites its input."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.gelu(x) if self.name == "gelu" else F.relu(x, inplace=True)


class Block(nn.Module):
    """Halves height and width: convolution, pool, norm, activation, then `depth - 1` further convolutions.

    With config.residual, what stands after the first activation is added before the last one (depth >= 3).
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int, config: FastModel) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * depth
        self.convs = nn.ModuleList(Conv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(out_channels) for _ in range(depth))
        self.activation = Activation(config.activation)
        self.residual = config.residual and depth >= 3

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H // 2, W // 2)."""
        x = self.activation(self.norms[0](F.max_pool2d(self.convs[0](x), 2)))
        skip = x
        for conv, norm in zip(self.convs[1:-1], self.norms[1:-1], strict=True):
            x = self.activation(norm(conv(x)))
        if len(self.convs) == 1:
            return x
        x = self.norms[-1](self.convs[-1](x))
        last: Tensor = self.activation(x + skip if self.residual else x)
        return last


class FastNet(nn.Module):
    """Whitening stem, blocks, the largest response per channel, a linear head.

    config: widths, depths and stem. channels: 1 or 3. size: side of the square input, pixels.
    Call `initialise` with training images before training. Raises ConfigError if the image is too small
    for the number of blocks.
    """

    def __init__(self, config: FastModel, channels: int, num_classes: int, size: int) -> None:
        super().__init__()
        self.whitening = self._stem(config, channels)
        width = self.whitening.out_channels if self.whitening else channels
        side = (size - config.whitening_size) // config.whitening_stride + 1 if self.whitening else size
        if side < 2 ** len(config.widths):
            raise ConfigError(
                f"model.widths has {len(config.widths)} blocks, which halve {side} pixels too often "
                f"(preprocess.size={size}). Use fewer widths or larger images."
            )
        self.activation = Activation(config.activation)
        blocks = []
        for out_channels, depth in zip(config.widths, config.depths, strict=True):
            blocks.append(Block(width, out_channels, depth, config))
            width = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.dropout = Dropout(config.dropout)
        self.num_features = width
        self.head: nn.Linear | None = nn.Linear(width, num_classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    @staticmethod
    def _stem(config: FastModel, channels: int) -> Whitening | None:
        if not config.whitening:
            return None
        size, stride = config.whitening_size, config.whitening_stride
        return Whitening(channels, size, stride, bias=config.whitening_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float images (N, C, H, W) -> logits (N, num_classes); features (N, D) without a head."""
        x = images if self.whitening is None else self.activation(self.whitening(images))
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.dropout(x.amax(dim=(2, 3)))
        if self.head is None:
            return features
        logits: Tensor = self.head(features)
        return (
            logits / self.num_features
        )  # keeps logits small at the start, while the head's weights have std 1


def initialise(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set what a model takes from training images before the first step; nothing for most models.

    batches: of (N, C, H, W) float, normalised as in training, together a mixture of all classes; of a model
    that takes nothing, not one is asked for.
    """
    model = model.network if isinstance(model, TwoClassLogits) else model
    if isinstance(model, FastNet) and model.whitening is not None:
        model.whitening.fit(batches)
