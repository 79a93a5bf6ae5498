"""Write the table of benchmarks/README.md, between its markers, from benchmarks/results/*.json.

python benchmarks/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import RESULTS

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table(results: list[dict[str, Any]]) -> str:
    """One line for each row of each result, and the machines below."""
    lines = ["| what | measured | goal | met | file |", "|---|---|---|---|---|"]
    for result in results:
        for row in result["rows"]:
            met = {True: "yes", False: "**no**", None: ""}[row["met"]]
            link = f"`results/{result['benchmark']}.json`"
            lines.append(f"| {row['what']} | {row['measured']} | {row['goal']} | {met} | {link} |")
    return "\n".join([*lines, "", *machines(results)])


def machines(results: list[dict[str, Any]]) -> list[str]:
    """Where each result was measured, with the machine's limits during that run."""
    lines = [
        "| result | machine | load | GEMM, GFLOP/s | copy, GB/s | JPEG/s per core | date |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        machine, limits = result["machine"], result["limits"]
        gemm, copy, jpegs = (
            limits[name]["median"] for name in ("gemm_flops", "copy_bytes_per_s", "jpegs_per_s_per_core")
        )
        versions = f"torch {machine['versions']['torch']}, Python {machine['python']}"
        where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {versions}"
        numbers = f"{gemm / 1e9:.0f} | {copy / 1e9:.1f} | {jpegs:.0f}"
        lines.append(
            f"| `{result['benchmark']}` | {where} | {machine['load']} | {numbers} | {result['date']} |"
        )
    return lines


def main() -> None:
    results = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    text = README.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
