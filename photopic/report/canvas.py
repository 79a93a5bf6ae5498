"""The ground that figures are drawn on: one style, readable in print and for colour-blind readers.

Colours are those of Okabe and Ito (2008, "Color universal design"); lines differ by dashes too, and points by
their form, so that nothing is told by colour alone. No pyplot and no rcParams: figures made here change
nothing for a program that draws with matplotlib itself. matplotlib is imported by the first figure, not by
this module.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from photopic.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
FORMS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, GREY, PALE = "#1A1A1A", "#6B6B6B", "#DDDDDD"
PANEL_INCHES = (6.4, 4.0)
DOTS_PER_INCH = 110
PAPER = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
"""Behind words that stand on lines."""

LegendPlace = Literal["best", "right", "none"]


def new_figure(
    count: int,
    columns: int,
    *,
    title: str = "",
    panel_inches: tuple[float, float] = PANEL_INCHES,
    keep_spare: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` pairs of axes in rows of `columns`, and the axes, row by row.

    Places that are left over in the last row are empty; with keep_spare they are returned too.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = math.ceil(count / columns)
    width, height = panel_inches
    scale = {1: 1.0, 2: 0.82}.get(columns, 0.62) if width > 3 else 1.0  # charts side by side may be smaller
    size = (width * columns * scale + 0.3, height * rows * scale + (0.45 if title else 0.1))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    if keep_spare:
        return figure, axes
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def finish(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Titles, a pale grid and no frame at the top and the right."""
    axes.set_title(title, fontsize=11, color=INK, loc="left", wrap=True)
    axes.set_xlabel(x_label, fontsize=10, color=INK)
    axes.set_ylabel(y_label, fontsize=10, color=INK)
    axes.grid(visible=True, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9, labelcolor=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def add_legend(axes: Axes, place: LegendPlace) -> None:
    """A legend, if the chart names more than one thing and `place` is not "none"."""
    named = [label for label in axes.get_legend_handles_labels()[1] if not label.startswith("_")]
    if place == "none" or not named or (len(named) == 1 and place == "best"):
        return
    outside = place == "right" or len(named) > 6
    options: dict[str, Any] = (
        {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if outside else {"loc": "best"}
    )
    axes.legend(fontsize=8.5, frameon=not outside, framealpha=0.85, edgecolor=PALE, **options)


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())
