"""From run A to run B: A's network as B's backbone.

Everything B needs of A is written into B's recipe before the first step: the network, and how A saw images.
So B predicts without A, and A is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photopic.config import (
    AnyRecipe,
    BackboneConfig,
    FineTuneRecipe,
    PreprocessConfig,
    ScratchRecipe,
    parse_recipe,
)
from photopic.config.networks import RUN
from photopic.errors import ConfigError, RunError
from photopic.models.reuse import is_of_run
from photopic.run import WEIGHTS, Run, quoted
from photopic.training.unfreezing import ALL


def built_on_run(named: AnyRecipe, recipe: AnyRecipe, settings: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with what its backbone's run decides filled in; other recipes as they are.

    named: the recipe as it was chosen. recipe: the same with `settings` (dotted options) applied. Taken
    over are the run's preprocessing, the architecture, and the run's absolute path. A recipe that was made
    for another backbone (`photos-finetune`) unfreezes all of it, unless the settings say otherwise.
    Raises RunError for a folder that is no run or has no weights, ConfigError where settings or recipe want
    another preprocessing than the run's.
    """
    if isinstance(recipe, ScratchRecipe) or not is_of_run(recipe.backbone):
        return recipe
    if recipe.backbone.weights in ("bundled", "download"):
        raise ConfigError(
            "backbone: which run is to be built upon? Name its folder: --weights runs/NAME, or "
            "backbone.weights in a recipe."
        )
    run = Run.open(Path(recipe.backbone.weights).expanduser())
    if run.manifest.kind == "ensemble":
        raise RunError(
            f"{run.path}: is an ensemble; one network can be built upon. Name one of its members/."
        )
    run.verified(WEIGHTS)
    _check_agreement(run, _wanted(named, recipe.preprocess, settings))
    values = recipe.model_dump() | {
        "preprocess": run.preprocess.model_dump(),
        "backbone": _backbone(run, recipe.backbone),
    }
    if isinstance(recipe, FineTuneRecipe) and "unfreeze_from" not in settings and not _made_for_runs(named):
        values["unfreeze_from"] = ALL
    return parse_recipe(values, where=f"recipe {recipe.name} on {quoted(run.path)}")


def _backbone(run: Run, wanted: BackboneConfig) -> dict[str, Any]:
    """The backbone's configuration: the run's own backbone, or its network from scratch; cut where wanted."""
    recipe = run.recipe
    if isinstance(recipe, ScratchRecipe):
        taken: dict[str, Any] = {"name": RUN, "network": recipe.model.model_dump()}
    else:
        taken = recipe.backbone.model_dump()
    if wanted.until is not None:
        taken |= {"until": wanted.until, "pool": wanted.pool}
    return taken | {"weights": str(run.path.absolute())}


def _wanted(named: AnyRecipe, preprocess: PreprocessConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the preprocessing that somebody has asked for, with their values."""
    fields = {key.removeprefix("preprocess.") for key in settings if key.startswith("preprocess.")}
    if _made_for_runs(named) and "preprocess" in named.model_fields_set:
        fields |= named.preprocess.model_fields_set
    return {name: getattr(preprocess, name) for name in sorted(fields)}


def _made_for_runs(recipe: AnyRecipe) -> bool:
    return not isinstance(recipe, ScratchRecipe) and is_of_run(recipe.backbone)


def _check_agreement(run: Run, wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        theirs = getattr(run.preprocess, name)
        if value != theirs:
            raise ConfigError(
                f"preprocess.{name}={value} contradicts {quoted(run.path)}, whose network has learned from "
                f"images with {name}={theirs}. Leave it out: the run's preprocessing is taken over."
            )
