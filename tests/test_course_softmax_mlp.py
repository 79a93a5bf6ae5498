"""C01 to C08 and C34: the decks' networks, the sentences, and the sums behind them, against stock torch."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from photopic import api
from photopic.evaluation.intervals import Measured, proportion
from photopic.inference.predictor import Predictor
from photopic.lab.course import dropout_rates, held_out, mlp, softmax
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context, find_recipe
from photopic.models.zoo import build_model


def context(out: Path, experiment: str = "C04", **options: Any) -> Context:
    return Context(choose([experiment])[0], out, **options)


def digits_run(out: Path, recipe: str, seed: int = 0, **settings: Any) -> Any:
    """A short training of a course's network on the embedded digits."""
    settings = {"total_epochs": 2} | settings
    return context(out).train(recipe, "digits", settings=settings, train_images=300, seed=seed)


# ---- the decks' networks -----------------------------------------------------------------------------------


def dense(*units: int) -> int:
    """Weights and biases of layers between these numbers of units."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(units))


@pytest.mark.parametrize(
    ("recipe", "parameters", "batch_size", "epochs"),
    [
        ("mnist-softmax-best", dense(784, 10), 200, 32),
        ("mnist-softmax", dense(784, 10), 512, 20),
        ("mnist-linear-layers", dense(784, 256, 256, 10), 512, 20),
        ("mnist-mlp", dense(784, 256, 256, 10), 512, 20),
        ("mnist-deep-mlp", dense(784, 256, 256, 256, 256, 256, 10), 512, 20),
        ("mnist-deep-mlp-dropout", dense(784, 256, 256, 256, 256, 256, 10), 512, 20),
        ("mnist-wide-mlp", 3_432_970, 100, 15),
        ("fashion-dropout", 266_610, 128, 20),
    ],
)
def test_the_networks_are_the_decks(recipe: str, parameters: int, batch_size: int, epochs: int) -> None:
    read = find_recipe(recipe)
    assert api.model_summary(recipe=read).parameters == parameters
    assert (read.batch_size, read.total_epochs) == (batch_size, epochs)  # type: ignore[union-attr]
    assert (read.optimizer.name, read.optimizer.learning_rate) == ("adam", 0.001)  # type: ignore[union-attr]
    assert read.schedule.name == "constant"  # type: ignore[union-attr]
    assert read.preprocess.scaling == "unit"


def test_c01_keeps_the_best_by_validation_loss_under_its_name_and_stops_after_ten_epochs() -> None:
    recipe: Any = find_recipe("mnist-softmax-best")
    assert recipe.select_by == "val_loss"
    assert recipe.checkpoint_name == "mnist-{epoch:02d}-{val_loss:.4f}"
    assert (recipe.early_stopping.monitor, recipe.early_stopping.patience) == ("val_loss", 10)


@pytest.mark.parametrize("recipe", ["mnist-softmax", "mnist-linear-layers", "mnist-mlp"])
def test_random_uniform_weights_lie_in_0_05_and_biases_begin_at_0(recipe: str) -> None:
    for parameter in build_model(find_recipe(recipe), 10).parameters():
        if parameter.ndim == 1:
            assert (parameter == 0).all()
        else:
            assert 0.049 < parameter.abs().max() <= 0.05


def test_dropout_of_0_2_written_by_the_code_is_the_file_s() -> None:
    from_file = find_recipe("mnist-deep-mlp-dropout")
    from photopic.config import override

    assert override(from_file, {"model.layers": mlp.dropout_layers(0.2)}) == from_file
    model = build_model(override(from_file, {"model.layers": mlp.dropout_layers(0.1)}), 10)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.1] * 5


def test_glorot_s_bound_is_torch_s() -> None:
    torch.manual_seed(0)
    weight = nn.init.xavier_uniform_(torch.empty(256, 784))
    assert float(weight.abs().max()) == pytest.approx(mlp.glorot_bound(784, 256), rel=1e-3)


# ---- sums --------------------------------------------------------------------------------------------------


def test_linear_layers_are_one_matrix() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.Linear(30, 20), nn.Linear(20, 10))
    matrix, bias = mlp.collapse(layers)
    weights = [layer.weight.double() for layer in layers if isinstance(layer, nn.Linear)]
    torch.testing.assert_close(matrix, (weights[2] @ weights[1] @ weights[0]).T)
    images = torch.rand(5, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(images.flatten(1) @ matrix + bias, layers.double()(images))


def test_a_network_with_relu_is_not_one_matrix() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 10))
    matrix, bias = mlp.collapse(layers)
    images = torch.rand(5, 1, 28, 28, dtype=torch.float64)
    assert (images.flatten(1) @ matrix + bias - layers.double()(images)).abs().max() > 1e-3


def test_activity_is_the_sum_of_hidden_outputs(tmp_path: Path) -> None:
    run = digits_run(tmp_path, "mnist-mlp")
    total, zeros = mlp.activity(run)
    predictor = Predictor.load(run)
    dataset, rows = mlp.reopen(run)
    images = np.stack([predictor.preprocess.to_store(dataset.image(int(row))) for row in rows["val"]])
    x = torch.from_numpy(images).flatten(1).float() / 255
    hidden = []
    for name in ("dense1", "dense2"):
        weights = run.load_weights()
        x = torch.relu(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
        hidden.append(x)
    everything = torch.cat(hidden, 1)
    assert total == pytest.approx(float(everything.sum(1).mean()), rel=1e-4)
    assert zeros == pytest.approx(float((everything == 0).float().mean()), abs=1e-3)


def test_the_best_weights_read_back_give_the_loss_in_their_name(tmp_path: Path) -> None:
    run = digits_run(tmp_path, "mnist-softmax-best", total_epochs=4, early_stopping=None)
    reloaded = softmax._reload_best(run, seed=3)
    best = next(row for row in run.history() if row["best"])
    assert reloaded.name == f"mnist-{best['epoch']:02d}-{best['val_loss']:.4f}"
    assert reloaded.val_loss == pytest.approx(best["val_loss"], abs=1e-6)
    assert reloaded.val_accuracy == best["val_accuracy"]
    assert reloaded.probs.sum() == pytest.approx(1, abs=1e-5)
    said = softmax._what_c01_shows(run, reloaded, reloaded.truth)
    assert "the same" in said[0]
    assert "did not fire in 4 epochs" in said[1]
    assert "rightly" in said[2]
    assert "wrongly" in softmax._what_c01_shows(run, reloaded, "other")[2]


def test_the_drawn_image_may_be_any_of_the_test_images_the_last_too(tmp_path: Path) -> None:
    """E01: the deck's index skips the last image. Over many seeds every place is drawn."""
    run = digits_run(tmp_path, "mnist-softmax-best", total_epochs=1, early_stopping=None)
    count = len(run.load_predictions("test").labels)
    draws = {int(np.random.default_rng(seed).integers(count)) for seed in range(20 * count)}
    assert draws == set(range(count))
    seed = next(s for s in range(20 * count) if np.random.default_rng(s).integers(count) == count - 1)
    assert softmax._reload_best(run, seed).number == count - 1


# ---- what is said ------------------------------------------------------------------------------------------


def test_overlapping_ranges_are_not_ranked() -> None:
    assert held_out.overlap([0.1, 0.3], [0.2, 0.4])
    assert held_out.overlap([0.1, 0.4], [0.2, 0.3])
    assert not held_out.overlap([0.1, 0.2], [0.3, 0.4])
    assert held_out.points(-0.0025) == "-0.25 points"


def test_the_ranking_follows_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "accuracies_of", np.array)
    assert "no ranking" in mlp._ranking([0.98, 0.985], [0.982, 0.984], "a", "b")  # type: ignore[list-item]
    apart = mlp._ranking([0.99, 0.991, 0.992], [0.982, 0.983, 0.984], "a", "b")  # type: ignore[list-item]
    assert apart.endswith("with 3 and 3 seeds chance alone does that in one case of 10.")
    assert "one seed cannot rank" in mlp._ranking([0.99], [0.98], "a", "b")  # type: ignore[list-item]


def test_chance_leaves_the_ranges_of_three_and_three_seeds_apart_in_one_case_of_ten() -> None:
    deals = list(combinations(range(6), 3))
    apart = [deal for deal in deals if not held_out.overlap(deal, sorted(set(range(6)) - set(deal)))]
    assert len(deals) / len(apart) == 10


def test_dropout_is_chosen_by_validation_accuracy_and_told_with_its_test_accuracy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(val: float, loss: float, test: float) -> Any:
        return SimpleNamespace(history=lambda: [{"val_accuracy": val, "val_loss": loss}], test=test)

    monkeypatch.setattr(mlp, "accuracies_of", lambda runs: np.array([each.test for each in runs]))
    variants = {
        "dropout 0.1": [run(0.981, 0.09, 0.984), run(0.981, 0.09, 0.986)],
        "dropout 0.2": [run(0.983, 0.08, 0.982), run(0.983, 0.08, 0.983)],
        "dropout 0.3": [run(0.980, 0.07, 0.9825), run(0.980, 0.07, 0.985)],
    }
    chosen, against_none, losses = mlp._what_dropout_does(variants, [run(0.98, 0.1, 0.98)] * 2)
    assert chosen == (
        "Best by validation accuracy, 0.9830, is dropout 0.2; on the test images it has 0.9825, and the "
        "ranges of dropout 0.3 meet its own."
    )
    assert "dropout 0.2 against none: +0.25 points" in against_none
    assert losses.endswith("0.0700, of dropout 0.3: less than 0.1000 without.")
    *_, losses = mlp._what_dropout_does(variants, [run(0.98, 0.05, 0.98)] * 2)
    assert "no less than 0.0500 without" in losses


def test_c01_s_test_loss_stands_beside_the_deck_s_validation_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = digits_run(tmp_path, "mnist-softmax-best", total_epochs=3, early_stopping=None)
    monkeypatch.setattr(Context, "train", lambda *_, **__: run)
    rows = {row.name: row for row in softmax.c01(context(tmp_path, "C01")).rows}
    assert rows["test loss"].reported == 0.2612
    assert rows["test loss"].measured == pytest.approx(run.evaluate().scores["test"]["log_loss"].value)
    assert rows["validation loss"].reported is None
    first, last = run.history()[0], run.history()[-1]
    for which, row in (("first", first), ("last", last)):
        columns = (row["train_loss"], row["train_accuracy"], row["val_loss"], row["val_accuracy"])
        assert rows[f"history, {which} epoch"].measured == ", ".join(f"{value:.4f}" for value in columns)


def test_a_distance_from_the_deck_s_figure_has_a_side() -> None:
    assert softmax._distance(0.9248, 0.8947) == "3.01 points above"
    assert softmax._distance(0.89, 0.8947) == "0.47 points below"


def test_the_verdict_on_the_deck_s_rate_follows_the_numbers() -> None:
    def of(hits: int) -> Measured:
        return proportion("accuracy", np.arange(10_000) < hits)

    assert "in its 95 % interval" in softmax._verdict(0.927, of(8940), 0.8947)
    assert "nearer" in softmax._verdict(0.927, of(9050), 0.8947)
    assert "farther" in softmax._verdict(0.9, of(8500), 0.8947)


def test_a_quick_run_takes_fewer_images_and_epochs_and_a_full_one_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Context, "train", lambda self, recipe, data, **options: asked.append(options))
    for quick in (True, False):
        held_out.train(context(tmp_path, quick=quick, seed=7), "mnist-mlp", seed=2)
    assert asked[0]["settings"] == {"total_epochs": held_out.QUICK_EPOCHS}
    assert asked[0]["train_images"] == held_out.QUICK_IMAGES
    assert asked[1]["settings"] == {}
    assert "train_images" not in asked[1]
    assert asked[1]["val_fraction"] * 60_000 == pytest.approx(5000)
    assert asked[0]["seed"] == asked[1]["seed"] == 9


def test_a_band_is_the_range_of_the_seeds_and_the_line_their_mean(tmp_path: Path) -> None:
    runs = [digits_run(tmp_path, "mnist-softmax", seed) for seed in (0, 1)]
    figure = held_out.compared_curves({"softmax": runs}, title="t")
    (line,) = figure.axes[0].get_lines()
    losses = np.array([[row["val_loss"] for row in run.history()] for run in runs])
    np.testing.assert_allclose(line.get_ydata(), losses.mean(0))
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((losses.min(), losses.max()))


# ---- C34: the rule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gaps", "path"),
    [
        ({0.1: 0.05, 0.2: 0.04, 0.3: 0.03, 0.4: 0.01}, [0.2, 0.3, 0.4]),  # overfits until 0.4
        ({0.1: 0.01, 0.2: 0.0, 0.3: -0.01}, [0.2, 0.1]),  # underfits
        ({0.1: 0.05, 0.2: 0.01, 0.3: 0.0}, [0.2]),  # neither
        ({0.1: 0.05, 0.2: 0.001}, [0.2, 0.1]),  # over- and underfits in turn: does not go back
        ({0.1: 0.05, 0.2: 0.04}, [0.2]),  # no rate above
    ],
)
def test_the_rule_goes_up_while_it_overfits_and_down_if_it_underfits(
    gaps: dict[float, float], path: list[float]
) -> None:
    assert dropout_rates.follow(gaps, 0.2) == path


def test_the_gap_may_grow_with_the_rate() -> None:
    run: Any = None
    trials = {rate: dropout_rates.Trial(run, 0.9 + rate, 0.9) for rate in (0.1, 0.2)}
    said = dropout_rates._what_the_rule_does(trials, [0.2], 0.1)
    assert "From 0.1 to 0.2 the gap goes from 10.0 to 20.0 points" in said[1]


def test_what_is_known_is_asked_with_dropout_off(tmp_path: Path) -> None:
    run = digits_run(tmp_path, "fashion-dropout", total_epochs=12)
    known = dropout_rates._known(run)
    assert known > run.history()[-1]["train_accuracy"]  # which was counted with dropout at work
    assert not math.isnan(known)
