"""C24, C28: the tables hold the course's figures, and AlexNet's shapes are those of torchvision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm import create_model
from torchvision.models import alexnet

from photopic.lab.course.architectures import ALEXNET, _count_row
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.lab.course.zoo import WINNERS, ZOO, ZooEntry
from photopic.models.overview import summarise_named

TABLE = """
Xception 88 .790 .945 22910480 126
VGG16 528 .713 .901 138357544 23
VGG19 549 .713 .900 143667240 26
ResNet50 98 .749 .921 25636712
ResNet101 171 .764 .928 44707176
ResNet152 232 .766 .931 60419944
ResNet50V2 98 .760 .930 25613800
ResNet101V2 171 .772 .938 44675560
ResNet152V2 232 .780 .942 60380648
InceptionV3 92 .779 .937 23851784 159
InceptionResNetV2 215 .803 .953 55873736 572
MobileNet 16 .704 .895 4253864 88
MobileNetV2 14 .713 .901 3538984 88
DenseNet121 33 .750 .923 8062504 121
DenseNet169 57 .762 .932 14307880 169
DenseNet201 80 .773 .936 20242984 201
NASNetMobile 23 .744 .919 5326716
NASNetLarge 343 .825 .960 88949818
"""
"""As the course reports it: megabytes, top-1, top-5, parameters, depth where given."""
DIFFERENCES = {
    "ResNet50": -26_560,
    "ResNet101": -52_672,
    "ResNet152": -75_712,
    "ResNet50V2": -19_008,
    "ResNet101V2": -36_416,
    "ResNet152V2": -51_776,
    "InceptionV3": 17_216,
    "InceptionResNetV2": 30_272,
}
"""Parameters of timm's network more than Keras' has; the other nine have as many."""
QUICK = ("VGG16", "ResNet50", "DenseNet121", "MobileNetV2")


def test_the_zoo_has_18_networks_and_its_counts_are_the_reported_ones() -> None:
    (experiment,) = choose(["C24"])
    told = {item.name.removeprefix("parameters, "): item.value for item in experiment.reported}
    assert len(ZOO) == 18
    for entry in ZOO:
        assert told[entry.name] == entry.parameters
        assert 0.5 < entry.top_1 < entry.top_5 < 1


def test_the_table_is_the_course_s() -> None:
    lines = [line.split() for line in TABLE.strip().splitlines()]
    for entry, (name, megabytes, top_1, top_5, parameters, *depth) in zip(ZOO, lines, strict=True):
        assert (entry.name, entry.megabytes, entry.parameters) == (name, int(megabytes), int(parameters))
        assert (entry.top_1, entry.top_5) == (float(top_1), float(top_5))
        assert entry.depth == (int(depth[0]) if depth else None)


def test_a_row_says_what_the_table_says(tmp_path: Path) -> None:
    context = Context(choose(["C24"])[0], tmp_path)
    by_name = {entry.name: entry for entry in ZOO}
    mobile = by_name["MobileNetV2"]
    assert mobile.counterpart is not None
    row = _count_row(context, mobile, summarise_named(mobile.counterpart))
    assert row.note.startswith("14 MB, top-1 0.713, top-5 0.901, depth 88; counted of mobilenetv2_100, 0.60")
    missing = _count_row(context, by_name["NASNetMobile"], None)
    assert (missing.reported, missing.measured) == (5_326_716, None)
    assert missing.note.endswith("top-5 0.919; not counted, for timm has no such network")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=() if entry.name in QUICK else pytest.mark.slow)
        for entry in ZOO
        if entry.counterpart is not None
    ],
)
def test_counted_parameters_are_the_reported_ones_but_for_known_differences(entry: ZooEntry) -> None:
    table = summarise_named(str(entry.counterpart))
    assert table.parameters + table.statistics == entry.parameters + DIFFERENCES.get(entry.name, 0)


def test_resnet50_v1_differs_by_the_biases_of_its_convolutions() -> None:
    """Keras' has a bias in each of its 53 convolutions, which the batch norm behind it makes useless."""
    network = create_model("resnet50")
    biases = sum(part.out_channels for part in network.modules() if isinstance(part, torch.nn.Conv2d))
    assert DIFFERENCES["ResNet50"] == -biases


def test_winners_are_in_order_and_their_error_only_falls() -> None:
    assert [winner.year for winner in WINNERS] == list(range(2010, 2018))
    errors = [winner.top_5_error for winner in WINNERS]
    assert errors == sorted(errors, reverse=True)


def test_alexnet_s_maps_have_the_sides_of_torchvision_s() -> None:
    """torchvision has the variant of 2014 (64, 192, 384, 256, 256 filters, no groups): its sides agree."""
    layers = {layer.name: layer for layer in summarise_named("alexnet", family="classic").layers}
    features, sides = torch.zeros(1, 3, 227, 227), []
    for module in alexnet(weights=None).features:
        features = module(features)
        if not isinstance(module, torch.nn.ReLU):
            sides.append(features.shape[-1])
    assert [layers[name].output_shape[-1] for name in list(ALEXNET.values())[1:8]] == sides[1:]
