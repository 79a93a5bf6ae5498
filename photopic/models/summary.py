"""The layer table of a network: output shape, parameters, operations and receptive field of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isinf
from typing import Any

import torch
from torch import Tensor, nn

from photopic.errors import ConfigError, first_line
from photopic.models.forward import evaluation_mode
from photopic.models.tracing import Trace
from photopic.models.two_classes import TwoClassLogits


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network."""

    name: str
    """Its module name, as `unfreeze_from` takes it."""
    type: str
    """Its kind of module."""
    output_shape: tuple[int, ...]
    """Without the batch: (C, H, W) or (D,)."""
    parameters: int
    """Its weights and biases, trained or fixed."""
    flops: int
    """Operations for one image: 2 for each multiplication with addition in convolutions and products."""
    receptive_field: tuple[int, int] | None
    """Height and width, pixels, of the part of the image that one of its numbers depends on; None: all."""


@dataclass(frozen=True)
class ModelSummary:
    """The layers of a network and their sums."""

    name: str
    input_shape: tuple[int, int, int]
    """Channels, height, width."""
    layers: tuple[LayerRow, ...]
    trainable: int
    """Parameters that training changes."""
    fixed: int
    """Parameters that it does not."""
    statistics: int
    """Numbers that are kept beside parameters: moving averages of batch norms, whitening filters. Keras
    counts them among the parameters that are not trainable."""
    flops: int
    """Operations for one image, of all layers and of what stands between them."""

    @property
    def parameters(self) -> int:
        """Trainable and fixed."""
        return self.trainable + self.fixed


@dataclass
class _Visit:
    module: nn.Module
    flops: int = 0
    shape: tuple[int, ...] = ()
    field: tuple[int, int] | None = None
    called: bool = False


@dataclass
class _Recorder:
    """Hooks that note a layer's output and the operations between its start and its end."""

    trace: Trace
    visits: dict[str, _Visit] = field(default_factory=dict)

    def watch(self, name: str, module: nn.Module) -> list[Any]:
        """Two hooks on a module."""
        visit = self.visits[name] = _Visit(module)

        def before(_: nn.Module, args: Any) -> None:
            visit.flops -= self.trace.flops

        def after(_: nn.Module, args: Any, output: Any) -> None:
            visit.flops += self.trace.flops
            visit.called = True
            out = _first_tensor(output)
            if out is not None:
                visit.shape = tuple(out.shape[1:])
                visit.field = _field(self.trace, out)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def summarise_network(
    model: nn.Module, channels: int, size: int, *, name: str = "network", depth: int = 1
) -> ModelSummary:
    """The layer table of a network, which stays as it is. A network on the meta device costs no computation.

    channels, size: of the square input. depth: 1 shows the network's own parts, 2 their parts too, and so on.
    Raises ConfigError when the network cannot take images of this size.
    """
    if depth < 1:
        raise ConfigError(f"depth={depth} must be at least 1.")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.zeros(1, channels, size, size, device=device)
    recorder = _Recorder(Trace(images))
    core, extra = (model.network, "network.") if isinstance(model, TwoClassLogits) else (model, "")
    hooks = [hook for path, part in _parts(core, depth) for hook in recorder.watch(extra + path, part)]
    try:
        with torch.no_grad(), evaluation_mode(model), recorder.trace:
            model(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"{name}: cannot take images of {channels}×{size}×{size} ({first_line(error)})."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    rows = tuple(_row(path, visit) for path, visit in recorder.visits.items() if visit.called)
    return _with_sums(model, name, (channels, size, size), rows, recorder.trace.flops)


def _with_sums(
    model: nn.Module, name: str, shape: tuple[int, int, int], rows: tuple[LayerRow, ...], flops: int
) -> ModelSummary:
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    fixed = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    statistics = sum(buffer.numel() for _, buffer in _kept(model) if buffer.is_floating_point())
    return ModelSummary(name, shape, rows, trainable, fixed, statistics, flops)


def _kept(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that are saved with the network."""
    saved = model.state_dict().keys()
    return ((name, buffer) for name, buffer in model.named_buffers() if name in saved)


def _parts(model: nn.Module, depth: int, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that get a row; mere containers are never called and count as no level of their own."""
    for name, child in model.named_children():
        path = prefix + name
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or type(child) is nn.Module:
            yield from _parts(child, depth, f"{path}.")
        elif depth > 1 and _has_parts(child):
            yield from _parts(child, depth - 1, f"{path}.")
        else:
            yield path, child


def _has_parts(module: nn.Module) -> bool:
    """Whether a module is made of layers; a layer with an activation of its own is one."""
    return any(True for _ in module.children()) and not any(
        parameter is not None for parameter in module._parameters.values()
    )


def _row(path: str, visit: _Visit) -> LayerRow:
    parameters = sum(parameter.numel() for parameter in visit.module.parameters())
    return LayerRow(path, type(visit.module).__name__, visit.shape, parameters, visit.flops, visit.field)


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, list | tuple):
        return next((found for item in output if (found := _first_tensor(item)) is not None), None)
    return None


def _field(trace: Trace, out: Tensor) -> tuple[int, int] | None:
    view = trace.view_of(out)
    if view is None or isinf(view.size[0]):
        return None
    return int(view.size[0]), int(view.size[1])
