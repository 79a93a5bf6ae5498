"""Words beside points, placed so that they do not cover each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FONT_POINTS = 7.0
_LETTER_WIDTH, _LINE_HEIGHT = 0.56, 1.25
"""Of the font size; DejaVu Sans' letters are 0.56 wide on average."""
_GAP = 5.0
Offset = tuple[float, float, str]
"""Points to the right and up, and the side of the word that stands there: left or right."""
_PLACES: tuple[Offset, ...] = (
    (_GAP, 3.0, "left"),
    (-_GAP, 3.0, "right"),
    (_GAP, -8.0, "left"),
    (-_GAP, -8.0, "right"),
    (_GAP, 11.0, "left"),
    (-_GAP, 11.0, "right"),
    (_GAP, -16.0, "left"),
    (-_GAP, -16.0, "right"),
)


def place_labels(places: np.ndarray, words: Sequence[str]) -> list[Offset]:
    """Where each word stands beside its point: the first of a few places that covers no other word or point.

    places: (n, 2) points (1/72 inch) on the page. Words that find no free place take the first.
    """
    height = FONT_POINTS * _LINE_HEIGHT
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    chosen: list[Offset] = []
    for (x, y), word in zip(places, words, strict=True):
        width = FONT_POINTS * _LETTER_WIDTH * len(word)
        boxes = []
        for right, up, side in _PLACES:
            left = x + right if side == "left" else x + right - width
            boxes.append((left, y + up, left + width, y + up + height))
        free = [not any(_overlap(box, other) for other in taken) for box in boxes]
        number = free.index(True) if True in free else 0
        taken.append(boxes[number])
        chosen.append(_PLACES[number])
    return chosen


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
