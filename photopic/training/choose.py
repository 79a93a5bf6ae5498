"""The recipe that suits a data set and a device, and the reason in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photopic.config import AnyRecipe, override
from photopic.data.dataset import DataSet
from photopic.training.recipes import named_recipes

SMALL_SIDE_PX = 64
"""Images up to this side are trained from scratch by photopic's own networks."""
FEW_IMAGES = 500
"""Below this many training images, small images too are better served by a pretrained backbone."""
SIZES_PX = (28, 32, 48, 64)
"""Input sizes of the fast networks."""
FAST_FOR = {
    "digits": "digits",
    "mnist": "mnist-fast",
    "fashion-mnist": "fashion-best",
    "cifar10": "cifar10-fast",
    "gtsrb": "gtsrb-best",
}
"""Recipes made for one data set of the catalog."""


@dataclass(frozen=True)
class Choice:
    """A recipe, and why it was taken."""

    recipe: AnyRecipe
    reason: str


def choose_recipe(dataset: DataSet, train_rows: np.ndarray) -> Choice:
    """The recipe for these training images.

    A catalog data set has its own. Otherwise small images (median shorter side up to 64 px) in sufficient
    number are trained from scratch at the nearest input size; everything else gets a logistic head on a
    frozen pretrained backbone, which needs the fewest labels and the least time.
    """
    index = dataset.index
    recipes = named_recipes()
    made_for = FAST_FOR.get(dataset.name)
    if made_for in recipes:
        return Choice(recipes[made_for], f"it was made for {dataset.name}")
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
