"""The layers of layer lists against NumPy loops, Keras' formulas, the course's arrays and torchvision."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
import torchvision
from torch import Tensor, nn

from photopic.config.elements import Activation as ActivationConfig
from photopic.config.networks import LayersModel
from photopic.models.building_blocks import Activation, Dropout, Pool, Residual
from photopic.models.layered import activity_penalty, build_layers

NINE = torch.arange(1.0, 10.0).view(1, 1, 3, 3)


def net(
    layers: list[Any], channels: int = 1, size: int = 3, outputs: int = 2, **options: Any
) -> nn.Sequential:
    model = LayersModel.model_validate({"layers": layers} | options)
    return build_layers(model, channels, size, outputs)


def first(layer: dict[str, Any], channels: int = 1, size: int = 3, **options: Any) -> nn.Module:
    """The module of one layer that keeps a map."""
    return net([layer, "flatten"], channels, size, **options)[0]


def keras_same(side: int, span: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, as TensorFlow's documentation of padding="SAME" has them."""
    total = max(span - stride, 0) if side % stride == 0 else max(span - side % stride, 0)
    return total // 2, total - total // 2


def windows(x: np.ndarray, size: int, stride: int, fill: float) -> np.ndarray:
    """(C, H', W', size, size) windows of a map (C, H, W) padded for `same`."""
    pads = [keras_same(side, size, stride) for side in x.shape[1:]]
    padded = np.pad(x, [(0, 0), *pads], constant_values=fill)
    high, wide = (-(-side // stride) for side in x.shape[1:])
    out = np.empty((len(x), high, wide, size, size))
    for i in range(high):
        for j in range(wide):
            out[:, i, j] = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
    return out


# ---- convolution ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padding", "wanted"),
    [
        ("valid", [[12, 16], [24, 28]]),
        ("same", [[12, 16, 9], [24, 28, 15], [15, 17, 9]]),
    ],
)
def test_convolution_gives_the_arrays_of_course_experiment_c31(padding: str, wanted: list[list[int]]) -> None:
    conv = first({"conv": 3, "kernel": 2, "padding": padding, "init": "ones"})
    with torch.no_grad():
        conv.weight[1] *= 10
        conv.weight[2] *= -1
    out = conv(NINE)[0]
    for channel, factor in zip(out, (1, 10, -1), strict=True):
        assert channel.tolist() == (factor * np.array(wanted)).tolist()


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(7, 3, 1), (8, 3, 2), (7, 3, 2), (8, 2, 1), (5, 4, 3), (3, 5, 2)]
)
def test_same_convolution_is_a_loop_over_keras_padding(size: int, kernel: int, stride: int) -> None:
    conv = first({"conv": 4, "kernel": kernel, "stride": stride, "padding": "same"}, 2, size)
    x = torch.randn(1, 2, size, size)
    weight = conv.weight.detach().double().numpy()
    taken = windows(x[0].double().numpy(), kernel, stride, 0.0)
    wanted = np.einsum("cijab,fcab->fij", taken, weight)
    np.testing.assert_allclose(conv(x)[0].detach().numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 2, "stride": 2},
        {"dilation": 2},
        {"groups": 2, "kernel": (1, 3)},
        {"bias": False, "stride": (1, 2)},
    ],
)
def test_convolution_has_torchs_options(options: dict[str, Any]) -> None:
    ours = first({"conv": 6, **options}, 4, 9)
    kernel = options.pop("kernel", 3)
    theirs = nn.Conv2d(4, 6, kernel, **options)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 9, 9)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


def test_same_convolution_with_dilation_keeps_the_size() -> None:
    ours = first({"conv": 2, "dilation": 3, "padding": "same"}, 1, 9)
    theirs = nn.Conv2d(1, 2, 3, padding="same", dilation=3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(ours(x), theirs(x))


# ---- pools ----------------------------------------------------------------------------------------------


def test_max_pool_gives_the_array_of_course_experiment_c31() -> None:
    pool = Pool("max", (2, 2), (1, 1), "same")
    assert pool(NINE)[0, 0].tolist() == [[5, 6, 6], [8, 9, 9], [8, 9, 9]]


@pytest.mark.parametrize(
    ("size", "window", "stride"),
    [(7, 2, 2), (8, 2, 2), (14, 3, 2), (7, 3, 2), (7, 2, 1), (5, 3, 4), (6, 5, 1)],
)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_same_pool_is_a_loop_over_keras_padding(kind: str, size: int, window: int, stride: int) -> None:
    x = torch.randn(2, 3, size, size)
    pool = Pool(kind, (window, window), (stride, stride), "same")
    for image, got in zip(x, pool(x), strict=True):
        taken = windows(image.double().numpy(), window, stride, np.nan)
        wanted = (np.nanmax if kind == "max" else np.nanmean)(taken, axis=(3, 4))
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_padded_pixels_do_not_count(kind: str) -> None:
    pool = Pool(kind, (2, 2), (2, 2), 1)
    wanted = {"max": [[-1, -2], [-4, -5]], "avg": [[-1, -2.5], [-5.5, -7]]}
    assert pool(-NINE)[0, 0].tolist() == wanted[kind]


def test_maps_stay_in_channels_last_memory() -> None:
    model = net(
        [
            {"conv": 8, "kernel": 2, "padding": "same"},
            {"max-pool": 2, "stride": 1, "padding": "same"},
            "flatten",
        ],
        4,
        8,
    )
    x = torch.randn(2, 4, 8, 8).to(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last)
    for layer in list(model)[:2]:
        x = layer(x)
        assert x.is_contiguous(memory_format=torch.channels_last)


# ---- activations and norms ------------------------------------------------------------------------------

_X = np.linspace(-4, 4, 41)
_FORMULAS: dict[str, np.ndarray] = {
    "linear": _X,
    "sigmoid": scipy.special.expit(_X),
    "tanh": np.tanh(_X),
    "relu": np.maximum(_X, 0),
    "leaky-relu": np.where(_X > 0, _X, 0.01 * _X),
    "elu": np.where(_X > 0, _X, np.expm1(_X)),
    "selu": 1.0507009873554805 * np.where(_X > 0, _X, 1.6732632423543772 * np.expm1(_X)),
    "gelu": _X * scipy.special.ndtr(_X),
    "silu": _X * scipy.special.expit(_X),
    "softmax": scipy.special.softmax(_X),
}


@pytest.mark.parametrize("name", _FORMULAS)
def test_activation_is_its_formula(name: str) -> None:
    got = Activation(ActivationConfig(name=name))(torch.from_numpy(_X)[None].clone())
    np.testing.assert_allclose(got[0].numpy(), _FORMULAS[name], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"name": "leaky-relu", "slope": 0.3}, -0.6), ({"name": "elu", "alpha": 2.0}, 2 * np.expm1(-2.0))],
)
def test_activation_parameters_have_an_effect(options: dict[str, Any], wanted: float) -> None:
    got = Activation(ActivationConfig.model_validate(options))(torch.tensor([[-2.0]]))
    assert got.item() == pytest.approx(wanted)


def test_lrn_is_the_papers_formula() -> None:
    layer = first({"lrn": 5, "alpha": 0.3, "beta": 0.6, "k": 1.5}, 8, 4)
    a = torch.randn(2, 8, 4, 4)
    for i in range(8):
        around = a[:, max(0, i - 2) : min(7, i + 2) + 1]
        wanted = a[:, i] / (1.5 + 0.3 * around.square().sum(1)) ** 0.6
        torch.testing.assert_close(layer(a)[:, i], wanted)


def test_batch_norm_is_its_formula_with_moving_averages_in_inference() -> None:
    layer = first({"type": "batch-norm", "momentum": 0.2, "eps": 0.01}, 3, 4).train()
    gamma, beta = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([1.0, 0.0, -1.0])
    layer.load_state_dict({"weight": gamma, "bias": beta}, strict=False)
    mean, var = np.zeros(3), np.ones(3)  # before the first batch
    for number in range(3):
        x = torch.randn(16, 3, 4, 4) * (number + 2) + number
        of_batch = x.numpy().mean((0, 2, 3)), x.numpy().var((0, 2, 3))
        torch.testing.assert_close(layer(x), normalised(x, *of_batch, gamma, beta))
        n = x.numel() / 3
        mean = 0.8 * mean + 0.2 * of_batch[0]
        var = 0.8 * var + 0.2 * of_batch[1] * n / (n - 1)  # of what the batch was drawn from
    x = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(layer.eval()(x), normalised(x, mean, var, gamma, beta))


def normalised(x: Tensor, mean: np.ndarray, var: np.ndarray, gamma: Tensor, beta: Tensor) -> Tensor:
    """γ(x − μ)/√(σ² + ε) + β with ε = 0.01; statistics of each of 3 channels."""
    shape = (1, 3, 1, 1)
    mu, sigma2 = (torch.from_numpy(values.astype(np.float32)).view(shape) for values in (mean, var))
    return gamma.view(shape) * (x - mu) / (sigma2 + 0.01).sqrt() + beta.view(shape)


def test_batch_norm_can_do_without_scale_or_center() -> None:
    x = torch.randn(16, 3, 4, 4) * 2 + 1
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    for options, names in (
        ({"scale": False}, ["bias"]),
        ({"center": False}, ["weight"]),
        ({"scale": False, "center": False}, []),
    ):
        layer = first({"type": "batch-norm", "eps": 0.01, **options}, 3, 4)
        assert [name for name, _ in layer.named_parameters()] == names
        torch.testing.assert_close(layer.train()(x), (x - mean) / (var + 0.01).sqrt())


# ---- blocks ---------------------------------------------------------------------------------------------


def test_residual_adds_its_input() -> None:
    block = first({"residual": [{"conv": 2, "padding": "same"}], "activation": "relu"}, 2, 5)
    x = torch.randn(1, 2, 5, 5)
    before = x.clone()
    torch.testing.assert_close(block(x), torch.relu(block.branch(x) + x))
    torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_projection_has_the_stride_that_fits() -> None:
    block = first({"residual": [{"conv": 4, "padding": "same", "stride": (2, 1)}]}, 2, 7)
    assert block.shortcut.conv.stride == (2, 1)
    assert block(torch.randn(2, 2, 7, 7)).shape == (2, 4, 4, 7)


def test_flat_maps_have_residual_blocks_too() -> None:
    model = net(["flatten", {"residual": [{"dense": 9, "activation": "tanh"}]}, {"residual": [{"dense": 5}]}])
    assert model[1].shortcut is None
    assert model[2].shortcut.weight.shape == (5, 9)
    assert model(NINE).shape == (1, 2)


def test_stochastic_depth_is_torchvisions() -> None:
    branch = nn.Conv2d(2, 2, 1)
    block = Residual(branch, None, 0.4, None)
    x = torch.randn(64, 2, 3, 3)
    torch.manual_seed(0)
    got = block(x)
    torch.manual_seed(0)
    wanted = x + torchvision.ops.stochastic_depth(branch(x), 0.4, "row", training=True)
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(block.eval()(x), x + branch(x))


def test_branches_join_their_channels_in_order() -> None:
    block = first({"branches": [[{"conv": 2, "kernel": 1}], [{"activation": "relu"}], []]}, 3, 4)
    x = torch.randn(1, 3, 4, 4)
    before = x.clone()
    out = block(x)
    torch.testing.assert_close(out, torch.cat([block[0](x), torch.relu(before), before], 1))


# ---- activity penalty -----------------------------------------------------------------------------------

_TWO = ["flatten", {"dense": 4, "activation": "relu"}, {"dense": 3, "activity_l2": 0.5}]


def test_activity_penalty_is_keras_sum_over_layers_divided_by_the_batch() -> None:
    model = net(_TWO, activity_l1=0.1).train()
    x = torch.randn(6, 1, 3, 3)
    model(x)
    first_out = model[1](model[0](x)).detach()
    second_out = model[2](first_out).detach()
    l1 = 0.1 * (first_out.abs().sum() + second_out.abs().sum())
    model(x)
    penalty = activity_penalty(model)
    assert penalty is not None
    torch.testing.assert_close(penalty, (l1 + 0.5 * second_out.square().sum()) / 6)


def test_activity_penalty_reaches_weights_and_is_given_once() -> None:
    model = net(_TWO, activity_l1=0.1).train()
    model(torch.randn(6, 1, 3, 3))
    penalty = activity_penalty(model)
    assert penalty is not None
    penalty.backward()
    assert model[1].weight.grad is not None
    assert activity_penalty(model) is None


def test_no_activity_penalty_in_evaluation_or_without_one() -> None:
    model = net(_TWO).eval()
    model(torch.randn(2, 1, 3, 3))
    assert activity_penalty(model) is None
    plain = net(["flatten", {"dense": 4}])
    plain(torch.randn(2, 1, 3, 3))
    assert activity_penalty(plain) is None
    assert activity_penalty(nn.Linear(2, 2)) is None


def test_the_models_penalty_leaves_the_output_layer_alone_and_its_own_counts() -> None:
    for own in (None, 0.5):
        output = {"type": "output", "activity_l1": own}
        model = net(["flatten", {"dense": 1, "activity_l1": 0}, output], activity_l1=0.1).train()
        logits = model(NINE)
        penalty = activity_penalty(model)
        if own is None:
            assert penalty is None
        else:
            assert penalty is not None
            assert penalty.item() == pytest.approx(own * logits.abs().sum().item())


def test_a_network_can_be_copied_between_forward_and_backward() -> None:
    model = net(_TWO).train()
    model(torch.randn(2, 1, 3, 3))
    twin = copy.deepcopy(model)
    assert activity_penalty(twin) is None
    assert activity_penalty(model) is not None


# ---- the whole ------------------------------------------------------------------------------------------


def test_a_layer_list_is_the_stack_of_torch_layers() -> None:
    torch.manual_seed(0)
    text = [
        {"conv": 4, "padding": "same", "activation": "relu"},
        {"max-pool": 2},
        {"conv": 6, "bias": False},
        "batch-norm",
        {"activation": "relu"},
        "flatten",
        {"dropout": 0.5},
        {"dense": 5, "activation": "relu"},
    ]
    ours = net(text, 3, 8, 10)
    theirs = nn.Sequential(
        *[nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()],
        *[nn.Flatten(), Dropout(0.5), nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 10)],
    )
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(7, 3, 8, 8)
    outs: list[Tensor] = []
    for model in (ours, theirs):
        torch.manual_seed(1)
        out = model.train()(x)
        out.square().sum().backward()
        outs.append(out)
    torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=0)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


def test_layers_have_names_and_take_their_own() -> None:
    model = net(
        [
            {"conv": 2, "kernel": 1},
            {"conv": 2, "kernel": 1, "name": "stem"},
            {"conv": 2, "kernel": 1},
            "flatten",
        ]
    )
    assert [name for name, _ in model.named_children()] == ["conv1", "stem", "conv2", "flatten1", "output"]


# ---- dropout -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_dropout_drops_the_share_it_names_and_scales_the_rest(rate):
    torch.manual_seed(0)
    x = torch.ones(50, 8, 20, 20, requires_grad=True)
    out = Dropout(rate)(x)
    out.sum().backward()
    kept = out != 0
    chance = scipy.stats.binomtest(int(kept.sum()), kept.numel(), 1 - rate).pvalue
    assert chance > 1e-3
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - rate)))
    torch.testing.assert_close(x.grad, out)  # of ones, the gradient is what they were multiplied with
    by_channel = kept.float().mean((0, 2, 3)) - (1 - rate)
    assert by_channel.abs().max() < 5 * (rate * (1 - rate) / (50 * 400)) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_dropout_of_nothing_and_of_all_is_torchs(rate):
    x = torch.randn(3, 4)
    torch.testing.assert_close(Dropout(rate)(x), nn.Dropout(rate)(x), rtol=0, atol=0)


def test_dropout_does_nothing_in_evaluation_and_keeps_the_memory_format():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)
