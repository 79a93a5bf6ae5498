"""`photopic history`."""

from __future__ import annotations

import csv as csv_format
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from photopic.cli.display import duration
from photopic.cli.output import number, print_json, print_table, say
from photopic.errors import ConfigError, RunError


def history(
    run: Path,
    /,
    *,
    csv: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """A training, epoch by epoch: a row for each, the one whose weights are kept marked.

    Training numbers are averages over the epoch, of augmented images and while the network still changed;
    validation numbers are those of the network at the epoch's end.

    Parameters
    ----------
    run
        The run folder.
    csv
        Print CSV.
    json
        Print JSON.
    """
    from photopic import api
    from photopic.evaluation.history import COLUMNS

    if csv and json:
        raise ConfigError("--csv and --json exclude each other: leave one of them out.")
    opened = api.open_run(run)
    rows = opened.history()
    if not rows and opened.manifest.joined is not None:
        members = ", ".join(member.path for member in opened.manifest.joined.members)
        raise RunError(f"{run}: is an ensemble, which has no epochs. Those of its members are in {members}.")
    if not rows and opened.recipe.way == "frozen":
        raise RunError(f"{run}: has no epochs: in the way frozen the head is fitted in one go.")
    if not rows:
        raise RunError(
            f"{run}: has no finished epoch yet (status: {opened.manifest.status}). {opened.advice()}"
        )
    if json:
        print_json(rows)
    elif csv:
        writer = csv_format.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_rows(rows, title=f"{opened.recipe.name}, {opened.manifest.status}")
        selected = opened.manifest.selected
        if "stopped" in selected:
            say(f"stopped early: {selected['stopped']}")
        if selected:
            say(f"kept: the epoch marked best, by {selected['by']}")


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    columns = [
        ">epoch",
        ">rate",
        ">train loss",
        ">train accuracy",
        ">val loss",
        ">val accuracy",
        ">time",
        "",
    ]
    cells = [
        (
            row["epoch"],
            "–" if row["learning_rate"] is None else f"{row['learning_rate']:.3g}",
            number(row["train_loss"]),
            number(row["train_accuracy"]),
            number(row["val_loss"]),
            number(row["val_accuracy"]),
            duration(row["seconds"]),
            "best" if row["best"] else "",
        )
        for row in rows
    ]
    print_table(columns, cells, title=title)
