"""What a forward pass costs and sees: operations and receptive field, read from the operations themselves.

Works for every network, also for what a module does outside its children, and on torch's meta device, where
nothing is computed. One image per pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
_POOLS = {
    aten.max_pool2d_with_indices,
    aten.max_pool2d,
    aten.avg_pool2d,
}
_WHOLE_POOLS = {aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d}
_REDUCTIONS = {aten.mean, aten.amax, aten.max, aten.sum}
_ATTENTION = {
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_attention_math,
    aten._scaled_dot_product_fused_attention_overrideable,
}


@dataclass(frozen=True)
class View:
    """What one number of a tensor depends on, as height and width of a window of the image."""

    size: tuple[float, float] = (1, 1)
    """Pixels; inf: the whole image."""
    step: tuple[int, int] = (1, 1)
    """Pixels of the image from one place of the map to the next."""
    places: int = 1
    """Places of the map, height times width."""

    def through(self, kernel: Sequence[int], stride: Sequence[int], out: Tensor) -> View:
        """Behind a window of this size (dilation counted in) and stride."""
        size = tuple(s + (k - 1) * j for s, k, j in zip(self.size, kernel, self.step, strict=True))
        step = tuple(j * s for j, s in zip(self.step, stride, strict=True))
        return View((size[0], size[1]), (step[0], step[1]), prod(out.shape[2:]))

    def of_all_places(self) -> View:
        """Behind something that looks at all places."""
        return replace(self, size=(inf, inf), places=1) if self.places > 1 else self


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations and follows receptive fields while it is entered.

    flops: two for each multiplication with addition in convolutions, matrix products and attention; all else
    is left out, as is usual.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._views = WeakTensorKeyDictionary()
        self._views[images] = View(places=prod(images.shape[2:]))

    def view_of(self, tensor: Tensor) -> View | None:
        """What the tensor's numbers depend on; None if it does not depend on the images."""
        view: View | None = self._views.get(tensor)  # type: ignore[no-untyped-call]
        return view

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation, count it and note what its results see."""
        result = func(*args, **(kwargs or {}))
        kind = func.overloadpacket
        seen = [
            view for t in tree_leaves(args) if isinstance(t, Tensor) and (view := self.view_of(t)) is not None
        ]
        outs = [out for out in tree_leaves(result) if isinstance(out, Tensor)]
        if outs:
            self.flops += _flops(kind, args, outs[0])
        if seen:
            view = _view(kind, args, outs, seen)
            for out in outs:
                self._views[out] = view
        return result


def _flops(kind: Any, args: tuple[Any, ...], out: Tensor) -> int:
    if kind is aten.convolution:
        weight, transposed = args[1], args[6]
        places = args[0].numel() // args[0].shape[1] if transposed else out.numel() // out.shape[1]
        return int(2 * places * weight.numel())
    if kind in (aten.mm, aten.bmm):
        return int(2 * out.numel() * args[0].shape[-1])
    if kind in (aten.addmm, aten.baddbmm):
        return int(2 * out.numel() * args[1].shape[-1])
    if kind in _ATTENTION:  # query · key and weights · value
        query, key, value = args[:3]
        return int(2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))
    return 0


def _view(kind: Any, args: tuple[Any, ...], outs: list[Tensor], seen: list[View]) -> View:
    first = seen[0]
    if kind is aten.convolution:
        stride, dilation = args[3], args[5]
        spans = [d * (k - 1) + 1 for d, k in zip(dilation, args[1].shape[2:], strict=True)]
        return first.through(spans, stride, outs[0]) if len(spans) == 2 else first
    if kind in _POOLS:
        kernel = args[1]
        return first.through(kernel, (args[2] if len(args) > 2 else None) or kernel, outs[0])
    if kind in _WHOLE_POOLS or kind in _ATTENTION or (kind in _REDUCTIONS and _over_places(args)):
        return first.of_all_places()
    if kind in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm):
        return _behind_product(args[-2:], len(seen), first)
    return replace(first, size=_largest(seen))


def _largest(seen: list[View]) -> tuple[float, float]:
    return max(view.size[0] for view in seen), max(view.size[1] for view in seen)


def _over_places(args: tuple[Any, ...]) -> bool:
    """Whether a reduction runs over height, width or the tokens of a sequence."""
    x = args[0]
    dims = args[1] if len(args) > 1 else range(x.ndim)
    listed = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
    places = {2, 3} if x.ndim == 4 else {1} if x.ndim == 3 else set()
    return any(dim % x.ndim in places for dim in listed)


def _behind_product(factors: Sequence[Any], tracked: int, view: View) -> View:
    """A matrix product mixes places where both factors come from the image (attention), or in one long row.

    With one image, a flat map is one row; tokens and pixels are as many rows.
    """
    rows = prod(factors[0].shape[:-1])
    return view.of_all_places() if tracked > 1 or rows == 1 else view


def trace(forward: Callable[[Tensor], Any], images: Tensor) -> Trace:
    """Run a forward pass on one image and return what was seen."""
    seen = Trace(images)
    with torch.no_grad(), seen:
        forward(images)
    return seen
