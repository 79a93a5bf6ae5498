"""Run benchmarks by name, one after the other, then write the table.

    python benchmarks/run.py NAME…      or: all

Each NAME is a script beside this one; it measures, and writes benchmarks/results/NAME.json.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    "startup",
    "training_step",
    "precision",
    "augmentation",
    "cats_dogs",
    "mnist_speed",
    "accuracy",
    "unequal_classes",
)


def main() -> int:
    names = sys.argv[1:]
    unknown = [name for name in names if name not in (*NAMES, "all")]
    if unknown or not names:
        print(f"usage: python benchmarks/run.py NAME…   names: {', '.join(NAMES)}, all", file=sys.stderr)
        return 2
    failed = []
    for name in NAMES if "all" in names else names:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, HERE / f"{name}.py"]).returncode != 0:
            failed.append(name)
    subprocess.run([sys.executable, HERE / "table.py"], check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
