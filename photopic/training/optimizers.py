"""From configuration to a torch optimizer with sensible parameter groups; clipping of gradients.

Every group carries `peak_lr`; the training loop sets `lr = peak_lr * learning_rate_factor(...)` each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from photopic.config import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    FastModel,
    GradientRecipe,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
    ScratchRecipe,
)
from photopic.training.rules import (
    Group,
    LeanAdadelta,
    LeanAdagrad,
    LeanAdam,
    LeanAdamax,
    LeanAdamW,
    LeanNAdam,
    LeanRMSprop,
    LeanSGD,
    LionOptimizer,
    MuonOptimizer,
)


def build_optimizer(config: Optimizer, model_or_groups: nn.Module | Sequence[Group]) -> torch.optim.Optimizer:
    """The optimizer for a model, or for groups `{"params": [...], "lr_scale": 0.1}`.

    lr_scale (default 1) multiplies the learning rates of its group. Parameters that do not require a gradient
    are left out. Weight decay spares biases and norms (parameters with fewer than two dimensions),
    Muon's spares filters instead.
    Raises ValueError if no parameter requires a gradient.
    """
    groups = _groups(model_or_groups)
    if not any(group["params"] for group in groups):
        raise ValueError("there is nothing to optimise: no parameter requires a gradient")
    return _rule(config, _split(groups, lambda parameter: _options(config, parameter)))


def optimizer_of(recipe: GradientRecipe) -> Optimizer:
    """The recipe's optimizer, with the rates of Muon that suit its network where the recipe names none.

    Logits of the fast networks are divided by their many features, so heads and biases get small gradients.
    """
    if not isinstance(recipe.optimizer, Muon):
        return recipe.optimizer
    is_fast = isinstance(recipe, ScratchRecipe) and isinstance(recipe.model, FastModel)
    head, other = recipe.optimizer.rates(recipe.batch_size if is_fast else 1)
    return recipe.optimizer.model_copy(update={"head_learning_rate": head, "other_learning_rate": other})


def clip_gradients(config: Optimizer, parameters: Iterable[Tensor]) -> None:
    """Bound the gradients in place, as the configuration says; by default they stay as they are.

    clip_norm scales all gradients together, clip_value cuts every element (torch.nn.utils.clip_grad_norm_ and
    clip_grad_value_). Gradients that are not finite stay so, and the loss will tell.
    """
    if config.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    elif config.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, config.clip_value)


def _rule(config: Optimizer, groups: list[Group]) -> torch.optim.Optimizer:
    common: dict[str, Any] = {"lr": config.learning_rate}
    match config:
        case SGD():
            nesterov = config.momentum > 0 if config.nesterov is None else config.nesterov
            return LeanSGD(groups, momentum=config.momentum, nesterov=nesterov, fused=True, **common)
        case Adagrad():
            start = config.initial_accumulator
            return LeanAdagrad(groups, initial_accumulator_value=start, eps=config.epsilon, **common)
        case Adadelta():
            return LeanAdadelta(groups, rho=config.rho, eps=config.epsilon, **common)
        case RMSprop():
            return LeanRMSprop(
                groups,
                alpha=config.rho,
                momentum=config.momentum,
                centered=config.centered,
                eps=config.epsilon,
                **common,
            )
        case Lion():
            return LionOptimizer(groups)
        case Muon():
            return MuonOptimizer(groups)
    common |= {"betas": (config.beta_1, config.beta_2), "eps": config.epsilon}
    match config:
        case Adam():
            return LeanAdam(groups, amsgrad=config.amsgrad, fused=True, **common)
        case AdamW():
            return LeanAdamW(groups, amsgrad=config.amsgrad, fused=True, **common)
        case Adamax():
            return LeanAdamax(groups, **common)
        case Nadam():
            return LeanNAdam(groups, momentum_decay=config.momentum_decay, **common)


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


def _options(config: Optimizer, parameter: Tensor) -> Group:
    """What depends on the parameter, and all options of the rules that are ours."""
    if isinstance(config, Muon):
        return _muon_options(config, parameter)
    options: Group = {
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay if parameter.ndim > 1 else 0.0,
    }
    return options | {"betas": (config.beta_1, config.beta_2)} if isinstance(config, Lion) else options


def _muon_options(config: Muon, parameter: Tensor) -> Group:
    if parameter.ndim == 4:
        return {
            "lr": config.learning_rate,
            "momentum": config.momentum,
            "orthogonal": True,
            "weight_decay": 0.0,
        }
    head, other = config.rates()
    rate = head if parameter.ndim > 1 else other
    # weight_decay is given per step at the peak rate, whatever that rate is
    decay = config.weight_decay / rate
    return {"lr": rate, "momentum": config.other_momentum, "orthogonal": False, "weight_decay": decay}
