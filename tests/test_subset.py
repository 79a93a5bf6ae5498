"""Some of a data set's classes, and fewer of its training images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import photopic
from photopic.cli import run as command
from photopic.data.dataset import DataSet, open_dataset
from photopic.data.split import split_dataset
from photopic.data.subset import limit_training, select_classes
from photopic.errors import ConfigError, DataError

COUNTS = {"ant": 60, "bee": 30, "cow": 90, "dog": 20}
SETTINGS = {
    "preprocess.size": 16,
    "preprocess.channels": 1,
    "model.widths": [8, 16],
    "total_epochs": 2,
    "batch_size": 16,
}


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Noise around a level of each class, mixed up."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(list(COUNTS), list(COUNTS.values())))
    level = np.array([40 * (1 + sorted(COUNTS).index(label)) for label in labels])
    images = random.integers(-30, 30, (len(labels), 16, 16)) + level[:, None, None]
    return images.astype(np.uint8), labels


@pytest.fixture
def dataset() -> DataSet:
    return open_dataset(arrays())


def test_only_the_classes_named_are_left_in_the_order_given(dataset: DataSet) -> None:
    part = select_classes(dataset, ["cow", "ant"])
    assert part.class_names == ("cow", "ant")
    assert part.counts() == {"cow": 90, "ant": 60}
    images, labels = arrays()
    for row in (0, 50, 149):
        place = int(part.index.paths[row])  # array data is named by its number
        assert part.class_names[part.index.labels[row]] == labels[place]
        np.testing.assert_array_equal(part.image(row)[:, :, 0], images[place])


def test_another_order_or_choice_is_another_data_set(dataset: DataSet) -> None:
    prints = [select_classes(dataset, names).fingerprint for names in (["cow", "ant"], ["ant", "cow"])]
    assert len({*prints, dataset.fingerprint}) == 3


def test_files_that_cannot_be_used_stay_listed(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("ant", "bee", "cow"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (8, 8), 20 * number + len(name)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "cow" / "broken.png").write_bytes(b"no image")
    part = select_classes(open_dataset(tmp_path), ["cow", "bee"])
    assert part.counts() == {"cow": 3, "bee": 3}
    assert [item.path for item in part.excluded] == ["cow/broken.png"]
    assert part.image(int(part.usable[0])).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cow", "dogg"], 'no class "dogg". Did you mean "dog"'),
        (["cow"], "at least two"),
        (["cow", "cow"], "twice"),
    ],
)
def test_impossible_choices_are_refused(dataset: DataSet, names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", "")):
        select_classes(dataset, names)


@pytest.mark.parametrize("count", [4, 17, 50, 100, 139])
def test_each_class_keeps_its_share_of_fewer_training_images(dataset: DataSet, count: int) -> None:
    splits = split_dataset(dataset)
    limited = limit_training(dataset, splits, count, seed=0)
    for part in ("val", "test"):
        np.testing.assert_array_equal(limited == part, splits == part)
    assert set(np.flatnonzero(limited == "train")) <= set(np.flatnonzero(splits == "train"))
    kept = np.bincount(dataset.index.labels[limited == "train"], minlength=4)
    ideal = np.bincount(dataset.index.labels[splits == "train"]) * count / (splits == "train").sum()
    assert kept.sum() == count
    assert kept.min() >= 1
    assert np.abs(kept - ideal).max() < (1 if count > 10 else 1.5)


def test_the_choice_follows_from_seed_and_contents_alone(dataset: DataSet) -> None:
    def chosen(data: DataSet, seed: int) -> set[str]:
        limited = limit_training(data, split_dataset(data), 40, seed=seed)
        return set(data.index.hex_digests(np.flatnonzero(limited == "train")))

    images, labels = arrays()
    order = np.random.default_rng(1).permutation(len(labels))
    assert chosen(dataset, 0) == chosen(open_dataset((images[order], labels[order])), 0)
    assert chosen(dataset, 0) != chosen(dataset, 1)


def test_impossible_numbers_are_refused(dataset: DataSet) -> None:
    splits = split_dataset(dataset)
    there_are = int((splits == "train").sum())
    with pytest.raises(DataError, match=f"there are only {there_are} to"):
        limit_training(dataset, splits, there_are + 1, seed=0)
    with pytest.raises(ConfigError, match="at least 4"):
        limit_training(dataset, splits, 3, seed=0)


def _train(out: Path, **options: Any) -> photopic.Run:
    return photopic.train(arrays(), recipe="small-images", settings=SETTINGS, out=out, **options)


def test_a_run_on_some_classes_says_so_and_resumes(tmp_path: Path) -> None:
    options: dict[str, Any] = {"classes": ("dog", "cow"), "train_images": 40}
    whole = _train(tmp_path / "whole", **options)
    assert whole.class_names == ("dog", "cow")
    assert list(whole.manifest.options["classes"]) == ["dog", "cow"]
    assert whole.manifest.data["counts"] == {"train": 40, "val": 16, "test": 16}
    assert Counter(row.split for row in whole.load_splits())[""] == 38
    assert whole.evaluate(arrays()).scores["arrays"].n == 38 + 16  # those left out were never seen

    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    stopped = _train(tmp_path / "stopped", **options, report=stop)
    resumed = photopic.resume(photopic.open_run(stopped.path), data=arrays())
    assert resumed.manifest.split_hashes == whole.manifest.split_hashes
    ours, theirs = resumed.load_weights(), whole.load_weights()
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)


def test_the_commands_take_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["data", "show", "digits", "--classes", "3,1"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["digits:", "365"]  # 183 threes and 182 ones
    assert command(["data", "split", "digits", "--classes=3,1", "--train-images=20"]) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert Counter(row[2] for row in rows)["train"] == 20
    assert {row[1] for row in rows} == {"1", "3"}
    out = str(tmp_path / "run")
    few = ["--set=total_epochs=1", "--train-images=20", "--classes=3,1", "--json"]
    assert command(["train", "digits", "--recipe=digits", *few, "--out", out]) == 0
    assert photopic.open_run(out).class_names == ("3", "1")
    assert command(["train", "digits", "--classes=3,eleven"]) == 2
    assert 'no class "eleven"' in capsys.readouterr().err
