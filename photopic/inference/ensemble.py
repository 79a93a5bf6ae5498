"""Several networks that answer as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photopic.data.dataset import DataSet
from photopic.data.index import Progress
from photopic.errors import ConfigError, RunError
from photopic.evaluation.joining import How, as_logits, join, member_probs
from photopic.evaluation.metrics import Floats
from photopic.inference.inputs import Inputs, expand
from photopic.inference.predictor import Predictions, Predictor, RowAnswers, own_views
from photopic.run import Run


class EnsemblePredictor:
    """The networks of an ensemble with everything they take to answer together.

    Each member sees each image in its own preprocessing and its own test views; the views' logits are
    averaged within a member, then the members' probabilities.
    """

    def __init__(self, members: Sequence[Predictor], *, how: How, weights: Sequence[float]) -> None:
        """weights: of the mean, one for each member, summing to 1."""
        self.members = tuple(members)
        self.how = how
        self.weights = tuple(weights)
        self.class_names = self.members[0].class_names

    @classmethod
    def load(cls, ensemble: Run, *, device: str = "auto", test_views: str | None = None) -> EnsemblePredictor:
        """The predictor of an ensemble's folder; every weight file is checked. test_views: for all members.

        Raises RunError for a run that is no ensemble, and for members that are missing or altered.
        """
        joined = ensemble.manifest.joined
        if joined is None:
            raise RunError(f"{ensemble.path}: is no ensemble.")
        members = [
            Predictor.load(open_member(ensemble, member.folder), device=device, test_views=test_views)
            for member in joined.members
        ]
        return cls(members, how=joined.how, weights=[member.weight for member in joined.members])

    def predict(self, inputs: Inputs, *, top_k: int = 5, progress: Progress | None = None) -> Predictions:
        """As `Predictor.predict`. Each member decodes the images anew, which is little beside its network."""
        if top_k < 1:
            raise ConfigError(f"top_k={top_k} must be at least 1")
        with expand(inputs) as items:
            answers = [member.answer(items, progress=progress) for member in self.members]
        errors = [
            next((one.error for one in parts if one.error), None) for parts in zip(*answers, strict=True)
        ]
        readable = np.array([error is None for error in errors], bool)
        probs = np.full((len(items), len(self.class_names)), np.nan, np.float32)
        if readable.any():
            probs[readable] = self._join(np.stack([each.probs[readable] for each in answers]).astype(float))
        return Predictions.of_probs([item.name for item in items], probs, errors, self.class_names, top_k)

    def answer_rows(self, dataset: DataSet, rows: npt.NDArray[np.int64]) -> RowAnswers:
        """Joined logits of images of a data set; those that a member cannot read are left out and listed."""
        parts = [member.answer_rows(dataset, rows) for member in self.members]
        kept = set(rows.tolist()).intersection(*(part.rows.tolist() for part in parts))
        logits = [part.logits[np.isin(part.rows, list(kept))] for part in parts]
        failed = {item.path: item for part in parts for item in part.failed}
        left = parts[0].rows[np.isin(parts[0].rows, list(kept))]
        return RowAnswers(left, as_logits(self._join(member_probs(logits))), tuple(failed.values()))

    def _join(self, probs: Floats) -> Floats:
        return join(probs, self.how, self.weights)


def open_member(ensemble: Run, folder: str) -> Run:
    """A member's copy in an ensemble's folder. Raises RunError when it is missing or not the one joined."""
    run = Run.open(ensemble.path / folder)
    ensemble.verified(f"{folder}/weights.safetensors")
    return run


def own_views_of(run: Run) -> str:
    """The test views of a run's recipe; of an ensemble those of its members."""
    joined = run.manifest.joined
    runs = [run] if joined is None else [Run.open(run.path / member.folder) for member in joined.members]
    return " and ".join(dict.fromkeys(own_views(each.recipe) for each in runs))


def open_predictor(
    run: Run | str | Path, *, device: str = "auto", test_views: str | None = None
) -> Predictor | EnsemblePredictor:
    """What answers for a run folder or an ensemble's; see the two `load`."""
    run = run if isinstance(run, Run) else Run.open(run)
    if run.manifest.kind == "ensemble":
        return EnsemblePredictor.load(run, device=device, test_views=test_views)
    return Predictor.load(run, device=device, test_views=test_views)
