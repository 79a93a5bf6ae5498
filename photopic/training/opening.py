"""The data of a training: opened and split for a new run; for an old one found again, and unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from photopic.config import TrainOptions, parse_options
from photopic.data import Data, catalog
from photopic.data.dataset import DataSet, open_dataset
from photopic.data.show import summarise
from photopic.data.split import SPLITS, split_dataset
from photopic.data.subset import limit_training, select_classes
from photopic.errors import DataError, RunError
from photopic.run import Run
from photopic.training.job import Report, ignore

NAME_ITS_PLACE = "If it is elsewhere, name its place: --data PATH on the command line, data=… in Python."


def open_and_split(
    data: Data, options: TrainOptions, report: Report
) -> tuple[DataSet, np.ndarray, dict[str, np.ndarray]]:
    """The data set, (N,) the split of each image by its name, and the index rows of train, val and test."""
    dataset = _open(data, options, report)
    splits = split_dataset(
        dataset,
        seed=options.split_seed,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
    )
    if options.train_images is not None:
        splits = limit_training(dataset, splits, options.train_images, seed=options.split_seed)
    return dataset, splits, rows_of(splits)


def stored_options(run: Run) -> TrainOptions:
    """What the run was given beside data and recipe. Raises RunError when it does not say."""
    options = run.manifest.options
    if "data" not in options or "fingerprint" not in run.manifest.data:
        raise RunError(f"{run.path}: run.json does not say what it was trained on. Train again.")
    return parse_options({key: value for key, value in options.items() if key != "data"})


def reopen(
    run: Run, data: Data | None = None, report: Report = ignore, *, remedy: str = NAME_ITS_PLACE
) -> tuple[DataSet, dict[str, np.ndarray]]:
    """The data set of a run, as it was when the run began, and the index rows of its train, val and test.

    data: where it is now, if it moved. remedy: a sentence on what the caller's user can do when it is gone.
    Raises RunError when it is gone or not the same.
    """
    options = stored_options(run)
    given = run.manifest.options["data"] if data is None else data
    if given is None:
        raise RunError(f"{run.path}: was trained on arrays, which a run does not keep. {remedy}")
    if data is None and Path(str(given)).is_absolute() and not Path(str(given)).exists():
        raise RunError(f"{run.path}: its data set is no longer at {given}. {remedy}")
    dataset = _open(given, options, report)
    if dataset.fingerprint != run.manifest.data["fingerprint"]:
        raise RunError(
            f"{run.path}: the data set {dataset.name} is not as it was when this run began, so the result "
            f"would mean nothing. Restore it, or start a new run. {remedy}"
        )
    split_of = {row.path: row.split for row in run.load_splits() if row.split}
    if [path for path in dataset.index.paths if path in split_of] != list(split_of):
        raise RunError(
            f"{run.path}: images of {dataset.name} were renamed or stand in another order than when this run "
            "began. Give them their names back, or start a new run."
        )
    return dataset, rows_of(np.array([split_of.get(path, "") for path in dataset.index.paths]))


def rows_of(splits: np.ndarray) -> dict[str, np.ndarray]:
    """The index rows of each of SPLITS, from (N,) names. Raises DataError when train or val is empty."""
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    for name in ("train", "val"):
        if len(rows[name]) == 0:
            raise DataError(f"no image is left for {name}. Add images, or change the shares of the splits.")
    return rows


def _open(data: Data, options: TrainOptions, report: Report) -> DataSet:
    def progress(done: int, total: int, what: str) -> None:
        report({"event": "index", "done": done, "total": total, "what": what})

    if isinstance(data, str) and data in catalog.NAMES and Path(data).exists():
        report({"event": "catalog", "name": data})
    dataset = open_dataset(
        data,
        data_dir=options.data_dir,
        group_pattern=options.group_pattern,
        strict=options.strict,
        download=options.allow_download,
        progress=progress,
    )
    if options.classes is not None:
        dataset = select_classes(dataset, options.classes)
    report({"event": "data", "summary": summarise(dataset)})
    return dataset
