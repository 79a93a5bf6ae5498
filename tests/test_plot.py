"""Drawings in the terminal: what stands where."""

from __future__ import annotations

import numpy as np
import pytest

from photopic.cli.plot import line_plot


def dots(text: str, width: int, height: int) -> np.ndarray:
    """(4 height, 2 width) whether each dot is set, read back from the characters."""
    rows = [line.partition("┤")[2] or line.partition("│")[2] for line in text.splitlines()[1 : height + 1]]
    grid = np.zeros((4 * height, 2 * width), bool)
    bits = [(0, 0, 0x01), (1, 0, 0x02), (2, 0, 0x04), (0, 1, 0x08)]
    bits += [(1, 1, 0x10), (2, 1, 0x20), (3, 0, 0x40), (3, 1, 0x80)]
    for row, line in enumerate(rows):
        for column, character in enumerate(line.ljust(width)):
            code = 0 if character == " " else ord(character) - 0x2800
            for y, x, bit in bits:
                grid[4 * row + y, 2 * column + x] = bool(code & bit)
    return grid


def test_a_line_runs_from_corner_to_corner() -> None:
    grid = dots(line_plot([0, 1], [0, 1], x_label="x", y_label="y", width=10, height=5), 10, 5)
    assert (grid == np.eye(20, dtype=bool)[::-1]).all()


def test_every_column_of_a_curve_has_a_dot_where_the_curve_is() -> None:
    x = np.linspace(0, 1, 400)
    y = np.sin(7 * x)
    grid = dots(line_plot(x.tolist(), y.tolist(), x_label="x", y_label="y", width=40, height=10), 40, 10)
    top = 39 - (y - y.min()) / (y.max() - y.min()) * 39
    for column in range(80):
        rows = np.flatnonzero(grid[:, column])
        wanted = top[np.abs(x * 79 - column) <= 0.5]
        assert len(rows)
        assert rows.min() >= wanted.min() - 1
        assert rows.max() <= wanted.max() + 1


def test_a_constant_runs_through_the_middle() -> None:
    text = line_plot([0, 9], [0.1, 0.1], x_label="epochs", y_label="rate", width=20, height=6)
    rows = np.flatnonzero(dots(text, 20, 6).any(axis=1))
    assert rows.tolist() == [12]
    assert " 0.1 ┤" in text


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_constant_of_any_sign_can_be_drawn(value: float) -> None:
    assert f"{value:.3g} ┤" in line_plot([0, 1], [value, value], x_label="x", y_label="y")


def test_the_axes_are_labelled_with_their_ends() -> None:
    lines = line_plot([0, 12], [0.25, 0.5], x_label="epochs", y_label="learning rate").splitlines()
    assert lines[0] == "learning rate"
    assert lines[1].startswith("  0.5 ┤")
    assert lines[-3].startswith(" 0.25 ┤")
    assert lines[-1].split() == ["0", "epochs", "12"]


def test_a_logarithmic_axis_puts_the_mark_in_the_middle_of_the_factors() -> None:
    text = line_plot(
        [0.001, 0.01, 0.1], [1, 2, 3], x_label="rate", y_label="loss", log_x=True, mark=0.01, width=21
    )
    line = text.splitlines()[-2]
    assert line.index("▲") - text.splitlines()[-3].index("└") - 1 == 10


def test_one_point_is_drawn() -> None:
    assert dots(line_plot([3.0], [2.0], x_label="x", y_label="y", width=4, height=3), 4, 3).sum() == 1
