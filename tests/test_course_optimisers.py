"""C39 and C40: what the sentences say of the numbers, layers with batch norm, weights under penalties."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from photopic import api
from photopic.config import override
from photopic.errors import TrainingError
from photopic.lab.course import norm_and_penalties, optimisers
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.training.recipes import load_recipe

RECIPES = Path(optimisers.__file__).parent / "recipes"


def history(*losses: float) -> list[dict[str, Any]]:
    return [
        {"epoch": number, "train_loss": loss, "val_accuracy": 1 - loss / 10}
        for number, loss in enumerate(losses, 1)
    ]


# ---- C39 -------------------------------------------------------------------------------------------------


def test_every_racer_is_an_optimizer_of_a_recipe() -> None:
    chosen = load_recipe(str(RECIPES / "mnist-race.yaml"))
    for racer in optimisers.RACERS:
        assert racer.rates == tuple(sorted(racer.rates))
        assert racer.usual in racer.rates
        for rate in racer.rates:
            changed = override(chosen, racer.settings(rate)).optimizer  # type: ignore[union-attr]
            assert (changed.name, changed.learning_rate) == (racer.name, rate)
    nesterov = override(chosen, optimisers.RACERS[2].settings(0.1)).optimizer  # type: ignore[union-attr]
    assert (nesterov.momentum, nesterov.nesterov) == (0.9, True)  # type: ignore[union-attr]


def test_sentences_name_who_is_ahead_and_change_with_the_numbers() -> None:
    one = optimisers.who_wins({"a": history(0.5, 0.4), "b": history(0.6, 0.1)}, {})
    other = optimisers.who_wins({"a": history(0.7, 0.4), "b": history(0.6, 0.5)}, {})
    assert one[0].startswith(
        "After the first epoch a is ahead (training loss 0.5000), after 2 it is b (0.1000)"
    )
    assert one[1] == "On validation images the best and the worst are 3.00 points apart: b has 0.9900."
    assert "b is ahead (training loss 0.6000), after 2 it is a (0.4000); last is b" in other[0]
    trials = {"a": {0.1: 1.0, 1.0: 3.0}, "b": {0.1: 1.0, 1.0: 1.5, 10.0: float("inf")}}
    assert optimisers.who_wins({"a": history(1)}, trials)[-1] == (
        "The rate matters too: b diverges at 10; of the others a's cost after 2 epochs differs most between "
        "its rates, 3.0 times."
    )
    assert optimisers.what_rates_do({"b": trials["b"]}) == "b diverges at 10"
    assert optimisers.what_rates_do({"a": trials["a"]}).startswith("a's cost after 2 epochs differs most")


def test_the_rate_of_least_validation_loss_is_raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {0.03: 0.4, 0.1: 0.2, 0.3: 0.3, 1.0: float("nan")}

    def train(context: Context, racer: optimisers.Racer, rate: float, epochs: int | None = None) -> Any:
        if np.isnan(losses[rate]):
            raise TrainingError("not finite")
        return SimpleNamespace(history=lambda: [{"val_loss": losses[rate]}])

    monkeypatch.setattr(optimisers, "_train", train)
    racer = optimisers.RACERS[0]
    found = optimisers._trials(Context(choose(["C39"])[0], tmp_path), racer)
    assert found == {0.03: 0.4, 0.1: 0.2, 0.3: 0.3, 1.0: float("inf")}
    assert optimisers._best_rate(racer, found) == 0.1
    assert optimisers._best_rate(racer, None) == racer.usual == 0.1


# ---- C40 -------------------------------------------------------------------------------------------------


def test_batch_norm_stands_before_or_after_the_activation() -> None:
    chosen = load_recipe(str(RECIPES / "mnist-norm.yaml"))

    def order(norm: str, dropout: float = 0.0) -> list[str]:
        network = override(chosen, {"model.layers": norm_and_penalties.layers(norm, dropout)})
        return [layer.name.rstrip("0123456789") for layer in api.model_summary(recipe=network).layers]

    assert order("none") == ["flatten", *(["dense"] * 5), "output"]
    assert order("before") == ["flatten", *(["dense", "batch_norm", "activation"] * 5), "output"]
    assert order("after") == ["flatten", *(["dense", "batch_norm"] * 5), "output"]
    assert order("before", 0.3)[1:5] == ["dense", "batch_norm", "activation", "dropout"]


def test_without_additions_it_is_the_recipe_s_own_network() -> None:
    chosen = load_recipe(str(RECIPES / "mnist-norm.yaml"))
    assert override(chosen, {"model.layers": norm_and_penalties.layers()}) == chosen


def test_the_sentence_on_rates_follows_the_numbers() -> None:
    places = {
        "none": {0.1: 0.95, 1.0: 0.1, 3.0: float("nan")},
        "before": {0.1: 0.97, 1.0: 0.96, 3.0: 0.95},
        "after": {0.1: 0.96, 1.0: 0.93, 3.0: float("nan")},
    }
    text = norm_and_penalties.what_rates_say(places)
    assert "no batch norm up to a rate of 0.1, before the activation up to a rate of 3" in text
    assert "after the activation up to a rate of 1;" in text
    assert text.endswith(
        "before the activation is better at all rates where both learn (2), by 2.00 points on average, from "
        "one seed."
    )
    places["after"][0.1] = 0.98
    mixed = norm_and_penalties.what_rates_say(places)
    assert mixed.endswith("before the activation is better at 1 of 2 rates, so no ranking.")
    never = {name: {0.1: 0.5} for name in places}
    assert norm_and_penalties.what_rates_say(never).endswith("after the activation at no rate.")


def test_the_size_of_weights_is_numpy_s() -> None:
    kernels = {"dense1.weight": torch.tensor([[3.0, 0.0], [4.0, 5e-4]]), "dense1.bias": torch.ones(2)}
    size, small = norm_and_penalties.weights_of(SimpleNamespace(load_weights=lambda: kernels))  # type: ignore[arg-type]
    assert size == pytest.approx(np.sqrt(25 / 4), rel=1e-6)
    assert small == 0.5


def ended(accuracy: float) -> Any:
    kernels = {"dense1.weight": torch.ones(2, 2)}
    last = {"val_accuracy": accuracy, "train_accuracy": 1.0, "val_loss": 0.1}
    return SimpleNamespace(history=lambda: [last], load_weights=lambda: kernels)


def test_a_remedy_that_diverges_has_no_accuracy() -> None:
    runs = {name: ended(0.9) for name in norm_and_penalties.REMEDIES} | {"dropout 0.3": None}
    text = norm_and_penalties._what_remedies_say(runs)
    assert "0.9000 with nothing added, none (it diverged) with dropout, 0.9000 with batch norm" in text


def test_guessing_is_called_so(tmp_path: Path) -> None:
    runs = {"L2 0": ended(0.95), "L2 1": ended(0.1124)}
    text = norm_and_penalties._what_penalties_say(runs)
    assert text == "Penalties: L2 0: 0.9500 (weights 1); L2 1: 0.1124, guessing (weights 1)."
    first, second = norm_and_penalties._penalty_rows(Context(choose(["C40"])[0], tmp_path), runs)
    assert not first.note.endswith("guessing")
    assert second.note.endswith("guessing")


def test_a_training_that_diverges_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise TrainingError("the loss is not finite")

    context = Context(choose(["C40"])[0], tmp_path)
    monkeypatch.setattr(context, "train", diverge)
    assert norm_and_penalties._train(context) is None
    assert np.isnan(norm_and_penalties.validation_accuracy(None))
    (row,) = norm_and_penalties._place_rows(context, {"none": {3.0: float("nan")}})
    assert (row.name, row.measured) == ("validation accuracy, rate 3, no batch norm", "diverged")
