"""The course of the learning rate against its formulas and NumPy's interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from photopic.config import ConstantSchedule, CosineSchedule, OneCycleSchedule
from photopic.training.schedules import learning_rate_factor

PROGRESS = np.linspace(0, 1, 41)


def test_constant_is_always_the_peak():
    assert {learning_rate_factor(ConstantSchedule(), float(p)) for p in PROGRESS} == {1.0}


@pytest.mark.parametrize(("start", "peak_at", "end"), [(0.2, 0.25, 0.0), (0.0, 0.5, 0.07), (1.0, 0.0, 0.0)])
def test_one_cycle_is_the_line_through_start_peak_and_end(start, peak_at, end):
    schedule = OneCycleSchedule(start=start, peak_at=peak_at, end=end)
    got = [learning_rate_factor(schedule, float(p)) for p in PROGRESS]
    points = ([0, peak_at, 1], [start, 1, end]) if peak_at else ([0, 1], [1, end])
    np.testing.assert_allclose(got, np.interp(PROGRESS, *points), atol=1e-12)


def test_cosine_warms_up_on_a_line_and_falls_on_half_a_cosine():
    schedule = CosineSchedule(warmup=0.1, end=0.2)
    assert learning_rate_factor(schedule, 0.05) == pytest.approx(0.5)
    assert learning_rate_factor(schedule, 0.1) == pytest.approx(1.0)
    assert learning_rate_factor(schedule, 0.55) == pytest.approx(0.2 + 0.8 * 0.5)
    assert learning_rate_factor(schedule, 0.325) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert learning_rate_factor(schedule, 1.0) == pytest.approx(0.2)


def test_cosine_without_warm_up_starts_at_the_peak():
    assert learning_rate_factor(CosineSchedule(warmup=0.0), 0.0) == 1.0


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_progress_outside_0_to_1_is_refused(progress):
    with pytest.raises(ValueError, match="between 0 and 1"):
        learning_rate_factor(OneCycleSchedule(), progress)
