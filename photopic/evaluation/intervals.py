"""How sure a measured number is: `Interval`, `Measured`, and Wilson's interval for proportions.

Proportions are accuracy, top-k accuracy, recall, precision: a count of hits among n images. Wilson's score
interval (Wilson 1927) is right for few images and at 0 and 1, where the usual ± gives an interval of no
width. The other numbers are resampled: see bootstrap.py.

Plain formulas on the standard library's normal distribution: SciPy's binomtest gives the same (the tests),
one interval at a time and after an import that takes longer than all of this.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from photopic.errors import ConfigError, DataError
from photopic.evaluation.metrics import Floats, Ints

Better = Literal["high", "low"]
NORMAL = NormalDist()
_DENSE = 4
"""Whole numbers up to so many times their count are numbered by counting, which is faster than by sorting."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval: drawn alike, a share `level` of test sets give one that holds the true value."""

    low: float
    high: float
    level: float
    """Confidence, 0 < level < 1."""
    method: str
    """How it was computed, in words."""


@dataclass(frozen=True)
class Measured:
    """A number, how sure it is, and which direction is better."""

    name: str
    value: float
    """NaN where it is undefined, as the recall of a class without images."""
    interval: Interval | None
    """None where the data cannot tell: an undefined value, a single unit, or no spread at all."""
    n: int
    """Images behind the number."""
    better: Better

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"{self.name} undefined (n={self.n})"
        if self.interval is None:
            return f"{self.name} {self.value:.4f} (n={self.n})"
        return (
            f"{self.name} {self.value:.4f} [{self.interval.low:.4f}, {self.interval.high:.4f}] (n={self.n})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; an undefined value is None."""
        return {**asdict(self), "value": None if math.isnan(self.value) else self.value}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measured:
        """What `to_json` gave."""
        interval = values["interval"]
        value = math.nan if values["value"] is None else values["value"]
        return cls(**{**values, "value": value, "interval": Interval(**interval) if interval else None})


def wilson(successes: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's interval for a proportion, without continuity correction.

    successes of n trials, 0 ≤ successes ≤ n, n > 0; both may be fractions (an effective number of trials).
    Raises DataError for impossible counts, ConfigError for an impossible level.
    """
    if not 0 <= successes <= n or n == 0:
        raise DataError(f"{successes} successes of {n} trials are impossible")
    z = NORMAL.inv_cdf((1 + check_level(level)) / 2)
    share, penalty = successes / n, z * z / n
    centre = (share + penalty / 2) / (1 + penalty)
    half = z / (1 + penalty) * math.sqrt(share * (1 - share) / n + penalty / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, level, "Wilson")


def proportion(
    name: str, hits: npt.ArrayLike, *, groups: npt.ArrayLike | None = None, level: float = 0.95
) -> Measured:
    """The share of True in hits (n,), with Wilson's interval; better high; undefined for n = 0.

    groups (n,), of any type, tells which images belong together and so are no independent evidence: n is
    then divided by the design effect, the variance of the share between groups over that of independent
    images, at least 1 (Korn and Graubard 1998). Where all are hits, or none, the data do not tell how hits
    cluster; each group then counts as one image, the cautious end.
    """
    truths = np.asarray(hits, dtype=np.float64)
    n = truths.size
    if n == 0:
        return Measured(name, math.nan, None, 0, "high")
    share = float(truths.mean())
    if groups is None:
        return Measured(name, share, wilson(float(truths.sum()), n, level), n, "high")
    codes = group_codes(groups, n)
    count = int(codes.max()) + 1
    effective = n / _design_effect(truths, codes, count)
    plain = wilson(share * effective, effective, level)
    method = f"Wilson, {count} groups worth {effective:.0f} independent images"
    return Measured(name, share, Interval(plain.low, plain.high, level, method), n, "high")


def mean_of_perfect_shares(units: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The mean of K shares that are all 1, as balanced accuracy is when no image is missed.

    units (K,): images (or groups) behind each share, at least 1. Nothing varies, so nothing can be resampled:
    each share gets 2/K hits and 2/K misses more, and the interval is the usual one for their mean (Price and
    Bonett 2004). It narrows as images come, and is as wide as the smallest classes make it.
    """
    counts = np.asarray(units, dtype=np.float64)
    classes = counts.size
    padded = counts + 4 / classes
    shares = (counts + 2 / classes) / padded
    variance = float((shares * (1 - shares) / padded).sum()) / classes**2
    z = NORMAL.inv_cdf((1 + check_level(level)) / 2)
    low = max(0.0, float(shares.mean()) - z * math.sqrt(variance))
    return Interval(low, 1.0, level, "Price and Bonett, no image missed")


def _design_effect(hits: Floats, codes: Ints, count: int) -> float:
    """How many of these images carry the information of one independent image, 1..n."""
    n, share = hits.size, float(hits.mean())
    if share in (0.0, 1.0) or count == 1:
        return n / count
    residuals = np.bincount(codes, weights=hits - share, minlength=count)
    between = count / (count - 1) * float(residuals @ residuals) / n**2
    return min(max(1.0, between / (share * (1 - share) / n)), float(n))


def group_codes(groups: npt.ArrayLike, n: int) -> Ints:
    """Groups (n,) of any sortable type as numbers 0..G-1; raises DataError for another length."""
    values = np.asarray(groups)
    if values.shape != (n,):
        raise DataError(f"groups must have shape ({n},), one for each image, not {values.shape}")
    if values.dtype.kind == "i" and n and values.min() >= 0 and values.max() < _DENSE * n:
        codes: Ints = (np.bincount(values) > 0).cumsum()[values] - 1  # as below, without sorting
        return codes
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def check_level(level: float) -> float:
    """The level, if it is between 0 and 1; raises ConfigError otherwise."""
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must be above 0 and below 1, as 0.95")
    return level
