"""`photopic runs` and `photopic models`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from photopic.cli.output import number, print_json, print_table, say
from photopic.errors import ConfigError, RunError, did_you_mean

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


def models(filter: str = "", /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:  # noqa: A002
    """List the networks that a recipe can name.

    Parameters
    ----------
    filter
        Only names that contain this text.
    json
        Print JSON.
    """
    from dataclasses import asdict

    from photopic import api

    listed = api.list_models()
    found = [model for model in listed if filter.lower() in model.name]
    if not found:
        hint = did_you_mean(filter, (model.name for model in listed))
        raise ConfigError(f'no network has "{filter}" in its name.{hint}')
    if json:
        print_json([asdict(model) for model in found])
        return
    rows = [
        (model.name, model.family, model.parameters, "yes" if model.offline else "no", model.license)
        for model in found
    ]
    print_table(["name", "family", ">parameters", "offline", "licence of weights"], rows)
    if not filter:
        say(f"{len(found):,} networks; `photopic models resnet` lists those with that text in their name.")
