"""Metrics against scikit-learn and SciPy on generated inputs, and their stated results where undefined."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from photopic.errors import ConfigError, DataError
from photopic.evaluation import metrics

FEW = settings(max_examples=60, deadline=None)


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) with repeated values, so that ties and absent classes occur."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = np.round(rng.normal(size=(n, k)) * scale, draw(st.integers(0, 6)))
    return logits, rng.integers(0, draw(st.integers(1, k)), size=n)


@given(answers())
@FEW
def test_confusion_accuracy_and_balanced_accuracy_agree_with_scikit_learn(given_answers):
    logits, labels = given_answers
    k = logits.shape[1]
    predicted = metrics.predict(logits)
    matrix = metrics.confusion(predicted, labels, k)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(labels, predicted, labels=range(k)))
    assert metrics.accuracy(logits, labels) == pytest.approx(reference.accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about predicted classes without images
        expected = reference.balanced_accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(expected)


@given(answers())
@FEW
def test_precision_recall_and_f1_agree_with_scikit_learn(given_answers):
    logits, labels = given_answers
    k = logits.shape[1]
    predicted = metrics.predict(logits)
    matrix = metrics.confusion(predicted, labels, k)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=range(k), zero_division=np.nan
    )
    np.testing.assert_allclose(metrics.precision_per_class(matrix), precision)
    np.testing.assert_allclose(metrics.recall_per_class(matrix), recall)
    np.testing.assert_allclose(metrics.f1_per_class(matrix), f1)
    np.testing.assert_array_equal(matrix.sum(axis=1), support)
    assert metrics.macro_f1(matrix) == pytest.approx(
        reference.f1_score(labels, predicted, average="macro", zero_division=0)
    )


@given(answers())
@FEW
def test_log_loss_agrees_with_scikit_learn(given_answers):
    logits, labels = given_answers
    k = logits.shape[1]
    np.testing.assert_allclose(metrics.softmax(logits), scipy.special.softmax(logits, axis=1), rtol=1e-12)
    np.testing.assert_allclose(metrics.log_softmax(logits), scipy.special.log_softmax(logits, axis=1))
    probs = metrics.softmax(logits)
    if probs.min() > 1e-12:  # scikit-learn clips what is smaller
        assert metrics.log_loss(logits, labels) == pytest.approx(
            reference.log_loss(labels, probs, labels=range(k)), rel=1e-9
        )


@given(answers(), st.integers(1, 6))
@FEW
def test_top_k_agrees_with_a_loop_and_counts_ties_as_misses(given_answers, k):
    logits, labels = given_answers
    k = min(k, logits.shape[1])
    hits = []
    for scores, label in zip(logits, labels, strict=True):
        rivals = [s for c, s in enumerate(scores) if c != label and s >= scores[label]]
        hits.append(len(rivals) < k)
    np.testing.assert_array_equal(metrics.top_k_hits(logits, labels, k), hits)
    assert metrics.top_k_accuracy(logits, labels, k) == pytest.approx(np.mean(hits))


def test_top_k_without_ties_agrees_with_scikit_learn():
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(500, 12)), rng.integers(0, 12, 500)
    for k in (1, 2, 5, 11):
        expected = reference.top_k_accuracy_score(labels, logits, k=k, labels=range(12))
        assert metrics.top_k_accuracy(logits, labels, k) == pytest.approx(expected)
    assert metrics.top_k_accuracy(logits, labels, 12) == 1.0


def test_confusion_has_the_truth_in_rows():
    assert metrics.confusion([1, 1, 2], [0, 1, 1], 3).tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_f1_of_perfect_recall_and_one_percent_precision_is_harmonic():
    matrix = np.array([[1, 0], [99, 900]])
    assert metrics.f1_per_class(matrix)[0] == pytest.approx(0.0198, abs=5e-5)


def test_undefined_values_are_nan_and_left_out_of_means():
    matrix = metrics.confusion([0, 0], [0, 1], 4)
    np.testing.assert_array_equal(metrics.recall_per_class(matrix), [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(metrics.precision_per_class(matrix), [0.5, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(metrics.f1_per_class(matrix), [2 / 3, 0, np.nan, np.nan])
    assert metrics.balanced_accuracy(matrix) == 0.5
    assert metrics.macro_f1(matrix) == pytest.approx(1 / 3)


def test_a_sure_mistake_costs_its_full_loss():
    assert metrics.log_loss([[0.0, 2000.0]], [0]) == 2000.0


def test_float16_logits_are_summed_in_float64():
    logits = np.full((1, 70_000), 0.5, np.float16)
    assert metrics.log_loss(logits, [0]) == pytest.approx(np.log(70_000))


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        ([[0.0, 1.0]], [2], r"labels must be class numbers 0\.\.1, not 2"),
        ([[0.0, 1.0]], [-1], "not -1"),
        ([[0.0, 1.0]], [0, 1], "2 labels for 1 images"),
        ([[0.0, 1.0]], [0.0], "whole numbers"),
        ([[0.0, np.nan]], [0], "image 0 are not finite"),
        (np.zeros((0, 2)), np.zeros(0, int), "empty"),
        ([0.0, 1.0], [0], r"shape \(N, K\)"),
    ],
)
def test_impossible_inputs_are_named(logits, labels, words):
    with pytest.raises(DataError, match=words):
        metrics.log_loss(logits, labels)


def test_k_outside_the_classes_is_named():
    for k in (0, 3):
        with pytest.raises(ConfigError, match=f"k={k} must be between 1 and the number of classes, 2"):
            metrics.top_k_hits([[0.0, 1.0]], [0], k)


def test_a_confusion_matrix_that_is_none_is_named():
    with pytest.raises(DataError, match=r"shape \(K, K\)"):
        metrics.macro_f1(np.zeros((2, 3), int))
    with pytest.raises(DataError, match="empty"):
        metrics.macro_f1(np.zeros((2, 2), int))
