"""Pictures beside what a network answered: a bar for the probability of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photopic.report.canvas import COLOURS, INK, finish, new_figure
from photopic.report.pictures import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Answer:
    """A picture, and the probabilities that a network gave to classes."""

    image: np.ndarray
    """(H, W) or (H, W, 1) grey, or (H, W, 3): uint8, or float in 0..1."""
    names: Sequence[str]
    """Classes, from the top bar to the lowest."""
    probs: Sequence[float] | np.ndarray
    """The probability of each, 0..1."""
    truth: str | None = None
    """The right class, whose bar is drawn in another colour and marked; None: not known."""
    title: str = ""
    """Above the picture."""


def answer_figure(answers: Sequence[Answer], *, title: str = "", decimals: int = 3) -> Figure:
    """Each picture at the left, its probabilities at the right, one answer below the other."""
    most = max(len(answer.names) for answer in answers)
    figure, grid = new_figure(
        2 * len(answers), 2, title=title, panel_inches=(3.4, max(1.6, 0.4 + 0.22 * most))
    )
    for number, answer in enumerate(answers):
        left, right = grid[2 * number : 2 * number + 2]
        picture(left, answer.image)
        if answer.title:
            left.set_title(answer.title, fontsize=10, color=INK, loc="left", wrap=True)
        _draw_bars(right, answer, decimals)
        if number < len(answers) - 1:
            right.set_xlabel("")
    return figure


def _draw_bars(axes: Axes, answer: Answer, decimals: int) -> None:
    places = np.arange(len(answer.names))
    colours = [COLOURS[2] if name == answer.truth else COLOURS[5] for name in answer.names]
    axes.barh(places, answer.probs, height=0.7, color=colours, zorder=2)
    for place, prob in zip(places, answer.probs, strict=True):
        axes.annotate(
            f"{prob:.{decimals}f}", (float(prob), float(place)), (4, 0), textcoords="offset points",
            fontsize=8, va="center", color=INK,
        )  # fmt: skip
    words = [f"{name} (truth)" if name == answer.truth else name for name in answer.names]
    axes.set_yticks(places, words)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.16)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    finish(axes, "", "probability", "")
    axes.grid(visible=False, axis="y")
