"""C13, C14, C15, C25, C27: scalings, networks, what is read from where, sentences that follow the numbers."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.transforms.functional import normalize, to_tensor

import photopic
from photopic.api import model_summary
from photopic.cli import run as photopic_cli
from photopic.errors import ConfigError, DataError
from photopic.evaluation.intervals import proportion
from photopic.inference.predictor import Predictions
from photopic.lab.course import cats_dogs, cats_dogs_transfer, pretrained, runner, signs
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import SMALL_BYTES, Context, find_recipe
from photopic.lab.course.photos import SCALINGS, photos_of, scaled, scaling_of
from photopic.models.imagenet import CATS
from photopic.models.zoo import build_model

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)


def recipe(name: str) -> Any:
    return find_recipe(name)


# ---- scalings --------------------------------------------------------------------------------------------


def test_scalings_are_those_of_torchvision_and_keras() -> None:
    ours = {name: scaled(PIXELS, name) for name in SCALINGS}
    theirs = torch.stack([to_tensor(image) for image in PIXELS])
    torch.testing.assert_close(ours["0…1"], theirs)
    torch.testing.assert_close(ours["−1…1"], normalize(theirs, [0.5] * 3, [0.5] * 3))
    expected = normalize(theirs, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(ours["mean/std"], expected)
    # keras.applications.imagenet_utils, mode "caffe"
    caffe = PIXELS[..., ::-1].astype(np.float32)
    caffe[..., 0] -= 103.939
    caffe[..., 1] -= 116.779
    caffe[..., 2] -= 123.68
    np.testing.assert_allclose(ours["BGR minus means"].numpy(), caffe.transpose(0, 3, 1, 2), rtol=1e-6)


def test_a_network_s_own_scaling_is_found() -> None:
    assert scaling_of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) == "−1…1"
    assert scaling_of((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) == "mean/std"


def test_photos_come_from_the_test_part(tmp_path: Path) -> None:
    for part, name in (("train", "cat"), ("test", "cat"), ("test", "dog")):
        folder = tmp_path / part / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(PIXELS[0]).rotate(90 * number).save(folder / f"{number}.png")
    dataset = photopic.open_dataset(tmp_path)
    rows = photos_of(dataset, "cat", 2)
    assert [str(dataset.index.paths[row]) for row in rows] == ["test/cat/0.png", "test/cat/1.png"]
    with pytest.raises(DataError, match="has no class horse, but cat, dog"):
        photos_of(dataset, "horse", 1)


# ---- networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(cats_dogs.VARIANTS.values()))
def test_the_network_from_scratch_has_the_deck_s_layers(name: str) -> None:
    convolutions = [3 * 9 * 32 + 32, 32 * 9 * 64 + 64, 64 * 9 * 128 + 128, 128 * 9 * 128 + 128]
    dense = [7 * 7 * 128 * 512 + 512, 512 + 1]
    assert model_summary(recipe=recipe(name), classes=2).parameters == sum(convolutions + dense) == 3_453_121
    assert (recipe(name).optimizer.name, recipe(name).optimizer.learning_rate) == ("rmsprop", 1e-4)


def test_the_head_on_a_frozen_network_is_the_deck_s() -> None:
    assert (
        model_summary(recipe=recipe("cats-dogs-frozen"), classes=2).trainable == 1280 * 64 + 64 + 64 * 2 + 2
    )


def test_mixed7_of_150_pixels_is_768_maps_of_7_by_7() -> None:
    settings = {"backbone.name": "inception_v3", "backbone.until": "mixed7"}
    chosen = photopic.config.override(recipe("cats-dogs-cut"), settings)
    with torch.device("meta"):
        model = build_model(chosen, 2)
    assert model.hidden.dense1.in_features == 7 * 7 * 768
    assert model.head.out_features == 1


# ---- weights by path -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [["C13"], ["C15", "C25"]])
def test_weights_without_use_are_refused(ids: list[str], tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"one experiment at a time.*C25 \(resnet50\)"):
        runner.run(ids, out=tmp_path, weights=tmp_path / "w.pth")


def test_weights_that_are_not_there_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["course", "run", "C25", "--out", str(tmp_path), "--weights", str(tmp_path / "none.pth")]
    assert photopic_cli(arguments) == 2
    assert "C25 takes those of resnet50" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("id_", ["C15", "C25", "C27"])
def test_an_experiment_runs_on_weights_by_path(id_: str, tmp_path: Path, data_dir: Path) -> None:
    """Random weights: what is seen is that they are taken."""
    (experiment,) = choose([id_])
    network = timm.create_model(experiment.weights)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    batch = runner.run([id_], quick=True, out=tmp_path / "out", weights=tmp_path / "w.pth")
    (result,) = batch.results
    assert any("w.pth" in note for note in result.outcome.notes)
    assert not any("stands in" in note or "in its place" in note for note in result.outcome.notes)
    rows = {row.name: row.measured for row in result.outcome.rows}
    if id_ == "C15":
        assert rows["numbers at the cut"] == 768 * 2 * 2  # 64 pixels: 31, 29, 29, 14, 14, 12, 5, 2
    if id_ == "C25":
        assert max(rows[name] for name in rows if str(name).startswith("n0")) < 0.1


# ---- sentences -------------------------------------------------------------------------------------------


class FakeRun:
    """A run with a history and nothing else."""

    def __init__(self, training: list[float], validation: list[float], losses: list[float]) -> None:
        self._rows = [
            {"epoch": number, "train_accuracy": train, "val_accuracy": val, "val_loss": loss}
            for number, (train, val, loss) in enumerate(zip(training, validation, losses, strict=True), 1)
        ]

    def history(self) -> list[dict[str, Any]]:
        return self._rows


def test_c14_names_the_gap_the_rise_and_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, Any] = {
        "plain": FakeRun([0.6, 0.99], [0.6, 0.7], [0.6, 0.9]),
        "augmentation": FakeRun([0.6, 0.8], [0.6, 0.75], [0.6, 0.5]),
        "augmentation and dropout": FakeRun([0.6, 0.76], [0.6, 0.78], [0.6, 0.5]),
    }
    hits = {"plain": 280, "augmentation": 300, "augmentation and dropout": 340}
    scores = {id(run): proportion("", np.arange(400) < hits[name]) for name, run in runs.items()}
    monkeypatch.setattr(cats_dogs, "score", lambda run: scores[id(run)])
    first, second, third = cats_dogs._sentences(runs)
    assert first.startswith("After 2 epochs")
    assert (
        "ends 29 points above validation accuracy (0.99 against 0.70): the network has learned its" in first
    )
    assert "risen by 0.30 since epoch 1" in first
    assert "ends 5 points above it (0.80" in second
    assert "too 2 points below (0.76)" in second
    assert "validation accuracy augmentation and dropout is best; on the test photos it has 0.850" in third
    assert "do not touch" in third
    runs["plain"] = FakeRun(
        [0.6, 0.85], [0.6, 0.79], [0.6, 0.9]
    )  # best on validation, not on the test photos
    scores[id(runs["plain"])] = proportion("", np.arange(400) < 280)
    first, _, third = cats_dogs._sentences(runs)
    assert "has not yet learned its photos by heart" in first
    assert third == "By validation accuracy plain is best; on the test photos it has 0.700."


@pytest.mark.parametrize(
    ("worse", "better", "words"),
    [(0.8, 0.95, "4.0 times fewer"), (0.8, 1.0, "no errors are left"), (0.8, 0.7, "did not help")],
)
def test_c15_compares_errors(worse: float, better: float, words: str) -> None:
    assert words in cats_dogs_transfer._times_fewer(worse, better)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (490, 400, "the mistake costs 18.0 points (90 photos)"),
        (492, 490, "the mistake costs 0.4 points (2 photos, within chance)"),
        (490, 492, "on these photos the mistake costs nothing"),
    ],
)
def test_c27_says_what_the_wrong_scaling_costs(right: int, wrong: int, words: str) -> None:
    shares = [proportion("accuracy", np.arange(500) < hits) for hits in (right, wrong)]
    assert cats_dogs_transfer._cost(*shares) == words


def test_c15_draws_c14_s_three_runs_and_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decks draw it as the fourth curve."""
    asked: list[str] = []
    drawn: list[list[str]] = []

    def stop(runs: Any) -> None:
        drawn.append(list(runs))
        raise InterruptedError

    monkeypatch.setattr(cats_dogs_transfer, "train", lambda context, name, *_: asked.append(name))
    monkeypatch.setattr(
        cats_dogs_transfer, "load_network", lambda run: build_model(recipe("cats-dogs-cut"), 2)
    )
    monkeypatch.setattr(cats_dogs_transfer, "score_rows", lambda *_: [])
    monkeypatch.setattr(cats_dogs_transfer, "curves", stop)
    monkeypatch.setattr(
        cats_dogs_transfer.api, "model_summary", lambda **_: SimpleNamespace(trainable=1, parameters=2)
    )
    monkeypatch.setattr(cats_dogs_transfer, "_train_cut", lambda context: SimpleNamespace(recipe=None))
    with pytest.raises(InterruptedError):
        cats_dogs_transfer.c15(Context(choose(["C15"])[0], tmp_path))
    assert asked == list(cats_dogs.VARIANTS.values())
    assert drawn == [[*cats_dogs.VARIANTS, "cut and frozen"]]


def test_c25_adds_up_the_cats_and_compares_scalings() -> None:
    names = [str(number) for number in range(1000)]
    own = np.full(1000, 0.0)
    own[list(CATS)] = 0.15
    own[7] = 0.25
    hits = {name: np.arange(100) < share for name, share in zip(SCALINGS, (80, 90, 85, 40), strict=True)}
    first, second = pretrained._sentences(names, dict.fromkeys(SCALINGS, own), hits, "−1…1")
    assert "top class is 7 with 0.25" in first
    assert first.endswith("together have 0.75: the network is surer that it is a cat than of which.")
    assert "90% of 100 photos" in second
    assert "-10.0 points (0…1), -5.0 points (mean/std), -50.0 points (BGR minus means)" in second
    dog = np.full(1000, 0.0)
    dog[[200, *CATS]] = (0.9, *[0.02] * 5)
    first, _ = pretrained._sentences(names, dict.fromkeys(SCALINGS, dog), hits, "−1…1")
    assert first.endswith("together have 0.10: the network takes it for no cat.")


# ---- traffic signs ---------------------------------------------------------------------------------------


def test_new_signs_are_read_beside_the_data_and_filled_up(data_dir: Path) -> None:
    dataset = photopic.open_dataset("gtsrb", data_dir=data_dir)
    images = signs.new_images(dataset)
    assert len(images) == 10
    elsewhere = [image for image in images if image.is_elsewhere]
    assert [image.path.rpartition("/")[2] for image in elsewhere] == [f"znak{n}.jpg" for n in range(1, 10)]
    assert elsewhere[8].truth == "stop"
    assert {image.sign for image in images if image.truth is None} == {
        "end of priority road",
        "pedestrian crossing",
    }
    assert images[9].path.startswith("test/")
    assert not {str(path) for path in dataset.index.paths} & {image.path for image in elsewhere}


def test_signs_of_no_class_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    images = [
        signs.NewImage(PIXELS[0], None, "new/00012/znak1.jpg", True),
        signs.NewImage(PIXELS[0], "stop", "new/00014/znak9.jpg", True),
        signs.NewImage(PIXELS[0], "yield", "new/00013/znak7.jpg", True),
    ]
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    names = [image.path for image in images]
    answers = Predictions.of_probs(names, probs, [None] * 3, ["yield", "stop"], 2)
    run: Any = FakeRun([0.9], [0.8], [0.5])
    run.evaluate = lambda: SimpleNamespace(scores={"test": {"accuracy": proportion("", np.array([True]))}})
    _, right, nameless = signs._sentences(run, images, answers)
    assert right.startswith(
        "1 of 2 new images whose sign has a class are right, with a mean probability of 0.80"
    )
    assert right.endswith("image 3 (yield) is taken for stop with 0.70.")
    assert nameless.endswith("image 1 (end of priority road) is called yield with 0.90.")
    context = Context(choose(["C13"])[0], tmp_path)
    first, second = (signs._new_row(context, answers, number, images[number]) for number in (0, 1))
    assert (first.name, first.measured) == ("image 1: greatest probability", pytest.approx(0.9))
    assert "end of priority road, which is no class" in first.note
    assert (second.name, second.measured) == ("image 2: probability of its class", pytest.approx(0.8))


def test_without_new_signs_official_test_images_are_taken() -> None:
    images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 12
    images += np.arange(20, dtype=np.uint8)[:, None, None, None]
    found = signs.new_images(photopic.open_dataset((images, labels)))
    assert len(found) == 10
    assert not any(image.is_elsewhere for image in found)


# ---- figures ---------------------------------------------------------------------------------------------


def test_a_figure_of_many_colours_is_kept_small(tmp_path: Path) -> None:
    (experiment,) = choose(["C25"])
    context = Context(experiment, tmp_path)
    ramp = np.linspace(0, 255, 200 * 150 * 3).reshape(200, 150, 3)
    noisy = ramp + np.random.default_rng(0).normal(0, 6, ramp.shape)
    photo = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    context.draw("a.png", "t", photo)
    with Image.open(io.BytesIO(context.pictures["a.png"])) as small:
        difference = np.abs(np.asarray(small.convert("RGB"), int) - np.asarray(photo, int))
    assert len(context.pictures["a.png"]) <= SMALL_BYTES
    assert difference.mean() < 8
