"""The pages on layers and networks: complete, and their examples are networks that can be built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import timm
import torch
import yaml
from torch import nn

from photopic.config import parse_recipe
from photopic.config.elements import ActivationName, InitializerName
from photopic.config.layer_lists import MAIN_OPTION
from photopic.config.layers import LAYER_TYPES
from photopic.config.networks import ClassicName
from photopic.lab.course.zoo import ZOO, ZooEntry
from photopic.models.overview import summarise_recipe
from photopic.models.shapes import layer_names

_DOCS = Path(__file__).parent.parent / "docs"
_REFERENCE = (_DOCS / "reference" / "layers.md").read_text("utf-8")
_HOWTO = (_DOCS / "howto" / "own-network.md").read_text("utf-8")
_COUNTS = (_DOCS / "reference" / "model-counts.md").read_text("utf-8")


@pytest.mark.parametrize("kind", LAYER_TYPES)
def test_every_layer_is_in_the_reference_with_its_options(kind: str) -> None:
    row = next(line for line in _REFERENCE.splitlines() if re.match(rf"\|.*`{kind}(`|:)", line))
    told = {"name", "type", MAIN_OPTION.get(kind)}
    for option in LAYER_TYPES[kind].model_fields:
        assert option in told or f"`{option}`" in row, f"{kind}: {option}"


@pytest.mark.parametrize(
    "name", [*get_args(InitializerName), *get_args(ActivationName), *get_args(ClassicName)]
)
def test_every_name_is_in_the_reference(name: str) -> None:
    assert f"`{name}`" in _REFERENCE


def test_defaults_in_the_reference_are_those_of_the_types() -> None:
    conv = LAYER_TYPES["conv"].model_fields
    assert (conv["kernel"].default, conv["stride"].default, conv["padding"].default) == (
        (3, 3),
        (1, 1),
        "valid",
    )
    norm, lrn = LAYER_TYPES["batch-norm"].model_fields, LAYER_TYPES["lrn"].model_fields
    assert (norm["momentum"].default, norm["eps"].default) == (0.1, 1e-5)
    assert (lrn["alpha"].default, lrn["beta"].default, lrn["k"].default) == (1e-4, 0.75, 2)


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(way:.*?)```", _HOWTO, re.DOTALL))
def test_every_example_is_a_network(text: str) -> None:
    recipe = parse_recipe({"name": "mine"} | yaml.safe_load(text))
    table = summarise_recipe(recipe)
    assert table.layers[-1].output_shape == (10,)
    model = recipe.model  # type: ignore[union-attr]
    if model.family == "layers":
        names = layer_names(model.layers)
        assert [layer.name for layer in table.layers][: len(names)] == names


# ---- counts of published networks -----------------------------------------------------------------------


def rest(entry: ZooEntry, model: nn.Module) -> int:
    """Parameters that Keras' port has and timm's has not, from what is known of the two."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if entry.name.startswith("ResNet") and entry.name.endswith("V2"):
        # keras.applications.resnet_v2: bias in the stem, in a block's last convolution and in its shortcut
        biased = (r"^stem\.conv", r"conv3$", r"downsample\.conv$")
        return sum(
            module.weight.shape[0]
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d) and any(re.search(pattern, name) for pattern in biased)
        )
    if entry.name.startswith("ResNet"):
        return sum(module.weight.shape[0] for module in convolutions)
    if entry.name.startswith("Inception"):  # BatchNormalization(scale=False)
        return -sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    return 0


@pytest.mark.parametrize("entry", [entry for entry in ZOO if entry.counterpart], ids=lambda entry: entry.name)
def test_the_zoos_counts_are_explained_to_the_last_number(entry: ZooEntry) -> None:
    with torch.device("meta"):
        model = timm.create_model(entry.counterpart)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    saved = model.state_dict()
    statistics = sum(tensor.numel() for name, tensor in saved.items() if "running_" in name)
    extra = rest(entry, model)
    assert parameters + statistics + extra == entry.parameters
    row = f"| {entry.name} | {parameters:,} | {statistics:,} | {extra:,} | {entry.parameters:,} |"
    assert row in _COUNTS


def test_what_timm_does_not_have_is_said() -> None:
    for entry in ZOO:
        if entry.counterpart is None:
            assert f"{entry.name} ({entry.parameters:,}) is not in timm" in _COUNTS
