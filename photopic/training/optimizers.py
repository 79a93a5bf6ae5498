"""Update rules: torch's SGD, Adam and AdamW with sensible parameter groups, and Muon.

The optimizers are torch's, less the import of torch's compiler on first use, which takes 1.6 s of one core.
Every group carries `peak_lr`; the training loop sets `lr = peak_lr * learning_rate_factor(...)` each step.
State consists of tensors and plain numbers only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from photopic.config import SGD, Adam, AdamW, Muon, Optimizer

Group = dict[str, Any]


def build_optimizer(config: Optimizer, model_or_groups: nn.Module | Sequence[Group]) -> torch.optim.Optimizer:
    """The optimizer for a model, or for groups `{"params": [...], "lr_scale": 0.1}`.

    lr_scale (default 1) multiplies the learning rates of its group. Parameters that do not require a gradient
    are left out. Weight decay spares biases and norms (parameters with fewer than two dimensions).
    Raises ValueError if no parameter requires a gradient.
    """
    groups = _groups(model_or_groups)
    if not any(group["params"] for group in groups):
        raise ValueError("there is nothing to optimise: no parameter requires a gradient")
    match config:
        case Muon():
            return MuonOptimizer(_split(groups, lambda p: _muon_options(config, p)))
        case SGD():
            options = _split(groups, lambda p: _options(config.learning_rate, config.weight_decay, p))
            return LeanSGD(
                options,
                lr=config.learning_rate,
                momentum=config.momentum,
                nesterov=config.nesterov and config.momentum > 0,
            )
        case Adam():
            options = _split(groups, lambda p: _options(config.learning_rate, 0.0, p))
            return LeanAdam(options, lr=config.learning_rate, betas=(config.beta_1, config.beta_2))
        case AdamW():
            options = _split(groups, lambda p: _options(config.learning_rate, config.weight_decay, p))
            return LeanAdamW(options, lr=config.learning_rate, betas=(config.beta_1, config.beta_2))


def _groups(model_or_groups: nn.Module | Sequence[Group]) -> list[Group]:
    given = model_or_groups
    groups = [{"params": given.parameters()}] if isinstance(given, nn.Module) else list(given)
    return [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]


def _split(groups: Iterable[Group], options: Callable[[Tensor], Group]) -> list[Group]:
    """Groups cut so that parameters with equal options stand together, in order of first appearance."""
    cut: dict[tuple[Any, ...], Group] = {}
    for number, group in enumerate(groups):
        scale = group.get("lr_scale", 1.0)
        for parameter in group["params"]:
            chosen = options(parameter)
            key = (number, *chosen.values())
            rate = chosen["lr"] * scale
            cut.setdefault(key, {"params": [], **chosen, "lr": rate, "peak_lr": rate})
            cut[key]["params"].append(parameter)
    return list(cut.values())


def _options(learning_rate: float, weight_decay: float, parameter: Tensor) -> Group:
    return {"lr": learning_rate, "weight_decay": weight_decay if parameter.ndim > 1 else 0.0}


def _muon_options(config: Muon, parameter: Tensor) -> Group:
    if parameter.ndim == 4:
        return {
            "lr": config.learning_rate,
            "momentum": config.momentum,
            "orthogonal": True,
            "weight_decay": 0.0,
        }
    rate = config.head_learning_rate if parameter.ndim > 1 else config.other_learning_rate
    # weight_decay is given per step at the peak rate, whatever that rate is
    decay = config.weight_decay / rate
    return {"lr": rate, "momentum": config.other_momentum, "orthogonal": False, "weight_decay": decay}


class Lean(torch.optim.Optimizer):
    """An optimizer whose methods are torch's without the wrappers that keep torch.compile away from them.

    On their first call those wrappers import torch._dynamo and sympy, even where nothing is ever compiled.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class LeanSGD(Lean, torch.optim.SGD):
    """torch.optim.SGD."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class LeanAdam(Lean, torch.optim.Adam):
    """torch.optim.Adam."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class LeanAdamW(Lean, torch.optim.AdamW):
    """torch.optim.AdamW."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class MuonOptimizer(Lean):
    """Momentum whose matrix is replaced by its nearest orthogonal one, for convolution filters.

    K. Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), in the form of airbench94:
    Nesterov momentum, three Newton-Schulz steps, and filters held at the norm sqrt(number of filters), which
    suits filters that are followed by a batch norm. Groups with `orthogonal=False` get plain Nesterov SGD.
    """

    def __init__(self, groups: list[Group]) -> None:
        super().__init__(groups, {})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update; parameters without a gradient are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: Group) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(velocity, alpha=group["momentum"])
        if group["orthogonal"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
            update = orthogonalise(update.reshape(len(update), -1)).view_as(update)
        parameter.add_(update, alpha=-group["lr"])


# p(x) = a x + b x**3 + c x**5, steepest at 0 among those that keep 0..1 near 1 (Jordan 2024)
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Nearly U V^T of matrix = U S V^T (rows, columns): all singular values are moved towards 1.

    A quintic Newton-Schulz iteration: after each step a singular value s is a s + b s**3 + c s**5. With three
    steps those above 1 % of the norm end between about 0.3 and 1.2, which training does not mind.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x: Tensor = wide / (wide.norm() + 1e-7)  # the largest singular value is at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
