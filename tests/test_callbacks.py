"""What a recipe says about stopping and keeping, in whole runs: kills, resumes and bad input included."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import kill_in_epoch

import photopic
from photopic.cli import run as command
from photopic.config import ScratchRecipe
from photopic.data.dataset import open_dataset
from photopic.errors import ConfigError, RunError, TrainingError
from photopic.training.probe import with_epochs
from photopic.training.recipes import load_recipe
from photopic.training.train import train_dataset

TINY = {
    "preprocess.size": 16,
    "preprocess.channels": 1,
    "model.widths": [8, 16],
    "total_epochs": 4,
    "batch_size": 32,
}


def stripes(across: int = 40, down: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Noisy stripes of two directions."""
    random = np.random.default_rng(0)
    labels = np.array(["across"] * across + ["down"] * down)
    waves = 127 + 80 * np.sin(np.arange(16) * random.uniform(0.8, 1.2, (len(labels), 1, 1)))
    images = np.where((labels == "down")[:, None, None], waves.transpose(0, 2, 1), waves)
    return (images + random.normal(0, 60, (len(labels), 16, 16))).clip(0, 255).astype(np.uint8), labels


def train(out: Path, *, data: Any = None, **changes: Any) -> photopic.Run:
    settings = TINY | changes.pop("settings", {})
    images = stripes() if data is None else data
    return photopic.train(images, recipe="small-images", settings=settings, out=out, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> photopic.Run:
    """A run that kept named checkpoints, for the tests that only read."""
    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOPIC_CACHE", str(place / "cache"))
        return train(place / "run", settings={"checkpoint_name": "tiny-{epoch:02d}-{val_loss:.4f}"})


def same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def epochs(run: photopic.Run) -> list[dict[str, Any]]:
    return [record for record in run.records() if record["event"] == "epoch"]


# ---- stopping ---------------------------------------------------------------------------------------------


def test_a_run_that_stops_early_is_complete_and_says_why(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    rule = {"early_stopping.monitor": "val_accuracy", "early_stopping.patience": 2}
    run = train(tmp_path / "run", settings=rule | {"total_epochs": 40}, report=told.append)
    manifest = photopic.open_run(run.path).manifest
    assert manifest.status == "complete"
    assert manifest.recipe.total_epochs == 40  # type: ignore[union-attr]
    assert "val_accuracy has not risen for 2 epochs" in manifest.selected["stopped"]
    assert 3 <= len(epochs(run)) < 40
    (stopped,) = [record for record in told if record["event"] == "stopped"]
    assert stopped["reason"] == manifest.selected["stopped"]
    assert stopped["epoch"] == len(epochs(run)) - 1
    assert "test" in manifest.results


def test_a_goal_ends_the_training_at_the_end_of_its_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(
        tmp_path / "run",
        settings={"stop_at.monitor": "train_accuracy", "stop_at.value": 0.6, "total_epochs": 40},
    )
    reached = [record["train_accuracy"] >= 0.6 for record in epochs(run)]
    assert reached == [False] * (len(reached) - 1) + [True]
    assert command(["history", str(run.path)]) == 0
    assert "stopped early: train_accuracy has reached" in capfd.readouterr().out


def test_a_killed_training_with_all_rules_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    settings = TINY | {
        "total_epochs": 40,
        "early_stopping.monitor": "val_accuracy",
        "early_stopping.patience": 6,
        "select_by": "val_loss",
        "checkpoint_name": "best-{epoch:02d}",
        "sampling": "balanced",
        "class_weights.down": 2.0,
        "loss": "focal",
        "regularizer.l2": 1e-4,
        "max_norm": 2.0,
        "schedule": "performance",
        "schedule.patience": 2,
        "augment.rotation_range": 10,
    }
    images, labels = stripes(60, 20)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    whole = train(tmp_path / "whole", data=tmp_path / "data.npz", settings=settings)
    place = tmp_path / "data.npz", tmp_path / "run"
    kill_in_epoch(3, *place, recipe="small-images", settings=settings)
    resumed = photopic.open_run(tmp_path / "run").resume()
    assert resumed.manifest.selected == whole.manifest.selected
    assert "stopped" in whole.manifest.selected
    assert same_weights(resumed.load_weights(), whole.load_weights())
    assert set(resumed.kept_weights()) == set(whole.kept_weights())
    for name in whole.kept_weights():
        assert resumed.manifest.files[name] == whole.manifest.files[name]
    ours, theirs = ([row | {"seconds": 0} for row in run.history()] for run in (resumed, whole))
    assert ours == theirs


# ---- what is kept -----------------------------------------------------------------------------------------


def test_each_improvement_is_kept_under_its_name(finished: photopic.Run) -> None:
    improvements = [record for record in epochs(finished) if record["best_epoch"] == record["epoch"]]
    wanted = [f"tiny-{record['epoch'] + 1:02d}-{record['val_loss']:.4f}" for record in improvements]
    assert finished.kept_weights() == [f"checkpoints/{name}.safetensors" for name in wanted]
    assert len(wanted) > 1
    assert sorted(path.stem for path in (finished.path / "checkpoints").iterdir()) == sorted(wanted)
    first, *_, last = finished.kept_weights()
    assert same_weights(finished.load_weights(last), finished.load_weights())
    assert not same_weights(finished.load_weights(first), finished.load_weights())


def test_altered_and_unknown_weights_are_refused(finished: photopic.Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoints/other"):
        finished.load_weights("checkpoints/other.safetensors")


def test_the_ends_of_the_last_cycles_are_kept(tmp_path: Path) -> None:
    run = train(
        tmp_path / "run",
        settings={
            "schedule": "cosine",
            "schedule.cycles": 3,
            "snapshots": 2,
            "total_epochs": 6,
            "ema_decay": 0.9,
            "select_by": "last",
        },
    )
    assert run.kept_weights() == ["snapshots/cycle-2.safetensors", "snapshots/cycle-3.safetensors"]
    assert same_weights(run.load_weights("snapshots/cycle-3.safetensors"), run.load_weights())
    assert not same_weights(run.load_weights("snapshots/cycle-2.safetensors"), run.load_weights())
    assert run.manifest.selected["epoch"] == 5
    assert run.manifest.selected["by"] == "the last epoch"


def test_weights_that_are_kept_need_a_run_folder() -> None:
    with pytest.raises(ConfigError, match="checkpoint_name needs a run folder"):
        train_dataset(
            open_dataset(stripes()), recipe="small-images", settings=TINY | {"checkpoint_name": "x-{epoch}"}
        )


def test_a_full_disk_does_not_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = photopic.Run.save_weights

    def full(run: photopic.Run, weights: Any, name: str = "weights.safetensors") -> None:
        if name.startswith("checkpoints/"):
            raise OSError("No space left on device")
        save(run, weights, name)

    monkeypatch.setattr(photopic.run.Run, "save_weights", full)
    told: list[dict[str, Any]] = []
    run = train(tmp_path / "run", settings={"checkpoint_name": "x-{epoch}"}, report=told.append)
    assert run.manifest.status == "complete"
    assert any("No space" in record.get("reason", "") for record in told if record["event"] == "unsaved")


# ---- losses that are not finite ---------------------------------------------------------------------------


def test_a_training_that_diverges_later_keeps_its_best_epoch(tmp_path: Path) -> None:
    diverging = {
        "optimizer": "sgd",
        "optimizer.learning_rate": 0.02,
        "schedule": "piecewise",
        "schedule.boundaries": [0.5],
        "schedule.factors": [1, 1e30],
    }
    with pytest.raises(TrainingError, match=r"not finite at step \d+ \(epoch 2\)"):
        train(tmp_path / "run", settings=diverging)
    run = photopic.open_run(tmp_path / "run")
    assert run.manifest.status == "failed"
    assert run.manifest.selected["epoch"] in (0, 1)
    assert all(torch.isfinite(tensor).all() for tensor in run.load_weights().values())
    assert run.predict(stripes()[0][:1])[0].label in ("across", "down")
    assert [row["best"] for row in run.history()].count(True) == 1


def test_a_training_that_was_never_finite_keeps_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "data.npz", images=stripes()[0], labels=stripes()[1])
    options = [f"--set={key}={json.dumps(value)}" for key, value in TINY.items()]
    diverging = ["--set=optimizer=sgd", "--set=optimizer.learning_rate=1e30", "--set=schedule=constant"]
    place = ["--recipe=small-images", f"--out={tmp_path / 'run'}"]
    assert command(["train", str(tmp_path / "data.npz"), *place, *options, *diverging]) == 1
    printed = capfd.readouterr().err
    assert "not finite at step" in printed
    assert "Lower optimizer.learning_rate" in printed
    run = photopic.open_run(tmp_path / "run")
    assert not (run.path / "weights.safetensors").exists()
    with pytest.raises(RunError, match="It failed: the training loss is not finite"):
        run.predict(stripes()[0][:1])


# ---- classes ----------------------------------------------------------------------------------------------


def test_a_class_of_weight_0_loses_ground(tmp_path: Path) -> None:
    """In a linear network: a batch norm would centre the two classes and so learn both from one."""
    linear = {"model": {"layers": ["flatten"]}, "optimizer": "sgd", "optimizer.learning_rate": 0.1}
    settings = {name: value for name, value in TINY.items() if not name.startswith("model")} | linear
    margins = []
    for number, weights in enumerate(({"across": 0}, "none", {"down": 0})):
        run = photopic.train(
            stripes(),
            recipe="small-images",
            settings=settings | {"class_weights": weights, "select_by": "last"},
            out=tmp_path / str(number),
        )
        across, down = run.load_predictions("test").logits.mean(0)
        margins.append(across - down)
    assert margins[0] < margins[1] - 0.1
    assert margins[1] < margins[2] - 0.1


def test_class_weights_of_unknown_names_end_before_the_first_step(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=r'"acros" is no class of this data set\. Did you mean "across"'):
        train(
            tmp_path / "run",
            settings={"class_weights": {"acros": 2}},
            report=lambda record: told.append(record["event"]),
        )
    assert "decode" not in told
    assert not (tmp_path / "run").exists()


# ---- time limits ------------------------------------------------------------------------------------------


def test_patience_that_a_time_limit_makes_pointless_is_left_out(tmp_path: Path) -> None:
    settings = {"total_epochs": 100_000, "early_stopping.patience": 90_000}
    run = train(tmp_path / "run", settings=settings, time_limit=0.5)
    assert run.recipe.total_epochs < 1000  # type: ignore[union-attr]
    assert photopic.open_run(run.path).recipe.early_stopping is None  # type: ignore[union-attr]


def test_a_goal_that_a_time_limit_makes_pointless_is_left_out() -> None:
    recipe = load_recipe("digits", {"stop_at.value": 0.9})
    assert isinstance(recipe, ScratchRecipe)
    assert with_epochs(recipe, 2).stop_at == recipe.stop_at
    assert with_epochs(recipe, 1).stop_at is None


def test_a_time_limit_that_cuts_the_schedule_off_is_an_error(tmp_path: Path) -> None:
    settings = {
        "total_epochs": 100_000,
        "schedule": "piecewise",
        "schedule.unit": "epochs",
        "schedule.boundaries": [90_000],
        "schedule.factors": [1, 0.1],
    }
    with pytest.raises(ConfigError, match=r"the time limit leaves \d+ of 100000 epochs.*boundaries"):
        train(tmp_path / "run", settings=settings, time_limit=0.5)


# ---- history ----------------------------------------------------------------------------------------------


def test_the_history_is_what_the_records_say(finished: photopic.Run) -> None:
    rows = finished.history()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for row, record in zip(rows, epochs(finished), strict=True):
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"):
            assert row[name] == record[name]
        steps = [step for step in finished.records() if step["step"] == record["step"]]
        assert row["learning_rate"] == steps[0]["learning_rate"]
    (best,) = [row["epoch"] for row in rows if row["best"]]
    assert best == finished.manifest.selected["epoch"] + 1


def test_the_history_command_prints_a_table_csv_and_json(
    finished: photopic.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    path, rows = str(finished.path), finished.history()
    assert command(["history", path, "--csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [float(row["val_loss"]) for row in read] == [row["val_loss"] for row in rows]
    assert command(["history", path, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == rows
    assert command(["history", path]) == 0
    table = capfd.readouterr().out
    marked = [line for line in table.splitlines() if line.rstrip().endswith(" best")]
    assert len(marked) == 1
    assert f"{rows[0]['val_loss']:.4f}" in table
    assert command(["history", path, "--csv", "--json"]) == 2
    assert "exclude each other" in capfd.readouterr().err


def test_a_run_without_an_epoch_has_no_history_yet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise KeyboardInterrupt

    run = train(tmp_path / "run", report=stop)
    assert run.history() == []
    assert command(["history", str(run.path)]) == 2
    assert "photopic resume" in capfd.readouterr().err


def test_the_display_says_in_one_line_why_a_training_stopped(capfd: pytest.CaptureFixture[str]) -> None:
    from photopic.cli.display import TrainingDisplay

    with TrainingDisplay() as display:
        display({"event": "stopped", "epoch": 11, "reason": "val_loss has not fallen for 10 epochs"})
    assert capfd.readouterr().err == "stopped after epoch 12: val_loss has not fallen for 10 epochs\n"


# ---- TensorBoard ------------------------------------------------------------------------------------------


def test_tensorboard_has_the_curves_the_scores_and_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == 2:
            raise KeyboardInterrupt

    train(tmp_path / "run", tensorboard=True, report=stop, checkpoint_every_s=3600)  # begins anew
    run = photopic.resume(tmp_path / "run", data=stripes())
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss/validation")]
    wanted = [(record["step"], record["val_loss"]) for record in epochs(run)]
    assert [step for step, _ in curve] == [step for step, _ in wanted]
    np.testing.assert_allclose([value for _, value in curve], [value for _, value in wanted], rtol=1e-6)
    (score,) = events.Scalars("score test/accuracy")
    assert math.isclose(score.value, run.evaluate().scores["test"].accuracy.value, rel_tol=1e-6)
    names = " ".join(node.name for node in events.Graph().node)
    assert "FastNet" in names
    assert "Block[1]" in names


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'photopic\[tensorboard\]'"):
        train(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


# ---- fine-tuning ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fine_tuning_keeps_whole_networks_and_knows_class_weights(tmp_path: Path) -> None:
    settings = {
        "preprocess.size": 32,
        "preprocess.crop_fraction": 1.0,
        "augment": {},
        "total_epochs": 2,
        "checkpoint_name": "epoch-{epoch}",
        "select_by": "last",
        "class_weights": "balanced",
        "loss": "focal",
        "regularizer.l2": 1e-4,
    }
    run = photopic.train(stripes(20, 10), recipe="photos-finetune", settings=settings, out=tmp_path / "run")
    assert run.kept_weights() == ["checkpoints/epoch-1.safetensors", "checkpoints/epoch-2.safetensors"]
    assert same_weights(run.load_weights("checkpoints/epoch-2.safetensors"), run.load_weights())
    assert run.load_weights("checkpoints/epoch-1.safetensors").keys() == run.load_weights().keys()
