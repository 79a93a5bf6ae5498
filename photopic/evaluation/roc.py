"""The ROC curve of one class against all others: every threshold at once, and the area under it.

`scores` (N,) are larger for images that look more like the class: its probability, its logit, or any number
such as a patient's BMI. `positive` (N,) bool tells which images belong to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from photopic.errors import DataError
from photopic.evaluation.intervals import NORMAL, Interval, Measured, check_level, group_codes
from photopic.evaluation.metrics import Floats

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RocCurve:
    """What each threshold gives; from the strictest, that accepts nothing, to the one that accepts all."""

    thresholds: Floats
    """(T,) falling; an image is accepted when its score is at least the threshold. The first is infinite."""
    recall: Floats
    """(T,) true positives / positives: sensitivity, 0 … 1."""
    fall_out: Floats
    """(T,) false positives / negatives: 1 − specificity, 0 … 1."""


def roc_curve(scores: npt.ArrayLike, positive: npt.ArrayLike) -> RocCurve:
    """The curve over all thresholds that tell images apart: one point for each score that occurs.

    Raises DataError for shapes that do not fit, scores that are not finite, or only one kind of image.
    """
    values, truth = _checked(scores, positive)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.r_[
        np.flatnonzero(np.diff(values)), len(values) - 1
    ]  # images of one score are accepted together
    accepted = np.cumsum(truth)[last]
    return RocCurve(
        thresholds=np.r_[np.inf, values[last]],
        recall=np.r_[0.0, accepted / truth.sum()],
        fall_out=np.r_[0.0, (last + 1 - accepted) / (~truth).sum()],
    )


def area_under_roc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """How often an image of the class has a higher score than one that is not; equal scores count half.

    The Mann–Whitney statistic, which is the area under the curve of `roc_curve`. 0.5: the scores tell
    nothing; 1: they separate. Raises DataError as `roc_curve` does.
    """
    above, _ = _placements(*_checked(scores, positive))
    return float(above.mean())


def auc(
    scores: npt.ArrayLike,
    positive: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Measured:
    """`area_under_roc` with DeLong's interval (1988) on the logit scale; better high.

    groups (N,): images that belong together (Obuchowski 1997, Biometrics 53). Undefined where there are only
    images of one kind; without an interval where the area is 0 or 1, or one kind has a single group.
    """
    check_level(level)
    truth = np.asarray(positive, dtype=np.bool_)
    if truth.all() or not truth.any():
        return Measured("auc", math.nan, None, truth.size, "high")
    values, truth = _checked(scores, positive)
    above, below = _placements(values, truth)
    area = float(above.mean())
    codes = np.arange(truth.size) if groups is None else group_codes(groups, truth.size)
    variance = _variance(above, below, codes[truth], codes[~truth])
    interval = _logit_interval(area, variance, level, "DeLong" if groups is None else "DeLong, groups")
    return Measured("auc", area, interval, truth.size, "high")


def _checked(scores: npt.ArrayLike, positive: npt.ArrayLike) -> tuple[Floats, Bools]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(positive)
    if values.ndim != 1 or truth.shape != values.shape or truth.dtype != np.bool_:
        raise DataError(
            f"expected scores (N,) and a bool for each, not {values.shape} and {truth.dtype} {truth.shape}"
        )
    if not np.isfinite(values).all():
        raise DataError("scores must be finite numbers")
    if truth.all() or not truth.any():
        raise DataError("a ROC curve needs images of the class and images that are not of it")
    return values, truth


def _placements(values: Floats, truth: Bools) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative that of positives above it.

    Ties count half. By ranks: n log n instead of all pairs (Sun and Xu 2014). Positives are looked up among
    the sorted negatives, and never the other way round: of many classes, each has few images.
    """
    ours, others = values[truth], values[~truth]
    order = np.argsort(others)
    ranked, n = others[order], len(others)
    left, right = np.searchsorted(ranked, ours), np.searchsorted(ranked, ours, "right")
    starts = np.bincount(left, minlength=n + 1) + np.bincount(right, minlength=n + 1)
    above = np.empty(n, np.int64)
    above[order] = starts.cumsum()[:n]
    return (left + right) / (2 * n), 1 - above / (2 * len(ours))


def _variance(
    of_positives: Floats,
    of_negatives: Floats,
    codes: npt.NDArray[np.int64],
    other_codes: npt.NDArray[np.int64],
) -> float | None:
    """Variance of the area; None where a kind has fewer than two groups.

    Each group's deviation is the sum of its images' placements less the area. The last term is for groups
    with images of both kinds; DeLong's formula is the case of groups of one image.
    """
    area, count = of_positives.mean(), int(max(codes.max(), other_codes.max())) + 1
    ours = np.bincount(codes, of_positives - area, count)
    theirs = np.bincount(other_codes, of_negatives - area, count)
    has_ours, has_theirs = (
        np.bincount(codes, minlength=count) > 0,
        np.bincount(other_codes, minlength=count) > 0,
    )
    n_ours, n_theirs, n_all = has_ours.sum(), has_theirs.sum(), (has_ours | has_theirs).sum()
    if n_ours < 2 or n_theirs < 2:
        return None
    m, n = len(of_positives), len(of_negatives)
    first = n_ours / (n_ours - 1) * (ours @ ours) / m**2
    second = n_theirs / (n_theirs - 1) * (theirs @ theirs) / n**2
    both = n_all / (n_all - 1) * (ours @ theirs) / (m * n)
    return float(max(0.0, first + second + 2 * both))


def _logit_interval(area: float, variance: float | None, level: float, method: str) -> Interval | None:
    if variance is None or not 0 < area < 1:
        return None
    z = NORMAL.inv_cdf((1 + level) / 2)
    middle, half = math.log(area / (1 - area)), z * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-end)) for end in (middle - half, middle + half))
    return Interval(low, high, level, method)
