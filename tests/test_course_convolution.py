"""C31: the exact arrays of the course, and the same sums done by a slow loop and by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.signal import correlate2d

from photopic.lab.course.convolution import GROUND, convolve, max_pool

ONES = np.ones((1, 2, 2))


def test_the_arrays_of_the_course_come_out_exactly() -> None:
    np.testing.assert_array_equal(convolve(GROUND, ONES)[0], [[12, 16], [24, 28]])
    np.testing.assert_array_equal(
        convolve(GROUND, ONES, same=True)[0], [[12, 16, 9], [24, 28, 15], [15, 17, 9]]
    )
    np.testing.assert_array_equal(max_pool(GROUND, 2, stride=1, same=True), [[5, 6, 6], [8, 9, 9], [8, 9, 9]])


@pytest.mark.parametrize("side", [4, 7])
def test_convolution_is_scipy_s_correlation(side: int) -> None:
    random = np.random.default_rng(0)
    image, filters = random.normal(size=(side, side)), random.normal(size=(2, 3, 3))
    for number, one in enumerate(filters):
        np.testing.assert_allclose(
            convolve(image, filters)[number], correlate2d(image, one, mode="valid"), atol=1e-12
        )
        np.testing.assert_allclose(
            convolve(image, filters, same=True)[number], correlate2d(image, one, mode="same"), atol=1e-12
        )


@pytest.mark.parametrize(("side", "size", "stride"), [(7, 3, 1), (7, 3, 2), (28, 3, 2), (5, 2, 2), (6, 4, 3)])
def test_same_gives_as_many_outputs_as_strides_fit(side: int, size: int, stride: int) -> None:
    image = np.arange(float(side * side)).reshape(side, side)
    outputs = -(-side // stride)
    assert max_pool(image, size, stride=stride, same=True).shape == (outputs, outputs)


def test_max_pool_is_scipy_s_maximum_filter_and_padding_never_wins() -> None:
    image = np.random.default_rng(1).normal(size=(6, 6)) - 10  # all negative: a padding of 0 would win
    expected = maximum_filter(image, size=2, origin=-1, mode="constant", cval=-np.inf)
    np.testing.assert_array_equal(max_pool(image, 2, stride=1, same=True), expected)
