"""Trainings that are stopped, killed or moved, and go on: to the same weights, on every device, every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import kill_in_epoch
from stripes import TINY, same_weights, train, write_stripes

import photopic
from photopic.errors import ConfigError, RunError

WAYS: dict[str, dict[str, Any]] = {
    "small-images": {"preprocess.size": 16, "model.widths": [8, 16], "augment.rotation_range": 10},
    # with dropout in the head, norms that move, and a backbone that is unfrozen after the first epoch
    "photos-finetune": {
        **{"preprocess.size": 32, "unfreeze_from": "blocks.6", "batch_norm": "train"},
        **{"head": [{"dropout": 0.3}], "head_start": "random", "frozen_epochs": 1, "ema_decay": 0.9},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stripes(tmp_path / "data")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))],
)
def test_a_killed_training_ends_as_one_that_was_not(way: str, device: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, images=images, labels=np.arange(60) % 2)
    settings = WAYS[way] | {"total_epochs": 5, "batch_size": 8, "select_by": "last"}
    arguments = {"recipe": way, "settings": settings, "device": device}
    whole = photopic.train(data, out=tmp_path / "whole", **arguments)
    kill_in_epoch(2, data, tmp_path / "run", **arguments)
    told: list[str] = []
    resumed = photopic.resume(tmp_path / "run", report=lambda record: told.append(record["event"]))
    assert "resumed" in told
    ours, theirs = resumed.load_weights(), whole.load_weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_ctrl_c_leaves_a_usable_run_that_can_be_resumed(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole")

    def stop_in_second_epoch(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == 1:
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop_in_second_epoch, checkpoint_every_s=0)
    assert run.manifest.status == "interrupted"
    assert "test" not in run.manifest.results
    assert run.manifest.test_looks == ()
    assert run.predict([next(folder.rglob("*.png"))])[0].label in ("across", "down")
    resumed = run.resume()
    assert resumed.manifest.status == "complete"
    assert same_weights(resumed, whole)
    epochs = [record["epoch"] for record in resumed.records() if record["event"] == "epoch"]
    assert epochs == [0, 1, 2]
    assert not (run.path / "resume").exists()
    with pytest.raises(RunError, match="nothing to resume"):
        resumed.resume()


def test_a_killed_training_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    settings = TINY | {"total_epochs": 30}
    whole = train(folder, tmp_path / "whole", settings=settings)
    kill_in_epoch(2, folder, tmp_path / "run", recipe="small-images", settings=settings)
    run = photopic.open_run(tmp_path / "run")
    assert run.manifest.status == "running"
    with pytest.raises(RunError, match="photopic resume"):
        run.predict([next(folder.rglob("*.png"))])
    resumed = run.resume()
    assert resumed.manifest.status == "complete"
    assert same_weights(resumed, whole)


def test_records_are_not_doubled_when_a_training_begins_again(folder: Path, tmp_path: Path) -> None:
    def stop_in_second_epoch(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == 1:
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop_in_second_epoch, checkpoint_every_s=3600)
    told: list[str] = []
    resumed = run.resume(report=lambda record: told.append(record["event"]))
    assert "restarted" in told
    steps = [record["step"] for record in resumed.records() if record["event"] == "step"]
    assert steps == sorted(set(steps))


def test_a_run_is_there_when_its_path_is_told(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "recipe":
            assert Path(record["path"]).is_dir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "run", report=stop)
    assert photopic.resume(tmp_path / "run").manifest.status == "complete"


@pytest.mark.parametrize("damaged", [("a",), ("a", "b")])
def test_a_training_whose_checkpoints_are_all_damaged_says_that_it_begins_again(
    damaged: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    whole = train(folder, tmp_path / "whole")

    def stop_in_third_epoch(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == 2:
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop_in_third_epoch, checkpoint_every_s=0)
    for generation in damaged:
        (run.path / "resume" / generation / "state.safetensors").write_bytes(b"damage")
    told: list[str] = []
    resumed = run.resume(report=lambda record: told.append(record["event"]))
    assert ("restarted" in told, "resumed" in told) == (len(damaged) == 2, len(damaged) == 1)
    assert same_weights(resumed, whole)


def test_going_on_with_another_precision_is_told_and_both_are_kept(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    def moves(record: dict[str, Any]) -> None:
        if record["event"] == "moved":
            told.append(record["reason"])
        stop(record)

    told: list[str] = []
    run = train(folder, tmp_path / "run", report=stop, device="cpu")
    began = run.manifest.machine
    run.resume(report=moves)
    assert (told, photopic.open_run(run.path).manifest.earlier_machines) == ([], ())
    on_gpu = began | {"device": "cuda", "precision": "bfloat16", "device_name": "a GPU"}
    run.update(machine=on_gpu)
    resumed = run.resume(report=moves)
    assert told == ["the training was on cuda in bfloat16, and goes on on cpu in float32"]
    assert resumed.manifest.machine == began
    assert resumed.manifest.earlier_machines == (on_gpu,)


def test_a_run_goes_on_in_float32_where_there_is_no_bfloat16(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    run = train(folder, tmp_path / "run", report=stop, device="cpu", precision="bfloat16")
    assert run.manifest.machine["precision"] == "bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(ConfigError, match="no arithmetic for it"):
        run.resume()
    resumed = run.resume(precision="float32")
    assert resumed.manifest.status == "complete"
    assert resumed.manifest.machine["precision"] == "float32"


@pytest.mark.parametrize("way", WAYS)
def test_in_bfloat16_a_training_repeats_itself_and_its_weights_stay_float32(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    data = write_stripes(tmp_path / "data")
    settings = WAYS[way] | {"total_epochs": 2, "batch_size": 8}
    arguments = {"recipe": way, "settings": settings, "device": "cpu"}
    first, again = (
        photopic.train(data, out=tmp_path / name, precision="bfloat16", **arguments).load_weights()
        for name in ("first", "again")
    )
    single = photopic.train(data, out=tmp_path / "single", precision="float32", **arguments).load_weights()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], single[name]) for name in first)
    assert {values.dtype for values in first.values()} == {values.dtype for values in single.values()}


def test_a_run_goes_on_on_another_device(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop, device="cpu")
    document = json.loads((run.path / "run.json").read_text("utf-8"))
    document["options"]["device"] = "cuda:99"  # as on the machine where it began
    (run.path / "run.json").write_text(json.dumps(document), "utf-8")
    run = photopic.open_run(run.path)
    with pytest.raises(ConfigError, match="Use --device cpu"):
        run.resume()
    resumed = run.resume(device="cpu")
    assert (resumed.manifest.status, resumed.manifest.machine["device"]) == ("complete", "cpu")


def test_a_run_that_another_has_completed_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise KeyboardInterrupt

    stale = train(folder, tmp_path / "run", report=stop)
    before = photopic.open_run(stale.path).resume().manifest
    with pytest.raises(RunError, match="completed"):
        stale.resume()
    assert photopic.open_run(stale.path).manifest == before


def test_changed_data_cannot_be_resumed(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop)
    next(folder.rglob("*.png")).unlink()
    with pytest.raises(RunError, match="not as it was"):
        run.resume()


def test_renamed_images_cannot_be_resumed(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise KeyboardInterrupt

    run = train(folder, tmp_path / "run", report=stop)
    image = next(folder.rglob("*.png"))
    image.rename(image.with_name("zzz.png"))
    with pytest.raises(RunError, match="renamed"):
        run.resume()
    image.with_name("zzz.png").rename(image)
    assert run.resume().manifest.status == "complete"
