"""The networks that may become an ensemble, what they have answered, and whether they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photopic.data import Data
from photopic.errors import ConfigError, RunError
from photopic.inference.predictor import Predictor
from photopic.run import WEIGHTS, Run, SplitRow
from photopic.training.opening import reopen

KEPT_SNAPSHOTS = "snapshots/"
SCORED_SPLITS = ("val", "test")
Key = tuple[str, str]
"""Path and content hash of an image."""


@dataclass(frozen=True)
class Answers:
    """What a candidate says about a split."""

    keys: tuple[Key, ...]
    labels: npt.NDArray[np.int64]
    """(N,)."""
    logits: npt.NDArray[np.float32]
    """(N, K)."""


@dataclass(frozen=True)
class Candidate:
    """A network that may become a member."""

    name: str
    run: Run
    weights: str
    """File of the run with its weights."""
    answers: dict[str, Answers]
    """By split; the test is missing where the run has no test images."""

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return self.run.manifest.files[self.weights]


def candidates_of_runs(runs: Sequence[Run]) -> list[Candidate]:
    """Each run with its selected weights and its stored answers. Raises RunError for one unfinished."""
    found = []
    for run in runs:
        if run.manifest.kind == "ensemble":
            raise RunError(f"{run.path}: is an ensemble already. Name its members' runs instead.")
        if run.manifest.status != "complete":
            raise RunError(f"{run.path}: is not complete ({run.manifest.status}). {run.advice()}")
        rows = run.load_splits()
        answers = {}
        for split in SCORED_SPLITS:
            if f"predictions/{split}.npz" in run.manifest.files:
                stored = run.load_predictions(split)
                answers[split] = Answers(_keys(rows, stored.index), stored.labels, stored.logits)
        run.verified(WEIGHTS)
        found.append(Candidate(run.path.name, run, WEIGHTS, answers))
    return found


def candidates_of_snapshots(run: Run, *, data: Data | None = None, device: str = "auto") -> list[Candidate]:
    """Each snapshot of a run, asked about the run's validation and test images now.

    data: where the data set is, if it moved. Raises RunError for a run without snapshots.
    """
    names = [name for name in run.manifest.files if name.startswith(KEPT_SNAPSHOTS)]
    if not names:
        raise RunError(
            f"{run.path}: has no snapshots. Train with a schedule of several cycles: "
            "--set schedule.name=cosine --set schedule.cycles=4 --set snapshots=4."
        )
    dataset, rows = reopen(run, data)
    run.note_test_look(f"answers of {len(names)} snapshots, for an ensemble")
    split_rows = {row.path: row for row in run.load_splits()}
    found = []
    for name in names:
        predictor = Predictor.load(run, device=device, weights_name=name)
        answers = {}
        for split in (split for split in SCORED_SPLITS if len(rows[split])):
            said = predictor.answer_rows(dataset, rows[split])
            keys = tuple(
                (split_rows[path].path, split_rows[path].sha256) for path in dataset.index.paths[said.rows]
            )
            answers[split] = Answers(keys, dataset.index.labels[said.rows], said.logits)
        found.append(Candidate(f"{run.path.name} {Path(name).stem}", run, name, answers))
    return found


def _keys(rows: Sequence[SplitRow], index: npt.NDArray[np.int64]) -> tuple[Key, ...]:
    return tuple((rows[row].path, rows[row].sha256) for row in index.tolist())


def check_fit(candidates: Sequence[Candidate], how: str, weights_by: str) -> None:
    """Raises RunError where the candidates do not fit together, ConfigError where the options do not."""
    if how == "vote" and weights_by != "equal":
        raise ConfigError("a vote counts each member once: leave the weights out, or take the mean.")
    if weights_by not in ("equal", "validation"):
        raise ConfigError(f'weights "{weights_by}" are not known. Known: equal, validation.')
    if len(candidates) < 2:
        raise ConfigError(f"an ensemble needs at least two members; got {len(candidates)}.")
    first = candidates[0]
    for number, other in enumerate(candidates[1:], start=1):
        if other.sha256 in [candidate.sha256 for candidate in candidates[:number]]:
            raise ConfigError(
                f"{other.run.path}: {other.name} is given twice (or trained to the same weights)."
            )
        _check_pair(first, other)
    if weights_by == "validation" and not share(candidates, "val"):
        raise RunError(
            "the members were validated on different images, so no set is left to choose weights on. Train "
            "them with the same split_seed and val_fraction, or take equal weights."
        )


def _check_pair(first: Candidate, other: Candidate) -> None:
    pair = f"{first.run.path} and {other.run.path} make no ensemble"
    ours, theirs = first.run.class_names, other.run.class_names
    if ours != theirs:
        different = sorted(set(ours) ^ set(theirs))
        what = f"such as {different[0]!r}" if different else "in their order"
        raise RunError(f"{pair}: their classes differ, {what}.")
    if first.run.manifest.split_hashes.get("test") != other.run.manifest.split_hashes.get("test"):
        raise RunError(
            f"{pair}: their test images differ ({_difference(first.run, other.run)}). Train the members "
            "on the same data set with the same split_seed and fractions."
        )
    for split in first.answers.keys() & other.answers.keys():
        n, m = len(first.answers[split].keys), len(other.answers[split].keys)
        if split == "test" and set(first.answers[split].keys) != set(other.answers[split].keys):
            raise RunError(
                f"{pair}: they have answered different test images ({n:,} and {m:,} could be read)."
            )


def _difference(one: Run, other: Run) -> str:
    if one.manifest.data.get("fingerprint") != other.manifest.data.get("fingerprint"):
        names = (one.manifest.data.get("name"), other.manifest.data.get("name"))
        return (
            f"the data sets {names[0]} and {names[1]}" if names[0] != names[1] else "the data set has changed"
        )
    for option in ("split_seed", "test_fraction"):
        values = (one.manifest.options.get(option), other.manifest.options.get(option))
        if values[0] != values[1]:
            return f"{option} {values[0]} and {values[1]}"
    return "the same data set, split in another way"


def share(candidates: Sequence[Candidate], split: str) -> bool:
    """Whether all have answered the same images of a split."""
    if not all(split in candidate.answers for candidate in candidates):
        return False
    return len({frozenset(candidate.answers[split].keys) for candidate in candidates}) == 1


def aligned(candidates: Sequence[Candidate], split: str) -> npt.NDArray[np.float32]:
    """(M, N, K) logits in the first candidate's order of images."""
    keys = candidates[0].answers[split].keys
    parts = []
    for candidate in candidates:
        answers = candidate.answers[split]
        place = {key: number for number, key in enumerate(answers.keys)}
        parts.append(answers.logits[[place[key] for key in keys]])
    return np.stack(parts)
