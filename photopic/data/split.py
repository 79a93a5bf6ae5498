"""A three-way split that does not leak: stratified by class, groups and identical files kept together.

Which image goes where follows from the seed and the images' contents alone, never from the order or the names
of files: each group gets a number hashed from the seed and its digests, and is drawn in that order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photopic.data.dataset import DataSet
from photopic.data.index import same_content
from photopic.errors import ConfigError, DataError

SPLITS = ("train", "val", "test")


def split_dataset(
    dataset: DataSet, *, seed: int = 0, val_fraction: float = 0.15, test_fraction: float = 0.15
) -> NDArray[np.str_]:
    """(n,) "train", "val" or "test" of each index row, "" of rows that are not usable.

    Splits given with the data are kept, and only what is missing is cut from its training images, as a
    fraction of them: with train and test given, val; with train and val given, test. Usable rows without a
    given split count as training images. Images of one group, and files with the same contents, come to the
    same part; so a class may miss its fraction, and one with fewer than three groups lacks a part.
    Raises DataError if there are fewer than two classes or a class has too few images, ConfigError for
    fractions that leave nothing to train on.
    """
    if not (val_fraction >= 0 and test_fraction >= 0 and val_fraction + test_fraction < 1):
        raise ConfigError(
            f"val_fraction={val_fraction} and test_fraction={test_fraction} must not be negative, "
            "and together below 1."
        )
    index, usable = dataset.index, dataset.usable
    splits = np.full(len(index), "", "<U5")
    splits[usable] = index.splits[usable]
    given = {str(name) for name in np.unique(splits[usable])} - {""}
    fractions = {"test": test_fraction, "val": val_fraction}
    wanted = {name: part for name, part in fractions.items() if part > 0 and name not in given}
    pool = usable[(splits[usable] == "") | (splits[usable] == "train")]
    _check_classes(dataset, pool, needed=1 + len(wanted))
    splits[pool] = "train"
    if wanted:
        splits[pool] = _draw(
            index.labels[pool], _units(dataset, pool), content_keys(dataset, pool, seed), wanted
        )
    return splits


def _check_classes(dataset: DataSet, pool: NDArray[np.int64], needed: int) -> None:
    """Refuse what cannot be trained and measured, naming the classes."""
    names = dataset.class_names
    counts = np.bincount(dataset.index.labels[pool], minlength=len(names))
    if len(names) < 2:
        only = f'"{names[0]}"' if names else "none"
        raise DataError(
            f"{dataset.name}: a classifier needs at least two classes; found {only}. "
            "Expected one folder (or one label) per class."
        )
    small = [f'"{names[label]}" ({counts[label]})' for label in np.flatnonzero(counts < needed)]
    if small:
        shown = ", ".join(small[:5]) + (f" and {len(small) - 5} more" if len(small) > 5 else "")
        raise DataError(
            f"{dataset.name}: too few usable training images of {shown}; each class needs at least {needed}. "
            "Add images, or remove the class."
        )


def content_keys(dataset: DataSet, rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """(n,) numbers that put the images in random order, from seed and content (splitmix64)."""
    digests = np.ascontiguousarray(dataset.index.sha256s[rows, :8]).view("<u8")[:, 0].astype(np.uint64)
    start = np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    mixed = digests ^ start
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _units(dataset: DataSet, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) number of the unit of each row: what a group name or identical content ties together."""
    content = same_content(dataset.index.sha256s[rows])
    groups = dataset.index.groups[rows]
    named = np.flatnonzero(groups != "")
    if not len(named):
        return content
    from scipy.sparse import coo_array  # 0.3 s to import, for data sets with groups alone
    from scipy.sparse.csgraph import connected_components

    _, group_numbers = np.unique(groups[named].astype(str), return_inverse=True)
    contents = int(content.max()) + 1
    size = contents + int(group_numbers.max()) + 1
    links = (np.ones(len(named), np.int8), (content[named], contents + group_numbers))
    _, component = connected_components(coo_array(links, shape=(size, size)), directed=False)
    units: NDArray[np.int64] = component[content].astype(np.int64)
    return units


def _draw(
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    keys: NDArray[np.uint64],
    wanted: dict[str, float],
) -> NDArray[np.str_]:
    """(n,) parts. Units with images of several classes are placed first, then each class is filled up."""
    order = np.lexsort((keys, units))
    starts = np.flatnonzero(np.r_[True, np.diff(units[order]) != 0])
    sizes = np.diff(np.r_[starts, len(order)])
    unit_keys = np.minimum.reduceat(keys[order], starts)
    unit_labels = np.minimum.reduceat(labels[order], starts)
    is_mixed = unit_labels != np.maximum.reduceat(labels[order], starts)
    totals = np.bincount(labels)
    left = {name: totals * fraction for name, fraction in wanted.items()}  # images each part still wants
    part_of = np.full(len(starts), "train", "<U5")
    for unit in sorted(np.flatnonzero(is_mixed), key=lambda unit: (-sizes[unit], unit_keys[unit])):
        members = order[starts[unit] : starts[unit] + sizes[unit]]
        counts = np.bincount(labels[members], minlength=len(totals))
        best = max(left, key=lambda name: _gain(counts, left[name]))
        if _gain(counts, left[best]) > 0:
            part_of[unit] = best
            left[best] = left[best] - counts
    pure = np.flatnonzero(~is_mixed)
    pure = pure[np.lexsort((unit_keys[pure], unit_labels[pure]))]
    for of_class in np.split(pure, np.flatnonzero(np.diff(unit_labels[pure])) + 1):
        label = unit_labels[of_class[0]] if len(of_class) else 0
        for name, taken in _fill(sizes[of_class], {name: float(n[label]) for name, n in left.items()}):
            part_of[of_class[taken]] = name
    parts = np.empty(len(labels), "<U5")
    parts[order] = np.repeat(part_of, sizes)
    return parts


def _gain(counts: NDArray[Any], left: NDArray[Any]) -> float:
    """How much nearer to its targets a part comes by taking these images; negative: farther."""
    return float((np.abs(left) - np.abs(left - counts)).sum())


def _fill(sizes: NDArray[np.int64], left: dict[str, float]) -> list[tuple[str, list[int]]]:
    """Which units of one class go to each part: (part, positions in drawing order); the others train.

    Each part takes units while that brings it nearer to the images it should have, but leaves one for each
    later part and one to train on; and it takes one at least while there is another left.
    """
    given: list[tuple[str, list[int]]] = []
    free = list(range(len(sizes)))
    for later, (name, target) in zip(range(len(left) - 1, -1, -1), left.items(), strict=True):
        if target <= 0 or len(free) < 2:
            continue
        most = max(1, len(free) - 1 - later)
        chosen: list[int] = []
        missing = target
        for at in free:
            if missing < 0.5 or len(chosen) == most:
                break
            if abs(missing - sizes[at]) < missing:
                chosen.append(at)
                missing -= sizes[at]
        if not chosen:
            chosen = [min(free, key=lambda at: sizes[at])]
        given.append((name, chosen))
        gone = set(chosen)
        free = [at for at in free if at not in gone]
    return given
