"""`photopic predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from photopic.cli.output import print_json, print_table, say
from photopic.errors import ConfigError


def predict(
    run: Path,
    images: Annotated[list[Path], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    top_k: int = 3,
    test_views: str | None = None,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
    csv: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Name the images in files, folders and zips.

    The order is that of the arguments. A file that cannot be read is listed with the reason, in its place.
    The exit code is 1 when not a single one could be read.

    Parameters
    ----------
    run
        The run folder, or an ensemble's.
    images
        Files, folders (searched in depth) and zips.
    top_k
        How many classes to show for each image.
    test_views
        Other views than the run's own: none, flip, shift or flip+shift.
    device
        auto, cpu, cuda, cuda:1 or mps.
    json
        Print JSON.
    csv
        Print CSV.
    """
    from photopic import api

    if json and csv:
        raise ConfigError("--csv and --json exclude each other: leave one of them out.")
    predictions = api.predict(run, images, top_k=top_k, test_views=test_views, device=device)
    if json:
        print_json(predictions.to_json())
    elif csv:
        sys.stdout.write(predictions.to_csv())
    else:
        rows = [
            (item.path, item.error or "  ".join(f"{name} {prob:.3f}" for name, prob in item.top))
            for item in predictions
        ]
        print_table(["image", "class and probability"], rows)
        if predictions.errors:
            say(f"{len(predictions.errors)} of {len(rows)} files could not be read.")
    return 1 if len(predictions.errors) == len(predictions) else 0
