"""Optimizers against stock torch.optim, and Muon against a singular value decomposition in float64."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from photopic.config import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    Nadam,
    RMSprop,
)
from photopic.training.optimizers import build_optimizer, clip_gradients, optimizer_of
from photopic.training.recipes import load_recipe
from photopic.training.rules import COEFFICIENTS, orthogonalise

ALL: list[Any] = [
    SGD(weight_decay=0.01),
    Adagrad(weight_decay=0.01),
    Adadelta(),
    RMSprop(momentum=0.5, centered=True),
    Adam(amsgrad=True),
    AdamW(),
    Adamax(),
    Nadam(),
    Lion(weight_decay=0.1),
    Muon(weight_decay=0.004),
]


def small_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5)
    )


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5, seed: int = 1
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        images = torch.randn(6, 3, 8, 8, generator=generator)
        loss = nn.functional.cross_entropy(model(images), torch.arange(6) % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def weights_and_rest(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    parameters = list(model.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


STOCK: list[tuple[Any, type[torch.optim.Optimizer], dict[str, Any]]] = [
    (
        SGD(learning_rate=0.1, momentum=0.8, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    (
        SGD(learning_rate=0.1, momentum=0.8, nesterov=False),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8},
    ),
    (SGD(learning_rate=0.1, momentum=0.0), torch.optim.SGD, {"lr": 0.1}),
    (Adagrad(), torch.optim.Adagrad, {"lr": 0.01}),
    (
        Adagrad(learning_rate=0.1, initial_accumulator=0.1, epsilon=1e-7, weight_decay=0.01),
        torch.optim.Adagrad,
        {"lr": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-7},
    ),
    (Adadelta(), torch.optim.Adadelta, {"lr": 1.0, "rho": 0.95}),
    (
        Adadelta(learning_rate=0.5, rho=0.8, epsilon=1e-4, weight_decay=0.01),
        torch.optim.Adadelta,
        {"lr": 0.5, "rho": 0.8, "eps": 1e-4},
    ),
    (RMSprop(), torch.optim.RMSprop, {"lr": 0.001, "alpha": 0.9}),
    (
        RMSprop(learning_rate=0.01, rho=0.8, momentum=0.7, centered=True, epsilon=1e-4, weight_decay=0.01),
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.8, "momentum": 0.7, "centered": True, "eps": 1e-4},
    ),
    (Adam(learning_rate=0.01), torch.optim.Adam, {"lr": 0.01}),
    (
        Adam(beta_1=0.8, beta_2=0.95, epsilon=1e-4, amsgrad=True, weight_decay=0.01),
        torch.optim.Adam,
        {"lr": 0.001, "betas": (0.8, 0.95), "eps": 1e-4, "amsgrad": True},
    ),
    (
        AdamW(learning_rate=0.01, beta_1=0.8, beta_2=0.95, weight_decay=0.1, amsgrad=True, epsilon=1e-4),
        torch.optim.AdamW,
        {"lr": 0.01, "betas": (0.8, 0.95), "amsgrad": True, "eps": 1e-4},
    ),
    (Adamax(), torch.optim.Adamax, {"lr": 0.001}),
    (
        Adamax(learning_rate=0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-4, weight_decay=0.01),
        torch.optim.Adamax,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4},
    ),
    (Nadam(), torch.optim.NAdam, {"lr": 0.001}),
    (
        Nadam(beta_1=0.8, beta_2=0.95, epsilon=1e-4, momentum_decay=0.1, weight_decay=0.01),
        torch.optim.NAdam,
        {"lr": 0.001, "betas": (0.8, 0.95), "eps": 1e-4, "momentum_decay": 0.1},
    ),
]


FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Of which torch has a version that passes over the weights once; it rounds a little differently."""


@pytest.mark.parametrize(("config", "kind", "options"), STOCK, ids=lambda value: getattr(value, "name", ""))
def test_the_stock_rules_do_what_torch_does_and_spare_biases_from_decay(config, kind, options):
    ours, theirs = small_model(), small_model()
    decayed, spared = weights_and_rest(theirs)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    got = train(ours, build_optimizer(config, ours), steps=25)
    fused = {"fused": True} if kind in FUSED else {}
    wanted = train(theirs, kind(groups, **options, **fused), steps=25)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not any(torch.equal(a, b) for a, b in zip(got, small_model().parameters(), strict=True))


def test_lion_is_algorithm_2_of_its_paper():
    config = Lion(learning_rate=0.01, beta_1=0.85, beta_2=0.97, weight_decay=0.3)
    layer = nn.Linear(7, 5).double()
    optimizer = build_optimizer(config, layer)
    expected = {name: value.detach().numpy().copy() for name, value in layer.named_parameters()}
    momentum = {name: np.zeros_like(value) for name, value in expected.items()}
    random = np.random.default_rng(0)
    for _ in range(30):
        for name, parameter in layer.named_parameters():
            gradient = random.normal(size=parameter.shape)
            parameter.grad = torch.from_numpy(gradient.copy())
            for place in np.ndindex(gradient.shape):
                m, g, w = momentum[name][place], gradient[place], expected[name][place]
                direction = np.sign(0.85 * m + 0.15 * g)
                decay = 0.3 if name == "weight" else 0.0
                expected[name][place] = w - 0.01 * (direction + decay * w)
                momentum[name][place] = 0.97 * m + 0.03 * g
        optimizer.step()
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), expected[name], rtol=1e-12)


def test_weight_decay_in_the_gradient_is_the_penalty_of_half_the_decay():
    decay = 0.06
    layer, twin = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
    twin.load_state_dict(layer.state_dict())
    ours = build_optimizer(SGD(learning_rate=0.1, weight_decay=decay), layer)
    reference = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    points = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        for model, optimizer, penalty in ((layer, ours, 0.0), (twin, reference, decay / 2)):
            optimizer.zero_grad()
            (model(points).exp().mean() + penalty * model.weight.square().sum()).backward()
            optimizer.step()
    torch.testing.assert_close(layer.weight, twin.weight, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bound", [0.01, 100.0])
def test_clip_norm_bounds_the_length_of_all_gradients_together(bound):
    model = small_model()
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(p.shape, generator=generator) for p in model.parameters()]
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient.clone()
    clip_gradients(Adam(clip_norm=bound), model.parameters())
    length = sum(gradient.double().square().sum() for gradient in gradients).sqrt()
    factor = min(1.0, bound / length)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, (gradient * factor).float(), rtol=1e-5, atol=1e-9)


def test_clip_value_cuts_each_element():
    weight = torch.zeros(3, requires_grad=True)
    weight.grad = torch.tensor([-3.0, 0.2, 0.7])
    clip_gradients(SGD(clip_value=0.5), [weight])
    assert torch.equal(weight.grad, torch.tensor([-0.5, 0.2, 0.5]))


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_without_a_bound_gradients_stay_as_they_are(config):
    weight = torch.zeros(3, requires_grad=True)
    weight.grad = torch.tensor([-3e8, 0.2, float("inf")])
    clip_gradients(config, [weight])
    assert torch.equal(weight.grad, torch.tensor([-3e8, 0.2, float("inf")]))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (SGD, {"momentum": 0.0, "nesterov": True}, "no effect with momentum=0"),
        (Adam, {"clip_norm": 1.0, "clip_value": 0.5}, "exclude each other"),
        (Muon, {"clip_norm": 1.0, "clip_value": 0.5}, "exclude each other"),
        (Adam, {"clip_norm": 0.0}, "clip_norm"),
        (Adam, {"momentum": 0.9}, "momentum"),
    ],
)
def test_an_option_without_effect_is_refused(kind, options, words):
    with pytest.raises(ValidationError, match=words):
        kind(**options)


def test_sgd_by_its_name_alone_is_nesterov_s():
    ours, theirs = small_model(), small_model()
    stock = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    for a, b in zip(train(ours, build_optimizer(SGD(), ours)), train(theirs, stock), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_every_optimizer_has_its_rate_of_the_course():
    rates = {
        SGD: 0.01,
        Adagrad: 0.01,
        Adadelta: 1.0,
        RMSprop: 0.001,
        Adam: 0.001,
        Adamax: 0.001,
        Nadam: 0.001,
    }
    assert {kind: kind().learning_rate for kind in rates} == rates
    assert (Adadelta().rho, RMSprop().rho, Adam().beta_1, Adam().beta_2) == (0.95, 0.9, 0.9, 0.999)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_every_group_names_its_peak_and_scales_it(config):
    model = small_model()
    groups = [
        {"params": list(model[0].parameters()), "lr_scale": 0.5},
        {"params": list(model[4].parameters())},
    ]
    plain = build_optimizer(config, model).param_groups
    scaled = build_optimizer(config, groups).param_groups
    assert all(group["lr"] == group["peak_lr"] > 0 for group in plain + scaled)
    filters = [g for g in scaled if any(p is model[0].weight for p in g["params"])]
    assert filters[0]["peak_lr"] == 0.5 * config.learning_rate


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_frozen_parameters_are_left_out(config):
    model = small_model()
    model[0].weight.requires_grad = False
    optimizer = build_optimizer(config, model)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert all(p is not model[0].weight for p in held)
    assert len(held) == len(list(model.parameters())) - 1


def test_nothing_to_optimise_is_an_error():
    model = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to optimise"):
        build_optimizer(SGD(), model)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_state_survives_safetensors_and_json_bit_for_bit(config):
    model, twin = small_model(), small_model()
    optimizer = build_optimizer(config, model)
    train(model, optimizer, steps=3)
    state = optimizer.state_dict()
    tensors, numbers = {}, {}
    for key, values in state["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, torch.Tensor) else numbers)[f"{key}.{name}"] = value
    raw = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    numbers, groups = json.loads(json.dumps([numbers, state["param_groups"]]))
    read: dict[int, dict[str, object]] = {}
    for name, value in {**safetensors.torch.load(raw), **numbers}.items():
        key, _, field = name.partition(".")
        read.setdefault(int(key), {})[field] = value

    twin.load_state_dict(model.state_dict())
    resumed = build_optimizer(config, twin)
    resumed.load_state_dict({"state": read, "param_groups": groups})
    for a, b in zip(train(model, optimizer, seed=2), train(twin, resumed, seed=2), strict=True):
        assert torch.equal(a, b)


def test_no_optimizer_imports_torchs_compiler():
    code = """
import sys, torch
from photopic.config import *
from photopic.training.optimizers import build_optimizer, clip_gradients
kinds = (SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, Nadam, Lion, Muon)
for config in (kind(clip_norm=1) for kind in kinds):
    model = torch.nn.Conv2d(3, 4, 3)
    optimizer = build_optimizer(config, model)
    model(torch.ones(1, 3, 4, 4)).sum().backward()
    clip_gradients(config, model.parameters())
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (16, 16)])
def test_orthogonalise_moves_singular_values_as_the_polynomial_says(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    a, b, c = COEFFICIENTS
    s = s / matrix.double().norm()
    for _ in range(3):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(orthogonalise(matrix).double(), u @ torch.diag(s) @ vh, rtol=1e-4, atol=1e-5)


def test_five_steps_come_close_to_the_orthogonal_factor():
    matrix = torch.randn(16, 144, generator=torch.Generator().manual_seed(4))
    u, _, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    got = orthogonalise(matrix, steps=5).double()
    values = torch.linalg.svdvals(got)
    assert values.min() > 0.6
    assert values.max() < 1.25
    assert torch.sum(got * (u @ vh)) / (got.norm() * (u @ vh).norm()) > 0.97


def test_orthogonalise_of_zeros_is_zeros():
    assert torch.equal(orthogonalise(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_muon_step_is_the_rule_written_out():
    torch.manual_seed(5)
    conv = nn.Conv2d(3, 8, 3, bias=False)
    start = conv.weight.detach().double().clone()
    optimizer = build_optimizer(Muon(learning_rate=0.1, momentum=0.6), conv)
    velocity, weight = torch.zeros_like(start), start
    for step in range(3):
        gradient = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(step))
        conv.weight.grad = gradient.clone()
        optimizer.step()
        velocity = 0.6 * velocity + gradient.double()
        direction = orthogonalise((gradient.double() + 0.6 * velocity).view(8, -1)).view(8, 3, 3, 3)
        weight = weight * 8**0.5 / weight.norm() - 0.1 * direction
    torch.testing.assert_close(conv.weight.detach().double(), weight, rtol=1e-4, atol=1e-5)


def test_muon_gives_everything_but_filters_nesterov_sgd():
    config = Muon(other_learning_rate=0.02, head_learning_rate=0.3, other_momentum=0.7, weight_decay=0.003)
    ours, theirs = nn.Linear(6, 5), nn.Linear(6, 5)
    theirs.load_state_dict(ours.state_dict())
    reference = torch.optim.SGD(
        [
            {"params": [theirs.weight], "lr": 0.3, "weight_decay": 0.003 / 0.3},
            {"params": [theirs.bias], "lr": 0.02, "weight_decay": 0.003 / 0.02},
        ],
        momentum=0.7,
        nesterov=True,
    )
    optimizer = build_optimizer(config, ours)
    for _ in range(4):
        for model, rule in ((ours, optimizer), (theirs, reference)):
            rule.zero_grad()
            model(torch.ones(2, 6)).square().sum().backward()
            rule.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_training_is_deterministic(config):
    runs = []
    for _ in range(2):
        model = small_model()
        runs.append(train(model, build_optimizer(config, model)))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ("model", "head", "other"), [("fast", 0.67 * 125, 0.053 * 125), ("lenet5", 0.67, 0.053)]
)
def test_open_rates_of_muon_follow_the_network(model: str, head: float, other: float):
    """airbench94 sums its loss over the batch; other networks take its numbers as they stand."""
    recipe = load_recipe("small-images", {"model": model})
    optimizer = optimizer_of(recipe)
    assert recipe.batch_size == 125
    assert (optimizer.head_learning_rate, optimizer.other_learning_rate) == pytest.approx((head, other))
    named = load_recipe("small-images", {"optimizer.head_learning_rate": 3})
    assert optimizer_of(named).head_learning_rate == 3
