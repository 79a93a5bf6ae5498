"""split_dataset: stratified, nothing leaks, given splits are kept, and only seed and content decide."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from photopic.data.dataset import DataSet, open_dataset
from photopic.data.index import OK, Index, column
from photopic.data.split import split_dataset
from photopic.errors import ConfigError, DataError


def made_up(
    labels: list[int] | NDArray[np.int64],
    groups: list[str] | None = None,
    splits: list[str] | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> DataSet:
    """A data set of rows without pixels; each row has contents of its own unless digests are given."""
    n = len(labels)
    if digests is None:
        digests = np.random.default_rng(9).integers(0, 256, (n, 32), np.uint8)
    index = Index(
        paths=column([f"{row}.png" for row in range(n)]),
        labels=np.asarray(labels, np.int64),
        splits=np.array(splits if splits is not None else [""] * n, "<U5"),
        groups=column(groups if groups is not None else [""] * n),
        sha256s=digests,
        widths=np.ones(n, np.int32),
        heights=np.ones(n, np.int32),
        modes=column(["RGB"] * n),
        states=column([OK] * n),
    )
    names = tuple(str(number) for number in range(int(max(labels)) + 1))
    return DataSet("made up", names, index, None)


def test_each_class_is_cut_by_the_fractions() -> None:
    digits = load_digits()
    dataset = open_dataset((digits.images.astype(np.uint8), digits.target))
    splits = split_dataset(dataset)
    for label, n in Counter(digits.target.tolist()).items():
        parts = Counter(splits[dataset.index.labels == label].tolist())
        for name in ("val", "test"):
            assert abs(parts[name] - 0.15 * n) <= 0.5
    assert sum(Counter(splits.tolist()).values()) == len(digits.target)


def test_the_fractions_can_be_chosen() -> None:
    dataset = made_up([0, 1] * 500)
    assert Counter(split_dataset(dataset, val_fraction=0.1, test_fraction=0.3).tolist()) == {
        "train": 600,
        "val": 100,
        "test": 300,
    }
    assert Counter(split_dataset(dataset, val_fraction=0.25, test_fraction=0).tolist()) == {
        "train": 750,
        "val": 250,
    }
    assert Counter(split_dataset(dataset, val_fraction=0, test_fraction=0).tolist()) == {"train": 1000}


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.5, 0.5), (0.9, 0.2), (float("nan"), 0.1)])
def test_impossible_fractions_are_errors(val: float, test: float) -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        split_dataset(made_up([0, 1] * 10), val_fraction=val, test_fraction=test)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    dataset = made_up([0, 1, 2] * 100)
    first = split_dataset(dataset, seed=5)
    np.testing.assert_array_equal(first, split_dataset(dataset, seed=5))
    for seed in (0, 6, -1, 2**70):
        other = split_dataset(dataset, seed=seed)
        assert 0.2 < (first != other).mean() < 0.6
        assert Counter(other.tolist()) == Counter(first.tolist())


def test_the_order_and_the_names_of_files_do_not_matter(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 6, 6, 3), np.uint8)
    labels = np.arange(120) % 3
    splits = split_dataset(open_dataset((images, labels)), seed=3)
    order = random.permutation(120)
    shuffled = split_dataset(open_dataset((images[order], labels[order])), seed=3)
    np.testing.assert_array_equal(shuffled, splits[order])


def test_a_split_of_these_digits_is_what_it_always_was() -> None:
    """A run can only be compared with an older one if the split has stayed: change this with care."""
    digits = load_digits()
    splits = split_dataset(open_dataset((digits.images.astype(np.uint8), digits.target)), seed=1)
    assert "".join(part[1] for part in splits[:40]) == EXPECTED


EXPECTED = "rarreaearrrrrrrrraaerrrrrrrrrrraerrrraar"


def test_groups_stay_together() -> None:
    random = np.random.default_rng(1)
    groups = [f"g{number}" for number in random.integers(0, 120, 3000)]
    labels = [int(name[1:]) % 4 for name in groups]
    splits = split_dataset(made_up(labels, groups))
    for group in set(groups):
        assert len({splits[row] for row in range(3000) if groups[row] == group}) == 1
    for label in range(4):
        parts = Counter(splits[np.array(labels) == label].tolist())
        n = sum(parts.values())
        assert abs(parts["val"] - 0.15 * n) < 30  # a group has about 25 images
        assert abs(parts["test"] - 0.15 * n) < 30


def test_groups_across_classes_stay_together_and_the_classes_near_their_fractions() -> None:
    random = np.random.default_rng(2)
    groups = [f"patient {number}" for number in random.integers(0, 200, 4000)]
    labels = random.integers(0, 3, 4000)
    splits = split_dataset(made_up(labels, groups))
    for group in set(groups):
        assert len(set(splits[np.array(groups) == group])) == 1
    for label in range(3):
        parts = Counter(splits[labels == label].tolist())
        for name in ("val", "test"):
            assert abs(parts[name] / (labels == label).sum() - 0.15) < 0.02


def test_identical_files_stay_together_whatever_their_names_classes_and_groups() -> None:
    random = np.random.default_rng(3)
    digests = random.integers(0, 256, (100, 32), np.uint8)[random.integers(0, 100, 600)]
    labels = random.integers(0, 2, 600)
    groups = [f"g{number}" if number < 20 else "" for number in random.integers(0, 100, 600)]
    splits = split_dataset(made_up(labels, groups, digests=digests))
    for digest in np.unique(digests, axis=0):
        assert len(set(splits[(digests == digest).all(axis=1)])) == 1
    for group in set(groups) - {""}:
        assert len(set(splits[np.array(groups) == group])) == 1


def test_given_splits_are_kept_and_the_missing_one_is_cut_from_training() -> None:
    labels = [row // 4 % 2 for row in range(400)]
    for present, missing in ((("train", "test"), "val"), (("train", "val"), "test")):
        splits_given = [present[row % 4 == 3] for row in range(400)]
        splits = split_dataset(made_up(labels, splits=splits_given))
        kept = np.array(splits_given) == present[1]
        assert set(splits[kept]) == {present[1]}
        assert Counter(splits[~kept].tolist()) == {"train": 256, missing: 44}  # 22 of each class's 150
    whole = ["train", "val", "test", "train"] * 100
    np.testing.assert_array_equal(split_dataset(made_up(labels, splits=whole)), whole)


def test_rows_without_a_given_split_count_as_training_images() -> None:
    splits = split_dataset(
        made_up([row // 4 % 2 for row in range(400)], splits=["", "train", "val", "test"] * 100)
    )
    assert Counter(splits.tolist()) == {"train": 200, "val": 100, "test": 100}


def test_unusable_rows_are_in_no_part() -> None:
    dataset = made_up([0, 1] * 50)
    dataset.index.states[:20] = "the file is empty"
    splits = split_dataset(dataset)
    assert set(splits[:20]) == {""}
    assert "" not in splits[20:]


def test_three_images_of_a_class_go_to_three_parts() -> None:
    splits = split_dataset(made_up([0] * 3 + [1] * 3))
    assert Counter(splits[:3].tolist()) == {"train": 1, "val": 1, "test": 1}
    with pytest.raises(DataError, match=r'"1" \(2\); each class needs at least 3'):
        split_dataset(made_up([0] * 3 + [1] * 2))


def test_a_class_that_is_only_tested_is_an_error() -> None:
    with pytest.raises(DataError, match='too few usable training images of "1"'):
        split_dataset(made_up([0, 0, 1, 0], splits=["train", "train", "test", "test"]))


def test_a_class_of_one_group_is_trained_on() -> None:
    splits = split_dataset(made_up([0] * 40 + [1] * 40, ["a"] * 40 + [str(n) for n in range(40)]))
    assert set(splits[:40]) == {"train"}
    assert Counter(splits[40:].tolist()) == {"train": 28, "val": 6, "test": 6}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=25),
    classes=st.integers(2, 4),
    seed=st.integers(0, 2**64),
)
def test_no_group_is_ever_torn_and_no_class_loses_all_its_training_images(
    sizes: list[int], classes: int, seed: int
) -> None:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    labels = [number % classes for number, size in enumerate(sizes) for _ in range(size)]
    for label in range(classes):  # enough images of every class to be split at all
        groups += [""] * 3
        labels += [label] * 3
    splits = split_dataset(made_up(labels, groups), seed=seed)
    for group in set(groups) - {""}:
        assert len(set(splits[np.array(groups) == group])) == 1
    for label in range(classes):
        assert set(splits[np.array(labels) == label]) == {"train", "val", "test"}


@pytest.mark.slow
def test_gtsrb_keeps_its_official_test_and_cuts_validation_by_track(data_dir: Path) -> None:
    if not (data_dir / "gtsrb32.zip").exists():
        pytest.skip("gtsrb32.zip is not there")
    dataset = open_dataset("gtsrb")
    splits = split_dataset(dataset)
    index = dataset.index
    assert len(dataset.class_names) == 43
    assert (splits == "test").sum() == 12_630
    np.testing.assert_array_equal(splits == "test", index.splits == "test")
    tracks = {part: set(index.groups[splits == part]) for part in ("train", "val")}
    assert not tracks["train"] & tracks["val"]
    assert len(tracks["train"] | tracks["val"]) == 1307
    assert 0.12 < (splits == "val").sum() / 39_209 < 0.18
    assert set(index.labels[splits == "val"]) == set(range(43))
