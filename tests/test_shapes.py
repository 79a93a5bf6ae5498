"""Shapes worked out before building are those of torch, and lists that do not fit are told where and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from photopic.config import parse_recipe
from photopic.config.networks import LayersModel
from photopic.errors import ConfigError
from photopic.models.layered import build_layers, check_layers
from photopic.models.zoo import check_network
from photopic.training.train import train

_SIDES = st.integers(1, 4)
_LAYER = st.one_of(
    st.builds(
        lambda filters, kernel, stride, padding: {
            "conv": filters,
            "kernel": kernel,
            "stride": stride,
            "padding": padding,
        },
        st.integers(1, 4),
        st.tuples(_SIDES, _SIDES),
        st.tuples(_SIDES, _SIDES),
        st.sampled_from(["valid", "same", 1, 2]),
    ),
    st.builds(
        lambda size, stride, padding, kind: {kind: size, "stride": stride, "padding": padding},
        st.integers(2, 4),
        _SIDES,
        st.sampled_from(["valid", "same", 1]),
        st.sampled_from(["max-pool", "avg-pool"]),
    ),
    st.builds(lambda dilation: {"conv": 2, "dilation": dilation, "padding": "same"}, _SIDES),
    st.just("batch-norm"),
    st.just({"residual": [{"conv": 3, "padding": "same", "stride": 2}]}),
    st.just({"branches": [[{"conv": 3, "padding": "same"}], []]}),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_LAYER, min_size=1, max_size=4),
    st.sampled_from(["flatten", "global-avg-pool", "global-max-pool"]),
    st.integers(1, 13),
)
def test_predicted_shapes_are_torchs(layers: list[Any], end: str, size: int) -> None:
    model = LayersModel.model_validate({"layers": [*layers, end, {"dense": 3}]})
    try:
        placed = check_layers(model, 2, size, 7)
    except ConfigError:
        assume(False)
    network = build_layers(model, 2, size, 7).eval()
    x = torch.zeros(1, 2, size, size)
    for layer, module in zip(placed, network, strict=True):
        assert tuple(x.shape[1:]) == layer.before
        x = module(x)
        assert tuple(x.shape[1:]) == layer.after, layer.name


@pytest.mark.parametrize(
    ("size", "padding", "stride", "wanted"), [(7, "valid", 1, 5), (7, "valid", 2, 3), (7, 1, 1, 7)]
)
def test_the_courses_examples_of_the_output_size(size: int, padding: Any, stride: int, wanted: int) -> None:
    layers = [{"conv": 1, "padding": padding, "stride": stride}, "flatten"]
    placed = check_layers(LayersModel.model_validate({"layers": layers}), 1, size, 2)
    assert placed[0].after == (1, wanted, wanted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[max-pool: 14, {conv: 3, name: late}, flatten]",
            [
                "layer 2 (late)",
                "3×3 does not fit on its 2×2 input",
                "(N + 2P − F)/S + 1",
                "(2 + 0 − 3)/1 + 1 = 0",
                "padding: same",
            ],
        ),
        (
            "[{conv: 3, kernel: 5, dilation: 7}, flatten]",
            ["layer 1 (conv1)", "29×29 does not fit on its 28×28"],
        ),
        ("[{max-pool: 30, padding: 0}, flatten]", ["layer 1 (max_pool1)", "30×30"]),
        ("[conv: 3, dense: 10]", ["layer 2 (dense1)", "gets a 3×26×26 map", "- flatten"]),
        ("[conv: 3]", ["layer 2 (output)", "gets a 3×26×26 map", "- flatten"]),
        ("[flatten, conv: 3]", ["layer 2 (conv1)", "flat already (2352 numbers)"]),
        ("[flatten, flatten]", ["layer 2 (flatten2)", "flat already"]),
        ("[flatten, max-pool: 2]", ["layer 2 (max_pool1)", "flat already"]),
        ("[global-avg-pool, spatial-dropout: 0.5]", ["layer 2 (spatial_dropout1)", "flat already"]),
        ("[{conv: 4, groups: 2}, flatten]", ["layer 1 (conv1)", "3 input channels cannot be cut into 2"]),
        (
            "[branches: [[max-pool: 2], [conv: 4]], flatten]",
            ["layer 1 (branches1)", "branch 1: 3×14×14", "branch 2: 4×26×26", "padding: same"],
        ),
        ("[branches: [[flatten], [conv: 4]], flatten]", ["branch 1: 2352", "branch 2: 4×26×26"]),
        (
            "[branches: [[conv: 2], [max-pool: 27, conv: 2]], flatten]",
            ["layer 1 (branches1), branch 2, layer 2 (conv1)", "does not fit on its 1×1"],
        ),
        (
            "[{residual: [{conv: 8, padding: same}], shortcut: identity}, flatten]",
            ["layer 1 (residual1)", "3×28×28 into 8×28×28", "shortcut: projection"],
        ),
        ("[residual: [{conv: 8, padding: 3}], flatten]", ["no shortcut leads from 3×28×28 to 8×32×32"]),
        ("[residual: [flatten], flatten]", ["a residual block ends as it begins"]),
        ("[residual: [max-pool: 20, conv: 3], flatten]", ["layer 1 (residual1), layer 2 (conv1)", "1×1"]),
        ("[{flatten: , name: forward}]", ['cannot have the name "forward"']),
    ],
)
def test_a_layer_that_does_not_fit_is_named_with_its_sizes(text: str, words: list[str]) -> None:
    model = {"layers": yaml.safe_load(text)}
    recipe = parse_recipe({"way": "scratch", "name": "x", "preprocess": {"size": 28}, "model": model})
    with pytest.raises(ConfigError) as caught:
        check_network(recipe)
    assert str(caught.value).startswith("model.layers: layer") or "forward" in words[0]
    for word in words:
        assert word in str(caught.value)


def test_a_classic_network_is_refused_where_the_image_is_too_small() -> None:
    values = {
        "way": "scratch",
        "name": "x",
        "preprocess": {"size": 20},
        "model": {"family": "classic", "name": "alexnet"},
    }
    with pytest.raises(ConfigError, match=r"^alexnet: layer 5 \(max_pool2\).*preprocess\.size"):
        check_network(parse_recipe(values))


def test_layers_that_do_not_fit_are_found_before_the_data_is_looked_for(tmp_path: Path) -> None:
    values = {
        "way": "scratch",
        "name": "x",
        "preprocess": {"size": 4},
        "model": {"layers": [{"conv": 8, "kernel": 5}]},
    }
    with pytest.raises(ConfigError, match=r"layer 1 \(conv1\): a window of 5×5 does not fit"):
        train(tmp_path / "nowhere", recipe=parse_recipe(values), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
