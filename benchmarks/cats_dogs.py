"""Cats vs dogs, raw files to a finished, scored run: photopic beside the course's Keras pipeline (C27).

Both sides read the same 250+250 training and 250+250 validation photos. photopic reads the zip and its time
holds everything: index, decoding, features, head, scoring the 399 test photos. Keras reads unpacked files
(unpacking is not counted), trains 10 epochs and scores nothing. Whole processes are timed, imports included.

    python benchmarks/cats_dogs.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from harness import data_dir, interleave, row, run_keras, run_training, spread, write_result

GOAL_ACCURACY, GOAL_RATIO, GOAL_AGAIN_S, GOAL_BYTES = 0.985, 15, 10, 2e9


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    archive = data_dir() / "cats-dogs.zip"
    first: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    keras: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with zipfile.ZipFile(archive) as photos:
            photos.extractall(work / "photos")

        def photopic_side() -> float:
            """A first run with an empty cache, then the same again with the features in it."""
            number = len(first)
            cache = work / f"cache-{number}"
            first.append(run_training(str(archive), work / f"run-{number}", cache))
            again.append(run_training(str(archive), work / f"again-{number}", cache))
            return first[-1]["process_s"]

        def keras_side() -> float:
            keras.append(run_keras("keras_c27.py", "--photos", work / "photos", "--seed", str(len(keras))))
            return keras[-1]["process_s"]

        readings = interleave({"photopic_s": photopic_side, "keras_s": keras_side}, repeats)
    write_result(
        "cats_dogs",
        {
            "readings": readings,
            "photopic": first,
            "again": again,
            "keras": keras,
            "rows": rows(first, again, keras),
        },
    )


def rows(first: list[dict[str, Any]], again: list[dict[str, Any]], keras: list[dict[str, Any]]) -> list[Any]:
    accuracy = first[0]["test"]["accuracy"]  # the way frozen gives the same network each time
    low, high = accuracy["interval"]["low"], accuracy["interval"]["high"]
    ours = spread([run["process_s"] for run in first])["median"]
    theirs = spread([run["process_s"] for run in keras])["median"]
    second = spread([run["wall_s"] for run in again])["median"]
    peak = max(run["peak_bytes"] for run in first)
    readings = "one reading each" if len(first) == 1 else f"medians of {len(first)}"
    return [
        row(
            "cats vs dogs: accuracy on the 399 test photos",
            f"{accuracy['value']:.2%} ({low:.2%} to {high:.2%})",
            f"≥ {GOAL_ACCURACY:.1%}",
            accuracy["value"] >= GOAL_ACCURACY,
        ),
        row(
            "cats vs dogs: first run, beside the course's Keras pipeline",
            f"{ours:.1f} s, Keras {theirs:.0f} s: 1/{theirs / ours:.1f} ({readings})",
            f"≤ 1/{GOAL_RATIO}",
            theirs / ours >= GOAL_RATIO,
        ),
        row(
            "cats vs dogs: again, with the features cached (without imports)",
            f"{second:.1f} s ({readings})",
            f"≤ {GOAL_AGAIN_S} s",
            second <= GOAL_AGAIN_S,
        ),
        row(
            "cats vs dogs: peak memory",
            f"{peak / 1e9:.2f} GB",
            f"≤ {GOAL_BYTES / 1e9:.0f} GB",
            peak <= GOAL_BYTES,
        ),
    ]


if __name__ == "__main__":
    main()
