"""The training step of the fast networks, in floating-point operations per second, beside a matrix product.

A step is forward, loss, backward and optimizer on images that are ready; only convolutions and matrix
products are counted (torch's flop counter), so everything else lowers the figure.

    python benchmarks/training_step.py [RECIPE…]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from photopic.parallel import wait_briefly

wait_briefly()  # as the command line does, before torch is imported

# ruff: noqa: E402
import torch
from harness import gemm_flops, interleave, row, seconds, spread, write_result
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from photopic.config import FastModel, ScratchRecipe
from photopic.models.zoo import build_model
from photopic.runtime import Runtime, choose_runtime
from photopic.training.optimizers import build_optimizer, optimizer_of
from photopic.training.recipes import load_recipe, named_recipes

GOAL_SHARE, REPEATS, CLASSES = 0.5, 9, 10


def training_step(recipe: ScratchRecipe, runtime: Runtime) -> Callable[[], None]:
    """One step on random images of the recipe's size, on the processor."""
    torch.manual_seed(0)
    config = recipe.preprocess
    images = torch.randn(recipe.batch_size, config.channels, config.size, config.size)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (recipe.batch_size,))
    model = build_model(recipe, CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(optimizer_of(recipe), model)

    def step() -> None:
        with runtime.autocast():
            loss = functional.cross_entropy(model(images), labels, label_smoothing=recipe.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(recipe: ScratchRecipe) -> dict[str, object]:
    step = training_step(recipe, choose_runtime("cpu"))
    with FlopCounterMode(display=False) as counter:
        step()
    flops = counter.get_total_flops()
    step()
    sides = {"step_flops": lambda: flops / seconds(step), "gemm_flops": gemm_flops}
    readings = interleave(sides, REPEATS)
    share = spread(readings["step_flops"])["median"] / spread(readings["gemm_flops"])["median"]
    return {
        "recipe": recipe.name,
        "batch_size": recipe.batch_size,
        "flops_per_step": flops,
        "share": share,
        "readings": readings,
    }


def fast_recipes(names: Sequence[str]) -> list[ScratchRecipe]:
    """Those with a network of photopic's own; names: of recipes; none: all."""
    recipes = [load_recipe(name) for name in names or named_recipes()]
    return [
        recipe
        for recipe in recipes
        if isinstance(recipe, ScratchRecipe) and isinstance(recipe.model, FastModel)
    ]


def main() -> None:
    results = [measure(recipe) for recipe in fast_recipes(sys.argv[1:])]
    rows = [
        row(
            f"training step of {result['recipe']}, share of GEMM FLOP/s",
            f"{result['share']:.0%}",
            f"≥ {GOAL_SHARE:.0%}",
            result["share"] >= GOAL_SHARE,
        )
        for result in results
    ]
    write_result("training_step", {"networks": results, "rows": rows})


if __name__ == "__main__":
    main()
