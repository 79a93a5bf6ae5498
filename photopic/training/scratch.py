"""The way *scratch*: all weights from a random start."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from photopic.config import ScratchRecipe, TimmModel
from photopic.data.preprocess import Preprocess
from photopic.models.fast import initialise
from photopic.models.native import check_size
from photopic.models.zoo import build_model
from photopic.runtime import derive_seed, seeded
from photopic.training.gradient import answer, fitted, label_tensor, new_state, run_epochs, validate
from photopic.training.inputs import AugmentedImages
from photopic.training.job import Job
from photopic.training.optimizers import build_optimizer, optimizer_of
from photopic.training.outcome import Fitted
from photopic.training.probe import limit_epochs

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
    state = new_state(recipe, model, build_optimizer(optimizer_of(recipe), model))
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
