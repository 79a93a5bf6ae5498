"""photopic.training.stopping: against Keras' EarlyStopping, rewritten step by step as it is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photopic.config import EarlyStopping, PreprocessConfig, ScratchRecipe, StopAt
from photopic.training.loop import EpochScores
from photopic.training.stopping import stop_reason


def recipe(epochs: int = 50, **changes: Any) -> ScratchRecipe:
    return ScratchRecipe(name="test", preprocess=PreprocessConfig(size=4), total_epochs=epochs, **changes)


def history(monitor: str, values: Sequence[float]) -> list[EpochScores]:
    rest = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    return [EpochScores(**(rest | {monitor: value})) for value in values]


def stopped_after(chosen: ScratchRecipe, monitor: str, values: Sequence[float]) -> int | None:
    """The number of epochs after which training stops."""
    epochs = history(monitor, values)
    return next((n for n in range(len(epochs) + 1) if stop_reason(chosen, epochs[:n]) is not None), None)


def keras_stops_after(values: Sequence[float], patience: int, min_delta: float, *, lower: bool) -> int | None:
    """keras.callbacks.EarlyStopping.on_epoch_end, the number of epochs when it sets stop_training."""
    wait, best = 0, None
    for epoch, value in enumerate(values):
        wait += 1
        if best is None or (value < best - min_delta if lower else value > best + min_delta):
            best, wait = value, 0
            continue
        if wait >= patience and epoch > 0:
            return epoch + 1
    return None


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "train_loss", "train_accuracy"])
@given(
    values=st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=30),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.125, 0.25]),  # eighths are exact in floating point
)
def test_early_stopping_is_keras_s(
    monitor: Any, values: list[float], patience: int, min_delta: float
) -> None:
    rule = EarlyStopping(monitor=monitor, patience=patience, min_delta=min_delta)
    theirs = keras_stops_after(values, patience, min_delta, lower=monitor.endswith("loss"))
    assert stopped_after(recipe(early_stopping=rule), monitor, values) == theirs


def test_the_course_s_patience_never_fires_where_the_loss_still_falls() -> None:
    falling = [0.3 - 0.001 * epoch for epoch in range(32)]
    rule = EarlyStopping(monitor="val_loss", patience=10)
    assert stopped_after(recipe(32, early_stopping=rule), "val_loss", falling) is None


@pytest.mark.parametrize(
    ("monitor", "goal", "values", "after"),
    [
        ("val_accuracy", 0.99, [0.9, 0.98, 0.99, 0.995], 3),
        ("train_accuracy", 0.99, [0.9, 0.98, 0.985, 0.991], 4),
        ("val_loss", 0.1, [0.5, 0.2, 0.11, 0.09], 4),
        ("train_loss", 0.1, [0.5, 0.2], None),
    ],
)
def test_a_goal_stops_the_first_epoch_that_reaches_it(
    monitor: Any, goal: float, values: list[float], after: int | None
) -> None:
    assert stopped_after(recipe(stop_at=StopAt(monitor=monitor, value=goal)), monitor, values) == after


def test_the_reason_names_what_was_watched_and_its_value() -> None:
    goal = recipe(stop_at=StopAt(monitor="train_accuracy", value=0.99))
    assert stop_reason(goal, history("train_accuracy", [0.9912])) == (
        "train_accuracy has reached 0.9912; the goal was 0.99"
    )
    patient = recipe(early_stopping=EarlyStopping(patience=2))
    assert stop_reason(patient, history("val_loss", [0.5, 0.25, 0.3, 0.25])) == (
        "val_loss has not fallen for 2 epochs; its best was 0.2500"
    )


def test_the_last_planned_epoch_needs_no_reason_and_neither_does_a_start() -> None:
    rule = recipe(3, early_stopping=EarlyStopping(patience=2), stop_at=StopAt(value=0.5))
    assert stop_reason(rule, history("val_accuracy", [0.4, 0.4, 0.9])) is None
    assert stop_reason(rule, []) is None
    assert stop_reason(recipe(), history("val_loss", [1.0] * 40)) is None
