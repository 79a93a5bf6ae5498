"""How commands print: tables for people, JSON for programs, both on standard output."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from photopic.data.dataset import Excluded
    from photopic.evaluation.evaluate import Scores

SHOWN_EXCLUSIONS = 20


class _Output(Console):
    """Standard output, for people."""

    def on_broken_pipe(self) -> None:
        """The reader, such as `head`, has seen enough: no failure, and `run` ends the command."""
        raise BrokenPipeError


def say(text: str = "") -> None:
    """Print a line for people."""
    _Output(highlight=False).print(text, markup=False, soft_wrap=True)


def names_in(text: str | None) -> tuple[str, ...] | None:
    """The names in `cat, dog`, in quotes where they have commas or outer spaces, as in CSV: `"salt, pepper"`.

    None where nothing was given.
    """
    if text is None:
        return None
    found = re.findall(r'\s*(?:"((?:[^"]|"")*)"|([^,]*?))\s*(?:,|$)', text)
    names = (quoted.replace('""', '"') or plain for quoted, plain in found)
    return tuple(name for name in names if name)


def print_json(value: Any) -> None:
    """Print one JSON document; numbers that are undefined (NaN) become null."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; columns whose name starts with `>` are right-aligned."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*[_cell(value) for value in row])
    console = _Output(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = sys.maxsize  # a file or the next program gets whole lines: a folded name is no name
    console.print(table, markup=False)


def print_scores(scores: Scores, title: str, *, classes: bool = True) -> None:
    """Print a split's numbers with their intervals, the worst classes and the most frequent mistakes."""
    rows = [
        (row["name"].replace("_", " "), number(row["value"]), _interval(row["low"], row["high"]))
        for row in scores.rows()
    ]
    print_table(
        ["", ">value", "95 % interval"],
        rows,
        title=f"{title}: {plural(scores.n, 'image')}",
    )
    if not classes:
        return
    by_recall = sorted(scores.class_rows(), key=lambda row: (row["recall"] is None, row["recall"]))
    shown = by_recall[:10]
    print_table(
        ["class", ">images", ">recall", "95 % interval", ">precision", ">specificity", ">AUC"],
        [
            (
                row["class"],
                row["images"],
                number(row["recall"]),
                _interval(row["recall_low"], row["recall_high"]),
                number(row["precision"]),
                number(row["specificity"]),
                number(row["auc"]),
            )
            for row in shown
        ],
        title="classes"
        if len(shown) == len(by_recall)
        else f"the {len(shown)} classes with the lowest recall",
    )
    pairs = scores.confused_pairs(5)
    if pairs:
        print_table(
            ["truth", "taken for", ">times"],
            [(pair.truth, pair.predicted, pair.count) for pair in pairs],
            title="most frequent mistakes",
        )


def print_excluded(excluded: Sequence[Excluded]) -> None:
    """Say which files were left out, and why."""
    say(f"left out: {plural(len(excluded), 'file')} that cannot be used")
    for item in excluded[:SHOWN_EXCLUSIONS]:
        say(f"  {item.path}: {item.reason}")
    if len(excluded) > SHOWN_EXCLUSIONS:
        say(f"  … and {len(excluded) - SHOWN_EXCLUSIONS:,} more (--json lists all)")


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 image, 2,000 images."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def number(value: float | None) -> str:
    """A score with four decimals; a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{number(low)} … {number(high)}"


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
