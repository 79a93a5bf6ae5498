"""ROC curves and the area under them: scikit-learn's numbers, DeLong's interval by its slow definition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from photopic.errors import DataError
from photopic.evaluation.metrics import specificity_per_class, top_k_error
from photopic.evaluation.roc import area_under_roc, auc, roc_curve


def made(n=300, seed=0, strength=1.0, decimals=1):
    """Scores with many ties, higher for the positive ones."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return np.round(rng.normal(size=n) + strength * positive, decimals), positive


def test_the_curve_is_scikit_learns():
    scores, positive = made()
    curve = roc_curve(scores, positive)
    fall_out, recall, thresholds = reference.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fall_out, fall_out)
    np.testing.assert_allclose(curve.recall, recall)
    np.testing.assert_allclose(curve.thresholds, thresholds)


@pytest.mark.parametrize("strength", [-1.0, 0.0, 3.0])
def test_the_area_is_scikit_learns_and_that_under_the_curve(strength):
    scores, positive = made(strength=strength)
    curve = roc_curve(scores, positive)
    area = area_under_roc(scores, positive)
    assert area == pytest.approx(reference.roc_auc_score(positive, scores))
    assert area == pytest.approx(np.trapezoid(curve.recall, curve.fall_out))


def delong_variance(scores, positive):
    """DeLong, DeLong and Clarke-Pearson 1988, equations 4 to 6, pair by pair."""
    wins = scores[positive][:, None] - scores[~positive][None, :]
    psi = (wins > 0) + 0.5 * (wins == 0)
    m, n = psi.shape
    return psi.mean(1).var(ddof=1) / m + psi.mean(0).var(ddof=1) / n


def test_the_interval_is_delongs_on_the_logit_scale():
    scores, positive = made()
    measured = auc(scores, positive)
    half = 1.959963985 * np.sqrt(delong_variance(scores, positive)) / (measured.value * (1 - measured.value))
    logit = np.log(measured.value / (1 - measured.value))
    expected = 1 / (1 + np.exp(-(logit + np.array([-half, half]))))
    assert (measured.interval.low, measured.interval.high) == pytest.approx(tuple(expected), rel=1e-6)


def test_the_interval_covers_the_true_area_as_often_as_it_says():
    truth = 0.7602499  # of two normals one unit apart: Φ(1/√2)
    inside = 0
    for seed in range(400):
        interval = auc(*made(n=150, seed=seed, decimals=9)).interval
        inside += interval.low <= truth <= interval.high
    assert 0.92 <= inside / 400 <= 0.98  # two and a half standard errors of 400 draws around 0.95


def test_copies_in_one_group_are_no_further_evidence():
    scores, positive = made(n=80)
    plain = auc(scores, positive)
    copies = auc(np.repeat(scores, 5), np.repeat(positive, 5), groups=np.repeat(np.arange(80), 5))
    assert copies.value == pytest.approx(plain.value)
    assert copies.interval.low == pytest.approx(plain.interval.low)
    assert copies.interval.high == pytest.approx(plain.interval.high)


def test_what_cannot_be_told_has_no_interval_or_no_value():
    assert np.isnan(auc([0.1, 0.2], [True, True]).value)
    separated = auc([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert separated.value == 1.0
    assert separated.interval is None
    assert auc([0.1, 0.5, 0.3], [False, False, True]).interval is None  # one positive: no spread


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="needs images of the class"):
        roc_curve([0.1, 0.2], [True, True])
    with pytest.raises(DataError, match="finite"):
        roc_curve([0.1, np.nan], [True, False])
    with pytest.raises(DataError, match="a bool for each"):
        roc_curve([0.1, 0.2], [1, 0])


def test_specificity_and_top_k_error_are_scikit_learns():
    rng = np.random.default_rng(1)
    labels, logits = rng.integers(0, 4, 200), rng.normal(size=(200, 4))
    logits[np.arange(200), labels] += 1
    predicted = logits.argmax(1)
    matrix = reference.confusion_matrix(labels, predicted)
    expected = [reference.recall_score(labels != k, predicted != k) for k in range(4)]
    np.testing.assert_allclose(specificity_per_class(matrix), expected)
    assert top_k_error(logits, labels, 2) == pytest.approx(
        1 - reference.top_k_accuracy_score(labels, logits, k=2)
    )


def test_a_runs_curves_are_drawn_from_its_stored_answers(tmp_path):
    from photopic.report.roc import roc_figure

    class Stored:
        """A run as far as its answers go."""

        path, class_names = tmp_path, ("cat", "dog", "owl")

        def load_predictions(self, split):
            assert split == "val"
            return self

        labels = np.array([0, 0, 1, 1, 2, 2])
        logits = np.random.default_rng(0).normal(size=(6, 3)) + np.eye(3)[labels]

    (axes,) = roc_figure(Stored(), "val").axes
    drawn = [line for line in axes.lines if len(line.get_xdata()) > 2]
    expected = {
        f"{name}: {reference.roc_auc_score(Stored.labels == k, _softmax(Stored.logits)[:, k]):.4f}"
        for k, name in enumerate(Stored.class_names)
    }
    assert {line.get_label() for line in drawn} == expected


def _softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)
