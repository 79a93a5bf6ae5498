"""Every recipe's network can be built without weights on the disk."""

from __future__ import annotations

import pytest
import torch

from photopic.config import AnyRecipe, ScratchRecipe, parse_recipe
from photopic.config.networks import RUN
from photopic.errors import ConfigError, ModelError
from photopic.models.zoo import build_model
from photopic.training.recipes import named_recipes

_FROZEN = {"way": "frozen", "name": "x", "preprocess": {"size": 64}}
_FINE_TUNE = {"way": "fine-tune", "name": "x", "preprocess": {"size": 64}}
_FAST = {"way": "scratch", "name": "x", "preprocess": {"size": 32, "channels": 1}}
_TIMM = {**_FAST, "model": {"family": "timm", "name": "resnet10t", "dropout": 0.5}}


@pytest.mark.parametrize("values", [_FROZEN, _FINE_TUNE, _FAST, _TIMM])
def test_network_maps_images_to_logits_and_takes_its_own_weights_back(values: dict[str, object]) -> None:
    recipe = parse_recipe(values)
    model, other = build_model(recipe, 5).eval(), build_model(recipe, 5).eval()
    size, channels = recipe.preprocess.size, recipe.preprocess.channels
    images = torch.randn(2, channels, size, size)
    assert model(images).shape == (2, 5)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)


_BUILDABLE = {
    name: recipe
    for name, recipe in named_recipes().items()
    if isinstance(recipe, ScratchRecipe) or recipe.backbone.name != RUN  # that one needs a run
}


@pytest.mark.parametrize("recipe", _BUILDABLE.values(), ids=_BUILDABLE)
def test_network_of_every_named_recipe_can_be_built(recipe: AnyRecipe) -> None:
    assert sum(parameter.numel() for parameter in build_model(recipe, 3).parameters()) > 1000


def test_unknown_architecture_names_the_nearest() -> None:
    recipe = parse_recipe({**_TIMM, "model": {"family": "timm", "name": "resnet_10"}})
    with pytest.raises(ModelError, match=r'"resnet_10" is not known\. Did you mean "resnet'):
        build_model(recipe, 3)


def test_grey_images_are_refused_by_a_pretrained_backbone() -> None:
    recipe = parse_recipe({**_FROZEN, "preprocess": {"size": 64, "channels": 1}})
    with pytest.raises(ConfigError, match=r"set preprocess\.channels to 3"):
        build_model(recipe, 3)
