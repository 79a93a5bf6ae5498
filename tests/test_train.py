"""The main job on small data: whole runs, what they hold, and mistakes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stripes import TINY, same_weights, stripes, train, write_stripes

import photopic
from photopic.errors import ConfigError, DataError, ModelError, RunError, TrainingError, UserError
from photopic.files import lock
from photopic.run import LOCK, Run
from photopic.training import probe, resolve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_stripes(tmp_path / "data")


def test_a_precision_without_effect_is_an_error_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    nowhere = tmp_path / "nowhere"
    with pytest.raises(
        ConfigError, match=r"no effect on the recipe photos-frozen .* --recipe photos-finetune"
    ):
        photopic.train(
            nowhere, out=tmp_path / "run", recipe="photos-frozen", device="cpu", precision="bfloat16"
        )
    assert not (tmp_path / "run").exists()


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
    recipe = resolve._changed(frozen, {"backbone.weights": "first/weights.safetensors"})
    assert recipe.backbone.weights == str(tmp_path / "first" / "weights.safetensors")  # type: ignore[union-attr]


@pytest.mark.parametrize("recipe", [None, "photos-frozen"])
def test_missing_weights_are_said_before_the_images_are_read(recipe: str | None, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"weights absent\.pth: there is no such file"):
        photopic.train(
            folder, recipe=recipe, weights="absent.pth", report=lambda record: pytest.fail("images were read")
        )


def test_advice_about_data_that_moved_can_be_followed(folder: Path, tmp_path: Path) -> None:
    run = train(folder, tmp_path / "run")
    folder.rename(tmp_path / "moved")
    with pytest.raises(RunError, match="put it back there") as caught:
        run.evaluate(test_views="flip")
    assert "--data" not in str(caught.value)


def test_a_training_that_diverges_names_the_step_and_keeps_the_run(folder: Path, tmp_path: Path) -> None:
    settings = {"optimizer.name": "sgd", "optimizer.learning_rate": 1e15, "schedule.name": "constant"}
    with pytest.raises(TrainingError, match="not finite at step"):
        train(folder, tmp_path / "run", settings=settings)
    run = photopic.open_run(tmp_path / "run")
    assert run.manifest.status == "failed"
    assert "not finite" in str(run.manifest.error)


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
    (label, prob), *_ = answers[0].top
    assert str(answers).splitlines()[0].startswith(f"{image}: {label} {prob:.3f}  ")
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


def test_a_time_limit_plans_fewer_epochs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "seconds_per_image", lambda *_: 0.05)
    records: list[dict[str, Any]] = []
    run = train(
        folder, tmp_path / "run", settings={"total_epochs": 100_000}, time_limit=20.0, report=records.append
    )
    (estimate,) = [record for record in records if record["event"] == "estimate"]
    assert run.recipe.total_epochs == estimate["epochs"] < 100_000  # type: ignore[union-attr]
    assert 10.0 < estimate["seconds"] <= 20.0
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
