"""The same function, rewritten for inference on a CPU.

Three steps, each exact up to rounding:

1. *Fold.* In evaluation mode a batch norm is an affine map per channel; it goes into the convolution before
   it. ReLU6 and the residual addition become part of the convolution's own loop (oneDNN), so no activation is
   read and written a second time. Weights are laid out for the processor once.
2. *Turn.* TensorFlow's SAME padding puts the odd pixel of a strided convolution at the end, which no
   convolution of torch can do without copying its input into a padded one. On an image turned by 180 degrees
   the odd pixel stands at the beginning, where a plain symmetric padding has it, and the last, unused row of
   padding at the end is never read. So image and kernels are turned; the pooled features are the same.
3. *Spread.* Depthwise convolutions gain little from a second thread, and large batches fall out of the cache.
   So each core runs parts of a few images alone, with one thread. This helps every network.

Measured with EfficientNet-Lite0 at 224 px: docs/design/inference.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from math import ceil
from threading import Barrier

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photopic.models.backbones import BackboneClassifier
from photopic.models.efficientnet_lite import DepthwiseSeparable, EfficientNetLite, InvertedResidual

Forward = Callable[[Tensor], Tensor]

_PART_PIXELS = 4 * 224 * 224
"""Input pixels of one core's part: the largest activation of Lite0 is then 19 MB, within a shared cache."""


def for_inference(model: nn.Module, device: torch.device | None = None) -> Forward:
    """A function equal to the model in evaluation mode, as fast as we know how to make it on this device.

    The weights are those of now: changes of the model afterwards are not seen. The function takes images
    (N, C, H, W) normalised and gives float32 on the same device, without gradients.
    """
    device = device or next(model.parameters()).device
    if device.type != "cpu":
        return _evaluating(model.to(memory_format=torch.channels_last))
    threads = torch.get_num_threads()
    return Spread(_folded(model) or _evaluating(model), threads)


def _folded(model: nn.Module) -> Forward | None:
    if isinstance(model, EfficientNetLite):
        return FoldedLite(model)
    if isinstance(model, BackboneClassifier) and isinstance(model.backbone, EfficientNetLite):
        features = FoldedLite(model.backbone)
        weight, bias = model.head.weight.detach().clone(), model.head.bias.detach().clone()
        hidden = nn.Identity() if model.hidden is None else deepcopy(model.hidden)
        hidden.eval()
        return lambda images: model.as_logits(F.linear(hidden(features(images)), weight, bias))
    return None


def _evaluating(model: nn.Module) -> Forward:
    def forward(images: Tensor) -> Tensor:
        assert not model.training, "call model.eval() before inference"
        output: Tensor = model(images)
        return output

    model.eval()
    return forward


# ---- spread -------------------------------------------------------------------------------------------


class Spread:
    """Runs a function on a few images at a time, on all cores."""

    def __init__(self, forward: Forward, threads: int) -> None:
        self._forward = forward
        self._threads = threads

    def __call__(self, images: Tensor) -> Tensor:
        """(N, ...) to (N, ...), N ≥ 0."""
        with torch.inference_mode():
            count = self._parts(images)
            if count == 1:
                return self._forward(images)
            parts = images.tensor_split(count)
            if self._threads == 1:
                return torch.cat([self._forward(part) for part in parts])
            return torch.cat(list(_workers(self._threads, os.getpid()).map(self._run, parts)))

    def _parts(self, images: Tensor) -> int:
        """Equal parts, small enough for the cache and as many as keep all cores busy to the end."""
        pixels = max(1, images.shape[-1] * images.shape[-2])
        largest = max(1, _PART_PIXELS // pixels)
        if len(images) <= max(1, largest // 4):
            return 1
        rounds = ceil(len(images) / (largest * self._threads))
        return min(len(images), rounds * self._threads)

    def _run(self, part: Tensor) -> Tensor:
        with torch.inference_mode():  # a thread's own setting
            return self._forward(part)


@cache
def _workers(threads: int, process_id: int) -> ThreadPoolExecutor:
    """Threads that compute with one core each. process_id: a forked process needs threads of its own."""
    ready = Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first look takes over the common number; have it behind us
        torch.set_num_threads(1)  # for this thread, and for all that take their first look from now on
        ready.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="photopic-forward", initializer=start)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)  # others shall have all cores again
    return pool


# ---- fold and turn ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Convolution:
    """A convolution with everything that follows it: norm, clipping or the residual addition."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int
    groups: int
    clip: bool
    """ReLU6 behind it."""
    opens: bool = False
    """Its input is kept for the addition at the end of the block."""
    adds: bool = False
    """The kept input is added to its output."""


class FoldedLite:
    """An EfficientNetLite in evaluation mode: (N, 3, H, W) float32 to (N, 1280) float32."""

    def __init__(self, network: EfficientNetLite) -> None:
        self._convolutions = list(_fold(network))
        self._prepacked: dict[tuple[int, int], list[_Convolution]] = {}
        self._fused = _has_fused_convolution()

    def __call__(self, images: Tensor) -> Tensor:
        x = images.flip(2, 3).contiguous(memory_format=torch.channels_last)
        if not self._fused:
            return _run(self._convolutions, _plain, x)
        size = (x.shape[2], x.shape[3])
        if size not in self._prepacked:
            self._prepacked[size] = _prepack(self._convolutions, x)
        return _run(self._prepacked[size], _fused, x)


def _run(
    convolutions: list[_Convolution],
    convolve: Callable[[_Convolution, Tensor, Tensor | None], Tensor],
    x: Tensor,
) -> Tensor:
    kept: Tensor | None = None
    for convolution in convolutions:
        if convolution.opens:
            kept = x
        x = convolve(convolution, x, kept if convolution.adds else None)
    return x.mean((2, 3))


def _plain(c: _Convolution, x: Tensor, kept: Tensor | None) -> Tensor:
    y = F.conv2d(x, c.weight, c.bias, c.stride, c.padding, 1, c.groups)
    if c.clip:
        y.clamp_(0.0, 6.0)
    return y if kept is None else y.add_(kept)


def _fused(c: _Convolution, x: Tensor, kept: Tensor | None) -> Tensor:
    padding, stride, dilation = [c.padding] * 2, [c.stride] * 2, [1, 1]
    if kept is not None:  # adds into `kept`, which nobody needs afterwards
        added: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            kept, x, c.weight, c.bias, padding, stride, dilation, c.groups, "add", 1.0, None, [], None
        )
        return added
    kind, bounds = ("hardtanh", [0.0, 6.0]) if c.clip else ("none", [])
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, c.weight, c.bias, padding, stride, dilation, c.groups, kind, bounds, ""
    )
    return y


def _has_fused_convolution() -> bool:
    """Whether this build of torch has oneDNN's fused convolutions (not on all platforms)."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _prepack(convolutions: list[_Convolution], x: Tensor) -> list[_Convolution]:
    """The same convolutions with weights in the layout that oneDNN wants for inputs of this size."""
    packed = []
    shape = list(x.shape)
    for c in convolutions:
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            c.weight, [c.padding] * 2, [c.stride] * 2, [1, 1], c.groups, shape
        )
        packed.append(_Convolution(weight, c.bias, c.stride, c.padding, c.groups, c.clip, c.opens, c.adds))
        shape = [shape[0], len(c.bias), ceil(shape[2] / c.stride), ceil(shape[3] / c.stride)]
    return packed


def _fold(network: EfficientNetLite) -> Iterator[_Convolution]:
    yield _folded_pair(network.conv_stem, network.bn1, clip=True)
    for block in network.blocks.modules():
        if isinstance(block, InvertedResidual):
            yield _folded_pair(block.conv_pw, block.bn1, clip=True, opens=block.has_skip)
            yield _folded_pair(block.conv_dw, block.bn2, clip=True)
            yield _folded_pair(block.conv_pwl, block.bn3, adds=block.has_skip)
        elif isinstance(block, DepthwiseSeparable):
            yield _folded_pair(block.conv_dw, block.bn1, clip=True, opens=block.has_skip)
            yield _folded_pair(block.conv_pw, block.bn2, adds=block.has_skip)
    yield _folded_pair(network.conv_head, network.bn2, clip=True)


@torch.no_grad()
def _folded_pair(
    conv: nn.Conv2d, norm: nn.BatchNorm2d, *, clip: bool = False, opens: bool = False, adds: bool = False
) -> _Convolution:
    """γ (w∗x − μ)/√(σ²+ε) + β as one convolution, its kernel turned by 180 degrees."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = (conv.weight.double() * factor[:, None, None, None]).float().flip(2, 3)
    bias = (norm.bias.double() - norm.running_mean.double() * factor).float()
    return _Convolution(
        weight.contiguous(memory_format=torch.channels_last),
        bias,
        conv.stride[0],
        conv.kernel_size[0] // 2,
        conv.groups,
        clip,
        opens,
        adds,
    )
