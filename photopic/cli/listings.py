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
        columns = ["run", "data", "recipe", "status", "created", ">val", ">test"]
        rows = [
            (
                run.path.name,
                run.manifest.data.get("name", "–"),
                run.recipe.name,
                "killed" if run.manifest.status == "running" and not run.is_at_work else run.manifest.status,
                run.manifest.created[:10],
                _accuracy(run.manifest.results, "val"),
                _accuracy(run.manifest.results, "test"),
            )
            for run in found
        ]
        title = f"runs in {folder}, oldest first, with accuracy on validation and test images"
        print_table(columns, rows, title=title)
    for error in broken:
        print(f"photopic: {error}", file=sys.stderr)  # noqa: T201


def _accuracy(results: dict[str, Any], split: str) -> str:
    """Of a split; a dash where it was not scored."""
    measured = results.get(split, {}).get("measured", [])
    return next((number(row["value"]) for row in measured if row["name"] == "accuracy"), "–")
