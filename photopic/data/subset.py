"""A part of a data set: some of its classes, fewer of its training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from photopic.data.dataset import DataSet
from photopic.data.index import Index
from photopic.data.split import content_keys
from photopic.errors import ConfigError, DataError, did_you_mean


def select_classes(dataset: DataSet, names: Sequence[str]) -> DataSet:
    """The images of these classes, with labels 0, 1 … in the order given; others are as if absent.

    Files that cannot be used stay listed. Raises ConfigError for an unknown name, for one that is given
    twice, and for fewer than two.
    """
    known = dataset.class_names
    for name in names:
        if name not in known:
            raise ConfigError(f'{dataset.name}: there is no class "{name}".{did_you_mean(name, known)}')
        if list(names).count(name) > 1:
            raise ConfigError(f'classes: "{name}" is given twice.')
    if len(names) < 2:
        raise ConfigError("classes: a classifier needs at least two. Name them as sandal,shirt.")
    places = np.full(len(known) + 1, -1, np.int64)  # the last one is that of the label -1
    places[[known.index(name) for name in names]] = np.arange(len(names))
    index = dataset.index
    labels = places[index.labels]
    kept = np.flatnonzero((labels >= 0) | (index.labels < 0))
    columns = {key: values[kept] for key, values in (vars(index) | {"labels": labels}).items()}
    array = None if dataset.array is None else dataset.array[kept]
    return replace(dataset, class_names=tuple(names), index=Index(**columns), array=array)


def limit_training(dataset: DataSet, splits: NDArray[np.str_], count: int, *, seed: int) -> NDArray[np.str_]:
    """The splits (n,) with `count` training images; those left out belong to no split, "".

    Each class keeps its share, rounded to whole images by the largest remainder, and at least one. Which
    images stay follows from the seed and their contents, as in `split_dataset`; with a larger count the same
    ones stay and others join them, up to the rounding. Validation and test are left alone.
    Raises DataError when there are fewer training images, ConfigError when not every class can have one.
    """
    rows = np.flatnonzero(splits == "train")
    labels, classes = dataset.index.labels[rows], len(dataset.class_names)
    if count > len(rows):
        raise DataError(
            f"{dataset.name}: train_images={count}, but there are only {len(rows):,} to train on."
        )
    if count < classes:
        raise ConfigError(f"train_images={count} must be at least {classes}, one for each class.")
    wanted = _shares(np.bincount(labels, minlength=classes), count)
    order = np.lexsort((content_keys(dataset, rows, seed), labels))
    starts = np.searchsorted(labels[order], np.arange(classes))
    rank = np.arange(len(order)) - starts[labels[order]]
    limited = splits.copy()
    limited[rows[order[rank >= wanted[labels[order]]]]] = ""
    return limited


def _shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` shared out in proportion to counts (k,), all above 0: to each at least 1, at most its count."""
    ideal = counts * total / counts.sum()
    shares: NDArray[np.int64] = np.maximum(1, np.floor(ideal).astype(np.int64))
    while (missing := total - int(shares.sum())) != 0:
        gap = np.where(shares > 1, ideal - shares, np.inf) if missing < 0 else shares - ideal
        shares[np.argmin(gap)] += np.sign(missing)
    return shares
