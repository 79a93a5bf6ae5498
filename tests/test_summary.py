"""Layer tables: their rows and sums, networks by name and by recipe, and the command."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

import photopic
from photopic.cli import run
from photopic.config import parse_recipe
from photopic.errors import ConfigError, ModelError
from photopic.models.overview import summarise_named, summarise_recipe
from photopic.models.summary import ModelSummary, summarise_network


def recipe(**values: Any) -> Any:
    return parse_recipe(
        {"way": "scratch", "name": "mine", "preprocess": {"size": 28, "channels": 1}} | values
    )


_C10 = [
    *[{"conv": 32, "padding": "same", "activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *[{"conv": 64, "padding": "same", "activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *[{"conv": 128, "padding": "same", "activation": "relu"}, {"max-pool": 2, "padding": "same"}],
    *["flatten", {"dense": 128, "activation": "relu"}],
]


def test_the_table_of_course_experiment_c10() -> None:
    table = summarise_recipe(recipe(model={"layers": _C10}))
    assert [layer.output_shape for layer in table.layers] == [
        *[(32, 28, 28), (32, 14, 14), (64, 14, 14), (64, 7, 7), (128, 7, 7), (128, 4, 4)],
        *[(2048,), (128,), (10,)],
    ]
    assert [layer.parameters for layer in table.layers if layer.parameters] == [
        320,
        18_496,
        73_856,
        262_272,
        1_290,
    ]
    assert table.trainable == table.parameters == 356_234
    convolutions = 28 * 28 * 32 * 9 + 14 * 14 * 64 * 9 * 32 + 7 * 7 * 128 * 9 * 64
    assert table.flops == 2 * (convolutions + 2048 * 128 + 128 * 10)
    assert sum(layer.flops for layer in table.layers) == table.flops
    fields = [layer.receptive_field for layer in table.layers]
    assert fields[:6] == [(3, 3), (4, 4), (8, 8), (10, 10), (18, 18), (22, 22)]
    assert fields[-1] is None


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("alexnet", 724_406_816),  # multiply-adds: the paper's 724 M of Krizhevsky's grouped network
        ("vgg16", 15_470_264_320),  # Keras applications and torchvision: 15.47 G
        ("resnet50", 3_857_973_248),  # He et al. 2015, table 1: 3.8 · 10⁹, stride in the 1×1
    ],
)
def test_operations_are_the_published_ones(name: str, flops: int) -> None:
    assert summarise_named(name).flops == 2 * flops


def test_resnet50_sees_what_was_published() -> None:
    layers = {layer.name: layer for layer in summarise_named("resnet50").layers}
    assert layers["residual16"].receptive_field == (483, 483)  # Araujo et al. 2019, Distill: resnet_v1_50


def test_a_recipe_in_place_of_a_name_is_told_its_option() -> None:
    with pytest.raises(ModelError, match=r"mine\.yaml: is a recipe and no network.*--recipe mine\.yaml"):
        photopic.model_summary("mine.yaml")


def test_deeper_tables_have_the_same_sums() -> None:
    tables = [summarise_named("googlenet", depth=depth) for depth in (1, 2, 3)]
    assert len(tables[0].layers) < len(tables[1].layers) < len(tables[2].layers)
    for table in tables:
        assert sum(layer.parameters for layer in table.layers) == table.parameters == 6_998_552
        assert sum(layer.flops for layer in table.layers) == table.flops


def test_statistics_are_counted_apart() -> None:
    table = summarise_named("resnet18", family="timm")
    assert (table.trainable, table.fixed, table.statistics) == (11_689_512, 0, 9_600)
    # Keras' 25,636,712 of ResNet50 = trainable + statistics + biases before batch norms
    table = summarise_named("resnet50")
    biases = 64 + 3 * (64 + 64 + 256) + 256 + 4 * (128 + 128 + 512) + 512
    biases += 6 * (256 + 256 + 1024) + 1024 + 3 * (512 + 512 + 2048) + 2048
    assert table.trainable + table.statistics + biases == 25_636_712


def test_what_a_recipe_freezes_is_fixed() -> None:
    values = {"name": "x", "preprocess": {"size": 224}}
    frozen = summarise_recipe(parse_recipe({"way": "frozen", **values}))
    assert (frozen.trainable, frozen.fixed) == (1280 * 10 + 10, 3_371_008)
    tuned = summarise_recipe(
        parse_recipe({"way": "fine-tune", "unfreeze_from": "conv_head", **values}), classes=2
    )
    assert tuned.trainable == 320 * 1280 + 2 * 1280 + 1280 * 2 + 2


def test_one_output_for_two_classes_is_shown() -> None:
    table = summarise_recipe(recipe(model={"layers": ["flatten"]}, loss="binary-cross-entropy"))
    assert [(layer.name, layer.output_shape) for layer in table.layers][-1] == ("network.output", (1,))


def test_a_network_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summarise_network(model, 1, 8)
    assert [module.training for module in model] == [True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"name": "fast"}, (3, 32, 32)),
        ({"name": "softmax"}, (1, 28, 28)),
        ({"name": "efficientnet_lite0"}, (3, 224, 224)),
        ({"name": "inception_v3"}, (3, 299, 299)),
        ({"name": "resnet18", "size": 64, "channels": 1, "classes": 5}, (1, 64, 64)),
        ({"recipe": "digits"}, None),
    ],
)
def test_every_family_has_its_table(options: dict[str, Any], shape: tuple[int, ...] | None) -> None:
    table = photopic.model_summary(**options)
    assert isinstance(table, ModelSummary)
    assert table.flops > 0
    if shape is not None:
        assert table.input_shape == shape
    if "classes" in options:
        assert table.layers[-1].output_shape == (5,)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "resnet81"}, ModelError, 'Did you mean "resnet18"'),
        ({"name": "alexnet", "family": "timm"}, ModelError, "not known in the family timm"),
        ({"name": "alexnet", "family": "tim"}, ConfigError, 'Did you mean "timm"'),
        ({"name": "vgg16", "size": 20}, ConfigError, "vgg16: layer 18 (max_pool5)"),
        ({"name": "vit_tiny_patch16_224", "size": 96}, ConfigError, "cannot take images of 3×96×96"),
        ({"name": "efficientnet_lite0", "classes": 3}, ConfigError, "no classes of its own"),
        ({"name": "softmax", "classes": 1}, ConfigError, "classes=1 must be at least 2"),
        ({"name": "softmax", "depth": 0}, ConfigError, "depth=0 must be at least 1"),
        ({"name": "softmax", "channels": 2}, ConfigError, "channels"),
        ({}, ConfigError, "name a network or a recipe"),
        ({"name": "softmax", "recipe": "digits"}, ConfigError, "one of them"),
        ({"recipe": "digits", "family": "timm"}, ConfigError, "family has no effect"),
        ({"recipe": "digit"}, ConfigError, 'Did you mean "digits"'),
    ],
)
def test_a_wrong_question_is_told_the_way_out(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        photopic.model_summary(**options)
    assert words in str(caught.value)


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", "lenet5"]) == 0
    out = capsys.readouterr().out
    assert "lenet5, input 1×32×32" in out
    assert "61,706 parameters: 61,706 trainable, 0 fixed. 833,040 FLOPs" in out
    assert run(["models", "show", "lenet5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["parameters"] == 61_706
    assert shown["layers"][0] == {
        "name": "conv1",
        "type": "Conv",
        "output_shape": [6, 28, 28],
        "parameters": 156,
        "flops": 2 * 28 * 28 * 6 * 25,
        "receptive_field": [5, 5],
    }


def test_the_command_lists_classic_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "vgg", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {(model["name"], model["family"]) for model in listed} >= {("vgg16", "classic"), ("vgg16", "timm")}
