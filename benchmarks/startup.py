"""How long `photopic --help` takes, beside a bare Python that starts and ends.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness import PHOTOPIC, interleave, row, seconds, spread, write_result

REPEATS = 15
GOAL_S = 0.5


def call(*command: str | Path) -> float:
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main() -> None:
    sides = {
        "help_s": lambda: call(PHOTOPIC, "--help"),
        "python_s": lambda: call(sys.executable, "-c", "pass"),
    }
    for side in sides.values():
        side()  # files into the page cache, bytecode onto the disk
    readings = interleave(sides, REPEATS)
    median = spread(readings["help_s"])["median"]
    bare = spread(readings["python_s"])["median"]
    measured = f"{median:.2f} s (bare Python: {bare:.2f} s)"
    rows = [row("`photopic --help`", measured, f"≤ {GOAL_S} s", median <= GOAL_S)]
    write_result("startup", {"readings": readings, "rows": rows})


if __name__ == "__main__":
    main()
