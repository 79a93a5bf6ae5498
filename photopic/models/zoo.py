"""Every network that a recipe can name, built from the configuration alone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from photopic.config import (
    AnyRecipe,
    BackboneConfig,
    FastModel,
    FineTuneRecipe,
    PreprocessConfig,
    ScratchModel,
    ScratchRecipe,
)
from photopic.config.layers import AnyLayer
from photopic.config.networks import RUN, ClassicModel, LayersModel, TimmModel
from photopic.errors import ConfigError
from photopic.models.backbones import BackboneClassifier, build_features, create_timm, feature_size
from photopic.models.classic import classic_layers
from photopic.models.fast import FastNet
from photopic.models.headless import without_head
from photopic.models.layered import build_hidden, build_layers, check_layers
from photopic.models.truncated import truncated
from photopic.models.two_classes import TwoClassLogits


def build_model(recipe: AnyRecipe, num_classes: int) -> nn.Module:
    """The recipe's network with random weights: images (N, C, S, S) to logits (N, num_classes).

    Needs neither pretrained weights nor a network connection, so it can take the weights of a run. With
    binary cross-entropy a network from scratch has one output, which becomes two logits.
    Raises ModelError for an unknown architecture, ConfigError for channels that it cannot take, for layers
    that do not fit each other, and for binary cross-entropy with other than two classes.
    """
    if isinstance(recipe, ScratchRecipe):
        if recipe.loss.name != "binary-cross-entropy":
            return _build_scratch(recipe.model, recipe.preprocess, num_classes)
        if num_classes != 2:
            raise ConfigError(
                f"loss: binary-cross-entropy is for two classes, but there are {num_classes}. "
                "Use cross-entropy."
            )
        return TwoClassLogits(_build_scratch(recipe.model, recipe.preprocess, 1))
    check_backbone_input(recipe.preprocess, recipe.backbone.name)
    backbone = build_backbone(recipe.backbone, recipe.preprocess)
    one_output = isinstance(recipe, FineTuneRecipe) and recipe.loss.name == "binary-cross-entropy"
    head = recipe.head if isinstance(recipe, FineTuneRecipe) else ()
    return classifier_on(backbone, feature_size(backbone), num_classes, head, one_output=one_output)


def classifier_on(
    backbone: nn.Module, dim: int, num_classes: int, head: Sequence[AnyLayer], *, one_output: bool = False
) -> BackboneClassifier:
    """A backbone of D = dim features with the layers of a recipe's head and a last linear layer."""
    hidden, inputs = build_hidden(head, dim) if head else (None, dim)
    return BackboneClassifier(backbone, inputs, num_classes, hidden=hidden, one_output=one_output)


def build_backbone(config: BackboneConfig, preprocess: PreprocessConfig) -> nn.Module:
    """The backbone with random weights: images (N, C, S, S) to features (N, D).

    Raises ConfigError for the backbone of a run that has not been named.
    """
    if config.name != RUN:
        return truncated(build_features(config.name), config, preprocess.channels, preprocess.size)
    if config.network is None:
        raise ConfigError(
            "backbone: which run? Name its folder: --weights runs/NAME, or backbone.weights in a recipe."
        )
    network = without_head(_build_scratch(config.network, preprocess, outputs=2))
    return truncated(network, config, preprocess.channels, preprocess.size)


def _build_scratch(model: ScratchModel, preprocess: PreprocessConfig, outputs: int) -> nn.Module:
    channels, size = preprocess.channels, preprocess.size
    match model:
        case FastModel():
            return FastNet(model, channels, outputs, size)
        case LayersModel() | ClassicModel():
            return build_layers(as_layers(model, size), channels, size, outputs, what=_name(model))
        case TimmModel(name=name, dropout=dropout):
            return create_timm(name, num_classes=outputs, drop_rate=dropout, in_chans=channels)


def check_network(recipe: AnyRecipe) -> None:
    """Raises ConfigError, naming the layer, if the layers of the recipe's network do not fit each other.

    Costs milliseconds and builds nothing; networks that are no layer lists are not looked at.
    """
    if isinstance(recipe, ScratchRecipe) and isinstance(recipe.model, LayersModel | ClassicModel):
        channels, size = recipe.preprocess.channels, recipe.preprocess.size
        check_layers(as_layers(recipe.model, size), channels, size, outputs=1, what=_name(recipe.model))


def _name(model: LayersModel | ClassicModel) -> str:
    """What to call its layers in errors."""
    return model.name if isinstance(model, ClassicModel) else "model.layers"


def as_layers(model: LayersModel | ClassicModel, size: int) -> LayersModel:
    """The layer list of a classic network; a layer list as it is. size: side of the input, pixels."""
    return classic_layers(model, size) if isinstance(model, ClassicModel) else model


def check_backbone_input(preprocess: PreprocessConfig, name: str) -> None:
    """Raises ConfigError unless images come as a pretrained backbone expects them."""
    if preprocess.channels != 3 and name != RUN:
        raise ConfigError(f"the backbone {name} was trained on colour images: set preprocess.channels to 3.")
