"""The learning-rate finder where the answer is known, and where only a training can tell."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import photopic
from photopic.config import SGD, Muon, PreprocessConfig, ScratchRecipe
from photopic.data.dataset import open_dataset
from photopic.errors import ConfigError, TrainingError
from photopic.runtime import Runtime
from photopic.training.loop import Prepared, TrainingState
from photopic.training.optimizers import build_optimizer
from photopic.training.rate_finder import _Watch, rate_curve, smooth, sweep
from photopic.training.train import rehearse, train_dataset

CPU = Runtime(torch.device("cpu"), "test", torch.float32, 1)
N, D, K = 256, 8, 4
RATES = np.geomspace(1e-6, 1e3, 150).tolist()
LABELS = torch.arange(N) % K


class Points:
    """Points without structure: no weights are better than none by much, so the loss stays curved as at 0."""

    def __init__(self, scale: float) -> None:
        self.points = scale * torch.randn(N, D, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return N

    def start_epoch(self, epoch: int) -> None:
        """Nothing is random here."""

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, None]:
        return self.points[rows], None


def prepare(scale: float = 1.0, optimizer: Any = None, **changes: Any) -> Prepared:
    """A softmax regression from zero weights, all points in each step."""
    recipe = ScratchRecipe(
        name="test",
        preprocess=PreprocessConfig(size=4),
        optimizer=optimizer or SGD(momentum=0.0),
        batch_size=N,
        **changes,
    )
    model = nn.Linear(D, K, bias=False)
    nn.init.zeros_(model.weight)
    state = TrainingState(model, build_optimizer(recipe.optimizer, model))
    return Prepared(recipe, state, Points(scale), LABELS, None, 0, CPU)


def stable_below(scale: float) -> float:
    """2 / L: gradient descent on a quadratic converges below it. L is the largest curvature of the mean
    cross-entropy at zero weights, where all classes have probability 1/K."""
    points = Points(scale).points.double()
    curvature = torch.linalg.eigvalsh(points.T @ points / N).max() / K
    return 2 / float(curvature)


@pytest.mark.parametrize("scale", [1.0, 10.0, 0.3])
def test_on_a_convex_loss_the_suggestion_is_stable_and_not_small(scale: float) -> None:
    curve = rate_curve(prepare(scale), RATES)
    assert stable_below(scale) / 30 < curve.suggestion < stable_below(scale)
    assert stable_below(scale) / 10 < curve.lowest < 10 * stable_below(scale)
    assert curve.steepest < curve.lowest
    assert curve.losses[0] == pytest.approx(math.log(K))


def test_inputs_ten_times_as_large_ask_for_a_hundredth_of_the_rate() -> None:
    plain, large = (rate_curve(prepare(scale), RATES).suggestion for scale in (1.0, 10.0))
    assert 50 < plain / large < 200


def test_the_loss_of_each_step_is_that_of_training_at_these_rates() -> None:
    losses, diverged = sweep(prepare(), RATES[:100])
    model = nn.Linear(D, K, bias=False)
    nn.init.zeros_(model.weight)
    expected = []
    for rate in RATES[:100]:
        loss = nn.functional.cross_entropy(model(Points(1.0).points), LABELS)
        (gradient,) = torch.autograd.grad(loss, model.weight)
        expected.append(loss.item())
        with torch.no_grad():
            model.weight -= rate * gradient
    assert not diverged
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_it_stops_when_the_loss_diverges() -> None:
    curve = rate_curve(prepare(10.0), RATES)
    assert curve.diverged
    assert len(curve.losses) == len(curve.rates) == len(curve.smoothed) < len(RATES)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 40.0])
def test_a_loss_beyond_hope_is_noticed(loss: float) -> None:
    watch = _Watch()
    assert not any(watch.diverges(2.3 - step / 50) for step in range(20))
    assert watch.diverges(loss)


def test_network_optimizer_and_random_state_are_given_back() -> None:
    prepared = prepare(optimizer=SGD(momentum=0.9), ema_decay=0.9)
    nn.init.normal_(prepared.state.model.weight)  # type: ignore[arg-type]
    weights = copy.deepcopy(prepared.state.model.state_dict())
    state, random = copy.deepcopy(prepared.state.optimizer.state_dict()), torch.random.get_rng_state()
    sweep(prepared, RATES)
    assert torch.equal(prepared.state.model.state_dict()["weight"], weights["weight"])
    assert prepared.state.optimizer.state_dict() == state
    assert torch.equal(torch.random.get_rng_state(), random)
    assert prepared.state.model.weight.grad is None


def test_the_same_training_gives_the_same_curve() -> None:
    assert rate_curve(prepare(), RATES) == rate_curve(prepare(), RATES)


def test_all_rates_of_an_optimizer_are_suggested_in_proportion() -> None:
    muon = Muon(learning_rate=0.2, head_learning_rate=0.4, other_learning_rate=0.1)
    settings = rate_curve(prepare(10.0, muon), RATES).settings
    assert settings["optimizer.head_learning_rate"] == pytest.approx(
        2 * settings["optimizer.learning_rate"], rel=0.05
    )
    assert settings["optimizer.other_learning_rate"] == pytest.approx(
        settings["optimizer.learning_rate"] / 2, rel=0.05
    )


@pytest.mark.parametrize("scale", [math.inf, 1e30])
def test_a_loss_that_diverges_at_once_is_said(scale: float) -> None:
    with pytest.raises(TrainingError, match="diverges at the lowest rates already"):
        rate_curve(prepare(scale), RATES)


def test_a_loss_that_falls_nowhere_is_said() -> None:
    with pytest.raises(TrainingError, match=r"stays at 1\.39 at all rates\. Raise the highest"):
        rate_curve(prepare(), RATES[:40])


def test_where_nothing_is_to_be_gained_it_is_the_last_rate_before_the_loss_rises() -> None:
    prepared = prepare(10.0)
    weight = prepared.state.model.weight
    assert isinstance(weight, Tensor)
    for _ in range(1000):
        loss = nn.functional.cross_entropy(prepared.state.model(Points(10.0).points), LABELS)
        (gradient,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight -= stable_below(10.0) / 2 * gradient
    with torch.no_grad():
        weight += 1e-4  # a minimum is left only from beside it
        weight[0] += 1e-4
    curve = rate_curve(prepared, RATES)
    assert stable_below(10.0) / 10 < curve.lowest < 10 * stable_below(10.0)


def test_diverging_at_once_is_said() -> None:
    with pytest.raises(TrainingError, match="Lower them"):
        rate_curve(prepare(1e6), np.geomspace(100, 1000, 50).tolist())


def test_smoothing_keeps_a_line_and_lessens_noise() -> None:
    line = np.linspace(2, 1, 60)
    np.testing.assert_allclose(smooth(line)[10:-10], line[10:-10], rtol=1e-5)
    noise = np.random.default_rng(0).normal(0, 0.1, 60)
    assert np.std(smooth(line + noise) - line) < 0.06


# ---- through the public function ------------------------------------------------------------------------


def test_a_frozen_recipe_has_no_learning_rate() -> None:
    with pytest.raises(ConfigError, match="no learning rate"):
        photopic.find_rate("digits", recipe="photos-frozen")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "low must be above 0, and high above low"),
        ({"low": 0.0}, "low must be above 0"),
        ({"steps": 5}, "at least 10"),
        ({"time_limit_s": 5}, "no effect here"),
        ({"sead": 5}, 'Did you mean "seed"'),
    ],
)
def test_an_impossible_search_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        photopic.find_rate("digits", recipe="digits", **options)
    assert words in str(caught.value)


def test_digits_train_well_at_the_suggestion_and_badly_at_a_hundredth_of_it() -> None:
    settings: dict[str, Any] = {"optimizer": "sgd", "schedule": "constant", "model.widths": [8, 16]}
    settings |= {"total_epochs": 1, "label_smoothing": 0.0}
    curve = photopic.find_rate("digits", recipe="digits", settings=settings, steps=60)
    rate = curve.settings["optimizer.learning_rate"]
    assert rate == pytest.approx(curve.suggestion, rel=0.05)
    dataset = open_dataset("digits")
    losses = [
        train_dataset(
            dataset, recipe="digits", settings=settings | {"optimizer.learning_rate": rate * factor}
        )
        .answer("val")
        .validation()
        .loss
        for factor in (1.0, 0.01)
    ]
    assert losses[0] < 0.6 * losses[1]
    assert losses[0] < math.log(10) / 2


@pytest.mark.parametrize("frozen_epochs", [0, 1])
def test_a_fine_tuning_is_searched_too_with_its_backbone_unfrozen(frozen_epochs: int) -> None:
    random = np.random.default_rng(0)
    levels = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])
    labels = np.arange(60) % 3
    images = random.normal(levels[labels][:, None, None], 20, (60, 64, 64, 3)).clip(0, 255).astype(np.uint8)
    settings: dict[str, Any] = {"preprocess.size": 64, "batch_size": 12, "unfreeze_from": "blocks.6"}
    settings |= {"head_start": "random", "frozen_epochs": frozen_epochs, "augment": {}}
    learning: list[int] = []

    def look(prepared: Prepared) -> None:
        curve = rate_curve(prepared, np.geomspace(1e-6, 1, 40).tolist())
        assert 1e-5 < curve.lowest < 0.3
        assert min(curve.smoothed) < 0.9 * curve.smoothed[0]
        sweep(prepared, [1e-6])
        learning.append(sum(parameter.requires_grad for parameter in prepared.state.model.parameters()))

    rehearse((images, labels), look, recipe="photos-finetune", settings=settings)
    head_alone = 2
    assert (learning[0] == head_alone) == (frozen_epochs > 0)  # afterwards it is as before the first epoch
