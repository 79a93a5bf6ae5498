"""Initial values against SciPy's distributions, torch's bounds and the formulas' spreads."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from photopic.config.elements import Initializer
from photopic.models.initializers import CUT_SPREAD, fans, fill

SHAPE = (64, 32, 3, 3)  # fans 32 * 9 and 64 * 9
N_IN, N_OUT = 288, 576


def drawn(rule: str | dict[str, float | str], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    weight = torch.empty(shape)
    torch.manual_seed(0)
    fill(weight, Initializer.model_validate(rule))
    return weight.double().numpy().ravel()


def cut_normal(std: float) -> scipy.stats.rv_continuous:
    return scipy.stats.truncnorm(-2, 2, scale=std)


_GLOROT, _HE, _LECUN = sqrt(2 / (N_IN + N_OUT)), sqrt(2 / N_IN), sqrt(1 / N_IN)
_UNIFORM = {
    "uniform": 0.05,
    "glorot-uniform": sqrt(6 / (N_IN + N_OUT)),
    "he-uniform": sqrt(6 / N_IN),
    "lecun-uniform": sqrt(3 / N_IN),
}


@pytest.mark.parametrize(("name", "limit"), _UNIFORM.items())
def test_uniform_rules_fill_their_interval(name: str, limit: float) -> None:
    values = drawn(name)
    assert scipy.stats.kstest(values, scipy.stats.uniform(-limit, 2 * limit).cdf).pvalue > 0.01
    assert np.abs(values).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "std"), [("glorot-normal", _GLOROT), ("he-normal", _HE), ("lecun-normal", _LECUN)]
)
def test_scaled_normals_are_cut_and_have_the_spread_of_their_formula(name: str, std: float) -> None:
    values = drawn(name)
    assert scipy.stats.kstest(values, cut_normal(std / CUT_SPREAD).cdf).pvalue > 0.01
    assert values.std() == pytest.approx(std, rel=0.02)  # of 18,432 draws: 4 standard errors


def test_the_cut_normals_spread_is_scipys() -> None:
    assert pytest.approx(scipy.stats.truncnorm(-2, 2).std(), abs=1e-12) == CUT_SPREAD


def test_plain_normals_take_the_spread_before_the_cut() -> None:
    whole = drawn({"name": "normal", "std": 0.01})
    assert scipy.stats.kstest(whole, scipy.stats.norm(0, 0.01).cdf).pvalue > 0.01
    cut = drawn({"name": "truncated-normal", "std": 0.01})
    assert scipy.stats.kstest(cut, cut_normal(0.01).cdf).pvalue > 0.01
    assert np.abs(cut).max() <= 0.02 + 1e-9


@pytest.mark.parametrize(
    ("rule", "value"), [("zeros", 0.0), ("ones", 1.0), ({"name": "constant", "value": 0.1}, 0.1)]
)
def test_constants_suit_biases(rule: str | dict[str, float | str], value: float) -> None:
    np.testing.assert_allclose(drawn(rule, (5,)), value, rtol=1e-6)


@pytest.mark.parametrize("shape", [(10, 784), (8, 4, 3, 5), (8, 2, 1, 1)])
def test_fans_are_torchs(shape: tuple[int, ...]) -> None:
    weight = torch.empty(shape)
    assert fans(weight) == nn.init._calculate_fan_in_and_fan_out(weight)


def test_defaults_are_keras() -> None:
    assert np.abs(drawn("uniform")).max() == pytest.approx(0.05, rel=1e-3)
    assert drawn("normal").std() == pytest.approx(0.05, rel=0.02)
