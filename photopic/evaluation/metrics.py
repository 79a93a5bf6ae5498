"""Numbers of a classifier's answers: pure functions of logits, predicted classes and labels.

Shapes: `logits` (N, K) real, any scale; `labels` and `predicted` (N,) whole numbers in 0..K-1; N ≥ 1.
Everything is computed in float64. The direction of a number (better high or better low) is stored where it
is reported, in `intervals.Measured`; here the ending tells it: `*_loss` and `*_error` are better low,
all else better high.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from photopic.errors import ConfigError, DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def log_softmax(logits: npt.ArrayLike) -> Floats:
    """Natural logarithms of the probabilities that logits (N, K) stand for, (N, K)."""
    scores = _logits(logits)
    shifted: Floats = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def softmax(logits: npt.ArrayLike) -> Floats:
    """Probabilities (N, K) of logits (N, K); rows sum to 1."""
    return np.exp(log_softmax(logits))


def predict(logits: npt.ArrayLike) -> Ints:
    """Class with the largest logit, (N,); of equal ones the first."""
    classes: Ints = _logits(logits).argmax(axis=1)
    return classes


def losses(logits: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Cross-entropy of each image in nats, (N,): minus the log probability of its label. Better low."""
    log_probs = log_softmax(logits)
    truth = check_labels(labels, n=log_probs.shape[0], classes=log_probs.shape[1])
    return -log_probs[np.arange(truth.size), truth]


def log_loss(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean cross-entropy in nats, 0..∞, better low. Not clipped: a sure mistake costs what it costs."""
    return float(losses(logits, labels).mean())


def top_k_hits(logits: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> npt.NDArray[np.bool_]:
    """Whether each label is among the k largest logits, (N,). A tie at the k-th place counts as a miss.

    So with k = 1 an image whose label shares the largest logit with another class is a miss here, while
    `predict` names the first of the two. Raises ConfigError unless 1 ≤ k ≤ K.
    """
    scores = _logits(logits)
    if not 1 <= k <= scores.shape[1]:
        raise ConfigError(f"k={k} must be between 1 and the number of classes, {scores.shape[1]}")
    truth = check_labels(labels, n=scores.shape[0], classes=scores.shape[1])
    own = scores[np.arange(truth.size), truth]
    others_as_large = (scores >= own[:, None]).sum(axis=1) - 1
    return np.asarray(others_as_large < k, dtype=np.bool_)


def top_k_accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> float:
    """Share of images, 0..1, whose label is among the k largest logits; ties as in `top_k_hits`."""
    return float(top_k_hits(logits, labels, k).mean())


def top_k_error(logits: npt.ArrayLike, labels: npt.ArrayLike, k: int) -> float:
    """Share of images whose label is not among the k largest logits, 0..1: 1 − top-k accuracy. Better low."""
    return 1.0 - top_k_accuracy(logits, labels, k)


def accuracy(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Share of images, 0..1, whose label `predict` names."""
    predicted = predict(logits)
    return float((predicted == check_labels(labels, n=predicted.size, classes=np.shape(logits)[1])).mean())


def confusion(predicted: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> Ints:
    """Counts (K, K): rows are the truth, columns the prediction; the sum is N."""
    truth = check_labels(labels, classes=classes)
    answers = check_labels(predicted, n=truth.size, classes=classes, what="predicted")
    return np.bincount(truth * classes + answers, minlength=classes * classes).reshape(classes, classes)


def recall_per_class(matrix: npt.ArrayLike) -> Floats:
    """Share of each class's images that were found, (K,), from a confusion matrix.

    NaN for a class without images: there was nothing to find.
    """
    counts = _matrix(matrix)
    return _ratio(counts.diagonal(), counts.sum(axis=1))


def specificity_per_class(matrix: npt.ArrayLike) -> Floats:
    """Share of the images of all other classes that were not given this one, (K,): TN / (TN + FP).

    Its complement is the fall-out, FP / (TN + FP). NaN where all images belong to the class.
    """
    counts = _matrix(matrix)
    others = counts.sum() - counts.sum(axis=1)
    return _ratio(others - (counts.sum(axis=0) - counts.diagonal()), others)


def precision_per_class(matrix: npt.ArrayLike) -> Floats:
    """Share of the images given each class that belong to it, (K,), from a confusion matrix.

    NaN for a class that was never predicted: there was nothing to be right about.
    """
    counts = _matrix(matrix)
    return _ratio(counts.diagonal(), counts.sum(axis=0))


def f1_per_class(matrix: npt.ArrayLike) -> Floats:
    """Harmonic mean of precision and recall, (K,), as 2·hits / (images + predictions) of each class.

    0 for a class that has images or predictions but no hit; NaN for a class that has neither.
    """
    counts = _matrix(matrix)
    return _ratio(2 * counts.diagonal(), counts.sum(axis=0) + counts.sum(axis=1))


def macro_f1(matrix: npt.ArrayLike) -> float:
    """Mean of the F1 of all classes that occur in truth or prediction, 0..1 (scikit-learn's default)."""
    return float(macro_f1_of_counts(*_counts(matrix)))


def balanced_accuracy(matrix: npt.ArrayLike) -> float:
    """Mean of the recall of all classes that have images, 0..1 (as scikit-learn's)."""
    return float(balanced_accuracy_of_counts(*_counts(matrix)))


def macro_f1_of_counts(hits: Floats, images: Floats, predictions: Floats) -> Floats:
    """Macro F1 (...) from hits, images and predictions of each class, each (..., K)."""
    return _mean_ratio(2 * hits, images + predictions)


def balanced_accuracy_of_counts(hits: Floats, images: Floats, predictions: Floats) -> Floats:
    """Balanced accuracy (...) from hits and images of each class, (..., K), whatever the predictions."""
    return _mean_ratio(hits, images)


def check_labels(
    labels: npt.ArrayLike, *, n: int | None = None, classes: int | None = None, what: str = "labels"
) -> Ints:
    """The labels as int64 (N,), N ≥ 1; raises DataError when shape, type or range is not as expected."""
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(f"{what} must be whole numbers of shape (N,), not {_describe(values)}")
    if values.size == 0:
        raise DataError(f"{what} are empty: there is nothing to measure")
    if n is not None and values.size != n:
        raise DataError(f"there are {values.size} {what} for {n} images")
    if values.min() < 0 or (classes is not None and values.max() >= classes):
        wrong = values.min() if values.min() < 0 else values.max()
        end = "" if classes is None else f"..{classes - 1}"
        raise DataError(f"{what} must be class numbers 0{end}, not {wrong}")
    return values.astype(np.int64, copy=False)


def _logits(logits: npt.ArrayLike) -> Floats:
    values = np.asarray(logits)
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[1] == 0:
        raise DataError(f"logits must be real numbers of shape (N, K), not {_describe(values)}")
    if values.shape[0] == 0:
        raise DataError("logits are empty: there is nothing to measure")
    values = values.astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"the logits of image {row} are not finite: the model that gave them has diverged")
    return values


def _matrix(matrix: npt.ArrayLike) -> Ints:
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind not in "iu":
        raise DataError(f"a confusion matrix must be counts of shape (K, K), not {_describe(counts)}")
    if counts.sum() == 0:
        raise DataError("the confusion matrix is empty: there is nothing to measure")
    return counts.astype(np.int64, copy=False)


def _counts(matrix: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Hits, images and predictions of each class, (K,)."""
    counts = _matrix(matrix).astype(np.float64)
    return counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)


def _mean_ratio(part: Floats, whole: Floats) -> Floats:
    """Mean over the last axis of part / whole where whole > 0; at least one must be."""
    ratios = np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
    means: Floats = ratios.sum(axis=-1) / (whole > 0).sum(axis=-1)
    return means


def _ratio(part: Ints, whole: Ints) -> Floats:
    ratio: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _describe(values: npt.NDArray[Any]) -> str:
    return f"{values.dtype} of shape {values.shape}"
