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


def told_of(hits: int, losses: list[float], monkeypatch: pytest.MonkeyPatch) -> str:
    """C10's sentences for so many right of 10,000, and these validation losses."""
    history = [{"epoch": n, "val_loss": loss, "train_loss": 0.01} for n, loss in enumerate(losses, 1)]
    measured = proportion("accuracy", np.arange(10_000) < hits)
    monkeypatch.setattr(cnn, "score", lambda run: measured)
    monkeypatch.setattr(cnn, "parameters", lambda run: 356_234)
    return " ".join(cnn._what_it_reached(SimpleNamespace(history=lambda: history), 0.99, True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hits", "words"),
    [
        (9950, ("reaches the goal", "lies above it")),
        (9905, ("reaches the goal", "on both sides of it")),
        (9895, ("misses the goal", "on both sides of it")),
        (9800, ("misses the goal", "lies below it")),
    ],
)
def test_the_goal_is_judged_with_its_interval(
    hits: int, words: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = told_of(hits, [0.1, 0.05], monkeypatch)
    assert all(word in said for word in words)


def test_the_course_of_the_validation_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "still fell in the last epoch" in told_of(9950, [0.1, 0.05], monkeypatch)
    assert "was least in epoch 1 of 2 (0.0500)" in told_of(9950, [0.05, 0.1], monkeypatch)


def test_the_later_rule_is_named() -> None:
    assert "lags behind" in ninety_nine._which_is_later(8, 3)
    assert "there first" in ninety_nine._which_is_later(3, 8)
    assert "same epoch" in ninety_nine._which_is_later(3, 3)


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
