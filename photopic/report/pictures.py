"""Pictures in figures: grids of images, and an image with its numbers written into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from photopic.report.canvas import INK, PALE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def image_grid(
    images: Sequence[np.ndarray],
    *,
    columns: int,
    titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    title: str = "",
    value_range: tuple[float, float] | None = None,
    inches: float = 1.0,
    decimals: int | None = None,
) -> Figure:
    """Pictures in rows, each pixel a square of one colour.

    images: (H, W) or (H, W, 1) grey, drawn dark to bright, or (H, W, 3): uint8, or float in 0..1.
    titles: a line above each picture. row_titles: a word before each row.
    value_range: the grey values of black and white; None: each picture's own least and greatest.
    inches: side of a picture. decimals: write each pixel's number into it, with so many; None: no numbers.
    """
    rows = math.ceil(len(images) / columns)
    above = 0.17 if titles else 0.0
    figure, grid = new_figure(
        len(images), columns, title=title, panel_inches=(inches, inches + above), keep_spare=True
    )
    for number, axes in enumerate(grid):
        if number >= len(images):
            axes.remove()
            continue
        picture(axes, images[number], value_range=value_range)
        if decimals is not None:
            write_values(axes, images[number], decimals)
        if number < len(titles):
            axes.set_title(titles[number], fontsize=7, color=INK, pad=2)
    for row, word in zip(range(rows), row_titles, strict=False):
        grid[row * columns].annotate(
            word, (-0.08, 0.5), xycoords="axes fraction", ha="right", va="center", fontsize=8, color=INK
        )
    return figure


def picture(axes: Axes, image: np.ndarray, *, value_range: tuple[float, float] | None = None) -> None:
    """One picture on its axes."""
    grey = image.ndim == 2 or image.shape[2] == 1
    pixels = image.reshape(image.shape[:2]) if grey else image
    low, high = value_range or (float(pixels.min()), float(pixels.max()))
    axes.imshow(
        pixels,
        cmap="gray" if grey else None,
        vmin=low if grey else None,
        vmax=max(high, low + 1e-12) if grey else None,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(PALE)


def write_values(axes: Axes, values: np.ndarray, decimals: int) -> None:
    """Write the numbers of a picture (H, W) into its pixels, dark on bright and bright on dark."""
    middle = (float(values.min()) + float(values.max())) / 2
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{value:.{decimals}f}",
            ha="center",
            va="center",
            fontsize=6.5,
            color="black" if value > middle else "white",
        )


def value_table(values: np.ndarray, *, title: str, decimals: int = 0, inches: float = 0.3) -> Figure:
    """A picture (H, W) with each pixel's number written into it."""
    height, width = values.shape
    figure, (axes,) = new_figure(1, 1, panel_inches=(width * inches + 0.2, height * inches + 0.5))
    picture(axes, values)
    write_values(axes, values, decimals)
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    return figure
