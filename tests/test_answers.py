"""Pictures beside probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from photopic.report.answers import Answer, answer_figure

IMAGE = np.arange(49, dtype=np.uint8).reshape(7, 7)


def test_bars_are_the_probabilities_and_the_truth_is_marked() -> None:
    figure = answer_figure([Answer(IMAGE, ("cat", "dog"), (0.25, 0.75), truth="cat", title="a cat")])
    left, right = figure.axes
    assert left.get_title(loc="left") == "a cat"
    np.testing.assert_array_equal(left.get_images()[0].get_array(), IMAGE)
    assert [bar.get_width() for bar in right.patches] == [0.25, 0.75]
    assert [label.get_text() for label in right.get_yticklabels()] == ["cat (truth)", "dog"]
    assert right.patches[0].get_facecolor() != right.patches[1].get_facecolor()
    assert {text.get_text() for text in right.texts} == {"0.250", "0.750"}


@pytest.mark.parametrize("count", [1, 3])
def test_each_answer_has_a_row(count: int) -> None:
    figure = answer_figure([Answer(IMAGE, ("a",), (1.0,))] * count)
    assert len(figure.axes) == 2 * count
    assert [axes.get_xlabel() for axes in figure.axes[1::2]] == [""] * (count - 1) + ["probability"]
