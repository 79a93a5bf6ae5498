"""The recipe that suits a data set, a device and a time, and the reason in one sentence."""

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
FINE_TUNED_IMAGES = 2000
"""From so many photos on, fine-tuning is worth its time: it beat a logistic head on frozen features on nearly
all of twelve data sets, of which the smallest has 2,040 images (Kornblith et al. 2019, arXiv:1805.08974)."""
FINE_TUNING_PASSES = 20
"""Time of photos-finetune in forward passes over the images: one for the first head, and eight epochs,
each one pass forwards and the upper layers backwards."""
PHOTOS_PER_S = {"cpu": 20.0, "mps": 150.0, "cuda": 500.0}
"""Photos that pass through the bundled backbone: on a CPU per thread, on a GPU about as fast as decoding."""
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
    Otherwise small images (median shorter side up to 64 px) in sufficient number are trained from scratch at
    the nearest input size. Everything else builds on a pretrained backbone: fine-tuned where there are many
    images, and a GPU or a time limit that is long enough; else frozen, which needs the fewest labels and the
    least time. What a training costs is measured when it begins: a time limit then cuts its epochs.
    """
    if dataset.catalog_name in MADE_FOR:
        return _made_for(dataset.catalog_name, runtime, time_limit_s)
    index = dataset.index
    sides = np.minimum(index.widths[train_rows], index.heights[train_rows])
    side, n = int(np.median(sides)), len(train_rows)
    if side > SMALL_SIDE_PX:
        return _for_photos(n, side, runtime, time_limit_s)
    if n < FEW_IMAGES:
        reason = f"only {n} training images: a pretrained backbone needs fewest labels"
        return Choice(named_recipes()["photos-frozen"], f"{reason}; {_about(n, runtime)}")
    size = min((candidate for candidate in SIZES_PX if candidate >= side), default=SIZES_PX[-1])
    changes: dict[str, object] = {
        "preprocess.size": size,
        "preprocess.channels": 1 if dataset.is_grey else 3,
    }
    reason = (
        f"{n:,} small images (median side {side} px): a fast network learns them from scratch at {size} px"
    )
    if time_limit_s is not None:
        reason += ", in as many epochs as fit the time limit"
    return Choice(override(named_recipes()["small-images"], changes), reason)


def _made_for(name: str, runtime: Runtime, time_limit_s: float | None) -> Choice:
    quick, best = MADE_FOR[name]
    recipes = named_recipes()
    if runtime.device.type != "cpu":
        return Choice(recipes[best], f"it was made for {name}, and a GPU gives it the time")
    if time_limit_s is not None and time_limit_s >= PATIENT_S:
        return Choice(recipes[best], f"it was made for {name}, and the time limit allows the best")
    more = "" if quick == best else f"; with --time-limit 10m or more it would be {best}"
    return Choice(recipes[quick], f"it was made for {name}{more}")


def _for_photos(n: int, side: int, runtime: Runtime, time_limit_s: float | None) -> Choice:
    recipes = named_recipes()
    photos = f"{n:,} photos (median side {side} px)"
    fine_tuning_s = FINE_TUNING_PASSES * _pass_s(n, runtime)
    patience_s = time_limit_s or (0.0 if runtime.device.type == "cpu" else float("inf"))
    if n >= FINE_TUNED_IMAGES and fine_tuning_s <= patience_s:
        why = "a GPU gives" if time_limit_s is None else "the time limit leaves"
        reason = f"{photos}: enough to fine-tune a pretrained backbone, and {why} the time"
        return Choice(recipes["photos-finetune"], f"{reason}; {_about(n, runtime, FINE_TUNING_PASSES)}")
    reason = f"{photos}: a pretrained backbone needs few labels and one pass; {_about(n, runtime)}"
    if n >= FINE_TUNED_IMAGES:
        reason += f"; with --time-limit {_minutes(fine_tuning_s)}m or more it would be photos-finetune"
    return Choice(recipes["photos-frozen"], reason)


def _pass_s(n: int, runtime: Runtime) -> float:
    """Seconds in which n photos pass through the bundled backbone once, roughly."""
    kind = runtime.device.type
    return n / (PHOTOS_PER_S[kind] * (runtime.threads if kind == "cpu" else 1))


def _about(n: int, runtime: Runtime, passes: int = 1) -> str:
    seconds = passes * _pass_s(n, runtime)
    return f"about {_minutes(seconds)} min" if seconds > 60 else "less than a minute"


def _minutes(seconds: float) -> int:
    return int(-(-seconds // 60))
