"""What `--precision bfloat16` is worth on this processor: the fast networks' training step beside float32.

python benchmarks/precision.py [RECIPE…]
"""

from __future__ import annotations

import sys
from typing import Any

from training_step import fast_recipes, training_step  # the first: it sets how threads wait

# ruff: isort: split
from harness import interleave, row, seconds, spread, write_result

from photopic.config import ScratchRecipe
from photopic.errors import ConfigError
from photopic.runtime import choose_runtime

REPEATS = 9


def measure(recipe: ScratchRecipe) -> dict[str, Any]:
    steps = {name: training_step(recipe, choose_runtime("cpu", name)) for name in ("float32", "bfloat16")}
    for step in steps.values():
        seconds(step)
    readings = interleave({name: lambda step=step: seconds(step) for name, step in steps.items()}, REPEATS)
    return {
        "recipe": recipe.name,
        "ratio": spread(readings["float32"])["median"] / spread(readings["bfloat16"])["median"],
        "readings": readings,
    }


def main() -> None:
    try:
        choose_runtime("cpu", "bfloat16")
    except ConfigError as error:
        sys.exit(str(error))
    results = [measure(recipe) for recipe in fast_recipes(sys.argv[1:])]
    ratios = sorted(results, key=lambda result: -result["ratio"])
    told = ", ".join(f"{result['recipe']} {result['ratio']:.1f}" for result in ratios)
    rows = [row("training step in bfloat16, times float32's speed", told)]
    write_result("precision", {"networks": results, "rows": rows})


if __name__ == "__main__":
    main()
