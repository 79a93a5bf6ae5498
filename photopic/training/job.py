"""What a way of training is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photopic.config import AnyRecipe, FrozenRecipe, ScratchRecipe
from photopic.data.dataset import DataSet, Excluded
from photopic.data.preprocess import Preprocess
from photopic.data.store import PixelStore, open_pixel_store
from photopic.errors import ConfigError, DataError
from photopic.runtime import Runtime
from photopic.training.classes import check_classes, class_weights
from photopic.training.loop import Prepared
from photopic.training.meter import Record
from photopic.training.time_limit import TimeLimit

Report = Callable[[Record], None]


def ignore(record: Record) -> None:
    """The report of someone who does not want to hear anything."""


@dataclass
class Job:
    """One training to be done."""

    recipe: AnyRecipe
    dataset: DataSet
    rows: Mapping[str, np.ndarray]
    """Index rows of train, val and test, each int64."""
    seed: int
    runtime: Runtime
    report: Report
    """Takes each record; `training/sitting.py` lists the events."""
    resolved: Callable[[AnyRecipe, dict[str, Any]], None] = lambda recipe, weights_source: None
    """Takes the recipe with all automatic values filled in, and the origin of pretrained weights, before the
    first step."""
    checkpoints: Path | None = None
    """Folder of the checkpoints; None: keep none."""
    checkpoint_every_s: float = 10.0
    """Least time between two checkpoints; a resumed training redoes what came after the last one."""
    time_limit_s: float | None = None
    """Time from now, the making of the job, to the end of the last epoch; None: as long as it takes."""
    allow_download: bool = False
    """Whether pretrained weights may be fetched."""
    rehearse: Callable[[Prepared], None] | None = None
    """Is given the training when it is ready for its first step, in place of its epochs; None: they run."""
    keep: Callable[[str, Mapping[str, torch.Tensor]], None] | None = None
    """Stores weights that the recipe wants kept beside the selected ones, under a file name; None: there is
    no place for them."""
    strict: bool = False
    """Whether an image that cannot be read is an error instead of an exclusion."""
    weights_seed: int | None = None
    """Of the initial weights alone; None: seed."""
    excluded: list[Excluded] = field(default_factory=list)
    """Images that were listed in the index but could not be read later."""
    time_limit: TimeLimit = field(init=False)
    """The clock that runs against time_limit_s."""

    def __post_init__(self) -> None:
        """Raises ConfigError for options that do not suit the classes, or need a run folder."""
        self.time_limit = TimeLimit(self.time_limit_s)
        check_classes(self.recipe, self.dataset.class_names)
        if self.weights_seed is not None and not isinstance(self.recipe, ScratchRecipe):
            raise ConfigError(
                f"weights_seed has no effect with the way {self.recipe.way}, whose weights are not drawn: "
                "leave it out, or choose a recipe of the way scratch."
            )
        if isinstance(self.recipe, FrozenRecipe) or self.keep is not None:
            return
        for option in ("checkpoint_name", "snapshots"):
            if getattr(self.recipe, option):
                raise ConfigError(f"{option} needs a run folder: take photopic.train, or leave it out.")

    @property
    def initial_seed(self) -> int:
        """The seed of the initial weights."""
        return self.seed if self.weights_seed is None else self.weights_seed

    @property
    def num_classes(self) -> int:
        """Number of outputs."""
        return len(self.dataset.class_names)

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """(N,) int64 labels of index rows."""
        labels: np.ndarray = self.dataset.index.labels[rows]
        return labels

    def class_weights(self, labels: np.ndarray) -> np.ndarray | None:
        """(K,) float64 factors on the loss, for these labels of the training images; None where all are 1."""
        return class_weights(self.recipe.class_weights, labels, self.dataset.class_names)

    def pixels(self, split_or_rows: str | np.ndarray, preprocess: Preprocess) -> PixelStore:
        """The stored pixels of a split; images that turn out unreadable are left out and noted.

        Raises DataError when none is left, or under `strict` when one is unreadable.
        """
        rows = self.rows[split_or_rows] if isinstance(split_or_rows, str) else split_or_rows
        what = split_or_rows if isinstance(split_or_rows, str) else "images"

        def progress(done: int, total: int, _: str) -> None:
            self.report({"event": "decode", "split": what, "done": done, "total": total})

        store = open_pixel_store(self.dataset, rows, preprocess, progress=progress)
        self.note_excluded(store.failed)
        if len(store.rows) == 0:
            raise DataError(f"none of the {len(rows)} images in {what} could be read.")
        return store

    def note_excluded(self, failed: list[Excluded]) -> None:
        """Remember and report images that could not be read. Raises DataError under `strict`."""
        known = {item.path for item in self.excluded}
        for item in failed:
            if self.strict:
                raise DataError(f"{item.path}: {item.reason}. Remove it, or leave --strict out.")
            if item.path not in known:
                self.excluded.append(item)
                self.report({"event": "excluded", "path": item.path, "reason": item.reason})
