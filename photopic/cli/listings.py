"""`photopic runs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from photopic.cli.output import number, print_json, print_table, say
from photopic.errors import RunError

DEFAULT_FOLDER = Path("runs")


def runs(folder: Path = DEFAULT_FOLDER, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the runs in a folder, oldest first.

    Parameters
    ----------
    folder
        The folder that holds the run folders.
    json
        Print JSON.
    """
    from photopic import api

    if not folder.is_dir() and folder != DEFAULT_FOLDER:
        raise RunError(f"{folder}: there is no such folder.")
    broken: list[RunError] = []
    found = api.list_runs(folder, on_error=broken.append)
    if json:
        print_json([{"path": str(run.path)} | run.manifest.model_dump(mode="json") for run in found])
    elif not found:
        say(f"{folder}: no runs here yet. `photopic train DATA` makes one.")
    else:
        columns = ["run", "data", "recipe", "status", "created", ">accuracy"]
        rows = [
            (
                run.path.name,
                run.manifest.data.get("name", "–"),
                run.recipe.name,
                "killed" if run.manifest.status == "running" and not run.is_at_work else run.manifest.status,
                run.manifest.created[:10],
                _accuracy(run.manifest.results),
            )
            for run in found
        ]
        print_table(columns, rows, title=f"runs in {folder}, oldest first, with test accuracy")
    for error in broken:
        print(f"photopic: {error}", file=sys.stderr)  # noqa: T201


def _accuracy(results: dict[str, Any]) -> str:
    """Of the test, or else of the validation, which is said; a dash where there is neither."""
    for split, mark in (("test", ""), ("val", "val ")):
        measured = results.get(split, {}).get("measured", [])
        values = [row["value"] for row in measured if row["name"] == "accuracy"]
        if values:
            return mark + number(values[0])
    return "–"
