"""What a pretrained network was made to see: it fills the gaps of a recipe, and other sizes are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from photopic.config import AnyRecipe, PreprocessConfig, ScratchRecipe
from photopic.config.networks import RUN
from photopic.errors import ConfigError, first_line
from photopic.models.backbones import native_preprocess
from photopic.models.forward import evaluation_mode

_FITTING = ("resize", "crop_fraction", "interpolation")
"""How an image is brought to the size; whoever names one of these means all of them."""


def with_native_preprocess(named: AnyRecipe, recipe: AnyRecipe, settings: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with its pretrained backbone's own input size and way to come to it, where nobody asked.

    named: the recipe as it was chosen, which knows what its file names. recipe: the same with `settings`
    (dotted options) applied. Mean and std come with the weights, in training. Recipes from scratch come back
    as they are. Raises ModelError for an unknown backbone.
    """
    if isinstance(recipe, ScratchRecipe) or recipe.backbone.name == RUN:
        return recipe
    native, asked = native_preprocess(recipe.backbone.name), _asked(named, settings)
    fields = [] if "size" in asked else ["size"]
    if not asked.intersection(_FITTING):
        fields += _FITTING
    changes = {name: getattr(native, name) for name in fields}
    preprocess = PreprocessConfig.model_validate(recipe.preprocess.model_dump() | changes)
    return recipe.model_copy(update={"preprocess": preprocess})


def _asked(named: AnyRecipe, settings: Mapping[str, Any]) -> set[str]:
    """The fields of the preprocessing that the recipe's file or the settings name."""
    fields = {key.removeprefix("preprocess.") for key in settings if key.startswith("preprocess.")}
    fields.update(settings.get("preprocess", ()))
    if "preprocess" in named.model_fields_set:
        fields |= named.preprocess.model_fields_set
    return fields


def check_size(network: nn.Module, name: str, channels: int, size: int) -> None:
    """Raises ConfigError that names the right size unless an architecture of timm takes C×S×S images.

    Many transformers take one size only, and say so in their first forward pass: here one black image's.
    """
    try:
        with torch.no_grad(), evaluation_mode(network):
            network(torch.zeros(1, channels, size, size))
    except (AssertionError, RuntimeError) as error:
        native = native_preprocess(name).size
        raise ConfigError(
            f"{name} cannot take images of {size}×{size} px ({first_line(error)}). It was made for "
            f"{native}×{native}: --set preprocess.size={native}."
        ) from None
