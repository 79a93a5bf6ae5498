"""C24, C28: the tables hold the course's figures, and AlexNet's shapes are those of torchvision."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import alexnet

from photopic.lab.course.architectures import ALEXNET
from photopic.lab.course.catalog import choose
from photopic.lab.course.zoo import WINNERS, ZOO
from photopic.models.overview import summarise_named


def test_the_zoo_has_18_networks_and_its_counts_are_the_reported_ones() -> None:
    (experiment,) = choose(["C24"])
    told = {item.name.removeprefix("parameters, "): item.value for item in experiment.reported}
    assert len(ZOO) == 18
    for entry in ZOO:
        assert told[entry.name] == entry.parameters
        assert 0.5 < entry.top_1 < entry.top_5 < 1


@pytest.mark.parametrize("name", ["VGG16", "DenseNet121", "MobileNetV2"])
def test_counted_parameters_are_the_reported_ones(name: str) -> None:
    entry = next(entry for entry in ZOO if entry.name == name)
    assert entry.counterpart is not None
    table = summarise_named(entry.counterpart)
    assert table.parameters + table.statistics == entry.parameters


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
