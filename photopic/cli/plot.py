"""A line drawn with braille characters: eight dots in each character of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 60, 12
"""Characters of the drawing, without labels."""
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bit of each dot: two columns of four, from the top."""
_BLANK = 0x2800


def line_plot(
    x: Sequence[float],
    y: Sequence[float],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    mark: float | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """A line through the points, as lines of text with labelled axes.

    x must rise. mark: a place on the x axis to point at. log_x: equal distances are equal factors. A line
    whose values are all the same runs through the middle.
    """
    places = [_scaled(value, log_x) for value in x]
    left, right = places[0], places[-1]
    low, high = min(y), max(y)
    if low == high:
        low, high = low - abs(low) / 2 - (low == 0), high + abs(high) / 2 + (high == 0)
    columns = [_position(place, left, right, 2 * width) for place in places]
    rows = [4 * height - 1 - _position(value, low, high, 4 * height) for value in y]
    cells = _draw(columns, rows, width, height)
    names = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
    names[height // 2] = f"{(low + high) / 2:.3g}"
    margin = max(map(len, names))
    lines = [y_label]
    lines += [f"{name:>{margin}} {'┤' if name else '│'}{row}" for name, row in zip(names, cells, strict=True)]
    lines.append(" " * margin + " └" + "─" * width)
    if mark is not None:
        column = _position(_scaled(mark, log_x), left, right, width)
        lines.append(" " * (margin + 2) + " " * column + "▲")
    lines.append(" " * (margin + 2) + _x_axis(x[0], x[-1], x_label, width))
    return "\n".join(line.rstrip() for line in lines)


def _scaled(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _position(value: float, first: float, last: float, count: int) -> int:
    """Which of `count` places between two ends a value is at."""
    share = (value - first) / (last - first) if last > first else 0.0
    return min(max(round(share * (count - 1)), 0), count - 1)


def _draw(columns: Sequence[int], rows: Sequence[int], width: int, height: int) -> list[str]:
    """The rows of a drawing of lines from dot to dot."""
    bits = [[_BLANK] * width for _ in range(height)]
    starts = list(zip(columns, rows, strict=True))
    for (column, row), (next_column, next_row) in zip(starts, starts[1:] or starts, strict=False):
        steps = max(abs(next_column - column), abs(next_row - row), 1)
        for step in range(steps + 1):
            dot_x = round(column + (next_column - column) * step / steps)
            dot_y = round(row + (next_row - row) * step / steps)
            bits[dot_y // 4][dot_x // 2] |= _DOTS[dot_x % 2][dot_y % 4]
    return ["".join(chr(cell) if cell != _BLANK else " " for cell in line) for line in bits]


def _x_axis(first: float, last: float, label: str, width: int) -> str:
    start, end = f"{first:.3g}", f"{last:.3g}"
    return start + label.center(width - len(start) - len(end)) + end
