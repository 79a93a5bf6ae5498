"""Scores from logits: the same numbers as scikit-learn's, complete, repeatable, fast, and storable."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as reference

from photopic.errors import DataError
from photopic.evaluation.evaluate import Scores, score


def made(n=400, classes=4, seed=0, strength=2.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)).astype(np.float32)
    logits[np.arange(n), labels] += strength
    return logits, labels, [f"class {number}" for number in range(classes)]


def test_scores_agree_with_scikit_learn():
    logits, labels, names = made(classes=7)
    scores = score(logits, labels, names)
    predicted = logits.argmax(axis=1)
    probs = scipy.special.softmax(logits.astype(np.float64), axis=1)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "top_5_accuracy": reference.top_k_accuracy_score(labels, logits, k=5),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "log_loss": reference.log_loss(labels, probs),
    }
    assert {measured.name: measured.value for measured in scores.measured} == pytest.approx(expected)
    np.testing.assert_array_equal(scores.confusion, reference.confusion_matrix(labels, predicted))
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose([each.precision.value for each in scores.per_class], precision)
    np.testing.assert_allclose([each.recall.value for each in scores.per_class], recall)
    np.testing.assert_allclose([each.f1 for each in scores.per_class], f1)
    assert [each.images for each in scores.per_class] == support.tolist()


def test_every_number_has_an_interval_around_it_and_a_direction():
    scores = score(*made())
    for measured in scores.measured:
        assert measured.interval.low < measured.value < measured.interval.high
    assert {measured.name for measured in scores.measured if measured.better == "low"} == {"log_loss"}


def test_per_class_intervals_are_scipys():
    logits, labels, names = made()
    right = logits.argmax(axis=1) == labels
    each = score(logits, labels, names).per_class[2]
    own = right[labels == 2]
    expected = scipy.stats.binomtest(int(own.sum()), own.size).proportion_ci(method="wilson")
    assert (each.recall.interval.low, each.recall.interval.high) == pytest.approx(
        (expected.low, expected.high)
    )
    assert each.recall.n == own.size


def test_groups_widen_all_intervals_of_images_that_are_alike():
    logits, labels, names = made(n=100)
    many = [np.repeat(values, 9, axis=0) for values in (logits, labels)]
    plain = score(*many, names)
    grouped = score(*many, names, groups=[f"track {number // 9}" for number in range(900)])
    for one, other in zip(plain.measured, grouped.measured, strict=True):
        assert one.value == other.value
        assert other.interval.high - other.interval.low > 2 * (one.interval.high - one.interval.low)
    recall = grouped.per_class[0].recall
    assert recall.interval.low < plain.per_class[0].recall.interval.low


def test_most_confused_pairs_come_first_and_name_truth_then_prediction():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    logits = np.eye(3)[[1, 1, 2, 0, 2, 1, 2]]
    pairs = score(logits, labels, ["cat", "dog", "owl"]).confused_pairs()
    assert [(pair.truth, pair.predicted, pair.count, pair.share) for pair in pairs] == [
        ("cat", "dog", 2, 0.5),
        ("cat", "owl", 1, 0.25),
        ("dog", "owl", 1, 0.5),
    ]
    assert len(score(logits, labels, ["cat", "dog", "owl"]).confused_pairs(limit=1)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_scores_survive_json(seed):
    logits, labels, names = made(n=15, classes=8, seed=seed)  # so few images that some numbers are undefined
    scores = score(logits, labels, names)
    text = json.dumps(scores.to_json(), allow_nan=False)
    again = Scores.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert again.confusion == scores.confusion
    assert again.measured == scores.measured


def test_a_class_without_images_is_undefined_and_not_zero():
    scores = score([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]], [0, 0], ["a", "b", "c"])
    rows = scores.class_rows()
    assert [row["recall"] for row in rows] == [0.5, None, None]
    assert [row["precision"] for row in rows] == [1.0, 0.0, None]
    assert [row["f1"] for row in rows] == [pytest.approx(2 / 3), 0.0, None]
    assert rows[2]["recall_low"] is None


def test_rows_are_plain_and_complete():
    scores = score(*made())
    assert [row["name"] for row in scores.rows()] == ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
    assert set(scores.rows()[0]) == {"name", "value", "low", "high", "n", "better"}
    json.dumps([scores.rows(), scores.class_rows()], allow_nan=False)
    assert scores["macro_f1"].value == scores.rows()[2]["value"]
    with pytest.raises(KeyError, match="known: accuracy, balanced_accuracy"):
        scores["f1"]


def test_the_same_predictions_give_the_same_scores():
    assert score(*made()) == score(*made())


def test_one_image_is_enough():
    scores = score([[0.0, 1.0]], [1], ["no", "yes"])
    assert scores.accuracy.value == 1.0
    assert scores.accuracy.interval.low == pytest.approx(0.2065, abs=1e-4)
    assert scores["log_loss"].interval is None


def test_class_names_must_fit_the_logits():
    with pytest.raises(DataError, match="2 class names for logits of 3 classes"):
        score(np.zeros((1, 3)), [0], ["a", "b"])


def test_each_class_has_its_specificity_and_its_area_against_the_others():
    logits, labels, names = made()
    scores = score(logits, labels, names)
    probs = scipy.special.softmax(logits.astype(np.float64), axis=1)
    for number, each in enumerate(scores.per_class):
        own, given = labels == number, logits.argmax(axis=1) == number
        assert each.specificity.value == pytest.approx(reference.recall_score(~own, ~given))
        assert each.auc.value == pytest.approx(reference.roc_auc_score(own, probs[:, number]))
        assert each.auc.interval.low < each.auc.value < each.auc.interval.high


def test_scores_of_an_older_version_are_read():
    scores = score(*made())
    stored = scores.to_json()
    for each in stored["per_class"]:
        del each["specificity"], each["auc"]
    read = Scores.from_json(stored)
    assert read.per_class[0].recall == scores.per_class[0].recall
    assert np.isnan(read.per_class[0].auc.value)


def test_numbers_of_perfect_answers_have_an_interval_that_images_narrow():
    def low(images, **options):
        labels = np.repeat(np.arange(3), images)
        scores = score(np.eye(3)[labels] * 5, labels, list("abc"), **options)
        assert scores["macro_f1"].interval == scores["balanced_accuracy"].interval
        assert scores["balanced_accuracy"].interval.high == 1.0
        return scores["balanced_accuracy"].interval.low

    # Price and Bonett 2004 by hand: 10 images each, 2/3 of a hit and of a miss more
    share = (10 + 2 / 3) / (10 + 4 / 3)
    by_hand = share - 1.959964 * np.sqrt(3 * share * (1 - share) / (10 + 4 / 3)) / 3
    assert low(10) == pytest.approx(by_hand, abs=1e-6)
    assert low(10) < low(100) < low(1000) < 1
    assert low(100, groups=np.repeat(np.arange(30), 10)) == pytest.approx(low(10))
