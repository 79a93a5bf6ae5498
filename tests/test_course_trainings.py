"""Trainings in the course: rows, curves, and going on after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photopic.errors import ConfigError
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.lab.course.trainings import curves, epochs, over_seeds, score, score_row

SETTINGS = {"total_epochs": 2}


def context(out: Path, **options: Any) -> Context:
    return Context(choose(["C33"])[0], out, **options)


def train(context: Context, **options: Any) -> Any:
    return context.train("digits", "digits", settings=SETTINGS, train_images=200, **options)


def test_rows_and_curves_are_the_run_s_numbers(tmp_path: Path) -> None:
    here = context(tmp_path)
    run = train(here)
    measured = run.evaluate().scores["test"]["accuracy"]
    row = score_row(here, "AUC", run)
    assert (row.measured, row.reported, row.n) == (measured.value, 0.5, measured.n)
    assert row.low < measured.value < row.high
    assert score(run, "log_loss", "val") == run.evaluate().scores["validation"]["log_loss"]
    figure = curves({"net": run})
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[1].get_lines()}
    np.testing.assert_array_equal(drawn["validation"], [record["val_accuracy"] for record in epochs(run)])
    assert len(epochs(run)) == 2


def test_several_seeds_give_their_mean_and_range(tmp_path: Path) -> None:
    here = context(tmp_path)
    runs = [train(here, seed=seed) for seed in (0, 1)]
    values = [score(run).value for run in runs]
    row = over_seeds(here, "accuracy", runs)
    assert (row.measured, row.low, row.high, row.n) == (np.mean(values), min(values), max(values), 2)


def test_a_stopped_training_stops_the_course_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(context(tmp_path, report=stop))
    (stopped,) = (tmp_path / "runs").iterdir()
    after = train(context(tmp_path))
    whole = train(context(tmp_path / "whole"))
    assert after.path == stopped
    np.testing.assert_array_equal(
        after.load_predictions("test").logits, whole.load_predictions("test").logits
    )


def test_other_images_under_the_same_name_are_trained_on_anew(tmp_path: Path) -> None:
    """As CIFAR-10's published files are others than a copy as JPEG."""
    (tmp_path / "data").mkdir()
    runs = []
    for shift in (0, 1, 0, 1):
        pixels = (np.arange(60 * 64) * (3 + shift) % 255).reshape(60, 8, 8).astype(np.uint8)
        np.savez(tmp_path / "data" / "small.npz", images=pixels, labels=np.arange(60) % 2)
        here = context(tmp_path)
        runs.append(here.train("digits", tmp_path / "data" / "small.npz", settings=SETTINGS))
        assert here.trainings[-1].reused == (len(runs) > 2)
    assert runs[0].path == runs[2].path != runs[1].path == runs[3].path
    kept = [run.manifest.data["fingerprint"] for run in runs]
    assert kept[0] == kept[2] != kept[1] == kept[3]


def test_a_training_on_some_classes_is_found_again(tmp_path: Path) -> None:
    for reused in (False, True):
        here = context(tmp_path)
        train(here, classes=("3", "8"))
        assert here.trainings[-1].reused == reused


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="digitz"):
        context(tmp_path).train("digitz", "digits")
