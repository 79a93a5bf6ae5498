"""photopic's own small convolutional network, for images of 28 to 64 pixels on a processor without a GPU.

After K. Jordan's airbench94 (arXiv:2404.00498), with free widths, depth and input size. Per block: 3x3
convolution, 2x2 max-pool at once (what follows is four times cheaper), batch norm, GELU, then the block's
other convolutions at the lower resolution. The widest layers stand last, where pixels are few.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photopic.config import FastModel
from photopic.errors import ConfigError
from photopic.models.layers import BatchNorm, Conv, Whitening


class Block(nn.Module):
    """Halves height and width: convolution, pool, norm, activation, then `depth - 1` further convolutions.

    With a depth of 3 or more the further convolutions stand on a residual branch.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * depth
        self.convs = nn.ModuleList(Conv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(out_channels) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H // 2, W // 2)."""
        first, *others = zip(self.convs, self.norms, strict=True)
        conv, norm = first
        x = F.gelu(norm(F.max_pool2d(conv(x), 2)))
        skip = x if len(others) > 1 else None
        for number, (conv, norm) in enumerate(others, start=1):
            x = norm(conv(x))
            if skip is not None and number == len(others):
                x = x + skip
            x = F.gelu(x)
        return x


class FastNet(nn.Module):
    """Whitening stem, blocks, the largest response per channel, a linear head.

    config: widths, depth and stem. channels: 1 or 3. size: side of the square input, pixels.
    Call `initialise` with training images before training. Raises ConfigError if the image is too small
    for the number of blocks.
    """

    def __init__(self, config: FastModel, channels: int, num_classes: int, size: int) -> None:
        super().__init__()
        stem_size = 2 if config.whitening else 0
        smallest = 2 ** len(config.widths) + max(stem_size - 1, 0)
        if size < smallest:
            raise ConfigError(
                f"model.widths has {len(config.widths)} blocks, which need images of {smallest} pixels or "
                f"more (preprocess.size={size}). Use fewer widths or larger images."
            )
        self.whitening = Whitening(channels) if config.whitening else None
        width = self.whitening.out_channels if self.whitening else channels
        blocks = []
        for out_channels in config.widths:
            blocks.append(Block(width, out_channels, config.depth))
            width = out_channels
        self.blocks = nn.ModuleList(blocks)
        self.dropout = config.dropout
        self.head = nn.Linear(width, num_classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float images (N, C, H, W) -> logits (N, num_classes)."""
        x = images
        if self.whitening is not None:
            x = F.gelu(self.whitening(x))
        for block in self.blocks:
            x = block(x)
        x = x.amax(dim=(2, 3))
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        logits: Tensor = self.head(x)
        return logits / x.shape[1]  # keeps logits small at the start, while the head's weights have std 1


def initialise(model: nn.Module, images: Tensor) -> None:
    """Set what a model takes from training images before the first step; nothing for most models.

    images: (N, C, H, W) float, normalised as in training.
    """
    if isinstance(model, FastNet) and model.whitening is not None:
        model.whitening.fit(images)
