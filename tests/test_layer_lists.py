"""Layer lists: short forms, the round trip through the long form, and errors that name the layer."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from photopic.config import parse_recipe
from photopic.config.elements import Activation, Initializer
from photopic.config.layers import ConvLayer, DenseLayer, MaxPoolLayer, ResidualLayer
from photopic.config.networks import ClassicModel, LayersModel
from photopic.errors import ConfigError

_CONV = {"type": "conv", "filters": 32, "padding": "same", "activation": "relu"}


def recipe(model: Any) -> Any:
    return parse_recipe({"way": "scratch", "name": "x", "preprocess": {"size": 28}, "model": model})


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("flatten", {"type": "flatten"}),
        ("batch-norm: ", {"type": "batch-norm"}),
        ("{conv: 32, padding: same, activation: relu}", _CONV),
        ("{padding: same, conv: 32, activation: {name: relu}}", _CONV),
        ("conv: {filters: 32, padding: same, activation: relu}", _CONV),
        ("{conv: 8, kernel: 5}", {"type": "conv", "filters": 8, "kernel": [5, 5]}),
        ("{max-pool: 3, stride: 2}", {"type": "max-pool", "size": [3, 3], "stride": [2, 2]}),
        ("activation: relu", {"type": "activation", "function": "relu"}),
        ("activation: {name: leaky-relu, slope: 0.2}", None),
        ("{residual: [conv: 3], activation: relu}", None),
        ("branches: [[conv: 3], []]", None),
        ("output: {bias: false}", {"type": "output", "bias": False}),
    ],
)
def test_a_short_form_is_the_long_form(short: str, long: dict[str, Any] | None) -> None:
    model = LayersModel.model_validate({"layers": [yaml.safe_load(short)]})
    if long is not None:
        assert model == LayersModel.model_validate({"layers": [long]})
    assert LayersModel.model_validate(model.model_dump(mode="json")) == model


def test_layers_without_a_family_are_a_layer_list() -> None:
    assert isinstance(recipe({"layers": ["flatten"]}).model, LayersModel)


@pytest.mark.parametrize("short", ["lenet5", {"family": "lenet5"}])
def test_the_name_of_a_classic_network_is_a_model(short: Any) -> None:
    assert recipe(short).model == ClassicModel(name="lenet5")


def test_options_reach_their_layers() -> None:
    text = (
        "[{conv: 8, name: stem}, max-pool: 2, residual: [{conv: 8, padding: same}], {dense: 4, bias: false}]"
    )
    conv, pool, residual, dense = LayersModel.model_validate({"layers": yaml.safe_load(text)}).layers
    assert isinstance(conv, ConvLayer)
    assert (conv.name, conv.kernel, conv.stride, conv.padding, conv.groups) == (
        "stem",
        (3, 3),
        (1, 1),
        "valid",
        1,
    )
    assert isinstance(pool, MaxPoolLayer)
    assert (pool.size, pool.stride) == ((2, 2), None)
    assert isinstance(residual, ResidualLayer)
    assert residual.layers == (ConvLayer(filters=8, padding="same"),)
    assert dense == DenseLayer(units=4, bias=False)


def test_names_without_parameters_are_written_as_names() -> None:
    assert Initializer.model_validate("he-normal").model_dump() == "he-normal"
    assert Initializer.model_validate({"name": "normal", "std": 0.01}).model_dump() == {
        "name": "normal",
        "std": 0.01,
    }
    assert Activation().model_dump() == "linear"


# ---- round trip -----------------------------------------------------------------------------------------

_inits = st.one_of(
    st.sampled_from(["zeros", "glorot-uniform", "he-normal", "lecun-uniform", "normal"]),
    st.builds(lambda std: {"name": "truncated-normal", "std": std}, st.floats(1e-3, 1)),
    st.builds(lambda value: {"name": "constant", "value": value}, st.floats(-1, 1)),
)
_activations = st.sampled_from(["linear", "relu", "softmax", {"name": "elu", "alpha": 0.5}])
_sizes = st.one_of(st.integers(1, 5), st.tuples(st.integers(1, 5), st.integers(1, 5)))
_paddings = st.one_of(st.sampled_from(["valid", "same"]), st.integers(0, 3))
_plain = st.sampled_from(["flatten", "batch-norm", "global-avg-pool", "global-max-pool", "lrn"])
_leaves = st.one_of(
    _plain,
    st.fixed_dictionaries(
        {"conv": st.integers(1, 9)},
        optional={
            "kernel": _sizes,
            "stride": _sizes,
            "padding": _paddings,
            "init": _inits,
            "activation": _activations,
            "activity_l1": st.floats(0, 1),
        },
    ),
    st.fixed_dictionaries(
        {"dense": st.integers(1, 9)}, optional={"bias_init": _inits, "name": st.just("d_1")}
    ),
    st.fixed_dictionaries({"max-pool": _sizes}, optional={"stride": _sizes}),
    st.fixed_dictionaries({"dropout": st.floats(0, 0.9)}),
    st.fixed_dictionaries({"activation": _activations}),
)
_layers = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"residual": st.lists(inner, min_size=1, max_size=3)},
            optional={"drop_rate": st.floats(0, 0.5), "activation": _activations},
        ),
        st.fixed_dictionaries({"branches": st.lists(st.lists(inner, max_size=2), min_size=2, max_size=3)}),
    ),
    max_leaves=6,
)


@given(st.lists(_layers, min_size=1, max_size=5).filter(lambda layers: str(layers).count("d_1") < 2))
def test_what_is_written_is_read_back(layers: list[Any]) -> None:
    model = LayersModel.model_validate({"layers": layers})
    written = model.model_dump(mode="json")
    assert LayersModel.model_validate(written) == model
    assert LayersModel.model_validate(model.model_dump()) == model
    assert LayersModel.model_validate(yaml.safe_load(yaml.safe_dump(written))) == model


@pytest.mark.parametrize(
    ("layers", "reached"),
    [
        (["flatten"], False),
        ([{"residual": [{"conv": 3, "padding": "same"}]}, "flatten"], True),
        ([{"branches": [[], [{"conv": 3, "padding": "same"}]]}, "flatten"], True),
        ([{"branches": [[], ["batch-norm"]]}, {"residual": ["batch-norm"]}, "flatten"], False),
    ],
)
def test_a_penalty_that_reaches_no_layer_is_an_error(layers: list[Any], reached: bool) -> None:
    model = {"layers": layers, "activity_l1": 0.1}
    if reached:
        assert recipe(model).model.activity_l1 == 0.1
    else:
        with pytest.raises(ConfigError, match="no effect without a conv or dense layer"):
            recipe(model)


# ---- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "at least one layer"),
        ("conv", "expected a list of layers"),
        ("[5]", "layer 1: expected a layer such as"),
        ("[flatten, cov: 3]", 'layer 2: the type "cov" is not known. Did you mean "conv"?'),
        ("[{type: cnv}]", 'the type "cnv" is not known. Did you mean "conv"?'),
        ("[flatten: 3]", "takes no value of its own"),
        ("[dropout]", "layer 1 (dropout): needs rate"),
        ("[{conv: 3, dense: 4}]", "names two types, conv and dense"),
        ("[{conv: 3, filters: 4}]", "filters is given twice"),
        ("[{conv: 3, kernal: 3}]", 'option "kernal" is not known here. Did you mean "kernel"?'),
        ("[{conv: 3, activation: rleu}]", 'the activation "rleu" is not known. Did you mean "relu"?'),
        (
            "[{conv: 3, init: he-norml}]",
            'the initialisation "he-norml" is not known. Did you mean "he-normal"?',
        ),
        ("[{conv: 3, init: constant}]", "constant needs a value"),
        ("[{conv: 3, init: {name: zeros, std: 1}}]", "std has no effect with the initialisation zeros"),
        ("[{dense: 3, activation: {name: elu, slope: 1}}]", "slope has no effect with the activation elu"),
        ("[{conv: 3, bias: false, bias_init: ones}]", "bias_init has no effect with bias=false"),
        ("[{conv: 3, padding: smae}]", "padding is valid, same or a number"),
        ("[{conv: 3, padding: -1}]", "padding is valid, same or a number"),
        ("[{conv: 3, dilation: 2, stride: 2}]", "a dilation other than 1 excludes a stride other than 1"),
        ("[{conv: 3, groups: 2}]", "3 filters cannot be cut into 2 groups"),
        ("[conv: 0]", "layer 1 (conv): filters: must be at least 1 (got 0)"),
        ("[dense: true]", "layer 1 (dense): units"),
        ("[dropout: 1.0]", "rate: must be at least 0 and below 1 (got 1.0)"),
        ("[{batch-norm: , eps: 0}]", "layer 1 (batch-norm): eps"),
        ("[{max-pool: 2, padding: 2}]", "more than half of the window"),
        ("[output, flatten]", "layer 1 (output): output is the last layer"),
        ("[output, output]", "stands once"),
        ("[residual: [output]]", "not inside"),
        ("[residual: []]", "at least one layer"),
        ("[residual: [conv: -1]]", "layer 1 (residual): layers: layer 1 (conv): filters"),
        ("[branches: [[conv: 3]]]", "branches: must have at least 2"),
        ("[branches: 3]", "two or more lists"),
        ("[branches: [[conv: 3], [conv: 0]]]", "layer 1 (branches): branches: layer 1 (conv): filters"),
        ("[{conv: 3, name: a}, {conv: 3, name: a}]", 'layers 1 and 2 both have the name "a"'),
        ("[{conv: 3, name: a.b}]", "layer 1 (conv): name"),
    ],
)
def test_a_wrong_list_names_the_layer_and_the_way_out(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe({"layers": yaml.safe_load(text)})
    assert words in str(caught.value)
