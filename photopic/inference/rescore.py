"""Score a run: again from its stored predictions, or on another labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from photopic.data import Data
from photopic.data.dataset import DataSet, Excluded, open_dataset
from photopic.data.subset import select_classes
from photopic.errors import DataError, RunError, did_you_mean
from photopic.evaluation.evaluate import Scores, codes_of_group_names, score
from photopic.inference.ensemble import open_predictor, own_views_of
from photopic.run import Run
from photopic.training.opening import reopen


@dataclass(frozen=True)
class Evaluation:
    """Scores by the name of the set they were measured on, and what to know about them."""

    scores: dict[str, Scores]
    notes: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    """Images of the data set that could not be used."""

    def __str__(self) -> str:
        lines = []
        for name, scores in self.scores.items():
            lines.append(f"{name}: {scores.n:,} images")
            lines += [_line(row) for row in scores.rows()]
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "scores": {name: scores.to_json() for name, scores in self.scores.items()},
            "notes": list(self.notes),
            "excluded": [{"path": item.path, "reason": item.reason} for item in self.excluded],
        }


def _line(row: dict[str, Any]) -> str:
    value = "–" if row["value"] is None else f"{row['value']:.4f}"
    interval = "" if row["low"] is None else f"  ({row['low']:.4f} … {row['high']:.4f})"
    return f"  {row['name'].replace('_', ' '):<18} {value:>7}{interval}"


def evaluate_stored(run: Run) -> Evaluation:
    """The scores of the run's test and validation splits, computed anew from the stored logits.

    Raises RunError when the run has no predictions yet, or they were altered.
    """
    names = {"test": "test", "validation": "val"}
    stored = {
        title: split for title, split in names.items() if f"predictions/{split}.npz" in run.manifest.files
    }
    if not stored:
        raise RunError(f"{run.path}: has no predictions yet (status: {run.manifest.status}). {run.advice()}")
    groups = np.array([row.group for row in run.load_splits()], dtype=object)
    scores = {}
    for title, split in stored.items():
        answers = run.load_predictions(split)
        own = codes_of_group_names(groups[answers.index])
        scores[title] = score(answers.logits, answers.labels, run.class_names, groups=own)
    notes = [f"looks at the test set so far: {len(run.manifest.test_looks)}"] if "test" in scores else []
    if "validation" in scores:
        notes.append("Validation chose the weights, so its score flatters; defend the test score.")
    return Evaluation(scores, tuple(notes))


def evaluate_on(
    run: Run,
    data: str | Path | tuple[np.ndarray, np.ndarray],
    *,
    data_dir: str | Path | None = None,
    group_pattern: str | None = None,
    strict: bool = False,
    device: str = "auto",
    test_views: str | None = None,
) -> Evaluation:
    """Ask the run's network, or an ensemble's, about a labelled data set.

    Images that the run was trained or selected on (by content) are left out. Images of its test split count
    as a look at the test set, which is recorded before the score is computed. test_views: other views than
    the run's own (None), which the result says.
    Raises DataError when a class is unknown to the run or no image is left.
    """
    dataset = open_dataset(data, data_dir=data_dir, group_pattern=group_pattern, strict=strict)
    if run.manifest.options.get("classes") and set(run.class_names) < set(dataset.class_names):
        dataset = select_classes(dataset, run.class_names)  # the run learned some of the classes
    labels = _labels_in_run(dataset, run)
    known = _splits_of(dataset.index.hex_digests(), run)
    usable = np.zeros(len(labels), dtype=bool)
    usable[dataset.usable] = True
    trained_on = usable & np.isin(known, ["train", "val"])
    rows = np.flatnonzero(usable & ~trained_on & (labels >= 0))
    if len(rows) == 0:
        raise DataError(
            f"{dataset.name}: no image is left to score; {int(trained_on.sum())} were used in the training "
            "of this run. Give images that it has not seen."
        )
    predictor = open_predictor(run, device=device, test_views=test_views)
    tested = int(np.count_nonzero(known[rows] == "test"))
    if tested:
        by = "" if test_views is None else f" with test_views={test_views}"
        run.note_test_look(f"evaluate on {dataset.name}{by}: {tested} images of the test split")
    answers = predictor.answer_rows(dataset, rows)
    groups = codes_of_group_names(dataset.index.groups[answers.rows])
    scores = score(answers.logits, labels[answers.rows], run.class_names, groups=groups)
    notes = _notes(int(trained_on.sum()), tested, len(run.manifest.test_looks))
    if test_views is not None:
        notes = (*notes, f"Answered with test_views={test_views}, whatever the run's own are.")
    return Evaluation({dataset.name: scores}, notes, (*dataset.excluded, *answers.failed))


def evaluate_views(
    run: Run, test_views: str, *, device: str = "auto", data: Data | None = None
) -> Evaluation:
    """Try other test views on the run's validation images; the test set is not looked at.

    The data set is the one that the run was trained on; data: where it is now, if it moved. The score of
    the run's own views, from its stored answers, stands beside. Raises RunError when the data set is gone.
    """
    stored = evaluate_stored(run)
    predictor = open_predictor(run, device=device, test_views=test_views)
    dataset, rows = reopen(run, data, remedy="Other test views are tried on its images: put it back there.")
    answers = predictor.answer_rows(dataset, rows["val"])
    groups = codes_of_group_names(dataset.index.groups[answers.rows])
    labels = dataset.index.labels[answers.rows]
    tried = score(answers.logits, labels, run.class_names, groups=groups)
    scores = {f"validation, test_views={test_views}": tried}
    if "validation" in stored.scores:
        own = f"validation, test_views={own_views_of(run)} (the run's own)"
        scores[own] = stored.scores["validation"]
    note = (
        "The test set was not looked at. Choose views by these numbers, then evaluate on the test set once."
    )
    return Evaluation(scores, (note,), answers.failed)


def _splits_of(digests: Sequence[str], run: Run) -> np.ndarray:
    """(N,) str: the run's split of each image, by its content; "" where it has none.

    Content that stands in several splits was learned from if any of them was.
    """
    rank = ("", "test", "val", "train").index
    split_of: dict[str, str] = {}
    for row in run.load_splits():
        split_of[row.sha256] = max(split_of.get(row.sha256, ""), row.split, key=rank)
    return np.array([split_of.get(digest, "") for digest in digests])


def _labels_in_run(dataset: DataSet, run: Run) -> np.ndarray:
    """(N,) int64 labels in the run's order of classes; -1 where the image has none."""
    unknown = [name for name in dataset.class_names if name not in run.class_names]
    if unknown:
        hint = did_you_mean(unknown[0], run.class_names)
        raise DataError(f'{dataset.name}: the class "{unknown[0]}" is unknown to the run {run.path}.{hint}')
    places = np.array([run.class_names.index(name) for name in dataset.class_names] + [-1])
    return places[dataset.index.labels]


def _notes(trained_on: int, tested: int, looks: int) -> tuple[str, ...]:
    notes = []
    if trained_on:
        notes.append(f"images left out, since the run was trained or selected on them: {trained_on:,}")
    if tested:
        notes.append(f"images of the run's test split: {tested:,}; looks at it so far: {looks}")
    return tuple(notes)
