"""The way *scratch*: all weights from a random start. And what every gradient training shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from photopic.config import FineTuneRecipe, ScratchRecipe, TimmModel
from photopic.data.preprocess import Preprocess
from photopic.data.store import PixelStore
from photopic.errors import TrainingError
from photopic.models.fast import initialise
from photopic.models.forward import predict_logits
from photopic.models.native import check_size
from photopic.models.zoo import build_model
from photopic.runtime import derive_seed, seeded
from photopic.training.average import WeightAverage
from photopic.training.checkpoint import load_checkpoint
from photopic.training.inputs import AugmentedImages
from photopic.training.job import Fitted, Job, Prepared, SplitLogits, label_tensor, validation_of
from photopic.training.loop import Inputs, TrainingState, Validation, fit
from photopic.training.optimizers import build_optimizer
from photopic.training.probe import limit_epochs
from photopic.training.saving import Saver

SELECTION = {
    "val_accuracy": "validation accuracy, then loss",
    "val_loss": "validation loss, then accuracy",
    "last": "the last epoch",
}
GradientRecipe = TypeVar("GradientRecipe", ScratchRecipe, FineTuneRecipe)

INITIAL_IMAGES = 5000
"""Training images, evenly spaced, from which the whitening takes its statistics (as many as airbench94)."""
INITIAL_BATCH = 64
"""Images of them that are held at once as floats."""


def train_scratch(job: Job) -> Fitted:
    """Train the recipe's network from random weights and keep the best epoch by validation."""
    assert isinstance(job.recipe, ScratchRecipe)
    model = _initial_model(job, job.recipe)
    store = job.pixels("train", Preprocess(job.recipe.preprocess))
    validation = job.pixels("val", Preprocess(job.recipe.preprocess))
    preprocess = Preprocess(job.recipe.preprocess).measured_on(store.images_u8)
    recipe = job.recipe.model_copy(update={"preprocess": preprocess.config})
    n = len(store.rows)
    spread = np.linspace(0, n - 1, min(n, INITIAL_IMAGES)).astype(np.int64)  # images of all classes
    parts = np.array_split(spread, -(-len(spread) // INITIAL_BATCH))
    initialise(model, (preprocess.to_float(torch.from_numpy(store.images_u8[part])) for part in parts))
    model = model.to(job.runtime.device).to(memory_format=torch.channels_last)
    inputs = AugmentedImages(store.images_u8, preprocess, recipe.augment, job.seed, job.runtime)
    labels = label_tensor(job, store.rows)
    recipe = limit_epochs(job, recipe, model, inputs, labels, len(validation.rows))
    job.resolved(recipe, {})
    state = new_state(recipe, model, build_optimizer(recipe.optimizer, model))
    stopped_by = run_epochs(
        job, recipe, state, inputs, labels, lambda scored: validate(job, recipe, scored, validation)
    )
    return fitted(recipe, state, lambda split: answer(job, recipe, state.model, split), stopped_by)


def _initial_model(job: Job, recipe: ScratchRecipe) -> nn.Module:
    """The network with random weights. Raises ConfigError for images of a size that it cannot take."""
    with seeded(derive_seed(job.initial_seed, "weights")):
        model = build_model(recipe, job.num_classes)
    if isinstance(recipe.model, TimmModel):
        check_size(model, recipe.model.name, recipe.preprocess.channels, recipe.preprocess.size)
    return model


def new_state(
    recipe: ScratchRecipe | FineTuneRecipe, model: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainingState:
    """The state before the first step."""
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None
    return TrainingState(model, optimizer, average)


def run_epochs(
    job: Job,
    recipe: ScratchRecipe | FineTuneRecipe,
    state: TrainingState,
    inputs: Inputs,
    labels: torch.Tensor,
    score: Callable[[nn.Module], Validation],
) -> KeyboardInterrupt | TrainingError | None:
    """Go on from the newest checkpoint to the end; returns what stopped it before, if anything.

    Afterwards `state.model` holds the best epoch's weights. A stop before the first validation keeps the
    weights as they are.
    """
    class_weights = _class_weights(job, labels)
    if job.rehearse is not None:
        job.rehearse(Prepared(recipe, state, inputs, labels, class_weights, job.seed, job.runtime))
        return None
    if job.checkpoints is not None and load_checkpoint(job.checkpoints, state):
        job.report({"event": "resumed", "epoch": state.epoch})
    stopped_by: KeyboardInterrupt | TrainingError | None = None
    try:
        fit(
            state,
            recipe,
            inputs,
            labels,
            score,
            seed=job.seed,
            runtime=job.runtime,
            report=job.report,
            save=Saver(job, recipe),
            class_weights=class_weights,
            time_limit=job.time_limit,
        )
    except (KeyboardInterrupt, TrainingError) as stop:
        stopped_by = stop
        job.report({"event": "interrupted", "epoch": state.epoch, "reason": str(stop)})
    if state.best is not None:
        state.model.load_state_dict(state.best.weights)
    return stopped_by


def _class_weights(job: Job, labels: torch.Tensor) -> torch.Tensor | None:
    """(K,) float32 on the labels' device; None where all are 1."""
    weights = job.class_weights(labels.cpu().numpy())
    return None if weights is None else torch.tensor(weights, dtype=torch.float32, device=labels.device)


def validate(job: Job, recipe: GradientRecipe, model: nn.Module, store: PixelStore) -> Validation:
    """The selecting score on stored validation images, one view each."""
    logits = predict_logits(model, store.images_u8, Preprocess(recipe.preprocess), runtime=job.runtime)
    return validation_of(logits, job.labels(store.rows), recipe.loss)


def answer(job: Job, recipe: GradientRecipe, model: nn.Module, split: str) -> SplitLogits:
    """The selected network's logits for a split, with the recipe's test views."""
    preprocess = Preprocess(recipe.preprocess)
    store = job.pixels(split, preprocess)
    logits = predict_logits(
        model, store.images_u8, preprocess, runtime=job.runtime, test_views=recipe.test_views
    )
    return SplitLogits(store.rows, job.labels(store.rows), logits)


def fitted(
    recipe: ScratchRecipe | FineTuneRecipe,
    state: TrainingState,
    answer_split: Callable[[str], SplitLogits],
    stopped_by: KeyboardInterrupt | TrainingError | None,
) -> Fitted:
    """The outcome of a gradient training."""
    selected: dict[str, Any] = {"by": SELECTION[recipe.select_by]}
    if state.best is not None:
        selected |= {
            "epoch": state.best.epoch,
            "val_accuracy": state.best.validation.accuracy,
            "val_loss": state.best.validation.loss,
        }
    if state.stopped is not None:
        selected["stopped"] = state.stopped
    return Fitted(recipe, state.model, selected, answer_split, stopped_by)
