"""Joined answers against NumPy's, scikit-learn's and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from photopic.errors import DataError
from photopic.evaluation.joining import (
    accuracy_by_size,
    as_logits,
    best_weights,
    join,
    mean_of,
    member_probs,
    vote_of,
)


def members(count: int, n: int = 400, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (M, N, K) of members that know more or less, and labels (N,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    skill = np.linspace(0.3, 2.0, count)[:, None, None]
    logits = random.normal(0, 1, (count, n, classes)) + skill * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def test_the_mean_is_that_of_scipys_softmax() -> None:
    logits, _ = members(3)
    probs = member_probs(logits)
    np.testing.assert_allclose(probs, softmax(logits.astype(float), axis=2), rtol=1e-12)
    np.testing.assert_allclose(mean_of(probs), softmax(logits.astype(float), axis=2).mean(0), rtol=1e-12)
    weights = [0.5, 0.2, 0.3]
    np.testing.assert_allclose(
        mean_of(probs, weights), np.average(probs, axis=0, weights=weights), rtol=1e-12
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_the_majority_wins_and_the_mean_breaks_ties(count: int) -> None:
    logits, _ = members(count, classes=3)
    probs = member_probs(logits)
    joined = vote_of(probs)
    np.testing.assert_allclose(joined.sum(1), 1, rtol=1e-12)
    mean = probs.mean(0)
    for image in range(probs.shape[1]):
        votes = np.bincount(probs[:, image].argmax(1), minlength=3)
        most = np.flatnonzero(votes == votes.max())
        assert joined[image].argmax() == most[mean[image, most].argmax()]


def test_a_clear_majority_stands_against_one_that_is_sure() -> None:
    probs = np.array([[[1.0, 0.0]], [[0.49, 0.51]], [[0.49, 0.51]]])
    assert vote_of(probs).argmax() == 1
    assert mean_of(probs).argmax() == 0


def test_one_member_is_its_own_ensemble() -> None:
    logits, _ = members(1)
    for how in ("mean", "vote"):
        joined = join(member_probs(logits), how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(joined.argmax(1), logits[0].argmax(1))


def test_logits_give_the_probabilities_back() -> None:
    probs = mean_of(member_probs(members(3)[0]))
    np.testing.assert_allclose(softmax(as_logits(probs).astype(float), axis=1), probs, rtol=1e-5)
    assert np.isfinite(as_logits(np.array([[1.0, 0.0]]))).all()


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_those_that_scipy_finds(seed: int) -> None:
    logits, labels = members(4, seed=seed)
    probs = member_probs(logits)
    weights = best_weights(logits, labels)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def loss(w: np.ndarray) -> float:
        return float(log_loss(labels, mean_of(probs, w / w.sum()), labels=range(5)))

    found = minimize(
        loss, np.full(4, 0.25), bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}
    )
    assert loss(weights) <= found.fun + 1e-6
    np.testing.assert_allclose(weights, found.x, atol=5e-3)  # the minimum is flat
    assert loss(weights) <= loss(np.full(4, 0.25))


def test_a_useless_member_gets_no_weight() -> None:
    logits, labels = members(2)
    noise = np.zeros_like(logits[:1])
    assert best_weights(np.concatenate([4 * logits[1:], noise]), labels)[1] < 0.6
    sure = np.where(np.eye(5)[labels] > 0, 5.0, 0.0)[None]
    np.testing.assert_allclose(best_weights(np.concatenate([sure, noise]), labels), [1, 0], atol=1e-3)


def test_accuracy_of_each_size_is_scikit_learns_on_all_images() -> None:
    logits, labels = members(5)
    scores = accuracy_by_size(logits, labels)
    assert [score.size for score in scores] == [1, 2, 3, 4, 5]
    for score in scores:
        mean = softmax(logits[: score.size].astype(float), axis=2).mean(0)
        assert score.mean.value == pytest.approx(accuracy_score(labels, mean.argmax(1)))
        assert score.mean.n == 400
        wanted = binomtest(round(score.mean.value * 400), 400).proportion_ci(method="wilson")
        assert score.mean.interval is not None
        assert (score.mean.interval.low, score.mean.interval.high) == pytest.approx(tuple(wanted))
    assert scores[0].mean == scores[0].vote
    assert scores[0].to_json()["mean"]["value"] == scores[0].mean.value


@pytest.mark.parametrize("shape", [(4, 3), (0, 4, 3), (2, 0, 3), (2, 2, 4, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="members' logits must have the shape"):
        member_probs(np.zeros(shape))
