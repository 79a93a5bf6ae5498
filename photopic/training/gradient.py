"""What the ways scratch and fine-tune share: from a network that is ready to train to the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from photopic.config import GradientRecipe
from photopic.data.preprocess import Preprocess
from photopic.data.store import PixelStore
from photopic.errors import TrainingError
from photopic.models.forward import predict_logits
from photopic.training.average import WeightAverage
from photopic.training.checkpoint import load_checkpoint
from photopic.training.job import Job
from photopic.training.loop import Inputs, Prepared, TrainingState, Validation, fit
from photopic.training.outcome import Fitted, SplitLogits, validation_of
from photopic.training.saving import Saver

SELECTION = {
    "val_accuracy": "validation accuracy, then loss",
    "val_loss": "validation loss, then accuracy",
    "last": "the last epoch",
}


def label_tensor(job: Job, rows: np.ndarray) -> torch.Tensor:
    """(N,) int64 labels on the job's device."""
    return torch.from_numpy(np.ascontiguousarray(job.labels(rows))).to(job.runtime.device)


def new_state(recipe: GradientRecipe, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """The state before the first step."""
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None
    return TrainingState(model, optimizer, average)


def run_epochs(
    job: Job,
    recipe: GradientRecipe,
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
    prepared = Prepared(recipe, state, inputs, labels, class_weights, job.seed, job.runtime)
    if job.rehearse is not None:
        job.rehearse(prepared)
        return None
    if job.checkpoints is not None and load_checkpoint(job.checkpoints, state):
        job.report({"event": "resumed", "epoch": state.epoch})
    stopped_by: KeyboardInterrupt | TrainingError | None = None
    try:
        fit(prepared, score, report=job.report, save=Saver(job, recipe), time_limit=job.time_limit)
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
    recipe: GradientRecipe,
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
