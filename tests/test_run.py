from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from photopic.config import PreprocessConfig, ScratchRecipe
from photopic.errors import RunError, UserError
from photopic.manifest import SCHEMA_VERSION, Manifest
from photopic.run import RECORDS, WEIGHTS, Run, SplitRow, claim_run_path, list_runs


def make_run(path: Path, splits: list[SplitRow] | None = None) -> Run:
    recipe = ScratchRecipe(name="test", preprocess=PreprocessConfig(size=32))
    manifest = Manifest(created="2026-01-01T00:00:00+00:00", recipe=recipe, class_names=("a", "b"))
    return Run.create(path, manifest, splits)


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update(selected={"epoch": 3}, status="complete")
    assert Run.open(run.path).manifest == run.manifest


def test_a_folder_with_content_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="not empty"):
        make_run(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json is missing"):
        Run.open(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema_version": 1}', '{"schema_version": "x"}'])
def test_a_damaged_manifest_is_an_error_not_a_traceback(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError):
        Run.open(tmp_path)


def test_a_newer_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    values = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(values | {"schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(RunError, match="Update photopic"):
        Run.open(run.path)


@pytest.mark.parametrize("version", ["0", "-1", '"1"', "1.5", "null", "true"])
def test_a_schema_version_that_never_was_is_refused(tmp_path: Path, version: str) -> None:
    run = make_run(tmp_path / "run")
    file = run.path / "run.json"
    file.write_text(file.read_text("utf-8").replace('"schema_version": 1', f'"schema_version": {version}'))
    with pytest.raises(RunError, match="which no photopic has written"):
        Run.open(run.path)


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    weights = {
        "conv.weight": torch.randn(3, 3, 2, 2).to(memory_format=torch.channels_last),
        "n": torch.tensor(7),
    }
    run.save_weights(weights)
    loaded = Run.open(run.path).load_weights()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_altered_and_missing_files_are_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(RunError, match="photopic resume"):
        run.load_weights()
    run.save_weights({"w": torch.ones(2)})
    content = (run.path / WEIGHTS).read_bytes()
    (run.path / WEIGHTS).write_bytes(content[:-1] + b"\x00")
    with pytest.raises(RunError, match="altered"):
        run.load_weights()
    (run.path / WEIGHTS).unlink()
    with pytest.raises(RunError, match="missing"):
        run.load_weights()


def test_splits_with_difficult_names_come_back(tmp_path: Path) -> None:
    rows = [SplitRow('a,"b"\nc.jpg', "00", "ä", "g1", "train"), SplitRow("猫.png", "11", "", "", "")]
    assert make_run(tmp_path / "run", rows).load_splits() == rows


def test_predictions_come_back_and_hold_no_pickle(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    logits = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    run.save_predictions("test", np.arange(4), np.array([0, 1, 0, 1]), logits)
    stored = run.load_predictions("test")
    np.testing.assert_array_equal(stored.logits, logits)
    np.testing.assert_array_equal(stored.labels, [0, 1, 0, 1])
    assert stored.index.dtype == np.int64


def test_a_record_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for epoch in range(3):
        run.append_record({"event": "epoch", "epoch": epoch})
    with (run.path / RECORDS).open("a") as file:
        file.write('{"event": "ep')
    assert [record["epoch"] for record in run.records()] == [0, 1, 2]
    run.rewind_records(2)
    assert [record["epoch"] for record in run.records()] == [0, 1]


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{", b"5"])
def test_damaged_records_are_an_error_that_names_the_file(tmp_path: Path, damage: bytes) -> None:
    run = make_run(tmp_path / "run")
    (run.path / RECORDS).write_bytes(b'{"epoch": 0}\n' + damage + b'\n{"epoch": 1}\n')
    with pytest.raises(RunError, match="line 2 is not JSON") as caught:
        run.records()
    assert str(run.path / RECORDS) in str(caught.value)


def test_no_look_at_the_test_set_is_lost_between_handles(tmp_path: Path) -> None:
    handles = [make_run(tmp_path / "run"), *(Run.open(tmp_path / "run") for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(run.note_test_look, str(number)) for number, run in enumerate(handles)]:
            done.result()
    looks = [look["what"] for look in Run.open(tmp_path / "run").manifest.test_looks]
    assert sorted(looks) == ["0", "1", "2", "3"]


def test_a_look_during_a_training_undoes_nothing_of_it_and_stays(tmp_path: Path) -> None:
    training = make_run(tmp_path / "run")
    evaluating = Run.open(training.path)
    training.save_weights({"w": torch.ones(2)})
    evaluating.note_test_look("evaluate")
    assert evaluating.manifest.files == training.manifest.files
    training.update(status="complete")
    stored = Run.open(training.path).manifest
    assert (stored.status, len(stored.test_looks), list(stored.files)) == ("complete", 1, [WEIGHTS])


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    for name, created in (("b", "2026-02-01"), ("a", "2026-03-01"), ("c", "2026-01-01")):
        make_run(tmp_path / name).update(created=created)
    (tmp_path / "other").mkdir()
    broken: list[RunError] = []
    assert [run.path.name for run in list_runs(tmp_path, on_error=broken.append)] == ["c", "b", "a"]
    assert list_runs(tmp_path / "nowhere", on_error=broken.append) == []
    assert broken == []
    (tmp_path / "b" / "run.json").write_text("{")
    assert [run.path.name for run in list_runs(tmp_path, on_error=broken.append)] == ["c", "a"]
    assert [str(tmp_path / "b") in str(error) for error in broken] == [True]


def test_new_run_folders_are_free_and_clean(tmp_path: Path) -> None:
    assert claim_run_path(tmp_path, "my photos/2024").name == "my-photos-2024"
    assert [claim_run_path(tmp_path, "x").name for _ in range(3)] == ["x", "x-2", "x-3"]
    assert claim_run_path(tmp_path / "deep" / "runs", "///").name == "run"
    assert make_run(tmp_path / "x").path.name == "x"  # what was claimed can be used


def test_no_two_get_the_same_run_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: claim_run_path(tmp_path, "x"), range(16)))
    assert len(set(paths)) == 16


def test_a_place_where_no_run_folder_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        claim_run_path(tmp_path / "file", "x")


def test_a_folder_with_a_manifest_has_the_splits_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [SplitRow("a.png", "00", "a", "", "train")]
    manifest = make_run(tmp_path / "other").manifest
    run = Run.create(tmp_path / "run", manifest, rows)
    assert Run.open(run.path).load_splits() == rows

    def killed(self: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        Run.create(tmp_path / "killed", manifest, rows)
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path / "killed")


def test_a_full_disk_is_said_plainly_and_keeps_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    before = (run.path / "run.json").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        run.update(status="complete")
    assert (run.path / "run.json").read_bytes() == before
