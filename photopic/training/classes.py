"""Unequal classes: the weight of each, and whether the options suit the classes that there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from photopic.config import AnyRecipe, BinaryCrossEntropy, ClassWeights, FocalLoss, FrozenRecipe
from photopic.errors import ConfigError, did_you_mean


def class_weights(
    wanted: ClassWeights, labels: npt.NDArray[np.int64], class_names: Sequence[str]
) -> npt.NDArray[np.float64] | None:
    """(K,) the factor on the loss of each class's images; None where all are 1 anyway.

    labels: (n,) of the training images. balanced: n / (K' · n_k) for the K' classes that have images
    (scikit-learn's `compute_class_weight`), so that the weights of all images sum to n; 0 for classes without
    any.
    """
    if wanted == "none":
        return None
    if wanted != "balanced":
        return np.array([wanted.get(name, 1.0) for name in class_names])
    counts = np.bincount(labels, minlength=len(class_names))
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0.0)


def check_classes(recipe: AnyRecipe, class_names: Sequence[str]) -> None:
    """Raises ConfigError where an option does not suit these classes."""
    weights = recipe.class_weights
    if isinstance(weights, dict):
        _check_weights(weights, class_names)
    if isinstance(recipe, FrozenRecipe) or len(class_names) == 2:
        return
    if isinstance(recipe.loss, BinaryCrossEntropy):
        raise ConfigError(
            f"loss=binary-cross-entropy is for two classes, and there are {len(class_names)}. "
            "Take loss=cross-entropy."
        )
    if isinstance(recipe.loss, FocalLoss) and recipe.loss.alpha is not None:
        raise ConfigError(
            f"loss.alpha is for two classes, and there are {len(class_names)}. Take class_weights."
        )


def _check_weights(weights: dict[str, float], class_names: Sequence[str]) -> None:
    for name in weights:
        if name not in class_names:
            hint = did_you_mean(name, class_names)
            raise ConfigError(f'class_weights: "{name}" is no class of this data set.{hint}')
    if not any(weights.get(name, 1.0) for name in class_names):
        raise ConfigError("class_weights: all classes have the weight 0, so there is nothing to learn.")
