"""The update rules themselves: torch's without its compiler, Lion and Muon.

Each is a torch optimizer whose state consists of tensors and plain numbers only. The classes named Lean are
torch's own less the import of torch's compiler on first use, which takes 1.6 s of one core.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

Group = dict[str, Any]


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


class LeanAdagrad(Lean, torch.optim.Adagrad):
    """torch.optim.Adagrad."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adagrad.step))


class LeanAdadelta(Lean, torch.optim.Adadelta):
    """torch.optim.Adadelta."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adadelta.step))


class LeanRMSprop(Lean, torch.optim.RMSprop):
    """torch.optim.RMSprop."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.RMSprop.step))


class LeanAdamax(Lean, torch.optim.Adamax):
    """torch.optim.Adamax."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adamax.step))


class LeanNAdam(Lean, torch.optim.NAdam):
    """torch.optim.NAdam."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.NAdam.step))


class OwnRule(Lean):
    """An optimizer that updates one parameter at a time."""

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
                    self._update(parameter, parameter.grad, group)
        return loss

    @abstractmethod
    def _update(self, parameter: Tensor, gradient: Tensor, group: Group) -> None:
        """Move one parameter."""

    def _momentum(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        """The parameter's velocity, zero before the first step; to be changed in place."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


class LionOptimizer(OwnRule):
    """Sign of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2).

    Groups need lr, betas and weight_decay (decoupled).
    """

    def _update(self, parameter: Tensor, gradient: Tensor, group: Group) -> None:
        beta_1, beta_2 = group["betas"]
        momentum = self._momentum(parameter, gradient)
        direction = momentum.lerp(gradient, 1 - beta_1).sign_()
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
        momentum.lerp_(gradient, 1 - beta_2)


class MuonOptimizer(OwnRule):
    """Momentum whose matrix is replaced by its nearest orthogonal one, for convolution filters.

    K. Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), in the form of airbench94:
    Nesterov momentum, three Newton-Schulz steps, and filters held at the norm sqrt(number of filters), which
    suits filters that are followed by a batch norm. Groups with `orthogonal=False` get plain Nesterov SGD.
    """

    def _update(self, parameter: Tensor, gradient: Tensor, group: Group) -> None:
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        velocity = self._momentum(parameter, gradient).mul_(group["momentum"]).add_(gradient)
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
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, factor, x, beta=a)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
