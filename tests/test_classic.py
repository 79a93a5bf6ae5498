"""The classic networks have the shapes and parameter counts of their papers and of torchvision."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
import torchvision

from photopic.config.networks import ClassicModel, ClassicName, LayersModel
from photopic.models.classic import CLASSICS, classic_layers
from photopic.models.layered import LayeredNet, build_layers, check_layers

PUBLISHED = {
    "softmax": 7_850,  # course, C01: 784 · 10 + 10
    "mlp": 3_432_970,  # course, C09
    "lenet5": 61_706,  # 156 + 2,416 + 48,120 + 10,164 + 850
    "alexnet": 60_965_224,  # Caffe's bvlc_alexnet; the paper says "60 million"
    "vgg16": 138_357_544,  # Keras and torchvision; paper, table 2: 138 million
    "vgg19": 143_667_240,  # Keras and torchvision; paper, table 2: 144 million
    "googlenet": 6_998_552,  # Caffe's bvlc_googlenet without its two auxiliary classifiers
    "resnet18": 11_689_512,  # torchvision's documentation, as the following
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


def layers_of(name: str, size: int) -> LayersModel:
    return classic_layers(ClassicModel.model_validate({"name": name}), size)


def build(name: str, channels: int, size: int, classes: int) -> LayeredNet:
    with torch.device("meta"):
        return build_layers(layers_of(name, size), channels, size, classes)


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_classic_network_is_listed_with_its_published_count() -> None:
    assert {name: network.parameters for name, network in CLASSICS.items()} == PUBLISHED
    assert set(get_args(ClassicName)) == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    classic = CLASSICS[name]
    model = build(name, classic.channels, classic.size, classic.classes)
    assert count(model) == PUBLISHED[name]
    x = torch.empty(1, classic.channels, classic.size, classic.size, device="meta")
    assert model(x).shape == (1, classic.classes)


def torchvision_shapes(name: str) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    return [tuple(parameter.shape) for parameter in model.parameters()]


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "resnet18", "resnet50", "resnet152"])
def test_weights_have_the_shapes_of_torchvisions(name: str) -> None:
    ours = [tuple(parameter.shape) for parameter in build(name, 3, 224, 1000).parameters()]
    assert sorted(ours) == sorted(torchvision_shapes(name))


def test_alexnets_maps_are_those_of_course_experiment_c28() -> None:
    placed = check_layers(layers_of("alexnet", 227), 3, 227, 1000)
    kept = {"conv", "max-pool", "lrn", "dense", "output"}
    assert [layer.after for layer in placed if layer.layer.type in kept] == [
        *[(96, 55, 55), (96, 27, 27), (96, 27, 27)],
        *[(256, 27, 27), (256, 13, 13), (256, 13, 13)],
        *[(384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6)],
        *[(4096,), (4096,), (1000,)],
    ]
    groups = [layer.layer.groups for layer in placed if layer.layer.type == "conv"]
    assert groups == [1, 2, 1, 2, 2]


def test_googlenets_maps_are_those_of_the_papers_table_1() -> None:
    placed = check_layers(layers_of("googlenet", 224), 3, 224, 1000)
    assert [layer.after for layer in placed if layer.layer.type == "branches"] == [
        *[(256, 28, 28), (480, 28, 28)],
        *[(512, 14, 14), (512, 14, 14), (512, 14, 14), (528, 14, 14), (832, 14, 14)],
        *[(832, 7, 7), (1024, 7, 7)],
    ]


def test_lenet5s_maps_are_those_of_the_paper_at_32_and_28_pixels() -> None:
    for size in (32, 28):
        placed = check_layers(layers_of("lenet5", size), 1, size, 10)
        shapes = [layer.after for layer in placed if layer.layer.type != "flatten"]
        assert shapes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,)]


# ---- the course's networks, from layer lists -------------------------------------------------------------


def conv(filters: int, padding: str = "same", activation: str = "relu") -> dict[str, Any]:
    return {"conv": filters, "padding": padding, "activation": activation}


_POOL, _SAME_POOL, _DROP = {"max-pool": 2}, {"max-pool": 2, "padding": "same"}, {"dropout": 0.3}
_C10 = [conv(32), _SAME_POOL, _DROP, conv(64), _SAME_POOL, _DROP, conv(128), _SAME_POOL, "flatten"]
_C12 = [conv(64, "valid"), _POOL, conv(64, "valid"), _POOL, "flatten", {"dense": 128}]
_C16 = [conv(32, "same", "sigmoid"), _POOL, conv(64, "same", "sigmoid"), _POOL, "flatten", {"dense": 384}]
_C34 = ["flatten", {"dropout": 0.2}, {"dense": 300, "activation": "elu"}, {"dense": 100, "activation": "elu"}]


@pytest.mark.parametrize(
    ("layers", "channels", "size", "parameters"),
    [
        ([*_C10, {"dense": 128, "activation": "relu"}], 1, 28, [320, 18_496, 73_856, 262_272, 1_290]),  # C10
        (_C12, 1, 28, [243_786]),
        (_C16, 3, 32, [1_596_490]),
        (_C34, 1, 28, [266_610]),
    ],
    ids=["C10", "C12", "C16", "C34"],
)
def test_the_courses_networks_have_the_counts_of_its_slides(
    layers: list[Any], channels: int, size: int, parameters: list[int]
) -> None:
    model = build_layers(LayersModel.model_validate({"layers": layers}), channels, size, 10)
    assert count(model) == sum(parameters)
    if len(parameters) > 1:
        assert [count(layer) for layer in model if count(layer)] == parameters
