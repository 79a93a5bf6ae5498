"""The main job on small data: whole runs, their content, stops and repeats."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import photopic
from photopic.errors import ConfigError, DataError, ModelError, RunError, TrainingError, UserError
from photopic.files import lock
from photopic.run import LOCK, Run
from photopic.training import train as training_module

TINY = {
    "preprocess.size": 16,
    "preprocess.channels": 1,
    "model.widths": [8, 16],
    "total_epochs": 3,
    "batch_size": 32,
}


def stripes(n_per_class: int = 40, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy horizontal and vertical stripes: easy, but not trivial."""
    random = np.random.default_rng(seed)
    images, labels = [], []
    for label in (0, 1):
        for _ in range(n_per_class):
            wave = 127 + 80 * np.sin(np.arange(size) * random.uniform(0.8, 1.2) + random.uniform(0, 6))
            image = np.tile(wave, (size, 1)) if label else np.tile(wave[:, None], (1, size))
            images.append(np.clip(image + random.normal(0, 25, (size, size)), 0, 255))
            labels.append(label)
    return np.array(images, np.uint8), np.array(["down", "across"])[labels]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The stripes as PNG files in class folders."""
    images, labels = stripes()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / label / f"{number:03}.png")
    return tmp_path / "data"


def train(data: Any, out: Path, **changes: Any) -> photopic.Run:
    settings = TINY | changes.pop("settings", {})
    return photopic.train(data, recipe="small-images", settings=settings, out=out, **changes)


def same_weights(one: photopic.Run, other: photopic.Run) -> bool:
    ours, theirs = one.load_weights(), other.load_weights()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_holds_all_that_was_promised(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    manifest = photopic.open_run(tmp_path / "run").manifest
    assert manifest.status == "complete"
    assert manifest.class_names == ("across", "down")
    assert set(manifest.results) == {"val", "test"}
    assert manifest.recipe.preprocess.mean is not None
    assert len(manifest.test_looks) == 1
    assert manifest.versions["torch"].startswith(torch.__version__.split("+")[0])
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        "run.json",
        "records.jsonl",
        "weights.safetensors",
        "splits.csv.gz",
        "predictions/val.npz",
        "predictions/test.npz",
    }
    assert set(manifest.files) == names - {"run.json", "records.jsonl"}
    assert photopic.split(folder) == run.load_splits()
    splits = [row.split for row in run.load_splits()]
    assert {name: splits.count(name) for name in ("train", "val", "test")} == manifest.data["counts"]
    assert manifest.data["counts"] == {"train": 56, "val": 12, "test": 12}


def test_the_reported_score_is_that_of_the_stored_logits(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    stored = run.load_predictions("test")
    reported = run.evaluate().scores["test"].accuracy.value
    assert reported == np.mean(stored.logits.argmax(1) == stored.labels)
    values = {row["name"]: row["value"] for row in run.manifest.results["test"]["measured"]}
    assert values["accuracy"] == reported
    assert len(photopic.open_run(run.path).manifest.test_looks) == 1


def test_the_stored_network_gives_the_stored_answers(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    rows = run.load_splits()
    stored = run.load_predictions("test")
    predictions = run.predict([folder / rows[row].path for row in stored.index])
    np.testing.assert_array_equal(
        [run.class_names.index(str(label)) for label in predictions.labels], stored.logits.argmax(1)
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    first = train(folder, tmp_path / "one", seed=3)
    again = train(folder, tmp_path / "two", seed=3)
    other = train(folder, tmp_path / "three", seed=4)
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert first.manifest.split_hashes == other.manifest.split_hashes


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


def test_a_run_that_another_process_has_begun_at_the_same_place_is_left_alone(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with ExitStack() as other:

        def begin_elsewhere(record: dict[str, Any]) -> None:
            if record["event"] == "split":  # both have found the place free
                other.enter_context(lock(out / LOCK))
                Run.create(out, finished.manifest)

        finished = train(folder, tmp_path / "other")
        with pytest.raises(UserError, match="another photopic"):
            train(folder, out, report=begin_elsewhere)
        assert photopic.open_run(out).manifest == finished.manifest
    with pytest.raises(RunError, match="not empty"):
        train(folder, out)
    assert photopic.open_run(out).manifest == finished.manifest


def test_trainings_without_a_place_of_their_own_get_different_ones(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs: list[photopic.Run] = []

    def begin_another(record: dict[str, Any]) -> None:
        if record["event"] == "split" and not runs:
            runs.append(photopic.train(folder, recipe="small-images", settings=TINY))

    runs.append(photopic.train(folder, recipe="small-images", settings=TINY, report=begin_another))
    assert [run.path.as_posix() for run in runs] == ["runs/data-small-images", "runs/data-small-images-2"]
    assert [run.manifest.status for run in runs] == ["complete", "complete"]
    with pytest.raises(ConfigError, match="more than is left of --time-limit"):
        photopic.train(folder, recipe="small-images", settings=TINY, time_limit=0.0001)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_run_remembers_places_that_were_given_relatively(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = train("data", Path("first"), data_dir=Path("sets"))
    assert first.manifest.options["data"] == str(folder)
    assert first.manifest.options["data_dir"] == str(tmp_path / "sets")
    frozen = photopic.config.FrozenRecipe(name="own", preprocess={"size": 16})
    recipe = training_module._changed(frozen, {"backbone.weights": "first/weights.safetensors"})
    assert recipe.backbone.weights == str(tmp_path / "first" / "weights.safetensors")  # type: ignore[union-attr]


@pytest.mark.parametrize("recipe", [None, "photos-frozen"])
def test_missing_weights_are_said_before_the_images_are_read(recipe: str | None, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"weights absent\.pth: there is no such file"):
        photopic.train(
            folder, recipe=recipe, weights="absent.pth", report=lambda record: pytest.fail("images were read")
        )


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


def test_advice_about_data_that_moved_can_be_followed(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    folder.rename(tmp_path / "moved")
    with pytest.raises(RunError, match="put it back there") as caught:
        run.evaluate(test_views="flip")
    assert "--data" not in str(caught.value)


def test_a_run_that_another_has_completed_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise KeyboardInterrupt

    stale = train(folder, tmp_path / "run", report=stop)
    before = photopic.open_run(stale.path).resume().manifest
    with pytest.raises(RunError, match="completed"):
        stale.resume()
    assert photopic.open_run(stale.path).manifest == before


def test_a_killed_training_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    settings = TINY | {"total_epochs": 30}
    whole = train(folder, tmp_path / "whole", settings=settings)
    program = (
        "import sys, json, photopic\n"
        "data, out, settings = sys.argv[1:]\n"
        "settings = json.loads(settings)\n"
        "photopic.train(data, recipe='small-images', settings=settings, out=out, checkpoint_every_s=0)"
    )
    arguments = [sys.executable, "-c", program, str(folder), str(tmp_path / "run"), json.dumps(settings)]
    process = subprocess.Popen(arguments, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    records = tmp_path / "run" / "records.jsonl"
    deadline = time.monotonic() + 120
    while not (records.exists() and '"epoch": 2' in records.read_text()):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()

    run = photopic.open_run(tmp_path / "run")
    assert run.manifest.status == "running"
    with pytest.raises(RunError, match="photopic resume"):
        run.predict([next(folder.rglob("*.png"))])
    resumed = run.resume()
    assert resumed.manifest.status == "complete"
    assert same_weights(resumed, whole)


def test_a_training_that_diverges_names_the_step_and_keeps_the_run(folder: Path, tmp_path: Path) -> None:
    settings = {"optimizer.name": "sgd", "optimizer.learning_rate": 1e15, "schedule.name": "constant"}
    with pytest.raises(TrainingError, match="not finite at step"):
        train(folder, tmp_path / "run", settings=settings)
    run = photopic.open_run(tmp_path / "run")
    assert run.manifest.status == "failed"
    assert "not finite" in str(run.manifest.error)


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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"data": None}, "got NoneType"),
        ({"data": np.zeros((4, 8, 8), np.uint8)}, "got ndarray"),
        ({"recipe": 3}, "got int"),
    ],
)
def test_arguments_of_a_wrong_kind_are_named(wrong: dict[str, Any], words: str) -> None:
    arguments = {"data": stripes()} | wrong
    with pytest.raises((DataError, ConfigError), match=words):
        photopic.train(arguments.pop("data"), **arguments)


def test_answers_print_as_people_read_them(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    text = str(run.evaluate())
    value = run.manifest.results["test"]["measured"][0]["value"]
    assert text.startswith(f"test: {run.manifest.data['counts']['test']} images\n  accuracy")
    assert f"{value:.4f}" in text.splitlines()[1]
    image = next(folder.rglob("*.png"))
    answers = run.predict([image, __file__])
    assert str(answers).splitlines()[0].startswith(f"{image}: {answers[0].label} 0.")
    assert str(answers).splitlines()[1] == f"{__file__}: {answers[1].error}"
    assert "1 image," in repr(run.predict([image]))
    with pytest.raises(ConfigError, match="device"):
        run.evaluate(device="cpu")


def test_evaluating_leaves_out_what_was_trained_on(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    evaluation = run.evaluate(folder)
    (scores,) = evaluation.scores.values()
    assert scores.n == run.manifest.data["counts"]["test"]
    assert evaluation.notes[0].endswith("trained or selected on them: 68")
    assert len(photopic.open_run(run.path).manifest.test_looks) == 2
    images, labels = stripes(seed=9)
    fresh = run.evaluate((images, labels))
    assert next(iter(fresh.scores.values())).n == 80
    with pytest.raises(DataError, match="unknown to the run"):
        run.evaluate((images, np.where(labels == "down", "dwn", labels)))


def test_what_was_learned_from_is_not_scored_though_it_stands_in_the_test_too(
    folder: Path, tmp_path: Path
) -> None:
    for number, image in enumerate(sorted(folder.rglob("*.png"))):
        for part in ("train", "test") if number % 10 == 0 else ("train",):
            place = tmp_path / "given" / part / image.parent.name
            place.mkdir(parents=True, exist_ok=True)
            (place / image.name).write_bytes(image.read_bytes())
    run = train(tmp_path / "given", tmp_path / "run")
    assert run.manifest.data["counts"]["test"] == 8
    with pytest.raises(DataError, match="no image is left to score; 88 were used"):
        run.evaluate(tmp_path / "given")


def test_a_time_limit_plans_fewer_epochs(folder: Path, tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    run = train(
        folder, tmp_path / "run", settings={"total_epochs": 100_000}, time_limit=1.0, report=records.append
    )
    (estimate,) = [record for record in records if record["event"] == "estimate"]
    assert run.recipe.total_epochs == estimate["epochs"] < 100_000  # type: ignore[union-attr]
    assert estimate["seconds"] <= 1.0
    with pytest.raises(ConfigError, match="more than is left of --time-limit"):
        train(folder, tmp_path / "other", time_limit=0.0001)


def test_a_vanished_image_is_counted_and_strict_makes_it_an_error(folder: Path, tmp_path: Path) -> None:
    victim = sorted(folder.rglob("*.png"))[0]

    def remove(record: dict[str, Any]) -> None:
        if record["event"] == "split":
            victim.unlink(missing_ok=True)

    content = victim.read_bytes()
    run = train(folder, tmp_path / "run", report=remove)
    excluded = photopic.open_run(run.path).manifest.data["excluded"]
    assert [item["path"] for item in excluded] == [victim.relative_to(folder).as_posix()]
    victim.write_bytes(content + b"\n")  # another content: no stored pixels can serve
    with pytest.raises(DataError, match=victim.name):
        train(folder, tmp_path / "strict", report=remove, strict=True)


def test_a_catalog_name_stays_one_when_a_folder_is_called_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    told: list[dict[str, Any]] = []

    def stop(record: dict[str, Any]) -> None:
        told.append(record)
        if record["event"] == "step":
            raise KeyboardInterrupt

    run = train("digits", tmp_path / "run", report=stop)
    assert [record["name"] for record in told if record["event"] == "catalog"] == ["digits"]
    assert len(run.class_names) == 10
    assert run.resume().manifest.status == "complete"
    told.clear()
    train(Path("digits"), tmp_path / "own", report=told.append)
    assert not [record for record in told if record["event"] == "catalog"]
