"""C09 to C12: parameter counts as printed, goals, stopping rules, feature maps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from photopic import api
from photopic.evaluation.intervals import proportion
from photopic.lab.course import cnn, ninety_nine
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context, find_recipe
from photopic.models.building_blocks import Dense
from photopic.models.zoo import build_model


def context(out: Path, experiment: str = "C11", **options: Any) -> Context:
    return Context(choose([experiment])[0], out, **options)


@pytest.mark.parametrize(
    ("recipe", "layers"),
    [
        ("mnist-cnn", [320, 18_496, 73_856, 262_272, 1_290]),
        ("fashion-cnn", [640, 36_928, 204_928, 1_290]),
        ("mnist-wide-mlp", [803_840, 1_049_600, 1_049_600, 524_800, 5_130]),
    ],
)
def test_the_layers_have_the_printed_numbers_of_parameters(recipe: str, layers: list[int]) -> None:
    table = api.model_summary(recipe=find_recipe(recipe))
    assert [layer.parameters for layer in table.layers if layer.parameters] == layers
    told = {"mnist-cnn": 356_234, "fashion-cnn": 243_786, "mnist-wide-mlp": 3_432_970}
    assert table.parameters == told[recipe] == sum(layers)


def test_c10_s_maps_shrink_from_28_to_14_to_7_to_4() -> None:
    """'same' pools round up, as stock torch's ceil_mode does."""
    table = api.model_summary(recipe=find_recipe("mnist-cnn"))
    pooled = [layer.output_shape for layer in table.layers if layer.name.startswith("max_pool")]
    x, expected = torch.zeros(1, 1, 28, 28), []
    for filters in (32, 64, 128):
        x = nn.MaxPool2d(2, ceil_mode=True)(nn.Conv2d(x.shape[1], filters, 3, padding=1)(x))
        expected.append(tuple(x.shape[1:]))
    assert pooled == expected


def test_c09_has_dropout_after_its_first_three_layers_and_c11_one_more_dense_layer_than_c10() -> None:
    wide = [type(module).__name__ for module in build_model(find_recipe("mnist-wide-mlp"), 10).children()]
    assert wide == ["Flatten", *(["Dense", "Dropout"] * 3), "Dense", "Dense"]

    def dense(recipe: str) -> int:
        return sum(isinstance(module, Dense) for module in build_model(find_recipe(recipe), 10).modules())

    assert dense("mnist-deep-cnn") == dense("mnist-cnn") + 1


def test_c11_s_recipe_stops_at_a_training_accuracy_of_0_99() -> None:
    recipe: Any = find_recipe("mnist-deep-cnn")
    assert (recipe.stop_at.monitor, recipe.stop_at.value) == ("train_accuracy", 0.99)
    drops = [module.p for module in build_model(recipe, 10).modules() if isinstance(module, nn.Dropout)]
    assert set(drops) == {0.3}  # E05: the deck's 0.7 is the share that is kept


# ---- what is said ------------------------------------------------------------------------------------------


def told_of(hits: list[int], monkeypatch: pytest.MonkeyPatch, losses: tuple[float, ...] = (0.1, 0.05)) -> str:
    """C10's sentences for so many right of 10,000 from each seed, and these validation losses."""
    history = [{"epoch": n, "val_loss": loss, "train_loss": 0.01} for n, loss in enumerate(losses, 1)]
    runs = [SimpleNamespace(history=lambda: history, hits=count) for count in hits]
    monkeypatch.setattr(cnn, "score", lambda run: proportion("accuracy", np.arange(10_000) < run.hits))
    monkeypatch.setattr(cnn, "parameters", lambda run: 356_234)
    return " ".join(cnn._what_it_reached(context(Path(), "C10"), runs))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hits", "words"),
    [
        (9950, "is reached and lies below the 95 % interval (0.9934 to"),
        (9905, "is reached and lies inside the 95 % interval"),
        (9895, "is missed and lies inside the 95 % interval"),
        (9800, "is missed and lies above the 95 % interval"),
    ],
)
def test_the_goal_is_judged_with_its_interval(hits: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"The goal of 0.99 {words}" in told_of([hits], monkeypatch)


def test_the_deck_s_figure_is_placed_by_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "The deck's 0.9932 lies above the 95 % interval (0.9882 to 0.9920)" in told_of([9903], monkeypatch)
    assert "The deck's 0.9932 lies inside the 95 % interval" in told_of([9925], monkeypatch)


def test_several_seeds_are_judged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = told_of([9903, 9925, 9895], monkeypatch)
    assert "images 0.9908 (mean of 3 seeds, 0.9895 to 0.9925)" in said
    assert (
        "The goal of 0.99 is reached by 2 of 3 seeds and lies below the 95 % interval of 1 of 3 seeds and "
        "inside the 95 % interval of 2 of 3 seeds."
    ) in said
    assert (
        "The deck's 0.9932 lies inside the 95 % interval of 1 of 3 seeds and above the 95 % interval of 2 of "
        "3 seeds"
    ) in said


def test_the_way_of_the_validation_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "still fell in the last epoch" in told_of([9950], monkeypatch)
    assert "was least in epoch 1 of 2 (0.0500)" in told_of([9950], monkeypatch, (0.05, 0.1))


def test_c10_is_trained_from_three_seeds_and_its_test_loss_stands_beside_the_deck_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context(tmp_path).train("mnist-cnn", "digits", settings={"total_epochs": 1}, train_images=100)
    seeds: list[int] = []

    def train(self: Context, recipe: str, data: str, **options: Any) -> api.Run:
        seeds.append(options["seed"])
        return run

    monkeypatch.setattr(Context, "train", train)
    rows = {row.name: row for row in cnn.c10(context(tmp_path, "C10", seed=5)).rows}
    assert seeds == [5, 6, 7]
    assert rows["accuracy"].n == 3
    scores = run.evaluate().scores["test"]
    assert scores.accuracy.interval is not None
    for seed in seeds:
        row = rows[f"accuracy, seed {seed}"]
        assert (row.low, row.high) == (scores.accuracy.interval.low, scores.accuracy.interval.high)
    assert rows["test loss"].measured == pytest.approx(scores["log_loss"].value)
    assert rows["test loss"].reported == 0.0209
    assert rows["validation loss"].reported is None  # the deck validates on the test images (E03)
    seeds.clear()
    cnn.c10(context(tmp_path, "C10", quick=True))
    assert seeds == [0]


def test_c12_says_that_its_batch_size_is_no_deck_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = context(tmp_path).train("fashion-cnn", "digits", train_images=100)
    monkeypatch.setattr(Context, "train", lambda *_, **__: run)
    assert (
        "names no batch size: here its framework's default, 32."
        in cnn.c12(context(tmp_path, "C12")).notes[-1]
    )


def test_the_later_rule_is_named_where_both_were_satisfied() -> None:
    def told(**epochs: int) -> str:
        return ninety_nine._which_is_later(epochs)

    assert "lags behind" in told(training=8, validation=3)
    assert "there first" in told(training=3, validation=8)
    assert "same epoch" in told(training=3, validation=3)
    assert "Only validation accuracy got there" in told(validation=3)
    assert "Neither rule was satisfied" in told()


def test_an_unreached_goal_is_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both trainings end with the recipe's epochs, which says nothing about the rules."""

    def run(train: float, val: float) -> SimpleNamespace:
        row = {"epoch": 20, "train_accuracy": train, "val_accuracy": val}
        return SimpleNamespace(history=lambda: [row])

    monkeypatch.setattr(ninety_nine, "score", lambda run: proportion("accuracy", np.arange(100) < 98))
    stopped = {"training": run(0.98, 0.985), "validation": run(0.98, 0.985)}
    said = ninety_nine._what_c11_shows(context(Path()), stopped, [run(1, 1)], run(1, 1))  # type: ignore[arg-type, list-item]
    assert "training accuracy has not reached it in epoch 20" in said[0]
    assert "Neither rule was satisfied" in said[1]


def test_the_chart_marks_the_epoch_in_which_each_rule_is_satisfied() -> None:
    rows = [{"epoch": n, "train_accuracy": train, "val_accuracy": val} for n, train, val in
            ((1, 0.9, 0.98), (2, 0.985, 0.991), (3, 0.992, 0.993))]  # fmt: skip
    runs = [SimpleNamespace(history=lambda: rows), SimpleNamespace(history=lambda: rows[:2])]
    (axes,) = ninety_nine._rules(runs, 0.99).axes  # type: ignore[arg-type]
    marks = {note.get_text(): note.xy for note in axes.texts}
    assert marks == {"epoch 3": (3, 0.992), "epoch 2": (2, 0.991)}
    assert len(axes.get_lines()[0].get_xdata()) == 3


# ---- pictures and ensembles --------------------------------------------------------------------------------


def test_feature_maps_are_those_of_the_layers(tmp_path: Path) -> None:
    run = context(tmp_path).train("fashion-cnn", "digits", train_images=100)
    figure = cnn._feature_maps(run)
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes]
    assert len(shown) == 2 * (cnn.MAPS + 1)
    np.testing.assert_array_equal(shown[0], shown[cnn.MAPS + 1])  # the image before each row
    weights = run.load_weights()
    x = torch.from_numpy(shown[0].astype(np.float32) / 255)[None, None]
    first = torch.relu(nn.functional.conv2d(x, weights["conv1.weight"], weights["conv1.bias"]))
    np.testing.assert_allclose(shown[1], first[0, 0].numpy(), atol=1e-5)
    second = nn.functional.conv2d(
        nn.functional.max_pool2d(first, 2), weights["conv2.weight"], weights["conv2.bias"]
    )
    np.testing.assert_allclose(shown[cnn.MAPS + 2], torch.relu(second)[0, 0].numpy(), atol=1e-5)


def test_members_are_joined_once_and_scored_by_size(tmp_path: Path) -> None:
    here = context(tmp_path)
    members = [
        here.train("mnist-softmax", "digits", settings={"total_epochs": 1}, train_images=100, seed=seed)
        for seed in (0, 1)
    ]
    joined = ninety_nine.join(here, members)
    assert ninety_nine.join(here, members).path == joined.path
    assert joined.manifest.joined is not None
    (line, _) = ninety_nine._sizes(joined).axes[0].get_lines()
    assert list(line.get_xdata()) == [1, 2]
    assert line.get_ydata()[-1] == joined.evaluate().scores["test"].accuracy.value
