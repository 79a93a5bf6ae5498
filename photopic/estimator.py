"""`PhotopicClassifier`: photopic as a scikit-learn classifier, for pipelines, searches, cross-validation.

It takes three kinds of input: images as arrays, images as paths, and tables of features. Images are trained
on as `photopic train` does, validation split included; features get the logistic head that photopic puts on
pretrained backbones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from photopic.errors import ConfigError, DataError, did_you_mean
from photopic.evaluation.metrics import softmax

if TYPE_CHECKING:
    from photopic.config import AnyRecipe
    from photopic.data.dataset import DataSet
    from photopic.inference.predictor import Predictor

Kind = Literal["features", "images", "paths"]
INVERSE_L2 = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Candidates for C, the inverse of the head's L2 penalty, on features; validation chooses."""
DEFAULT_INVERSE_L2 = 1.0
"""C where there are too few samples to choose by; scikit-learn's default too."""
MIN_VALIDATION = 10
"""Least samples to choose C by."""
_CHUNK = 256


class PhotopicClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of images or features.

    Parameters
    ----------
    recipe
        Name of a recipe, a recipe file, or a recipe; None: chosen for the data. Images only.
    settings
        Dotted recipe options, as {"optimizer.learning_rate": 0.1}. On features the one known option is
        "inverse_l2": candidates for C, the inverse of the L2 penalty.
    max_epochs
        Passes over the training images, instead of the recipe's. Images only, and only recipes with epochs.
    val_fraction
        Share of the samples that are held out to choose by: the best epoch, the penalty.
    device
        auto, cpu, cuda, cuda:1, mps. Images only.
    precision
        Of the training's convolutions and matrix products: auto, float32, bfloat16. Images only.
    random_state
        Seed of the held-out share, of weights, order and augmentation: an int for the same result again.

    Attributes
    ----------
    classes_
        The classes, sorted.
    n_features_in_
        Number of features; on features only.
    coef_, intercept_, inverse_l2_
        The head (K, D), (K,) and the chosen C; on features only.
    predictor_
        The trained network with its preprocessing; on images only.
    """

    def __init__(
        self,
        recipe: str | AnyRecipe | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        max_epochs: int | None = None,
        val_fraction: float = 0.15,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.max_epochs = max_epochs
        self.val_fraction = val_fraction
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> PhotopicClassifier:  # noqa: N803 - scikit-learn's name
        """Train on n samples and their labels y (n,) of any kind; at least two classes.

        X: images n×h×w or n×h×w×c (c = 1 or 3), uint8 0..255 or floats 0..1; or n paths of image files, of
        any sizes; or features n×d. Raises DataError that names a file that cannot be read.
        """
        kind, samples = _kind_of(X), X
        if kind == "features":
            samples, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        elif y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        check_consistent_length(samples, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("PhotopicClassifier needs samples of at least 2 classes; the data have 1 class")
        self._forget(kind)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if kind == "features":
            self._fit_features(samples, codes, seed)
        else:
            self._fit_images(samples, codes, seed, kind)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The most probable class of each sample, (n,)."""
        logits = self._logits(X)
        labels: npt.NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Probabilities (n, K) in the order of `classes_`; rows sum to 1."""
        logits = self._logits(X)
        return softmax(logits) if len(logits) else np.zeros(logits.shape)

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Logits (n, K) in the order of `classes_`; of two classes (n,), above 0 for the second."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # ---- features -----------------------------------------------------------------------------------------

    def _fit_features(
        self, features: npt.NDArray[np.float64], codes: npt.NDArray[np.int64], seed: int
    ) -> None:
        from photopic.training.heads import fit_head

        self._check_feature_options()
        mean, std = features.mean(axis=0), features.std(axis=0)
        std[std == 0] = 1.0
        scaled = ((features - mean) / std).astype(np.float32)
        candidates = tuple((self.settings or {}).get("inverse_l2", INVERSE_L2))
        train, val = self._held_out(codes, seed)
        if len(candidates) > 1 and len(val) == 0:
            candidates = (DEFAULT_INVERSE_L2,)
        classes, nothing = len(self.classes_), np.zeros(0, dtype=np.int64)
        if len(candidates) > 1:
            chosen = fit_head(
                scaled[train], codes[train], scaled[val], codes[val], classes, inverse_l2=candidates
            )
            candidates = (chosen.inverse_l2,)
        head = fit_head(scaled, codes, scaled[:0], nothing, classes, inverse_l2=candidates)
        self.inverse_l2_ = head.inverse_l2
        self.coef_ = head.linear.weight.numpy().astype(np.float64) / std
        self.intercept_ = head.linear.bias.numpy().astype(np.float64) - self.coef_ @ mean

    def _check_feature_options(self) -> None:
        for name in ("recipe", "max_epochs"):
            if getattr(self, name) is not None:
                raise ConfigError(f"{name} has no effect on features (2-D input). Leave it out.")
        for key in self.settings or {}:
            if key != "inverse_l2":
                hint = did_you_mean(key, ["inverse_l2"])
                raise ConfigError(f'settings: "{key}" is not known for features (2-D input).{hint}')

    def _held_out(
        self, codes: npt.NDArray[np.int64], seed: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows to fit and rows to choose by, stratified; none of the latter where there are too few."""
        rows = np.arange(len(codes))
        least = max(MIN_VALIDATION, len(self.classes_))
        if int(self.val_fraction * len(rows)) < least or np.bincount(codes).min() < 2:
            return rows, rows[:0]
        train, val = train_test_split(rows, test_size=self.val_fraction, stratify=codes, random_state=seed)
        return train, val

    # ---- images -------------------------------------------------------------------------------------------

    def _fit_images(self, images: Any, codes: npt.NDArray[np.int64], seed: int, kind: Kind) -> None:
        from photopic.inference.predictor import Predictor
        from photopic.training.train import train_dataset

        settings = dict(self.settings or {})
        if self.max_epochs is not None:
            settings["total_epochs"] = self.max_epochs
        fitted = train_dataset(
            _open_images(images, codes) if kind == "images" else _open_paths(images, codes),
            recipe=self.recipe,
            settings=settings,
            seed=seed,
            val_fraction=self.val_fraction,
            device=self.device,
            precision=self.precision,
        )
        names = [str(name) for name in self.classes_]
        self.predictor_ = Predictor.of_model(fitted.model, fitted.recipe, names, device=self.device)
        if fitted.stopped_by is not None:  # what was learned so far can be used; a search around us must stop
            raise fitted.stopped_by

    # ---- both ---------------------------------------------------------------------------------------------

    def _forget(self, kind: Kind) -> None:
        """Drop what an earlier fit has left, on another kind of input too."""
        own = () if kind == "features" else ("n_features_in_", "feature_names_in_")
        for name in ("coef_", "intercept_", "inverse_l2_", "predictor_", *own):
            if hasattr(self, name):
                delattr(self, name)

    def _logits(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        check_is_fitted(self, "classes_")
        kind = _kind_of(X)
        if hasattr(self, "predictor_"):
            if kind == "features":
                raise ValueError(f"was trained on images; got an array with {np.ndim(X)} dimensions")
            return _image_logits(self.predictor_, X, kind)
        if kind != "features":
            raise ValueError(f"was trained on features (2-D input); got {kind}")
        features = validate_data(self, X, dtype=np.float64, reset=False)
        logits: npt.NDArray[np.float64] = features @ self.coef_.T + self.intercept_
        return logits


def _kind_of(samples: Any) -> Kind:
    """paths: a list or 1-D array of text or paths; images: 3 or 4 axes; features: everything else."""
    a_row = isinstance(samples, list | tuple) or (isinstance(samples, np.ndarray) and samples.ndim == 1)
    if a_row and len(samples) and isinstance(samples[0], str | os.PathLike):
        return "paths"
    dimensions = samples.ndim if hasattr(samples, "ndim") else _dimensions(samples)
    return "images" if dimensions in (3, 4) else "features"


def _dimensions(samples: Any) -> int:
    """Axes of nested lists, or of a list of arrays."""
    depth = 0
    while isinstance(samples, list | tuple) and len(samples):
        samples, depth = samples[0], depth + 1
    return depth + getattr(samples, "ndim", 0)


def _open_images(images: Any, codes: npt.NDArray[np.int64]) -> DataSet:
    from photopic.data.dataset import open_dataset

    return open_dataset((_images_u8(images), codes))


def _images_u8(images: Any) -> npt.NDArray[np.uint8]:
    from photopic.data.arrays import as_images_u8

    return as_images_u8(images)


def _open_paths(paths: Sequence[str | os.PathLike[str]], codes: npt.NDArray[np.int64]) -> DataSet:
    from photopic.data.dataset import open_files

    label_of: dict[str, str] = {}
    for path, code in zip(paths, codes.tolist(), strict=True):
        label = f"{code:09d}"
        if label_of.setdefault(str(Path(path).absolute()), label) != label:
            raise DataError(f"{path}: is listed twice, with different labels")
    return open_files(label_of)


def _image_logits(predictor: Predictor, samples: Any, kind: Kind) -> npt.NDArray[np.float64]:
    from photopic.inference.inputs import expand, load_all

    inputs = list(samples) if kind == "paths" else _images_u8(samples)
    parts = [np.zeros((0, len(predictor.class_names)))]
    with expand(inputs) as items:
        if len(items) != len(inputs):
            raise DataError("expected paths of image files; a folder or zip stands for more than one image")
        pixels = load_all(items, predictor.preprocess)
        for start in range(0, len(items), _CHUNK):
            chunk = []
            for number, image in enumerate(islice(pixels, _CHUNK), start):
                if isinstance(image, DataError):
                    raise DataError(f"{items[number].name}: {getattr(image, 'reason', image)}")
                chunk.append(image)
            parts.append(predictor.logits(np.stack(chunk)).astype(np.float64))
    return np.concatenate(parts)
