"""The layers of a layer list as torch modules; config/layers.py has their formulas.

All keep channels_last memory. N images, C channels, H × W pixels, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photopic.config.elements import Activation as ActivationConfig

Pair = tuple[int, int]


class Activation(nn.Module):
    """An activation by name. inplace: whether relu may overwrite its input, which saves memory traffic."""

    def __init__(self, config: ActivationConfig, *, inplace: bool = False) -> None:
        super().__init__()
        self.config = config
        self._function = _function(config, inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return self._function(x)

    def extra_repr(self) -> str:
        """Its name, in printed networks."""
        return self.config.name


def _function(config: ActivationConfig, inplace: bool) -> Callable[[Tensor], Tensor]:
    slope = 0.01 if config.slope is None else config.slope
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": lambda x: x,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu_ if inplace else torch.relu,
        "leaky-relu": lambda x: F.leaky_relu(x, slope),
        "elu": lambda x: F.elu(x, config.alpha or 1.0),
        "selu": torch.selu,
        "gelu": F.gelu,
        "silu": F.silu,
        "softmax": lambda x: x.softmax(1),
    }
    return functions[config.name]


class ActivityTerm(nn.Module):
    """Passes its input a on; in training it keeps (l1 Σ|a| + l2 Σa²) / N for the loss (as Keras does)."""

    def __init__(self, l1: float, l2: float) -> None:
        super().__init__()
        self.l1, self.l2 = l1, l2
        self.value: Tensor | None = None

    def forward(self, a: Tensor) -> Tensor:
        """(N, ...) -> the same."""
        self.value = None
        if self.training:
            numbers = a.float()  # half precision would overflow in the sum
            self.value = (self.l1 * numbers.abs().sum() + self.l2 * numbers.square().sum()) / len(a)
        return a

    def __getstate__(self) -> dict[str, Any]:
        """Without the last value: it belongs to a graph and cannot be copied."""
        return {**self.__dict__, "value": None}


class Conv(nn.Conv2d):
    """Convolution, activation and activity penalty. `same` padding is worked out for the size that comes."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: Pair,
        *,
        stride: Pair,
        padding: str | int,
        dilation: Pair,
        groups: int,
        bias: bool,
        activation: nn.Module | None,
        activity: nn.Module | None,
    ) -> None:
        pixels = 0 if isinstance(padding, str) else padding
        super().__init__(channels, filters, kernel, stride, pixels, dilation, groups, bias)
        self.same = padding == "same"
        self.activation = activation
        self.activity = activity

    def reset_parameters(self) -> None:
        """Nothing: the builder draws the weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, filters, H', W')."""
        padding = cast(Pair, self.padding)
        if self.same:
            spans = (
                self.dilation[0] * (self.kernel_size[0] - 1) + 1,
                self.dilation[1] * (self.kernel_size[1] - 1) + 1,
            )
            top, bottom, left, right = same_padding(x, spans, cast(Pair, self.stride))
            if top == bottom and left == right:
                padding = (top, left)
            else:
                x = F.pad(x, (left, right, top, bottom))
        y = F.conv2d(x, self.weight, self.bias, cast(Pair, self.stride), padding, self.dilation, self.groups)
        return _finish(y, self.activation, self.activity)


class Dense(nn.Linear):
    """Fully connected layer, activation and activity penalty."""

    def __init__(
        self, inputs: int, units: int, *, bias: bool, activation: nn.Module | None, activity: nn.Module | None
    ) -> None:
        super().__init__(inputs, units, bias)
        self.activation = activation
        self.activity = activity

    def reset_parameters(self) -> None:
        """Nothing: the builder draws the weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, units)."""
        return _finish(F.linear(x, self.weight, self.bias), self.activation, self.activity)


def _finish(y: Tensor, activation: nn.Module | None, activity: nn.Module | None) -> Tensor:
    if activation is not None:
        y = activation(y)
    return y if activity is None else activity(y)


def same_padding(x: Tensor, spans: Pair, strides: Pair) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) pixels for sides of N/S, rounded up; an odd one goes below or right."""
    pixels: list[int] = []
    for side, span, stride in zip(x.shape[2:], spans, strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + span - side, 0)
        pixels += [total // 2, total - total // 2]
    return pixels[0], pixels[1], pixels[2], pixels[3]


class Pool(nn.Module):
    """Maximum or mean of windows. Pixels outside the map never count, in a mean either."""

    def __init__(self, kind: str, size: Pair, stride: Pair, padding: str | int) -> None:
        super().__init__()
        self.kind, self.size, self.stride, self.padding = kind, size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        if self.padding != "same":
            pixels = 0 if isinstance(self.padding, str) else self.padding
            return self._pool(x, (pixels, pixels))
        top, bottom, left, right = same_padding(x, self.size, self.stride)
        if (top, left) == (bottom, right):
            return self._pool(x, (top, left))
        if self._ceil_fits(x, (top, left)):
            return self._pool(x, (top, left), ceil_mode=True)
        return self._pool_padded(x, (left, right, top, bottom))

    def _pool(self, x: Tensor, padding: Pair, *, ceil_mode: bool = False) -> Tensor:
        if self.kind == "max":
            return F.max_pool2d(x, self.size, self.stride, padding, ceil_mode=ceil_mode)
        return F.avg_pool2d(x, self.size, self.stride, padding, ceil_mode, count_include_pad=False)

    def _ceil_fits(self, x: Tensor, padding: Pair) -> bool:
        """Whether torch's windows that reach over the end (ceil_mode) are those of `same`; spares a copy."""
        for side, span, stride, before in zip(x.shape[2:], self.size, self.stride, padding, strict=True):
            count = -(-(side + 2 * before - span) // stride) + 1
            if count != -(-side // stride):
                return False
        return True

    def _pool_padded(self, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        if self.kind == "max":
            return F.max_pool2d(F.pad(x, padding, value=-torch.inf), self.size, self.stride)
        inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), padding)
        share = F.avg_pool2d(inside, self.size, self.stride)
        return F.avg_pool2d(F.pad(x, padding), self.size, self.stride) / share

    def extra_repr(self) -> str:
        """Its options, in printed networks."""
        return f"{self.kind}, size={self.size}, stride={self.stride}, padding={self.padding}"


class GlobalPool(nn.Module):
    """Mean or maximum over height and width."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return x.mean((2, 3)) if self.kind == "avg" else x.amax((2, 3))


class Residual(nn.Module):
    """activation(branch(x) + shortcut(x)); in training the branch drops out for a share of the images."""

    def __init__(
        self, branch: nn.Module, shortcut: nn.Module | None, drop_rate: float, activation: nn.Module | None
    ) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.drop_rate = drop_rate
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, ...)."""
        y = self.branch(x)
        if self.drop_rate and self.training:
            kept = 1 - self.drop_rate
            y = y * y.new_empty((len(y),) + (1,) * (y.ndim - 1)).bernoulli_(kept).div_(kept)
        y = y + (x if self.shortcut is None else self.shortcut(x))
        return y if self.activation is None else cast(Tensor, self.activation(y))


class Branches(nn.Sequential):
    """Each of its modules sees the same input; outputs are joined along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, sum of the branches' channels, H', W')."""
        return torch.cat([branch(x) for branch in self], 1)


class Dropout(nn.Dropout):
    """Zero with probability p, all else divided by 1 - p (Srivastava et al. 2014, JMLR 15).

    On a CPU torch's own draws one Bernoulli number after the other; uniform ones come in vectors, and forward
    and backward take less than half the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape; in evaluation mode x itself."""
        if not self.training or self.p in (0, 1) or x.device.type != "cpu":
            return super().forward(x)
        kept = torch.rand_like(x).ge_(self.p).div_(1 - self.p)
        return x * kept
