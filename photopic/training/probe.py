"""How long will it take? Measured on a few real steps, and fitted to the time limit."""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from photopic.config import FineTuneRecipe, GradientRecipe, ScratchRecipe
from photopic.errors import ConfigError
from photopic.runtime import Runtime, seeded
from photopic.training.job import Job
from photopic.training.loop import Inputs

R = TypeVar("R", ScratchRecipe, FineTuneRecipe)

LEAST_STEPS = 3
"""Timed steps, after one that warms up. Their median counts, since a machine that is shared halts now and
then."""
FORWARD_SHARE = 1 / 3
"""Cost of a forward pass in relation to a training step: one pass of three alike."""


def limit_epochs(job: Job, recipe: R, model: nn.Module, inputs: Inputs, labels: Tensor, val_images: int) -> R:
    """Report an estimate of the training time; fewer epochs where the job's time limit asks for it.

    Raises ConfigError when not even one epoch fits.
    """
    per_image = seconds_per_image(recipe, model, inputs, labels, job.runtime)
    epoch_s = per_image * (len(inputs) + FORWARD_SHARE * val_images)
    planned = epochs = recipe.total_epochs
    if job.time_limit_s is not None:
        left_s = job.time_limit.plannable_s
        epochs = min(epochs, int(left_s / epoch_s))
        if epochs == 0:
            raise ConfigError(
                f"one epoch takes about {epoch_s:.1f} s here, more than is left of --time-limit "
                f"({left_s:.1f} of {job.time_limit_s:.1f} s). Allow more, or choose a smaller recipe "
                "(`photopic recipes`)."
            )
    recipe = with_epochs(recipe, epochs)
    job.report(
        {
            "event": "estimate",
            "seconds": epochs * epoch_s,
            "epochs": epochs,
            "recipe_epochs": planned,
            "how": f"median of {LEAST_STEPS} measured steps",
        }
    )
    return recipe


def with_epochs(recipe: R, epochs: int) -> R:
    """The recipe with fewer epochs; rules of stopping that cannot act any more are left out.

    Raises ConfigError when another of its options does not fit so few.
    """
    if epochs == recipe.total_epochs:
        return recipe
    rule = recipe.early_stopping
    kept = rule if rule is not None and rule.patience < epochs else None
    values = recipe.model_dump() | {
        "total_epochs": epochs,
        "early_stopping": None if kept is None else kept.model_dump(),
    }
    if epochs == 1:
        values["stop_at"] = None
    try:
        return type(recipe).model_validate(values)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"the time limit leaves {epochs} of {recipe.total_epochs} epochs, for which the recipe is not "
            f"made: {reason}. Allow more time, or change that option."
        ) from None


def seconds_per_image(
    recipe: GradientRecipe,
    model: nn.Module,
    inputs: Inputs,
    labels: Tensor,
    runtime: Runtime,
    *,
    probe_s: float = 0.0,
) -> float:
    """Measured seconds per image of a batch, its forward and its backward pass; the model is left unchanged.

    probe_s: more steps are timed until so many seconds are spent. What else a step does (optimizer,
    penalties, weight average) takes little beside them.
    """
    trial = copy.deepcopy(model).train()
    rows = torch.arange(min(recipe.batch_size, len(inputs)))
    inputs.start_epoch(0)
    with seeded(0, runtime.device):
        _step(trial, inputs, labels, rows, runtime)
        taken: list[float] = []
        while len(taken) < LEAST_STEPS or sum(taken) < probe_s:
            start = time.perf_counter()
            _step(trial, inputs, labels, rows, runtime)
            taken.append(time.perf_counter() - start)
        return median(taken) / len(rows)


def _step(model: nn.Module, inputs: Inputs, labels: Tensor, rows: Tensor, runtime: Runtime) -> None:
    images, _ = inputs.batch(rows)
    with runtime.autocast():
        loss = functional.cross_entropy(model(images), labels[runtime.to_device(rows)])
    torch.autograd.backward(loss)
    loss.item()  # waits for the device
