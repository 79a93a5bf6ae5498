"""Trainings that would take days, cut to a time limit: on how many images, for how many epochs.

Both numbers are taken from coarse steps, so that the same limit gives the same training again although no two
measurements of a machine's speed agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from photopic.config import ScratchRecipe
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError
from photopic.models.zoo import build_model
from photopic.training.inputs import AugmentedImages
from photopic.training.probe import FORWARD_SHARE, seconds_per_image

if TYPE_CHECKING:
    from photopic.config import AnyRecipe
    from photopic.runtime import Runtime

PROBE_S = 1.0
"""Time given to the measurement, after which hours may be planned."""
IMAGES = (500, 1000, 2000, 5000, 10_000, 20_000)
"""Of a training that is cut; or all of them."""
EPOCHS = (5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 250, 300)


@dataclass(frozen=True)
class Plan:
    """How much of a training is done."""

    images: int | None
    """Training images; None: all."""
    epochs: int


@dataclass(frozen=True)
class Sizes:
    """Images of a data set, as a cut training uses them."""

    train: int
    val: int
    """Validated after each epoch."""
    test: int
    """Scored once."""


def fit_plan(limit_s: float, image_s: float, sizes: Sizes, epochs: int) -> Plan:
    """The most images that leave time for EPOCHS[0] epochs, and then the most epochs, at most `epochs`.

    limit_s: of one training, with its scoring. image_s: of a training step, per image.
    Raises ConfigError when not even the fewest images fit.
    """
    left_s = limit_s - sizes.test * image_s * FORWARD_SHARE
    choices = [count for count in IMAGES if count < sizes.train] + [sizes.train]
    for count in reversed(choices):
        most = int(left_s / (image_s * (count + sizes.val * FORWARD_SHARE)))
        if most >= EPOCHS[0]:
            fitting = max(number for number in EPOCHS if number <= most)
            return Plan(None if count == sizes.train else count, min(epochs, fitting))
    least = sizes.test * FORWARD_SHARE + EPOCHS[0] * (choices[0] + sizes.val * FORWARD_SHARE)
    raise ConfigError(
        f"a training of {EPOCHS[0]} epochs on {choices[0]} images, with its scoring, takes about "
        f"{image_s * least / 60:.1f} min here, and the time limit leaves {limit_s / 60:.1f} min for each. "
        "Allow more."
    )


def measured_seconds_per_image(recipe: AnyRecipe, runtime: Runtime, classes: int = 10) -> float:
    """Time of a training step per image on this machine now, from a few steps on random pixels."""
    assert isinstance(recipe, ScratchRecipe)
    config = recipe.preprocess
    shape = (recipe.batch_size, config.size, config.size, config.channels)
    images_u8 = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    preprocess = Preprocess(config).measured_on(images_u8)
    with torch.random.fork_rng(devices=[]):
        model = build_model(recipe, classes).to(runtime.device).to(memory_format=torch.channels_last)
    inputs = AugmentedImages(images_u8, preprocess, recipe.augment, 0, runtime)
    labels = torch.zeros(recipe.batch_size, dtype=torch.int64, device=runtime.device)
    return seconds_per_image(recipe, model, inputs, labels, runtime, probe_s=PROBE_S)
