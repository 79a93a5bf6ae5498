"""A time limit is planned for and held; what a clock would show is set by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import photopic
from photopic.errors import ConfigError
from photopic.training import probe, time_limit
from photopic.training.time_limit import TimeLimit

IMAGES = (np.random.default_rng(0).integers(0, 256, (80, 16, 16), np.uint8), np.arange(80) % 2)
TINY = {"preprocess.size": 16, "preprocess.channels": 1, "model.widths": [8, 16], "batch_size": 8}


class Clock:
    """Shows what it was set to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time_limit, "monotonic", made)
    monkeypatch.setattr(probe, "seconds_per_image", lambda *_: 0.01)  # about 0.6 s per epoch
    return made


def train(
    out: Path, report: Callable[[dict[str, Any]], None], epochs: int = 3, **options: Any
) -> photopic.Run:
    settings = TINY | {"total_epochs": epochs}
    return photopic.train(IMAGES, recipe="small-images", settings=settings, out=out, report=report, **options)


def test_a_limit_plans_for_less_and_tolerates_more(clock: Clock) -> None:
    limit = TimeLimit(100.0)
    clock.now_s = 30.0
    assert limit.left_s == 70
    assert limit.plannable_s == 60
    clock.now_s = 105.0
    assert limit.plannable_s == 0
    assert not limit.is_over
    clock.now_s = 111.0
    assert limit.is_over


def test_no_limit_is_never_over(clock: Clock) -> None:
    limit = TimeLimit(None)
    clock.now_s = 1e12
    assert limit.left_s == limit.plannable_s == float("inf")
    assert not limit.is_over


def test_a_training_that_takes_longer_than_planned_stops_and_is_scored(clock: Clock, tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []

    def report(record: dict[str, Any]) -> None:
        records.append(record)
        if record["event"] == "step" and record["epoch"] == 1:
            clock.now_s = 111.0

    run = train(tmp_path / "run", report, time_limit=100.0)
    assert run.manifest.status == "complete"
    assert set(run.manifest.results) == {"val", "test"}
    steps = [record["step"] for record in records if record["event"] == "step"]
    (stopped,) = [record for record in records if record["event"] == "stopped"]
    total = records[-1 - next(i for i, r in enumerate(records[::-1]) if r["event"] == "step")]["total_steps"]
    assert stopped["reason"] == f"the time limit is over, after step {max(steps)} of {total}"
    assert max(steps) == total // 3 + 1, "the step at which the clock ran out is the last one"
    assert run.manifest.selected["stopped"] == stopped["reason"]
    assert [row["epoch"] for row in run.history()] == [1, 2]


def test_a_limit_that_is_over_in_the_first_epoch_still_leaves_scored_weights(
    clock: Clock, tmp_path: Path
) -> None:
    def report(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            clock.now_s = 111.0

    run = train(tmp_path / "run", report, time_limit=100.0)
    assert run.manifest.status == "complete"
    assert run.manifest.selected["epoch"] == 0
    assert "test" in run.manifest.results


def test_a_training_that_is_a_little_late_comes_to_its_end(clock: Clock, tmp_path: Path) -> None:
    def report(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            clock.now_s = 109.0

    late = train(tmp_path / "late", report, time_limit=100.0)
    free = train(tmp_path / "free", lambda record: None)
    assert "stopped" not in late.manifest.selected
    ours, theirs = late.load_weights(), free.load_weights()
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_time_that_is_used_before_the_first_step_is_not_planned_again(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 of 10 s are 15 epochs of 0.59 s; when 6 s went into the images, 5 epochs are left."""

    def measured_late(*_: object) -> float:
        clock.now_s += 6.0
        return 0.01

    quick = train(tmp_path / "quick", lambda record: None, epochs=20, time_limit=10.0)
    monkeypatch.setattr(probe, "seconds_per_image", measured_late)
    late = train(tmp_path / "late", lambda record: None, epochs=20, time_limit=10.0)
    assert (quick.recipe.total_epochs, late.recipe.total_epochs) == (15, 5)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"more than is left of --time-limit \(0.0 of 5.0 s\)"):
        train(tmp_path / "none", lambda record: None, epochs=20, time_limit=5.0)


# ---- features --------------------------------------------------------------------------------------------


def frozen(out: Path, report: Callable[[dict[str, Any]], None], **options: Any) -> photopic.Run:
    images = (np.random.default_rng(1).integers(0, 256, (160, 32, 32, 3), np.uint8), np.arange(160) % 2)
    settings = {"preprocess.size": 32}
    return photopic.train(
        images, recipe="photos-frozen", settings=settings, out=out, report=report, **options
    )


def test_features_that_take_too_long_are_stopped_and_kept(clock: Clock, tmp_path: Path) -> None:
    def slow(record: dict[str, Any]) -> None:
        if record["event"] == "features" and record["done"] > 64:
            clock.now_s = 111.0

    with pytest.raises(ConfigError, match=r"over after the features of 96 of \d+ images of train"):
        frozen(tmp_path / "run", slow, time_limit=100.0)
    clock.now_s = 0.0
    told: list[dict[str, Any]] = []
    again = frozen(tmp_path / "again", told.append, time_limit=100.0)
    assert again.manifest.status == "complete"
    computed = [
        record["total"] for record in told if record["event"] == "features" and record["split"] == "train"
    ]
    assert set(computed) == {16}, "96 of 112 were kept"


def test_few_images_get_an_estimate_too(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    images = (np.random.default_rng(1).integers(0, 256, (30, 32, 32, 3), np.uint8), np.arange(30) % 2)
    settings = {"preprocess.size": 32}
    photopic.train(
        images, recipe="photos-frozen", settings=settings, out=tmp_path / "run", report=told.append
    )
    (estimate,) = [record for record in told if record["event"] == "estimate"]
    assert 0 < estimate["seconds"] < 60
