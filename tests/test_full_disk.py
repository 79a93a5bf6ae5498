"""A disk that is full for a while does not end a training."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stripes import TINY, same_weights, train, write_stripes

import photopic
from photopic.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stripes(tmp_path / "data")


def test_a_checkpoint_that_does_not_fit_does_not_stop_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr("photopic.training.saving.save_checkpoint", full)
    told: list[dict[str, Any]] = []
    run = train(folder, tmp_path / "run", report=told.append, checkpoint_every_s=0)
    assert run.manifest.status == "complete"
    assert [record["epoch"] for record in told if record["event"] == "unsaved"] == [1, 2, 3]


def test_records_that_cannot_be_written_do_not_stop_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(folder, tmp_path / "whole")
    append = photopic.run.append_line

    def full_in_the_second_epoch(path: Path, line: str) -> None:
        if json.loads(line)["epoch"] == 1:
            raise UserError(f"{path}: the disk is full.")
        append(path, line)

    monkeypatch.setattr("photopic.run.append_line", full_in_the_second_epoch)
    told: list[dict[str, Any]] = []
    run = train(folder, tmp_path / "run", report=told.append)
    assert run.manifest.status == "complete"
    assert same_weights(run, whole)
    (unsaved,) = [record for record in told if record["event"] == "unsaved"]
    assert "records.jsonl: the disk is full" in unsaved["reason"]
    assert [record["epoch"] for record in run.records() if record["event"] == "epoch"] == [0, 2]


def test_curves_that_cannot_be_written_do_not_stop_the_training(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullBoard:
        def __init__(self, place: Path) -> None:
            """As training.tensorboard.TensorBoard on a full disk."""

        def __call__(self, record: dict[str, Any]) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def draw(self, *arguments: Any) -> None:
            raise RuntimeError("no room")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("photopic.training.sitting.TensorBoard", FullBoard)
    told: list[str] = []
    run = train(
        folder, tmp_path / "run", tensorboard=True, report=lambda record: told.append(record["event"])
    )
    assert run.manifest.status == "complete"
    assert told.count("unsaved") == 1
    assert len(run.history()) == TINY["total_epochs"]


FILL_THE_DISK = """
import errno, json, os, sys
from pathlib import Path
import photopic
data, out, settings = sys.argv[1:]
filler = Path(out).parent / "filler"

def fill_from_the_second_epoch_to_the_tenth(record):
    if record["event"] == "epoch" and record["epoch"] == 0:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    elif record["event"] == "epoch" and record["epoch"] == 9:
        filler.unlink()
    elif record["event"] == "unsaved":
        print(record["reason"])

run = photopic.train(data, recipe="small-images", settings=json.loads(settings), out=out,
                     checkpoint_every_s=0, report=fill_from_the_second_epoch_to_the_tenth)
print(len(run.history()), run.history()[0]["epoch"], run.history()[-1]["epoch"], run.manifest.status)
"""


def test_a_real_disk_that_is_full_for_a_while_does_not_stop_the_training(
    folder: Path, tmp_path: Path
) -> None:
    commands = 'mount -t tmpfs -o size=8m none "$1" || exit 77; exec "$2" -c "$3" "$4" "$1/run" "$5"'
    (tmp_path / "disk").mkdir()
    settings = json.dumps(TINY | {"total_epochs": 12, "batch_size": 8})
    arguments = [str(tmp_path / "disk"), sys.executable, FILL_THE_DISK, str(folder), settings]
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", commands, "sh", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        pytest.skip("no program that makes a small disk")
    if done.returncode in (1, 77) and "Traceback" not in done.stderr:
        pytest.skip(f"no small disk may be made here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "records.jsonl: the disk is full" in done.stdout
    epochs, first, last, status = done.stdout.splitlines()[-1].split()
    assert (int(epochs) < 12, first, last, status) == (True, "1", "12", "complete")
