"""photopic.training.regularisers: against autograd of the written-out penalty, and Keras' MaxNorm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from photopic.config import Regularizer
from photopic.training.regularisers import add_penalty_gradients, limit_norms


def make_model() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=True), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5)
        )


def images() -> torch.Tensor:
    return torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 5e-4), (0.01, 0.01)])
def test_gradients_are_those_of_a_penalty_in_the_loss(l1: float, l2: float, biases: bool) -> None:
    ours, theirs = make_model(), make_model()
    ours(images()).square().mean().backward()
    add_penalty_gradients(ours, Regularizer(l1=l1, l2=l2, biases=biases))

    chosen = [
        weight for name, weight in theirs.named_parameters() if biases or name in ("0.weight", "4.weight")
    ]
    penalty = sum(l1 * weight.abs().sum() + l2 * weight.square().sum() for weight in chosen)
    (theirs(images()).square().mean() + penalty).backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-7)


def test_the_l1_slope_at_0_is_0() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, -2.0]]))
    layer.weight.grad = torch.zeros(1, 2)
    add_penalty_gradients(layer, Regularizer(l1=0.5))
    assert layer.weight.grad.tolist() == [[0.0, -0.5]]


def test_what_is_not_trained_has_no_penalty_and_what_got_no_gradient_has() -> None:
    model = make_model()
    model[0].requires_grad_(False)
    add_penalty_gradients(model, Regularizer(l2=0.5))  # before any backward
    assert model[0].weight.grad is None
    torch.testing.assert_close(model[4].weight.grad, model[4].weight.detach())
    assert model[4].bias.grad is None


def keras_max_norm(weights: np.ndarray, max_value: float, axis: tuple[int, ...]) -> np.ndarray:
    """keras.constraints.MaxNorm, as published: w · clip(norm, 0, max) / (1e-7 + norm)."""
    norms = np.sqrt(np.square(weights).sum(axis, keepdims=True))
    return weights * np.clip(norms, 0, max_value) / (1e-7 + norms)


def test_max_norm_is_keras_s_per_unit_and_per_filter() -> None:
    model = make_model()
    with torch.no_grad():
        model[4].weight[2] *= 5
        model[0].weight[1:3] *= 4
    dense, filters = model[4].weight.detach().numpy().T.copy(), model[0].weight.detach().permute(2, 3, 1, 0)
    wanted = keras_max_norm(dense, 0.8, (0,)), keras_max_norm(filters.numpy().copy(), 0.8, (0, 1, 2))
    biases = model[4].bias.detach().clone()
    limit_norms(model.modules(), 0.8)
    np.testing.assert_allclose(model[4].weight.detach().numpy().T, wanted[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model[0].weight.detach().permute(2, 3, 1, 0), wanted[1], rtol=1e-5, atol=1e-7)
    assert model[0].weight.detach().flatten(1).norm(dim=1).max().item() == pytest.approx(0.8, rel=1e-5)
    assert torch.equal(model[4].bias, biases)
    assert torch.equal(model[1].weight, torch.ones(6))


def test_max_norm_leaves_short_and_frozen_weights_to_the_bit() -> None:
    model = make_model()
    model[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    limit_norms(model.modules(), 100.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    limit_norms(model.modules(), 1e-3)
    assert torch.equal(model[0].weight, before["0.weight"])
    assert not torch.equal(model[4].weight, before["4.weight"])
