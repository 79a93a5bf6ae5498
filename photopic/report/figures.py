"""Charts as matplotlib figures: lines, points, ROC curves, bars. Their style is that of canvas.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photopic.report.canvas import (
    COLOURS,
    DASHES,
    FORMS,
    GREY,
    INK,
    PALE,
    PANEL_INCHES,
    PAPER,
    LegendPlace,
    add_legend,
    finish,
    new_figure,
    save_png,
)
from photopic.report.labels import FONT_POINTS, place_labels
from photopic.report.pictures import image_grid, value_table

__all__ = [
    "Line",
    "Panel",
    "Points",
    "bar_with_intervals",
    "image_grid",
    "line_chart",
    "line_panels",
    "roc",
    "save_png",
    "scatter",
    "scatter_panels",
    "value_table",
]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED_UP_TO = 30
"""A line with at most this many points shows each of them."""


@dataclass(frozen=True)
class Line:
    """One line of a chart. Values that are not finite leave a gap."""

    name: str
    """In the legend; empty: not named there."""
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray | None = None
    """With `high`: a pale band around the line, such as an interval or the range over seeds."""
    high: Sequence[float] | np.ndarray | None = None
    points: bool | None = None
    """Whether each value is marked; None: while there are few."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes with lines. `marks` are (x, y, text): points with a word beside them."""

    lines: Sequence[Line]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    log_x: bool = False
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    marks: Sequence[tuple[float, float, str]] = ()
    legend: LegendPlace = "best"


@dataclass(frozen=True)
class Points:
    """One group of a scatter plot; `labels` are words beside its points."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    labels: Sequence[str] = ()
    sizes: Sequence[float] | None = None
    """Areas, square points (1/72 inch)."""


# ---- line charts -----------------------------------------------------------------------------------------


def line_chart(
    series: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, float, str]] = (),
    legend: LegendPlace = "best",
) -> Figure:
    """Lines over one pair of axes. marks: points with a word beside them, such as the chosen rate."""
    panel = Panel(series, title, x_label, y_label, log_x, log_y, x_range, y_range, marks, legend)
    return line_panels([panel])


def line_panels(panels: Sequence[Panel], *, title: str = "", columns: int = 2) -> Figure:
    """Several line charts in one figure, row by row."""
    columns = min(columns, len(panels))
    figure, grid = new_figure(len(panels), columns, title=title)
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for number, line in enumerate(panel.lines):
        _draw_line(axes, line, number)
    for x, y, text in panel.marks:
        axes.plot([x], [y], marker="o", markersize=7, color=INK, fillstyle="none", linestyle="none")
        axes.annotate(text, (x, y), (7, 7), textcoords="offset points", fontsize=9, color=INK, bbox=PAPER)
    if panel.log_x:
        axes.set_xscale("log")
    elif all(np.asarray(line.x).dtype.kind in "iu" for line in panel.lines):
        axes.locator_params("x", integer=True)  # there is no epoch 1.5
    if panel.log_y:
        axes.set_yscale("log")
    if panel.x_range is not None:
        axes.set_xlim(panel.x_range)
    if panel.y_range is not None:
        axes.set_ylim(panel.y_range)
    finish(axes, panel.title, panel.x_label, panel.y_label)
    add_legend(axes, panel.legend)


def _draw_line(axes: Axes, line: Line, number: int) -> None:
    x, y = np.asarray(line.x, float), _finite(line.y)
    colour = COLOURS[number % len(COLOURS)]
    form = number + number // len(COLOURS)  # a colour that comes again has another dash and marker
    marked = len(x) <= MARKED_UP_TO if line.points is None else line.points
    if line.low is not None and line.high is not None:
        axes.fill_between(x, _finite(line.low), _finite(line.high), color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        x,
        y,
        color=colour,
        linestyle=DASHES[form % len(DASHES)],
        linewidth=1.7,
        marker=FORMS[form % len(FORMS)] if marked else "",
        markersize=4,
        label=line.name or "_",
    )


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """As float64, with NaN for what is not finite."""
    numbers = np.asarray(values, float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


# ---- points, curves of a threshold, bars -------------------------------------------------------------------


def scatter(
    groups: Sequence[Points], *, title: str, x_label: str, y_label: str, log_x: bool = False
) -> Figure:
    """Groups of points, told apart by colour and form, with words beside them where given."""
    return scatter_panels([(title, groups, x_label, y_label)], log_x=log_x)


def scatter_panels(
    panels: Sequence[tuple[str, Sequence[Points], str, str]],
    *,
    title: str = "",
    columns: int = 3,
    log_x: bool = False,
) -> Figure:
    """Several scatter plots in one figure; each panel: title, groups, label of x, label of y."""
    figure, grid = new_figure(len(panels), min(columns, len(panels)), title=title)
    for axes, (name, groups, x_label, y_label) in zip(grid, panels, strict=True):
        for number, group in enumerate(groups):
            axes.scatter(
                group.x,
                group.y,
                s=36 if group.sizes is None else list(group.sizes),
                marker=FORMS[number % len(FORMS)],
                color=COLOURS[number % len(COLOURS)],
                label=group.name or "_",
                alpha=0.85,
                linewidth=0,
                zorder=3,
            )
        if log_x:
            axes.set_xscale("log")
        axes.margins(0.12)
        for group in groups:
            _write_labels(axes, group)
        finish(axes, name, x_label, y_label)
        add_legend(axes, "best")
    return figure


def _write_labels(axes: Axes, group: Points) -> None:
    if not group.labels:
        return
    inches = np.array(PANEL_INCHES) * 0.85  # about what titles and ticks leave of a panel
    data = np.column_stack([np.asarray(group.x, float), np.asarray(group.y, float)])
    places = axes.transAxes.inverted().transform(axes.transData.transform(data)) * inches * 72
    for point, text, (right, up, side) in zip(
        data, group.labels, place_labels(places, group.labels), strict=True
    ):
        axes.annotate(
            text,
            (float(point[0]), float(point[1])),
            (right, up),
            textcoords="offset points",
            fontsize=FONT_POINTS,
            color=GREY,
            ha="left" if side == "left" else "right",
        )


def roc(curves: Sequence[Line], *, title: str, marks: Sequence[tuple[float, float, str]] = ()) -> Figure:
    """Sensitivity over 1 − specificity, with the diagonal of guessing. x and y in 0..1."""
    figure, (axes,) = new_figure(1, 1, panel_inches=(4.8, 4.6))
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1.2, zorder=1)
    ticks = np.linspace(0, 1, 6)
    _draw_panel(axes, Panel(curves, title, "1 − specificity", "sensitivity", marks=marks))
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=ticks, yticks=ticks, aspect="equal")
    return figure


def bar_with_intervals(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float] | None] | None = None,
    *,
    title: str,
    value_label: str,
    reference: Sequence[float | None] | None = None,
    reference_name: str = "reported",
    decimals: int = 3,
    value_range: tuple[float, float] | None = None,
) -> Figure:
    """Horizontal bars with their intervals, first name on top.

    reference: a number to compare each bar with, drawn as an upright stroke.
    value_range: of the axis. One that does not begin at 0 shows dots: the length of a cut bar would mislead.
    """
    figure, (axes,) = new_figure(1, 1, panel_inches=(6.8, 1.3 + 0.36 * len(names)))
    places = np.arange(len(names))
    if value_range is None or value_range[0] == 0:
        axes.barh(places, values, height=0.62, color=COLOURS[5], zorder=2)
    else:
        axes.scatter(values, places, s=42, color=COLOURS[0], zorder=5)
    strokes = reference or [None] * len(names)
    ends = [
        value if interval is None else max(value, interval[1])
        for value, interval in zip(values, intervals or [None] * len(names), strict=True)
    ]
    least, most = value_range or (0, max([*ends, *(stroke for stroke in strokes if stroke is not None)]))
    label_width = 0.14 * (most - least)
    for place, interval in enumerate(intervals or []):
        if interval is not None:
            axes.plot(interval, [place, place], color=INK, linewidth=1.6, marker="|", markersize=7, zorder=4)
    for place, (value, end, stroke) in enumerate(zip(values, ends, strokes, strict=True)):
        if stroke is not None and end < stroke < end + label_width:  # the number stands behind the stroke
            end = stroke
        axes.annotate(
            f"{value:.{decimals}f}", (end, place), (6, 0), textcoords="offset points", fontsize=8,
            va="center", color=INK,
        )  # fmt: skip
    if reference is not None:
        told = [(value, place) for place, value in enumerate(reference) if value is not None]
        axes.scatter(
            [value for value, _ in told], [place for _, place in told], marker="|", s=190,
            color=COLOURS[1], linewidth=2.2, zorder=5, label=reference_name,
        )  # fmt: skip
    axes.set_yticks(places, list(names))
    axes.invert_yaxis()
    axes.margins(x=0.16)
    if value_range is not None:
        axes.set_xlim(value_range)
    finish(axes, title, value_label, "")
    axes.grid(visible=False, axis="y")
    add_legend(axes, "right" if reference is not None else "none")
    return figure
