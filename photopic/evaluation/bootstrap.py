"""Intervals by resampling: log loss, macro F1, balanced accuracy.

The BCa bootstrap (Efron 1987): draw the test set anew with replacement, many times, and read the interval
off the numbers that come out, corrected for bias and for a spread that depends on the value. Images that
belong together (`groups`) are drawn together.

The seed is fixed, so the same predictions always give the same interval. `scipy.stats.bootstrap` agrees
(the tests) but draws every image of every sample; here a sample of the confusion matrix is one multinomial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photopic.evaluation.intervals import NORMAL, Interval, check_level, group_codes
from photopic.evaluation.metrics import Floats, Ints

RESAMPLES = 1000
"""Bootstrap samples: each end of a 95 % interval then wobbles by about 2 % of the interval's width."""
MIN_RESAMPLES = 200
"""Bootstrap samples of very large test sets."""
MAX_DRAWS = 10_000_000
"""Numbers drawn for one interval, ≈ 0.1 s; from n = 10,000 on samples become fewer to keep to it."""
_SEED = 20_415
_CHUNK = 2_000_000
"""Numbers held at once, 16 MB."""

ClassCounts = tuple[Floats, Floats, Floats]
"""Hits, images and predictions of each class, each (R, K)."""
Statistic = Callable[[Floats, Floats, Floats], Floats]
"""From hits, images and predictions of each class, each (..., K), to numbers (...)."""


def bootstrap_mean(
    values: npt.ArrayLike, *, groups: npt.ArrayLike | None = None, level: float = 0.95
) -> Interval | None:
    """Interval for the mean of values (n,); whole groups are drawn when groups (n,) are given.

    None when there is a single unit to draw from, or all samples have the same mean.
    """
    numbers = np.asarray(values, dtype=np.float64)
    codes = np.arange(numbers.size) if groups is None else group_codes(groups, numbers.size)
    sums, sizes = np.bincount(codes, weights=numbers), np.bincount(codes).astype(np.float64)
    units = sums.size
    if units < 2:
        return None
    rng = np.random.default_rng(_SEED)
    means = np.empty(resamples_for(units))
    for sample in range(means.size):
        drawn = rng.integers(0, units, units)
        means[sample] = sums[drawn].sum() / (units if groups is None else sizes[drawn].sum())
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    return _bca(float(numbers.mean()), means, left_out, np.ones(units), level, grouped=groups is not None)


def bootstrap_counts(
    statistics: Sequence[Statistic],
    labels: Ints,
    predicted: Ints,
    classes: int,
    *,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> list[Interval | None]:
    """Intervals for numbers that depend on the confusion matrix alone, from the same samples.

    labels, predicted (n,) in 0..classes-1; whole groups are drawn when groups (n,) are given. None as in
    `bootstrap_mean`.
    """
    urn = _urn(labels, predicted, classes, groups)
    if urn.draws < 2:
        return [None] * len(statistics)
    samples = np.concatenate([_numbers(statistics, counts) for counts in _sampled_counts(urn)], axis=1)
    present = urn.chances * urn.draws  # how often each unit is in the urn
    whole = urn.counts(present[None])
    left_out = np.concatenate(
        [_numbers(statistics, counts) for counts in _left_out_counts(urn, whole)], axis=1
    )
    return [
        _bca(float(value), of_samples, of_left_out, present, level, grouped=groups is not None)
        for value, of_samples, of_left_out in zip(
            _numbers(statistics, whole)[:, 0], samples, left_out, strict=True
        )
    ]


@dataclass(frozen=True)
class _Urn:
    """What is drawn. Units are groups; or, without groups, kinds of images (alike in truth and prediction).

    Drawing n images with replacement and counting kinds is one draw from a multinomial over the kinds.
    """

    draws: int
    chances: Floats
    """Of each unit, (U,)."""
    hits: Any
    """Sparse (U, K): images of the unit that are hits of the class; likewise of the class, and called so."""
    images: Any
    predictions: Any

    def counts(self, amounts: npt.NDArray[Any]) -> ClassCounts:
        """Hits, images, predictions (R, K) when unit u is there amounts[r, u] times."""
        hits, images, predictions = (
            (part.T @ amounts.T).T for part in (self.hits, self.images, self.predictions)
        )
        return hits, images, predictions


def _urn(labels: Ints, predicted: Ints, classes: int, groups: npt.ArrayLike | None) -> _Urn:
    from scipy.sparse import coo_array  # imported here: it would slow the start of the command line

    n = labels.size
    if groups is None:
        kinds, sizes = np.unique(labels * classes + predicted, return_counts=True)
        units, truth, called = np.arange(kinds.size), kinds // classes, kinds % classes
        draws, chances = n, sizes / n
    else:
        units, truth, called = group_codes(groups, n), labels, predicted
        draws = int(units.max()) + 1
        chances = np.full(draws, 1 / draws)
    shape = (chances.size, classes)
    ones = np.ones(units.size)  # entries of the same place are summed
    images, predictions, hits = (
        coo_array((weight, (units, column)), shape=shape).tocsr()
        for weight, column in ((ones, truth), (ones, called), (ones * (truth == called), truth))
    )
    return _Urn(draws, chances, hits, images, predictions)


def _numbers(statistics: Sequence[Statistic], counts: ClassCounts) -> Floats:
    """Each statistic of each row of counts, (S, R)."""
    return np.stack([statistic(*counts) for statistic in statistics])


def _sampled_counts(urn: _Urn) -> Iterator[ClassCounts]:
    """Counts of the bootstrap samples, in chunks of rows."""
    rng = np.random.default_rng(_SEED)
    resamples = resamples_for(urn.chances.size)
    chunk = max(1, _CHUNK // urn.chances.size)
    for start in range(0, resamples, chunk):
        yield urn.counts(rng.multinomial(urn.draws, urn.chances, size=min(chunk, resamples - start)))


def _left_out_counts(urn: _Urn, whole: ClassCounts) -> Iterator[ClassCounts]:
    """Counts without one unit, for each unit, in chunks of rows."""
    chunk = max(1, _CHUNK // whole[0].shape[1])
    for start in range(0, urn.chances.size, chunk):
        rows = slice(start, start + chunk)
        hits, images, predictions = whole
        yield (
            hits - urn.hits[rows].toarray(),
            images - urn.images[rows].toarray(),
            predictions - urn.predictions[rows].toarray(),
        )


def resamples_for(units: int) -> int:
    """Bootstrap samples that are drawn from so many units."""
    return max(MIN_RESAMPLES, min(RESAMPLES, MAX_DRAWS // units))


def _bca(
    value: float, samples: Floats, left_out: Floats, present: Floats, level: float, *, grouped: bool
) -> Interval | None:
    """Efron's (1987) bias-corrected and accelerated interval, or None without any spread.

    samples (R,): the number of each bootstrap sample; left_out (U,): the number without one of unit u, of
    which there are present[u].
    """
    if np.ptp(samples) <= 1e-12 * max(1.0, abs(value)):  # equal but for rounding
        return None
    below = float((samples < value).mean() + (samples == value).mean() / 2)
    bias = NORMAL.inv_cdf(min(max(below, 0.5 / samples.size), 1 - 0.5 / samples.size))
    deviation = np.average(left_out, weights=present) - left_out
    spread = float(present @ deviation**2)
    acceleration = float(present @ deviation**3) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = [_tail(bias, acceleration, share) for share in ((1 - check_level(level)) / 2, (1 + level) / 2)]
    low, high = np.quantile(samples, ends)
    method = f"BCa bootstrap, {samples.size} samples of {'groups' if grouped else 'images'}"
    return Interval(float(low), float(high), level, method)


def _tail(bias: float, acceleration: float, share: float) -> float:
    """Quantile of the samples, 0..1, at which a corrected end of the interval stands."""
    z = bias + NORMAL.inv_cdf(share)
    stretch = 1 - acceleration * z
    if stretch <= 0:  # so skewed that the correction runs past the last sample
        return float(share > 0.5)
    return NORMAL.cdf(bias + z / stretch)
