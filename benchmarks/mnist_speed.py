"""MNIST: time to 99.0 % test accuracy, photopic beside the course's Keras script (C10).

photopic: the whole `train` with the recipe mnist-fast, which must reach 99.0 % in the mean of its seeds:
index, decoding, training, scoring validation and test. Keras: from before reading the files to the end of the
first epoch with 99.0 % on the test images; the time it spends on validation is left out. Imports are left out
on both sides.

    python benchmarks/mnist_speed.py [--seeds 5] [--keras-seeds 3] [--recipe mnist-fast] [--set key=value]…
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from harness import data_dir, row, run_keras, run_training, spread, write_result

BAR, GOAL_RATIO = 0.99, 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keras-seeds", type=int, default=3)
    parser.add_argument("--recipe", default="mnist-fast")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    settings = [part for setting in options.set for part in ("--set", setting)]
    ours: list[dict[str, Any]] = []
    keras: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(max(options.seeds, options.keras_seeds)):
            if seed < options.seeds:
                work = Path(name) / str(seed)
                given = ["--data-dir", str(data_dir()), "--recipe", options.recipe, "--seed", str(seed)]
                ours.append(run_training("mnist", work / "run", work / "cache", *given, *settings))
            if seed < options.keras_seeds:
                keras.append(run_keras("keras_c10.py", "--data-dir", data_dir(), "--seed", str(seed)))
    write_result("mnist_speed", {"photopic": ours, "keras": keras, "rows": rows(ours, keras)})


def rows(ours: list[dict[str, Any]], keras: list[dict[str, Any]]) -> list[Any]:
    accuracies = [run["test"]["accuracy"]["value"] for run in ours]
    mean = statistics.fmean(accuracies)
    our_time = spread([run["wall_s"] for run in ours])["median"]
    # a seed that never reaches the bar counts with its last epoch, which is in Keras' favour
    their_time = spread([(run["to_bar"] or run["epochs"][-1])["without_validation_s"] for run in keras])[
        "median"
    ]
    ratio = their_time / our_time
    return [
        row(
            f"MNIST: mean test accuracy of the fast recipe, {len(ours)} seeds",
            f"{mean:.2%} ({min(accuracies):.2%} to {max(accuracies):.2%})",
            f"≥ {BAR:.1%}",
            mean >= BAR,
        ),
        row(
            "MNIST: time to 99.0 %, beside the course's Keras script",
            f"{our_time:.1f} s, Keras {their_time:.0f} s: 1/{ratio:.1f}",
            f"≤ 1/{GOAL_RATIO}",
            ratio >= GOAL_RATIO and mean >= BAR,
        ),
    ]


if __name__ == "__main__":
    main()
