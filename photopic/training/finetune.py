"""The way *fine-tune*: a logistic head first, then the upper layers of a pretrained backbone with it.

Layers below `unfreeze_from` keep their weights and their norms' statistics. Each layer above learns at
`layer_decay` times the rate of the one after it. The head alone is the first candidate for the best weights,
so fine-tuning never ends below it on the validation images. Where nothing is augmented, the output of the
frozen layers is the same in every epoch and is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from photopic.config import FineTuneRecipe, FrozenRecipe, PreprocessConfig
from photopic.data.preprocess import Preprocess
from photopic.data.store import PixelStore
from photopic.errors import ModelError
from photopic.models.backbones import BackboneClassifier
from photopic.models.cutting import split_at
from photopic.models.folding import for_inference
from photopic.models.forward import evaluation_mode
from photopic.models.zoo import check_backbone_input
from photopic.runtime import derive_seed, seeded
from photopic.training.feature_cache import Floats
from photopic.training.features import Extractor
from photopic.training.frozen import features_of, filled_in, weights_source
from photopic.training.gradient import answer, fitted, label_tensor, new_state, run_epochs, validate
from photopic.training.heads import fit_head
from photopic.training.inputs import AugmentedFeatures, AugmentedImages, CachedInputs
from photopic.training.job import Job
from photopic.training.loop import Best, Inputs, Validation, copy_weights
from photopic.training.optimizers import build_optimizer, optimizer_of
from photopic.training.outcome import Fitted, validation_of
from photopic.training.probe import limit_epochs
from photopic.training.unfreezing import (
    ALL,
    NONE,
    Unfreezing,
    draw_head,
    parameter_groups,
    prepare_finetune,
    set_head,
    unfrozen_layers,
)

HEAD_INVERSE_L2 = FrozenRecipe.model_fields["inverse_l2"].default
"""Candidates for the first head's regularisation: those of the way frozen."""
BEFORE = -1
"""The epoch of the head that has not been fine-tuned."""
_CACHE_BYTES = 2**30
"""Memory for the frozen layers' output, training and validation together; above it, it is not kept."""
_BATCH = 64


def train_finetune(job: Job) -> Fitted:
    """Begin with a head, unfreeze, train and keep the best epoch by validation; a fitted head counts too."""
    assert isinstance(job.recipe, FineTuneRecipe)
    check_backbone_input(job.recipe.preprocess, job.recipe.backbone.name)
    extractor = Extractor(
        job.recipe.backbone, job.runtime, allow_download=job.allow_download, size=job.recipe.preprocess.size
    )
    preprocess = Preprocess(filled_in(job.recipe, extractor))
    recipe = job.recipe.model_copy(update={"preprocess": preprocess.config})
    unfrozen_layers(extractor.backbone.module, recipe.unfreeze_from)  # complains before the work begins
    head = first_head(job, preprocess, extractor) if recipe.head_start == "logistic" else None
    with seeded(derive_seed(job.seed, "weights")):
        model = prepare_finetune(recipe, extractor.backbone, job.num_classes)
    if head is None:
        draw_head(model, derive_seed(job.seed, "weights"))
    else:
        set_head(model, head)
    model = model.to(job.runtime.device).to(memory_format=torch.channels_last)
    store, val_store = job.pixels("train", preprocess), job.pixels("val", preprocess)
    trained, inputs, score = _inputs(job, recipe, model, store, val_store)
    labels = label_tensor(job, store.rows)
    recipe = limit_epochs(job, recipe, trained, inputs, labels, len(val_store.rows))
    job.resolved(recipe, weights_source(extractor.backbone))
    groups = parameter_groups(model, recipe.unfreeze_from, recipe.layer_decay)
    state = new_state(recipe, trained, build_optimizer(optimizer_of(recipe), groups))
    if head is not None:
        state.best = Best(BEFORE, score(trained), copy_weights(trained))
    inputs = Unfreezing(inputs, recipe, trained, state.optimizer)
    stopped_by = run_epochs(job, recipe, state, inputs, labels, score)
    outcome = fitted(recipe, state, lambda split: answer(job, recipe, model, split), stopped_by)
    return replace(outcome, model=model.eval())


def first_head(job: Job, preprocess: Preprocess, extractor: Extractor) -> nn.Linear:
    """The logistic head on the untouched backbone's features."""
    train = features_of(job, "train", preprocess, extractor)
    val = features_of(job, "val", preprocess, extractor)
    labels = job.labels(train.rows)
    by_class = job.class_weights(labels)
    return fit_head(
        train.views[0],
        labels,
        val.views[0],
        job.labels(val.rows),
        job.num_classes,
        inverse_l2=HEAD_INVERSE_L2,
        train_weights=None if by_class is None else by_class[labels],
    ).linear


def _inputs(
    job: Job, recipe: FineTuneRecipe, model: BackboneClassifier, store: PixelStore, val_store: PixelStore
) -> tuple[BackboneClassifier, Inputs, Callable[[nn.Module], Validation]]:
    """What is trained, on what, and how it is validated: the whole network, or what lies above the cut."""
    preprocess = Preprocess(recipe.preprocess)
    plain = recipe.augment.is_identity
    # weights that are kept on the way are those of the whole network
    keeps = recipe.checkpoint_name is not None or recipe.snapshots > 0
    cut = _cut(recipe, model) if (plain or recipe.unfreeze_from == NONE) and not keeps else None
    images = len(store.rows) + len(val_store.rows)
    augmented = AugmentedImages(store.images_u8, preprocess, recipe.augment, job.seed, job.runtime)
    if cut is None or _output_bytes(cut[0], recipe.preprocess, job.runtime.device) * images > _CACHE_BYTES:
        return model, augmented, lambda scored: validate(job, recipe, scored, val_store)
    lower, upper = cut
    val_inputs = CachedInputs(_outputs(job, lower, val_store, preprocess), job.runtime)
    val_labels = job.labels(val_store.rows)

    def score(scored: nn.Module) -> Validation:
        with torch.inference_mode(), evaluation_mode(scored), job.runtime.autocast():
            batches = torch.split(torch.arange(len(val_inputs)), recipe.batch_size)
            logits = torch.cat([scored(val_inputs.batch(rows)[0]).float() for rows in batches])
        return validation_of(logits.cpu().numpy(), val_labels, recipe.loss)

    if not plain:
        frozen = for_inference(lower, job.runtime.device)
        return upper, AugmentedFeatures(augmented, frozen, job.runtime), score
    return upper, CachedInputs(_outputs(job, lower, store, preprocess), job.runtime), score


def _cut(recipe: FineTuneRecipe, model: BackboneClassifier) -> tuple[nn.Module, BackboneClassifier] | None:
    """The frozen layers, and a classifier of the others with the same parameters; None if it has no cut."""
    if recipe.unfreeze_from == ALL:
        return None
    try:
        lower, upper = _split(model.backbone, recipe.unfreeze_from)
    except ModelError:
        return None
    classifier = BackboneClassifier(
        upper, model.head.in_features, 2, hidden=model.hidden, one_output=model.one_output
    )
    classifier.head = model.head
    classifier.kept_in_eval = model.kept_in_eval
    return lower.eval(), classifier


def _split(backbone: nn.Module, unfreeze_from: str) -> tuple[nn.Module, nn.Module]:
    return (backbone, nn.Identity()) if unfreeze_from == NONE else split_at(backbone, unfreeze_from)


def _output_bytes(lower: nn.Module, preprocess: PreprocessConfig, device: torch.device) -> int:
    """Memory of the frozen layers' output for one image."""
    with torch.inference_mode():
        image = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size, device=device)
        return int(lower(image).numel()) * 4


def _outputs(job: Job, lower: nn.Module, store: PixelStore, preprocess: Preprocess) -> Floats:
    """(n, ...) float32: the frozen layers' output for all stored images."""
    forward = for_inference(lower, job.runtime.device)
    parts = []
    for start in range(0, len(store.rows), _BATCH):
        images_u8 = torch.from_numpy(np.array(store.images_u8[start : start + _BATCH]))
        with torch.inference_mode(), job.runtime.autocast():
            parts.append(forward(preprocess.to_float(job.runtime.to_device(images_u8))).float().cpu().numpy())
    return np.concatenate(parts)
