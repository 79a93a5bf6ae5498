"""Runs joined into one that is used like a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

import photopic
from photopic.cli import run as command
from photopic.errors import ConfigError, DataError, RunError
from photopic.evaluation.joining import accuracy_by_size
from photopic.files import sha256_file
from photopic.inference.ensemble import EnsemblePredictor, open_predictor
from photopic.inference.predictor import Predictor

SETTINGS = {
    "preprocess.size": 16,
    "preprocess.channels": 1,
    "model.widths": [8, 16],
    "total_epochs": 2,
    "batch_size": 32,
}


def patches(names: tuple[str, ...] = ("ant", "bee", "cow"), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a brighter patch whose place tells the class; hard enough for mistakes."""
    random = np.random.default_rng(seed)
    labels = np.arange(180) % len(names)
    images = random.integers(0, 200, (180, 16, 16))
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 5, 3:9] += random.integers(0, 60)
    return np.clip(images, 0, 255).astype(np.uint8), np.array(names)[labels]


def train(out: Path, data: Any = None, **options: Any) -> photopic.Run:
    settings = SETTINGS | options.pop("settings", {})
    return photopic.train(
        patches() if data is None else data, recipe="small-images", settings=settings, out=out, **options
    )


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs: other seeds, another network, another input size and other test views."""
    place = tmp_path_factory.mktemp("members")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOPIC_CACHE", str(place / "cache"))
        train(place / "one", seed=1)
        train(place / "two", seed=2, settings={"model.widths": [4, 8], "test_views": "none"})
        train(place / "three", seed=3, settings={"preprocess.size": 20, "total_epochs": 3})
    return [place / name for name in ("one", "two", "three")]


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def logits_of(members: list[Path], split: str) -> np.ndarray:
    return np.stack([photopic.open_run(path).load_predictions(split).logits for path in members])


def test_the_ensemble_answers_with_the_mean_and_stands_alone(members: list[Path], tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(member, tmp_path / member.name)) for member in members]
    before = [hashes(copy) for copy in copies]
    run = photopic.ensemble(copies, out=tmp_path / "all")
    assert [hashes(copy) for copy in copies] == before  # the members' runs are only read
    for copy in copies:
        shutil.rmtree(copy)
    for split in ("val", "test"):
        stored = run.load_predictions(split)
        wanted = softmax(logits_of(members, split).astype(float), axis=2).mean(0)
        np.testing.assert_allclose(softmax(stored.logits.astype(float), axis=1), wanted, rtol=1e-4, atol=1e-6)
    stored = run.load_predictions("test")
    again = photopic.predict(run.path, patches()[0])
    rows = [int(run.load_splits()[row].path) for row in stored.index]
    np.testing.assert_allclose(again.probs[rows], softmax(stored.logits, axis=1), rtol=1e-3, atol=1e-4)
    assert [again[row].label for row in rows] == [run.class_names[k] for k in stored.logits.argmax(1)]


def test_its_folder_reads_as_a_run(members: list[Path], tmp_path: Path) -> None:
    run = photopic.ensemble(members, out=tmp_path / "all")
    opened = photopic.open_run(tmp_path / "all")
    assert opened.manifest.kind == "ensemble"
    assert opened.manifest.status == "complete"
    assert opened.evaluate().scores["test"].n == len(run.load_predictions("test").labels)
    joined = opened.manifest.joined
    assert joined is not None
    assert [member.name for member in joined.members] == ["one", "two", "three"]
    assert [member.sha256 for member in joined.members] == [
        sha256_file(member / "weights.safetensors") for member in members
    ]
    assert [row["size"] for row in joined.sizes] == [1, 2, 3]
    labels = run.load_predictions("test").labels
    for row, wanted in zip(joined.sizes, accuracy_by_size(logits_of(members, "test"), labels), strict=True):
        assert (row["mean"]["value"], row["vote"]["value"]) == (wanted.mean.value, wanted.vote.value)
    assert isinstance(open_predictor(opened), EnsemblePredictor)
    assert [found.manifest.kind for found in photopic.list_runs(tmp_path)] == ["ensemble"]


def test_the_test_set_is_looked_at_once_more(members: list[Path], tmp_path: Path) -> None:
    run = photopic.ensemble(members, out=tmp_path / "all")
    looks = [look["what"] for look in run.manifest.test_looks]
    assert looks == [
        *(f"{name}: the end of the training" for name in ("one", "two", "three")),
        "the ensemble of 3",
    ]
    evaluation = photopic.evaluate(run, patches())
    assert evaluation.scores["arrays"].n == run.evaluate().scores["test"].n
    assert evaluation.scores["arrays"].accuracy.value == run.evaluate().scores["test"].accuracy.value
    assert len(photopic.open_run(run.path).manifest.test_looks) == 5
    assert "left out" in evaluation.notes[0]


def test_votes_are_counted(members: list[Path], tmp_path: Path) -> None:
    run = photopic.ensemble(members, out=tmp_path / "all", vote=True)
    votes = np.eye(3)[logits_of(members, "test").argmax(2)].sum(0)
    named = run.load_predictions("test").logits.argmax(1)
    assert (votes[np.arange(len(votes)), named] == votes.max(1)).all()
    again = photopic.predict(run, patches()[0])
    rows = [int(run.load_splits()[row].path) for row in run.load_predictions("test").index]
    assert [again[row].label for row in rows] == [run.class_names[k] for k in named]


def test_weights_are_chosen_on_validation_alone(members: list[Path], tmp_path: Path) -> None:
    from photopic.evaluation.joining import best_weights

    run = photopic.ensemble(members, out=tmp_path / "all", weights="validation")
    assert run.manifest.joined is not None
    found = [member.weight for member in run.manifest.joined.members]
    labels = photopic.open_run(members[0]).load_predictions("val").labels
    np.testing.assert_allclose(found, best_weights(logits_of(members, "val"), labels), atol=1e-9)
    losses = {
        name: photopic.evaluate(each).scores["validation"]["log_loss"].value
        for name, each in (("found", run), ("equal", photopic.ensemble(members, out=tmp_path / "equal")))
    }
    assert losses["found"] <= losses["equal"] + 1e-6
    wanted = np.tensordot(found, softmax(logits_of(members, "test").astype(float), axis=2), axes=1)
    stored = run.load_predictions("test")
    np.testing.assert_allclose(softmax(stored.logits.astype(float), axis=1), wanted, rtol=1e-4, atol=1e-6)
    rows = [int(run.load_splits()[row].path) for row in stored.index]
    np.testing.assert_allclose(photopic.predict(run, patches()[0]).probs[rows], wanted, rtol=1e-3, atol=1e-4)


def test_unreadable_files_are_answered_in_their_place(members: list[Path], tmp_path: Path) -> None:
    from PIL import Image

    run = photopic.ensemble(members, out=tmp_path / "all")
    Image.fromarray(patches()[0][0]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    answers = photopic.predict(run, [tmp_path / "bad.png", tmp_path / "good.png"], top_k=2)
    assert answers[0].error
    assert answers[0].label is None
    assert np.isnan(answers.probs[0]).all()
    assert len(answers[1].top) == 2
    with pytest.raises(ConfigError, match="top_k=0"):
        photopic.predict(run, [tmp_path / "good.png"], top_k=0)


# ---- who may join -------------------------------------------------------------------------------------


def test_answers_are_aligned_by_image_and_not_by_place(members: list[Path]) -> None:
    from dataclasses import replace

    from photopic.inference.members import Answers, aligned, candidates_of_runs

    one, two = candidates_of_runs([photopic.open_run(path) for path in members[:2]])
    order = np.random.default_rng(0).permutation(len(two.answers["test"].keys))
    given = two.answers["test"]
    mixed = Answers(tuple(given.keys[k] for k in order), given.labels[order], given.logits[order])
    moved = replace(two, answers={"test": mixed})
    np.testing.assert_array_equal(aligned([one, moved], "test"), logits_of(members[:2], "test"))


def test_what_does_not_fit_together_is_refused(members: list[Path], tmp_path: Path) -> None:
    others = {
        "classes": train(tmp_path / "a", patches(("ant", "bee", "dog"))),
        "data": train(tmp_path / "b", patches(seed=1)),
        "split": train(tmp_path / "c", split_seed=5),
        "val": train(tmp_path / "d", val_fraction=0.2),
    }
    words = {
        "classes": r"their classes differ, such as 'cow'",
        "data": r"their test images differ \(the data set has changed\)",
        "split": r"their test images differ \(split_seed 0 and 5\)",
    }
    for name, text in words.items():
        with pytest.raises(RunError, match=text):
            photopic.ensemble([members[0], others[name].path], out=tmp_path / "all")
        assert not (tmp_path / "all").exists()
    with pytest.raises(RunError, match="validated on different images"):
        photopic.ensemble([members[0], others["val"].path], out=tmp_path / "all", weights="validation")
    mixed = photopic.ensemble([others["val"].path, members[0]], out=tmp_path / "all")
    assert set(mixed.manifest.results) == {"test"}
    trained = {row.path for row in photopic.open_run(members[0]).load_splits() if row.split == "train"}
    assert all(row.split == "train" for row in mixed.load_splits() if row.path in trained)


def test_impossible_ensembles_are_refused(members: list[Path], tmp_path: Path) -> None:
    def join(*runs: Any, **options: Any) -> photopic.Run:
        return photopic.ensemble(runs, out=tmp_path / "all", **options)

    with pytest.raises(ConfigError, match="at least two members; got 1"):
        join(members[0])
    with pytest.raises(ConfigError, match="at least two runs"):
        join()
    with pytest.raises(ConfigError, match="given twice"):
        join(members[0], members[1], members[0])
    with pytest.raises(RunError, match="is not a run folder"):
        join(members[0], tmp_path / "nothing")
    with pytest.raises(ConfigError, match="a vote counts each member once"):
        join(*members, vote=True, weights="validation")
    with pytest.raises(ConfigError, match='weights "best" are not known'):
        join(*members, weights="best")
    with pytest.raises(RunError, match="has no snapshots"):
        join(members[0], snapshots=True)
    with pytest.raises(ConfigError, match="no use for the data set"):
        join(*members, data=patches())
    assert not (tmp_path / "all").exists()
    joined = join(*members)
    with pytest.raises(RunError, match="is an ensemble already"):
        photopic.ensemble([joined, members[0]], out=tmp_path / "more")
    with pytest.raises(RunError, match="is an ensemble of several networks"):
        Predictor.load(joined)
    with pytest.raises(RunError, match="is an ensemble; one network"):
        photopic.train(patches(), recipe="transfer", weights=joined.path, out=tmp_path / "b")


def test_an_unfinished_run_cannot_join(members: list[Path], tmp_path: Path) -> None:
    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    stopped = train(tmp_path / "stopped", report=stop)
    with pytest.raises(RunError, match=r"is not complete \(interrupted\).*photopic resume"):
        photopic.ensemble([members[0], stopped], out=tmp_path / "all")


def test_an_altered_member_is_noticed(members: list[Path], tmp_path: Path) -> None:
    run = photopic.ensemble(members, out=tmp_path / "all")
    with (run.path / "members" / "2" / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(RunError, match="was altered"):
        photopic.predict(run, patches()[0][:2])


# ---- snapshots and seeds ------------------------------------------------------------------------------


def test_snapshots_of_a_run_are_members(tmp_path: Path) -> None:
    cycles = {"schedule.name": "cosine", "schedule.cycles": 3, "schedule.warmup": 0.0, "snapshots": 3}
    run = train(tmp_path / "run", settings={**cycles, "total_epochs": 6})
    joined = photopic.ensemble([run], out=tmp_path / "all", snapshots=True, data=patches())
    assert joined.manifest.joined is not None
    assert [member.name for member in joined.manifest.joined.members] == [f"run cycle-{n}" for n in (1, 2, 3)]
    looks = [look["what"] for look in photopic.open_run(run.path).manifest.test_looks]
    assert looks == ["the end of the training", "answers of 3 snapshots, for an ensemble"]
    assert len(joined.manifest.test_looks) == 3
    weights = [photopic.open_run(joined.path / f"members/{n}").load_weights() for n in (1, 2, 3)]
    for number, ours in enumerate(weights, start=1):
        theirs = run.load_weights(f"snapshots/cycle-{number}.safetensors")
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    answers = np.stack(
        [
            Predictor.load(photopic.open_run(joined.path / f"members/{n}")).predict(patches()[0]).probs
            for n in (1, 2, 3)
        ]
    )
    np.testing.assert_allclose(
        photopic.predict(joined, patches()[0]).probs, answers.mean(0), rtol=1e-4, atol=1e-6
    )
    stored = joined.load_predictions("test")
    images = [int(joined.load_splits()[row].path) for row in stored.index]
    results = photopic.open_run(joined.path / "members/3").manifest.results["test"]["measured"]
    assert results[0]["value"] == pytest.approx(np.mean(answers[2][images].argmax(1) == stored.labels))


def test_seeds_make_members_of_their_own(tmp_path: Path) -> None:
    run = photopic.train_ensemble(
        patches(), seeds=[4, 7], out=tmp_path / "all", recipe="small-images", settings=SETTINGS
    )
    assert run.manifest.joined is not None
    assert [member.name for member in run.manifest.joined.members] == ["all-seed4", "all-seed7"]
    assert [photopic.open_run(tmp_path / f"all-seed{n}").manifest.options["seed"] for n in (4, 7)] == [4, 7]
    for wrong in (1, [3], [3, 3]):
        with pytest.raises(ConfigError, match="at least two different"):
            photopic.train_ensemble(patches(), seeds=wrong, out=tmp_path / "more")


@pytest.mark.parametrize("recipe", [[], ["--recipe=photos-frozen-views"]])
def test_members_that_would_be_one_are_refused_before_the_first_is_trained(
    recipe: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 180 images photopic's own choice is a frozen backbone as well."""
    assert command(["ensemble", "--train", str(folder), *recipe, "--out", str(tmp_path / "all")]) == 2
    assert "(frozen) ends in the same network with every seed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# ---- other views --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from PIL import Image

    for number, (image, label) in enumerate(zip(*patches(), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / label / f"{number:03}.png")
    return tmp_path / "data"


def test_views_are_tried_on_validation_without_a_look_at_the_test(folder: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", folder, settings={"test_views": "none"})
    tried = photopic.evaluate(run, test_views="flip")
    names = ["validation, test_views=flip", "validation, test_views=none (the run's own)"]
    assert list(tried.scores) == names
    assert tried.scores[names[1]] == run.evaluate().scores["validation"]
    assert len(photopic.open_run(run.path).manifest.test_looks) == 1
    rows = run.load_splits()
    stored = run.load_predictions("val")
    images = [folder / rows[row].path for row in stored.index]
    flipped = photopic.predict(run, images, test_views="flip")
    accuracy = np.mean([run.class_names.index(str(label)) for label in flipped.labels] == stored.labels)
    assert tried.scores[names[0]].accuracy.value == accuracy
    assert not np.allclose(flipped.probs, photopic.predict(run, images).probs)
    with pytest.raises(ConfigError, match="Did you mean"):
        photopic.evaluate(run, test_views="flipp")
    on_test = photopic.evaluate(run, folder, test_views="flip")
    assert "Answered with test_views=flip" in on_test.notes[-1]
    looks = photopic.open_run(run.path).manifest.test_looks
    assert "with test_views=flip" in looks[-1]["what"]


# ---- the commands -------------------------------------------------------------------------------------


def test_the_command_shows_members_and_ensemble(
    members: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(member) for member in members]
    assert command(["ensemble", *names, "--out", str(tmp_path / "all"), "--weights", "validation"]) == 0
    shown = capsys.readouterr().out
    assert "mean of 3" in shown
    assert "majority vote" in shown
    assert "looks at the test set so far, the members' included: 4" in shown
    assert command(["ensemble", *names, "--out", str(tmp_path / "vote"), "--vote", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["kind"] == "ensemble"
    assert values["joined"]["how"] == "vote"
    assert command(["evaluate", str(tmp_path / "all")]) == 0
    assert command(["runs", str(tmp_path)]) == 0
    assert "ensemble-of-3" in capsys.readouterr().out
    assert command(["ensemble", names[0], "--recipe", "small-images"]) == 2
    assert "no effect without --train" in capsys.readouterr().err
    assert command(["resume", str(tmp_path / "all")]) == 2


def test_the_command_trains_members_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    arguments = ["--train", str(folder), "--seeds=2", "--recipe=small-images", *settings]
    assert command(["ensemble", *arguments, "--out", str(tmp_path / "all"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["joined"]["members"]) == 2
    assert command(["ensemble", str(tmp_path / "all-seed0"), *arguments]) == 2
    assert "makes its own members" in capsys.readouterr().err


def test_a_data_set_of_other_classes_is_refused(members: list[Path], tmp_path: Path) -> None:
    run = photopic.ensemble(members, out=tmp_path / "all")
    with pytest.raises(DataError, match='"dog" is unknown'):
        photopic.evaluate(run, patches(("ant", "bee", "dog"), seed=3))
