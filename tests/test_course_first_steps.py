"""C29, C30, C37 against stock torch and scikit-learn; C35, C36 against their formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.nn import functional as F

from photopic.data.dataset import open_dataset
from photopic.lab.course import descent, first_steps, signals
from photopic.lab.course import toy_data as toy
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import median_and_range
from photopic.lab.course.pictures import one_hot_shape, turn


def torch_softmax(start: np.ndarray, rate: float, epochs: int) -> tuple[list[float], np.ndarray]:
    """The same training by a stock layer, loss and optimizer."""
    layer = torch.nn.Linear(3, 3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.T))
        layer.bias.zero_()
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    x, y = torch.from_numpy(toy.SOFTMAX_X), torch.from_numpy(toy.SOFTMAX_Y)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), y)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return losses, layer.weight.detach().numpy().T


@pytest.mark.parametrize("rate", [0.1, 1.5])
def test_softmax_regression_is_torch_s(rate: float) -> None:
    start = np.random.default_rng(0).uniform(-1, 1, (3, 3, 3))
    ours = first_steps.softmax_regression(start, rate, 30)
    for draw in range(3):
        losses, weights = torch_softmax(start[draw], rate, 30)
        np.testing.assert_allclose(ours.losses[:-1, draw], losses, rtol=1e-9)
        np.testing.assert_allclose(ours.weights[draw], weights, rtol=1e-9)


def test_the_decks_softmax_figures_lie_among_the_draws() -> None:
    """Reported: loss 0.6094, accuracy 0.75, evaluation loss 0.0289 and accuracy 1.0 (one draw each)."""
    start = np.random.default_rng(1).uniform(-1, 1, (300, 3, 3))
    run = first_steps.softmax_regression(start, 0.1, 200)
    evaluation = toy.SOFTMAX_EVALUATION_X @ run.weights + run.biases
    assert run.losses[-1].min() < 0.6094 < run.losses[-1].max()
    losses = first_steps.cross_entropy(evaluation, toy.SOFTMAX_EVALUATION_Y)
    assert losses.min() < 0.0289 < losses.max()


def test_cross_entropy_of_huge_logits_is_finite() -> None:
    logits = np.array([[[1e4, 0.0, -1e4]]])
    np.testing.assert_allclose(first_steps.cross_entropy(logits, np.array([1])), [1e4])


def test_linear_regression_is_torch_s() -> None:
    start = np.random.default_rng(0).uniform(-1, 1, (1, 4, 1))
    data = first_steps.standardise(toy.STOCK)
    ours = first_steps.linear_regression(data, start)[:, 0]
    weight = torch.tensor(start[0], dtype=torch.float32, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr=0.01)
    x, y = (torch.tensor(part, dtype=torch.float32) for part in (data[:, :4], data[:, 4:]))
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.mse_loss(x @ weight + bias, y)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(ours, losses, rtol=1e-4)  # float32


def test_raw_prices_overflow_as_the_deck_printed() -> None:
    start = np.random.default_rng(0).uniform(-1, 1, (20, 4, 1))
    losses = first_steps.linear_regression(toy.STOCK, start)
    assert np.isfinite(losses[:2]).all()
    assert np.isinf(losses[2:5]).all()
    assert np.isnan(losses[5:]).all()


def test_scalings_are_scikit_learn_s() -> None:
    np.testing.assert_allclose(
        first_steps.min_max(toy.STOCK), MinMaxScaler().fit_transform(toy.STOCK), atol=1e-5
    )
    np.testing.assert_allclose(
        first_steps.standardise(toy.SCALE), StandardScaler().fit_transform(toy.SCALE), atol=1e-12
    )


def test_the_range_holds_nine_tenths() -> None:
    assert median_and_range(np.arange(101.0)) == (50.0, 5.0, 95.0)


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x)) * (1 - 1 / (1 + math.exp(-x)))),
        ("tanh", lambda x: 1 - math.tanh(x) ** 2),
        ("relu", lambda x: float(x > 0)),
        ({"name": "leaky-relu", "slope": 0.1}, lambda x: 1.0 if x > 0 else 0.1),
    ],
)
def test_slopes_are_those_of_the_formulas(activation: object, slope: object) -> None:
    x = np.array([-3.0, -0.5, 0.7, 4.0])
    _, slopes = signals.value_and_slope(activation, x)
    np.testing.assert_allclose(slopes, [slope(value) for value in x], rtol=1e-12)  # type: ignore[operator]


def test_small_weights_shrink_the_spread_and_he_s_keep_it() -> None:
    small, he = signals.SPREADS["relu"][0], signals.SPREADS["relu"][3]
    shrinking, kept = signals.spreads(small, 0), signals.spreads(he, 0)
    # a layer of n inputs with weights of spread σ multiplies the spread by about σ·√(n/2) behind a ReLU
    ratios = np.array(shrinking[1:]) / shrinking[:-1]
    np.testing.assert_allclose(ratios, 0.01 * math.sqrt(256 / 2), rtol=0.2)
    assert 0.3 < kept[-1] / kept[0] < 3


def test_values_of_the_first_layer_are_as_zero_as_centred_and_as_saturated_as_a_normal_s() -> None:
    """Behind N(0, 1) inputs the values before the activation are normal, of variance 256 · σ²."""
    sigmoid, tanh, relu = signals.CENTRES
    assert signals.silent(relu, 0)[0] == pytest.approx(0.5, abs=0.02)
    assert signals.silent(tanh, 0)[0] == 0
    assert signals.means(sigmoid, 0)[0] == pytest.approx(0.5, abs=0.01)
    assert signals.means(tanh, 0)[0] == pytest.approx(0, abs=0.01)
    assert signals.means(relu, 0)[0] == pytest.approx(
        math.sqrt(2 / (2 * math.pi)), abs=0.02
    )  # He: variance 2
    large = signals.SPREADS["tanh"][1]
    beyond = math.erfc(math.atanh(0.99) / 16 / math.sqrt(2))
    assert signals.saturated(large, 0)[0] == pytest.approx(beyond, abs=0.02)


def test_c35_has_sparsity_centres_and_saturation(tmp_path: Path) -> None:
    outcome = signals.c35(Context(choose(["C35"])[0], tmp_path))
    rows = {row.name: float(row.measured or 0) for row in outcome.rows}
    assert 0.3 < rows["share of zeros in layer 10, ReLU, He"] < 0.8
    assert rows["saturated in layer 10, tanh, σ = 1, too large"] > 0.8
    assert abs(rows["mean output of layer 10, tanh"]) < 0.01
    assert rows["mean output of layer 10, ReLU"] > 0.1 < rows["mean output of layer 10, sigmoid"]
    assert outcome.sentences[-1].startswith("tanh's outputs are zero-centred (mean ")


def test_what_frees_the_path_from_the_dent_is_momentum_and_not_the_rate(tmp_path: Path) -> None:
    rows = {row.name: row.measured for row in descent.c36(Context(choose(["C36"])[0], tmp_path)).rows}
    assert rows["rate 0.01: place after 240 steps"] == pytest.approx(descent.DENT, abs=0.2)
    momentum = rows["rate 0.01, momentum 0.9: place after 240 steps"]
    assert momentum == pytest.approx(descent.MINIMUM, abs=0.05)


def test_descent_is_the_plain_formula() -> None:
    path = descent.descend(lambda x: x**2, 1.0, 0.1, 5)
    np.testing.assert_allclose(path.places, 0.8 ** np.arange(6))
    np.testing.assert_allclose(path.losses, path.places**2)


def test_descent_with_momentum_is_torch_s() -> None:
    path = descent.descend(descent.saddle, (1.0, 0.1), 0.05, 20, momentum=0.9)
    point = torch.tensor([1.0, 0.1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=0.05, momentum=0.9)
    for step in range(21):
        np.testing.assert_allclose(path.places[step], point.detach().numpy(), rtol=1e-12)
        optimizer.zero_grad()
        descent.saddle(point).backward()
        optimizer.step()


def test_the_curve_has_the_local_minimum_that_the_text_speaks_of() -> None:
    x = torch.linspace(-2, 0, 2001, dtype=torch.float64)
    curve = descent.bowl_with_dent(x).numpy()
    inner = np.flatnonzero((curve[1:-1] < curve[:-2]) & (curve[1:-1] < curve[2:])) + 1
    assert len(inner) == 1
    assert abs(x[inner[0]] - descent.DENT) < 0.2


def test_a_half_turn_of_a_photo_is_numpy_s() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(turn(photo, {"rotation": 180.0}), np.rot90(photo, 2))


def test_one_hot_labels_have_a_column_for_each_class() -> None:
    dataset = open_dataset((np.zeros((7, 4, 4, 3), np.uint8), np.arange(7) % 3))
    splits = np.array(["train"] * 5 + ["test"] * 2)
    dataset = replace(dataset, index=replace(dataset.index, splits=splits))
    assert one_hot_shape(dataset) == "(5,) → (5, 3)"
