"""Figures: what is drawn is what was given, and drawing leaves nothing behind."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photopic.report import figures
from photopic.report.figures import Line, Panel, Points
from photopic.report.labels import place_labels

X = [1.0, 2.0, 3.0]


def pixels(figure: object) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")  # type: ignore[attr-defined]
    return np.asarray(Image.open(buffer).convert("RGB"))


def chart(y: list[float] | np.ndarray, **options: object) -> object:
    line = Line("loss", X, y)
    return figures.line_chart([line], title="t", x_label="x", y_label="y", **options)  # type: ignore[arg-type]


def test_epochs_have_whole_ticks_and_other_axes_may_have_fractions() -> None:
    for x, whole in (([1, 2, 3], True), ([1.0, 2.0, 3.0], False)):
        figure = figures.line_chart([Line("", x, [3, 2, 1])], title="t", x_label="x", y_label="y")
        ticks = figure.axes[0].get_xticks()
        assert all(tick == int(tick) for tick in ticks) == whole


def test_a_line_chart_holds_the_numbers_titles_and_scales_that_were_given() -> None:
    figure = figures.line_chart(
        [Line("a", X, [3, 2, 1]), Line("b", X, [1, 2, 3])],
        title="Losses",
        x_label="epoch",
        y_label="loss",
        log_x=True,
        y_range=(0, 4),
    )
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["a", "b"]
    np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("Losses", "epoch", "loss")
    assert (axes.get_xscale(), axes.get_ylim()) == ("log", (0, 4))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_lines_differ_by_more_than_their_colour() -> None:
    figure = figures.line_chart([Line(name, X, X) for name in "abcd"], title="", x_label="", y_label="")
    styles = {(line.get_linestyle(), line.get_marker()) for line in figure.axes[0].get_lines()}
    assert len(styles) == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_leave_a_gap_and_do_not_fail(bad: float) -> None:
    figure = chart([1.0, bad, 2.0])
    drawn = figure.axes[0].get_lines()[0].get_ydata()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(drawn, [1.0, np.nan, 2.0])
    assert np.isfinite(pixels(figure)).all()


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        figures.save_png(chart([1, 2, 3]), tmp_path / "sub" / name)  # type: ignore[arg-type]
    one, two = ((tmp_path / "sub" / name).read_bytes() for name in ("one.png", "two.png"))
    assert one == two
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["one.png", "two.png"]


def test_drawing_touches_neither_pyplot_nor_the_settings_of_matplotlib() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from photopic.report.figures import Line, line_chart\n"
        "line_chart([Line('a', [1, 2], [1, 2])], title='', x_label='', y_label='')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert before == matplotlib.rcParams.copy()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_importing_figures_loads_no_matplotlib() -> None:
    code = "import sys, photopic.report.figures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_panels_stand_in_rows_and_spare_places_are_empty() -> None:
    figure = figures.line_panels([Panel([Line("a", X, X)], f"panel {n}") for n in range(3)], columns=2)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["panel 0", "panel 1", "panel 2"]


def test_an_image_grid_shows_each_pixel_unchanged() -> None:
    images = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((2, 3, 3), 200, np.uint8)]
    figure = figures.image_grid(images, columns=2, titles=["grey", "colour"])
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(np.asarray(shown[0]), images[0])
    np.testing.assert_array_equal(np.asarray(shown[1]), images[1])
    assert [axes.get_title() for axes in figure.axes] == ["grey", "colour"]


def test_a_value_table_writes_every_number() -> None:
    figure = figures.value_table(np.array([[1, 2], [3, 40]]), title="pixels")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "3", "40"]


def test_roc_has_the_diagonal_and_both_ends() -> None:
    (axes,) = figures.roc([Line("", [0, 0.5, 1], [0, 0.8, 1])], title="ROC").axes
    diagonal, curve = axes.get_lines()
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    np.testing.assert_array_equal(curve.get_xydata(), [[0, 0], [0.5, 0.8], [1, 1]])


def test_bars_begin_at_zero_and_a_cut_axis_shows_dots_instead() -> None:
    options = {"title": "t", "value_label": "accuracy"}
    whole = figures.bar_with_intervals(["a", "b"], [0.9, 0.95], [(0.88, 0.92), None], **options)
    cut = figures.bar_with_intervals(["a", "b"], [0.9, 0.95], value_range=(0.85, 1.0), **options)
    assert [patch.get_width() for patch in whole.axes[0].patches] == [0.9, 0.95]
    assert {patch.get_x() for patch in whole.axes[0].patches} == {0}
    assert len(cut.axes[0].patches) == 0
    np.testing.assert_array_equal(whole.axes[0].get_lines()[0].get_xdata(), [0.88, 0.92])


def test_scatter_writes_the_labels_beside_the_points() -> None:
    figure = figures.scatter([Points("A", [1, 2], [3, 4], ["p", "q"])], title="", x_label="", y_label="")
    assert [(text.get_text(), text.xy) for text in figure.axes[0].texts] == [("p", (1, 3)), ("q", (2, 4))]


def test_labels_cover_neither_each_other_nor_points() -> None:
    places = np.array([[100.0, 100.0], [104.0, 100.0], [150.0, 104.0]])
    offsets = place_labels(places, ["VGG16", "VGG19", "ResNet"])
    boxes = []
    for (x, y), (right, up, side) in zip(places, offsets, strict=True):
        left = x + right - (0 if side == "left" else 30)
        boxes.append((left, y + up, left + 30, y + up + 8))
    for a in range(3):
        for b in range(a):
            apart = boxes[a][2] <= boxes[b][0] or boxes[b][2] <= boxes[a][0]
            assert apart or boxes[a][3] <= boxes[b][1] or boxes[b][3] <= boxes[a][1]
