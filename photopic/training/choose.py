"""The recipe that suits a data set and a device, and the reason in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photopic.config import AnyRecipe, override
from photopic.data.dataset import DataSet
from photopic.runtime import Runtime
from photopic.training.recipes import named_recipes

SMALL_SIDE_PX = 64
"""Images up to this side are trained from scratch by photopic's own networks."""
FEW_IMAGES = 500
"""Below this many training images, small images too are better served by a pretrained backbone."""
SIZES_PX = (28, 32, 48, 64)
"""Input sizes of the fast networks."""
MADE_FOR = {
    "digits": ("digits", "digits"),
    "mnist": ("mnist-fast", "mnist-best"),
    "fashion-mnist": ("fashion-fast", "fashion-best"),
    "cifar10": ("cifar10-fast", "cifar10-best"),
    "gtsrb": ("gtsrb-best", "gtsrb-best"),
}
"""Recipes made for one data set of the catalog: the quick one, and the best one."""
PATIENT_S = 600.0
"""A time limit from which on the best recipe is worth its time on a CPU; a GPU always is patient enough."""


@dataclass(frozen=True)
class Choice:
    """A recipe, and why it was taken."""

    recipe: AnyRecipe
    reason: str


def choose_recipe(
    dataset: DataSet, train_rows: np.ndarray, runtime: Runtime, time_limit_s: float | None = None
) -> Choice:
    """The recipe for these training images, this device and this time.

    A catalog data set has its own: the best one on a GPU or when much time is allowed, else the quick one.
    Otherwise small images (median shorter side up to 64 px) in sufficient
    number are trained from scratch at the nearest input size; everything else gets a logistic head on a
    frozen pretrained backbone, which needs the fewest labels and the least time.
    """
    index = dataset.index
    recipes = named_recipes()
    if dataset.name in MADE_FOR:
        return _made_for(dataset.name, runtime, time_limit_s)
    sides = np.minimum(index.widths[train_rows], index.heights[train_rows])
    side, n = int(np.median(sides)), len(train_rows)
    if side > SMALL_SIDE_PX:
        reason = f"photos (median side {side} px): a pretrained backbone needs few labels and one pass"
        return Choice(recipes["photos-frozen"], reason)
    if n < FEW_IMAGES:
        reason = f"only {n} training images: a pretrained backbone needs fewest labels"
        return Choice(recipes["photos-frozen"], reason)
    size = min((candidate for candidate in SIZES_PX if candidate >= side), default=SIZES_PX[-1])
    changes: dict[str, object] = {
        "preprocess.size": size,
        "preprocess.channels": 1 if dataset.is_grey else 3,
    }
    reason = f"{n} small images (median side {side} px): a fast network learns them from scratch at {size} px"
    return Choice(override(recipes["small-images"], changes), reason)


def _made_for(name: str, runtime: Runtime, time_limit_s: float | None) -> Choice:
    quick, best = MADE_FOR[name]
    recipes = named_recipes()
    if runtime.device.type != "cpu":
        return Choice(recipes[best], f"it was made for {name}, and a GPU gives it the time")
    if time_limit_s is not None and time_limit_s >= PATIENT_S:
        return Choice(recipes[best], f"it was made for {name}, and the time limit allows the best")
    more = "" if quick == best else f"; with --time-limit 10m or more it would be {best}"
    return Choice(recipes[quick], f"it was made for {name}{more}")
