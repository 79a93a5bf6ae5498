"""Several classifiers' answers joined to one: averages, votes, and how much each member counts.

Shapes: `logits` (M, N, K) of M members for N images of K classes, aligned; M ≥ 1, N ≥ 1. Everything is
computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from photopic.errors import DataError
from photopic.evaluation.intervals import Measured, proportion
from photopic.evaluation.metrics import Floats, check_labels, softmax

How = Literal["mean", "vote"]
_SMALLEST = 1e-30
"""Of a probability whose logarithm is taken: far below what float32 logits can express."""
_GAP = 1e-7
"""Nats by which the weights found may miss the best ones, at most."""
_STEPS = 20_000


def member_probs(logits: npt.ArrayLike) -> Floats:
    """Softmax of each member's logits, (M, N, K). Raises DataError for another shape and for NaN."""
    values = np.asarray(logits)
    if values.ndim != 3 or 0 in values.shape:
        raise DataError(f"members' logits must have the shape (members, images, classes), not {values.shape}")
    return np.stack([softmax(member) for member in values])


def mean_of(probs: Floats, weights: Sequence[float] | Floats | None = None) -> Floats:
    """Σ_m w_m · p_m of probabilities (M, N, K): (N, K), rows sum to 1. weights: (M,), sum 1; None: equal.

    The mean is of probabilities (arithmetic), not of logits: one member that is sure does not overrule the
    others, and one that gives a class no chance at all does not forbid it.
    """
    count = len(probs)
    shares = np.full(count, 1 / count) if weights is None else np.asarray(weights, np.float64)
    joined: Floats = np.tensordot(shares, probs, axes=1)
    return joined


def vote_of(probs: Floats) -> Floats:
    """(votes + mean of p_m) / (M + 1), (N, K), rows sum to 1, from probabilities (M, N, K).

    Each member has one vote, for its most probable class (of equal ones the first). The class with most votes
    is largest; of equally many, the one with the larger mean probability. The mean's share also keeps classes
    without a vote above 0, so that a log loss exists.
    """
    count, _, classes = probs.shape
    votes = np.eye(classes)[probs.argmax(axis=2)].sum(axis=0)
    joined: Floats = (votes + mean_of(probs)) / (count + 1)
    return joined


def join(probs: Floats, how: How, weights: Sequence[float] | Floats | None = None) -> Floats:
    """The joined probabilities (N, K) of members' (M, N, K). A vote counts each member once."""
    return vote_of(probs) if how == "vote" else mean_of(probs, weights)


def as_logits(probs: Floats) -> npt.NDArray[np.float32]:
    """Logits (N, K) float32 whose softmax are these probabilities."""
    return np.log(np.maximum(probs, _SMALLEST)).astype(np.float32)


def best_weights(logits: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """(M,) weights ≥ 0 that sum to 1 and make the log loss of the mean smallest on these images.

    The loss −mean(log Σ_m w_m · p_m(y)) is convex in w. It is minimised by w_m ← w_m · g_m with
    g_m = mean(p_m(y) / Σ_j w_j · p_j(y)), which never raises it (EM for mixture proportions; Dempster, Laird
    and Rubin 1977). No weights can be better by more than log(max g), which is when it stops.
    For images that no member was trained on, such as the validation split.
    """
    probs = member_probs(logits)
    truth = check_labels(labels, n=probs.shape[1], classes=probs.shape[2])
    own = np.maximum(probs[:, np.arange(truth.size), truth], _SMALLEST)
    weights = np.full(len(own), 1 / len(own))
    for _ in range(_STEPS):
        gains: Floats = (own / (weights @ own)).mean(axis=1)
        if np.log(gains.max()) < _GAP:
            break
        weights = weights * gains
        weights /= weights.sum()
    return weights


@dataclass(frozen=True)
class SizeScore:
    """How good the first `size` members are together."""

    size: int
    mean: Measured
    """Accuracy of the mean of their probabilities."""
    vote: Measured
    """Accuracy of their majority vote."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"size": self.size, "mean": self.mean.to_json(), "vote": self.vote.to_json()}


def accuracy_by_size(
    logits: npt.ArrayLike, labels: npt.ArrayLike, *, groups: npt.ArrayLike | None = None
) -> list[SizeScore]:
    """Accuracy with its interval of the first 1, 2 … M members on all N images, by mean and by vote.

    The order of the members is that given: it must not be chosen by these images. groups (N,): which images
    belong together.
    """
    probs = member_probs(logits)
    truth = check_labels(labels, n=probs.shape[1], classes=probs.shape[2])
    scores = []
    for size in range(1, len(probs) + 1):
        mean, vote = (
            proportion("accuracy", join(probs[:size], how).argmax(axis=1) == truth, groups=groups)
            for how in ("mean", "vote")
        )
        scores.append(SizeScore(size, mean, vote))
    return scores
