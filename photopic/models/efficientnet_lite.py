"""EfficientNet-Lite: mobile inverted residuals without squeeze-and-excitation, ReLU6 throughout.

Paper: Tan and Le 2019, arXiv:1905.11946; the lite variants: Google 2020, TensorFlow TPU repository,
`efficientnet/lite`. Written here, and not taken from timm, because importing timm takes longer than
training a head does; module names, padding and numbers are those of timm's `tf_efficientnet_lite0`, and a
test holds the two equal. Differences from the paper: the stem and the head keep their width at every scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

_BATCH_NORM_EPS = 1e-3  # TensorFlow's default, with which the weights were trained
_STEM_WIDTH = 32
FEATURES = 1280
"""Length of a feature vector, at every scale."""


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)

SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""Name to (width factor, depth factor)."""


class EfficientNetLite(nn.Module):
    """Images (N, 3, H, W), normalised, to pooled features (N, 1280)."""

    def __init__(self, name: str = "efficientnet_lite0") -> None:
        super().__init__()
        width_factor, depth_factor = SCALES[name]
        self.num_features = FEATURES
        self.conv_stem = SameConv(3, _STEM_WIDTH, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(_STEM_WIDTH, eps=_BATCH_NORM_EPS)
        self.blocks = nn.Sequential(*_stages(width_factor, depth_factor))
        self.conv_head = nn.Conv2d(_scaled_width(_STAGES[-1].width, width_factor), FEATURES, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(FEATURES, eps=_BATCH_NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self.bn1(self.conv_stem(images)))
        x = self.blocks(x)
        x = F.relu6(self.bn2(self.conv_head(x)))
        return x.mean((2, 3))


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: output side ceil(input / stride), an odd pad at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (self._pad(side) for side in x.shape[-2:])
        if height % 2 or width % 2:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
            return F.conv2d(x, self.weight, None, self.stride, 0, 1, self.groups)
        return F.conv2d(x, self.weight, None, self.stride, (height // 2, width // 2), 1, self.groups)

    def _pad(self, side: int) -> int:
        """Pixels to add to a side of this length, both ends together."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)


class DepthwiseSeparable(nn.Module):
    """Depthwise, then pointwise convolution: the first stage, which does not expand."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv(inputs, inputs, kernel, stride=stride, groups=inputs)
        self.bn1 = nn.BatchNorm2d(inputs, eps=_BATCH_NORM_EPS)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=_BATCH_NORM_EPS)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self.bn1(self.conv_dw(x)))
        y = self.bn2(self.conv_pw(y))
        return x + y if self.has_skip else y


class InvertedResidual(nn.Module):
    """Expand by a pointwise convolution, filter depthwise, project back."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.conv_pw = nn.Conv2d(inputs, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle, eps=_BATCH_NORM_EPS)
        self.conv_dw = SameConv(middle, middle, kernel, stride=stride, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle, eps=_BATCH_NORM_EPS)
        self.conv_pwl = nn.Conv2d(middle, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, eps=_BATCH_NORM_EPS)
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


def _stages(width_factor: float, depth_factor: float) -> Iterator[nn.Sequential]:
    inputs = _STEM_WIDTH
    for number, stage in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)  # lite keeps the depth of the first and last stage
        repeats = stage.repeats if ends else math.ceil(stage.repeats * depth_factor)
        outputs = _scaled_width(stage.width, width_factor)
        blocks: list[nn.Module] = []
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            if stage.expansion == 1:
                blocks.append(DepthwiseSeparable(inputs, outputs, stage.kernel, stride))
            else:
                blocks.append(InvertedResidual(inputs, outputs, stage.kernel, stride, stage.expansion))
            inputs = outputs
        yield nn.Sequential(*blocks)


def _scaled_width(width: int, factor: float) -> int:
    """The nearest multiple of 8 that is not more than 10 % below width × factor (Tan and Le 2019)."""
    exact = width * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded
