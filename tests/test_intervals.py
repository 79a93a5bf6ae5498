"""Intervals against SciPy, and their coverage on data whose true value is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from photopic.errors import ConfigError, DataError
from photopic.evaluation import metrics
from photopic.evaluation.bootstrap import bootstrap_counts, bootstrap_mean, resamples_for
from photopic.evaluation.intervals import Interval, Measured, group_codes, proportion, wilson


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_wilson_agrees_with_scipy(n, share, level):
    successes = round(share * n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    interval = wilson(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval.level == level


def test_wilson_of_none_and_of_all_has_width():
    assert wilson(0, 20).low == 0.0
    assert wilson(0, 20).high > 0.1
    assert wilson(20, 20).high == 1.0
    assert wilson(20, 20).low < 0.9


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2), (0, 0)])
def test_impossible_counts_are_named(successes, n):
    with pytest.raises(DataError, match=f"{successes} successes of {n} trials"):
        wilson(successes, n)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_an_impossible_level_is_named(level):
    with pytest.raises(ConfigError, match=f"level={level} must be"):
        wilson(1, 2, level)


@pytest.mark.parametrize(
    "groups", [[5, 2, 5, 9], [5_000, 2, 5_000, 9_000], [-1, -4, -1, 0], ["b", "a", "b", "c"]], ids=str
)
def test_groups_are_numbered_in_their_order_whatever_they_are(groups):
    assert group_codes(np.array(groups), 4).tolist() == [1, 0, 1, 2]


def test_groups_of_one_image_change_no_wilson_interval():
    hits = np.random.default_rng(0).random(400) < 0.9
    alone, grouped = proportion("accuracy", hits), proportion("accuracy", hits, groups=np.arange(400))
    # with groups the variance is estimated with n - 1
    assert grouped.interval.low == pytest.approx(alone.interval.low, abs=1e-4)
    assert grouped.interval.high == pytest.approx(alone.interval.high, abs=1e-4)


def test_wholly_alike_groups_count_as_one_image_each():
    per_group = np.random.default_rng(1).random(60) < 0.7
    grouped = proportion("accuracy", np.repeat(per_group, 30), groups=np.repeat(np.arange(60), 30))
    expected = proportion("accuracy", per_group)
    assert grouped.value == expected.value
    assert grouped.interval.low == pytest.approx(expected.interval.low, abs=2e-3)
    assert "60 groups worth 59 independent images" in grouped.interval.method
    assert grouped.n == 1800


def test_groups_without_a_single_error_count_as_one_image_each():
    grouped = proportion("accuracy", np.ones(300, bool), groups=np.repeat(list("abcdefghij"), 30))
    assert grouped.interval.low == wilson(10, 10).low


def test_group_intervals_cover_the_truth_where_plain_ones_do_not():
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(50), 20)
    covered = {"plain": 0, "grouped": 0}
    for _ in range(300):
        hits = rng.random(1000) < rng.beta(8, 2, 50)[groups]  # mean 0.8, alike within a group
        for name, given_groups in (("plain", None), ("grouped", groups)):
            interval = proportion("accuracy", hits, groups=given_groups).interval
            covered[name] += interval.low <= 0.8 <= interval.high
    assert covered["plain"] < 0.85 * 300
    assert 0.91 * 300 < covered["grouped"] < 0.99 * 300


def test_groups_of_another_length_are_named():
    with pytest.raises(DataError, match=r"groups must have shape \(3,\)"):
        proportion("accuracy", [True, False, True], groups=[1, 2])


def test_a_proportion_of_nothing_is_undefined():
    nothing = proportion("recall", [])
    assert np.isnan(nothing.value)
    assert nothing.interval is None
    assert str(nothing) == "recall undefined (n=0)"


def test_bootstrap_mean_agrees_with_scipy():
    values = np.random.default_rng(2).exponential(size=300)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(5)
    ).confidence_interval
    interval = bootstrap_mean(values)
    width = expected.high - expected.low
    # two Monte Carlo estimates of the ends: 3 standard errors of ours, 0.025 of the width each
    assert interval.low == pytest.approx(expected.low, abs=0.07 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.07 * width)


def confused(n=240, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(n) < 0.75, labels, rng.integers(0, classes, n))
    return labels, predicted


def test_bootstrap_of_macro_f1_agrees_with_scipy():
    labels, predicted = confused()

    def statistic(truth, answers):
        return metrics.macro_f1(metrics.confusion(answers, truth, 3))  # as scikit-learn's: test_metrics.py

    expected = scipy.stats.bootstrap(
        (labels, predicted),
        statistic,
        paired=True,
        vectorized=False,
        method="BCa",
        n_resamples=1500,
        rng=np.random.default_rng(5),
    ).confidence_interval
    [interval] = bootstrap_counts([metrics.macro_f1_of_counts], labels, predicted, 3)
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.09 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.09 * width)


def test_group_bootstrap_agrees_with_a_loop_over_groups():
    labels, predicted = confused()
    groups = np.repeat(np.arange(40), 6)
    members = [np.flatnonzero(groups == group) for group in range(40)]
    rng = np.random.default_rng(3)
    samples = []
    for _ in range(3000):
        rows = np.concatenate([members[group] for group in rng.integers(0, 40, 40)])
        matrix = metrics.confusion(predicted[rows], labels[rows], 3)
        samples.append(metrics.balanced_accuracy(matrix))
    low, high = np.quantile(samples, [0.025, 0.975])
    [interval] = bootstrap_counts([metrics.balanced_accuracy_of_counts], labels, predicted, 3, groups=groups)
    # the loop's percentiles are not corrected for bias and skewness: small here, not none
    assert interval.low == pytest.approx(low, abs=0.15 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.15 * (high - low))
    assert interval.method == "BCa bootstrap, 1000 samples of groups"


def test_group_bootstrap_of_a_mean_is_wider_for_alike_groups():
    per_group = np.random.default_rng(4).normal(size=50)
    values, groups = np.repeat(per_group, 20), np.repeat(np.arange(50), 20)
    alone, grouped = bootstrap_mean(values), bootstrap_mean(values, groups=groups)
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(20), rel=0.15)


def test_bootstrap_intervals_cover_the_true_mean():
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(100):
        interval = bootstrap_mean(rng.exponential(size=60))
        covered += interval.low <= 1.0 <= interval.high
    assert 88 < covered < 99


def test_the_same_predictions_give_the_same_interval():
    labels, predicted = confused()
    statistics = [metrics.macro_f1_of_counts]
    assert bootstrap_counts(statistics, labels, predicted, 3) == bootstrap_counts(
        statistics, labels, predicted, 3
    )
    assert bootstrap_mean([0.1, 0.2, 0.7]) == bootstrap_mean([0.1, 0.2, 0.7])


def test_where_the_data_cannot_tell_there_is_no_interval():
    ones = np.ones(5, dtype=np.int64)
    assert bootstrap_mean([0.3]) is None
    assert bootstrap_mean([0.3, 0.3, 0.3]) is None
    assert bootstrap_mean([0.1, 0.9], groups=["a", "a"]) is None
    assert bootstrap_counts([metrics.macro_f1_of_counts], ones[:1], ones[:1], 2) == [None]
    assert bootstrap_counts([metrics.macro_f1_of_counts], ones, ones, 2) == [None]


def test_large_sets_are_resampled_less_often():
    assert [resamples_for(units) for units in (10, 10_000, 20_000, 10**8)] == [1000, 1000, 500, 200]


@pytest.mark.parametrize("value", [0.25, float("nan")])
@pytest.mark.parametrize("interval", [None, Interval(0.1, 0.5, 0.95, "Wilson")])
def test_measured_survives_json(value, interval):
    measured = Measured("macro_f1", value, interval, 12, "high")
    again = Measured.from_json(measured.to_json())
    assert str(again) == str(measured)
    assert again.to_json() == measured.to_json()
    assert (again.interval, again.better) == (interval, "high")
