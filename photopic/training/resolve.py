"""The recipe of a training: named or chosen, with the options that were set; and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photopic.config import AnyRecipe, FineTuneRecipe, FrozenRecipe, ScratchRecipe, override
from photopic.data.dataset import DataSet
from photopic.errors import ConfigError, ModelError
from photopic.models.native import with_native_preprocess
from photopic.models.reuse import is_of_run
from photopic.models.zoo import check_network
from photopic.runtime import Runtime
from photopic.training.choose import Choice, choose_recipe
from photopic.training.recipes import load_recipe
from photopic.training.transfer import built_on_run


def asked_recipe(
    recipe: str | AnyRecipe | None, settings: Mapping[str, Any], runtime: Runtime
) -> Choice | None:
    """The recipe that was asked for; None: one must be chosen, which needs a look at the data."""
    if recipe is not None:
        asked = named_recipe(recipe, settings)
        check_precision(asked.recipe, runtime)
        return asked
    if isinstance(settings.get("backbone.weights"), str):
        _require_weights(settings["backbone.weights"])
    return None


def named_recipe(recipe: str | AnyRecipe, settings: Mapping[str, Any]) -> Choice:
    """The recipe of this name or file, or this one, with its options changed.

    Raises ConfigError for an unknown one, or an option that does not fit.
    """
    if not isinstance(recipe, str | ScratchRecipe | FrozenRecipe | FineTuneRecipe):
        raise ConfigError(f"recipe: expected a name, a YAML file or a recipe, got {type(recipe).__name__}.")
    named = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return Choice(_changed(named, settings), "you asked for it")


def chosen_recipe(
    settings: Mapping[str, Any],
    dataset: DataSet,
    train_rows: np.ndarray,
    runtime: Runtime,
    time_limit_s: float | None = None,
) -> Choice:
    """The recipe that suits the data, the device and the time, with its options changed."""
    choice = choose_recipe(dataset, train_rows, runtime, time_limit_s)
    check_precision(choice.recipe, runtime)
    return Choice(_changed(choice.recipe, settings), choice.reason)


def check_precision(recipe: AnyRecipe, runtime: Runtime) -> None:
    """Raises ConfigError for a precision that is asked for and has no effect."""
    reduced = runtime.precision != torch.float32
    if reduced and runtime.device.type == "cpu" and isinstance(recipe, FrozenRecipe):
        raise ConfigError(
            f"precision bfloat16 has no effect on the recipe {recipe.name} (frozen): on a processor, "
            "features are computed in float32. Take that, or a recipe that trains step by step, such as "
            "--recipe photos-finetune or small-images."
        )


def _changed(recipe: AnyRecipe, settings: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with dotted options changed. Raises ConfigError, also for weights that it has no use for."""
    if isinstance(recipe, ScratchRecipe) and any(key.startswith("backbone.") for key in settings):
        raise ConfigError(
            f"the recipe {recipe.name} trains from scratch and takes no pretrained backbone or weights. "
            "Add --recipe photos-frozen or --recipe photos-finetune (--recipe transfer for those of a run), "
            "or leave them out."
        )
    changed = _with_absolute_weights(override(recipe, settings))
    if isinstance(changed, FrozenRecipe | FineTuneRecipe):
        pretrained = not is_of_run(changed.backbone)
        changed = (with_native_preprocess if pretrained else built_on_run)(recipe, changed, settings)
    _check_unmeasured(changed)
    check_network(changed)
    return changed


def _with_absolute_weights(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with weights that are found again from any folder. Raises ModelError when they are gone."""
    if isinstance(recipe, ScratchRecipe) or recipe.backbone.weights in ("bundled", "download"):
        return recipe
    path = str(_require_weights(recipe.backbone.weights))
    return recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"weights": path})})


def _require_weights(weights: str) -> Path:
    path = Path(weights).expanduser().absolute()
    if weights not in ("bundled", "download") and not path.exists():
        raise ModelError(f"weights {weights}: there is no such file or run folder.")
    return path


def _check_unmeasured(recipe: AnyRecipe) -> None:
    """Raises ConfigError for mean or std that a measured scaling would replace."""
    config = recipe.preprocess
    if config.scaling not in ("min-max", "centre-max") or (config.mean is None and config.std is None):
        return
    if isinstance(recipe, ScratchRecipe) or not is_of_run(recipe.backbone):
        raise ConfigError(
            f"preprocess.mean and std have no effect with scaling={config.scaling}, which measures the "
            "training images. Leave them out: --set preprocess.mean=null --set preprocess.std=null."
        )
