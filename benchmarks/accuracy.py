"""The best recipes on their data sets, each within its time limit, scored once on the official test images.

python benchmarks/accuracy.py [NAME…]      names: mnist, fashion-mnist, gtsrb, cifar10; none: all
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from harness import data_dir, row, run_training, write_result


class Task(NamedTuple):
    """A data set, the recipe made for it, and what it should reach."""

    recipe: str
    goal: float
    """Test accuracy, a fraction."""
    limit_min: int
    """Wall time of the whole run, minutes."""


TASKS = {
    "mnist": Task("mnist-best", 0.996, 15),
    "fashion-mnist": Task("fashion-best", 0.94, 15),
    "gtsrb": Task("gtsrb-best", 0.9884, 20),
    "cifar10": Task("cifar10-best", 0.90, 60),
}


def measure(name: str, task: Task) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        given = ["--data-dir", str(data_dir()), "--recipe", task.recipe]
        limit = ["--time-limit", f"{task.limit_min}m"]
        return run_training(name, Path(folder) / "run", Path(folder) / "cache", *given, *limit)


def main() -> int:
    names = sys.argv[1:] or list(TASKS)
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        print(f"not known: {', '.join(unknown)}; known: {', '.join(TASKS)}", file=sys.stderr)
        return 2
    for name in names:
        task = TASKS[name]
        run = measure(name, task)
        accuracy = run["test"]["accuracy"]
        low, high = accuracy["interval"]["low"], accuracy["interval"]["high"]
        minutes = run["process_s"] / 60
        line = row(
            f"{name}: test accuracy of {run['recipe']} within {task.limit_min} minutes",
            f"{accuracy['value']:.2%} ({low:.2%} to {high:.2%}), {minutes:.1f} minutes",
            f"≥ {task.goal:.2%}",
            accuracy["value"] >= task.goal and minutes <= task.limit_min,
        )
        write_result(f"accuracy-{name}", {"photopic": run, "rows": [line]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
