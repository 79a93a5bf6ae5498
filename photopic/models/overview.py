"""Layer tables by name: of a network of the list, or of a recipe's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from photopic.config import AnyRecipe, FineTuneRecipe, FrozenRecipe, ScratchRecipe, override, parse_recipe
from photopic.errors import ConfigError, ModelError, did_you_mean
from photopic.models.backbones import BackboneClassifier, native_preprocess
from photopic.models.bundled import BUNDLED
from photopic.models.classic import CLASSICS
from photopic.models.cutting import layers_from
from photopic.models.efficientnet_lite import EfficientNetLite
from photopic.models.listing import timm_licences
from photopic.models.native import with_native_preprocess
from photopic.models.summary import ModelSummary, summarise_network
from photopic.models.zoo import build_model

FAMILIES = ("fast", "classic", "bundled", "timm")
_FAST = (3, 32, 10)
"""Channels, size and classes with which the family fast is shown unless asked otherwise: CIFAR-10's."""


def summarise_named(
    name: str,
    *,
    family: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    depth: int = 1,
) -> ModelSummary:
    """The layer table of a network of `photopic models`, with random weights.

    family: where a name stands in two; None: the first of fast, classic, bundled, timm that has it. size,
    channels, classes: None: those that the network was made for.
    Raises ModelError for an unknown name, ConfigError for an input that the network cannot take.
    """
    family = _family(name, family)
    if family == "bundled":
        return _summarise_bundled(name, size, channels, classes, depth)
    if family == "fast":
        usual = _FAST
    elif family == "classic":
        classic = CLASSICS[name]
        usual = (classic.channels, classic.size, classic.classes)
    else:
        usual = (3, native_preprocess(name).size, 1000)
    preprocess = {
        "channels": usual[0] if channels is None else channels,
        "size": usual[1] if size is None else size,
    }
    model = {"family": family} | ({} if family == "fast" else {"name": name})
    values = {"way": "scratch", "name": name, "preprocess": preprocess, "model": model}
    return summarise_recipe(
        parse_recipe(values, where=name), classes=usual[2] if classes is None else classes, depth=depth
    )


def summarise_recipe(
    recipe: AnyRecipe,
    *,
    size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    depth: int = 1,
) -> ModelSummary:
    """The layer table of a recipe's network; what the recipe keeps frozen counts as fixed.

    size, channels: None: the recipe's. classes: None: 2 with binary cross-entropy, else 10.
    """
    sides = {"preprocess.size": size, "preprocess.channels": channels}
    given = {key: value for key, value in sides.items() if value is not None}
    recipe = with_native_preprocess(recipe, override(recipe, given), given)
    usual = 2 if isinstance(recipe, ScratchRecipe) and recipe.loss.name == "binary-cross-entropy" else 10
    if classes is not None and classes < 2:
        raise ConfigError(f"classes={classes} must be at least 2.")
    model = _on_meta(lambda: build_model(recipe, usual if classes is None else classes))
    _freeze(recipe, model)
    extra = 1 if isinstance(model, BackboneClassifier) else 0  # a backbone as one row would say little
    preprocess = recipe.preprocess
    return summarise_network(
        model, preprocess.channels, preprocess.size, name=recipe.name, depth=depth + extra
    )


def _family(name: str, family: str | None) -> str:
    if family is not None and family not in FAMILIES:
        raise ConfigError(f'family "{family}" is not known.{did_you_mean(family, FAMILIES)}')
    own = {"fast": ["fast"], "classic": list(CLASSICS), "bundled": list(BUNDLED)}
    for candidate, names in own.items():
        if name in names and family in (candidate, None):
            return candidate
    others = timm_licences()
    if name.split(".")[0] in others and family in ("timm", None):
        return "timm"
    known = own | {"timm": list(others)}
    hint = did_you_mean(
        name, known[family] if family else [name for names in known.values() for name in names]
    )
    if name.endswith((".yaml", ".yml")):
        raise ModelError(
            f"{name}: is a recipe and no network. Its network: --recipe {name} (recipe=… in Python)."
        )
    where = f" in the family {family}" if family else ""
    raise ModelError(f'model "{name}" is not known{where}.{hint} `photopic models` lists all.')


def _summarise_bundled(
    name: str, size: int | None, channels: int | None, classes: int | None, depth: int
) -> ModelSummary:
    if channels not in (3, None) or classes is not None:
        raise ConfigError(
            f"{name} is shown as the backbone that it is: it takes 3 channels and has no classes of its own. "
            "Show a recipe with it: --recipe photos-frozen."
        )
    network = _on_meta(lambda: EfficientNetLite(name))
    size = native_preprocess(name).size if size is None else size
    return summarise_network(network, 3, size, name=name, depth=depth)


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The network on the meta device, where weights have no values; built on the CPU if need be."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # some networks read values while they are built
        return build().to("meta")


def _freeze(recipe: AnyRecipe, model: nn.Module) -> None:
    if isinstance(recipe, FrozenRecipe | FineTuneRecipe) and isinstance(model, BackboneClassifier):
        model.backbone.requires_grad_(False)
    if not isinstance(recipe, FineTuneRecipe) or not isinstance(model, BackboneClassifier):
        return
    if recipe.unfreeze_from in ("all", "none"):
        model.backbone.requires_grad_(recipe.unfreeze_from == "all")
    else:
        for layer in layers_from(model.backbone, recipe.unfreeze_from):
            for part in layer:
                part.requires_grad_(True)
