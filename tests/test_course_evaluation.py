"""C33: the ROC curve by hand is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from photopic.lab.course.evaluation import (
    BMI,
    DIABETIC,
    area_under,
    confusion_at,
    roc_points,
    thresholds_between,
)


def test_the_threshold_between_28_1_and_29_is_28_55() -> None:
    assert 28.55 in thresholds_between(BMI).round(10)
    assert len(thresholds_between(BMI)) == len(BMI) + 1


def test_confusion_counts_of_the_course() -> None:
    none = confusion_at(np.inf, BMI, DIABETIC)
    assert (none.true_positives, none.false_negatives, none.true_negatives, none.false_positives) == (
        0,
        6,
        4,
        0,
    )
    point = confusion_at(28.55, BMI, DIABETIC)
    assert (point.sensitivity, point.fall_out) == (5 / 6, 2 / 4)


@pytest.mark.parametrize("threshold", [20.0, 28.55, 31.0, 50.0])
def test_confusion_is_scikit_learn_s(threshold: float) -> None:
    (tn, fp), (fn, tp) = confusion_matrix(DIABETIC, np.greater(BMI, threshold), labels=[False, True])
    point = confusion_at(threshold, BMI, DIABETIC)
    assert (point.true_positives, point.false_negatives, point.true_negatives, point.false_positives) == (
        tp,
        fn,
        tn,
        fp,
    )


def test_the_curve_and_its_area_are_scikit_learn_s() -> None:
    points = roc_points(BMI, DIABETIC)
    fall_out, sensitivity, _ = roc_curve(DIABETIC, BMI, drop_intermediate=False)
    np.testing.assert_allclose([point.fall_out for point in points], fall_out)
    np.testing.assert_allclose([point.sensitivity for point in points], sensitivity)
    assert area_under(points) == pytest.approx(roc_auc_score(DIABETIC, BMI)) == 0.5


def test_tied_values_share_their_point_of_the_curve() -> None:
    values, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    points = roc_points(values, positive)
    fall_out, sensitivity, _ = roc_curve(positive, values, drop_intermediate=False)
    np.testing.assert_allclose([point.fall_out for point in points], fall_out)
    np.testing.assert_allclose([point.sensitivity for point in points], sensitivity)
