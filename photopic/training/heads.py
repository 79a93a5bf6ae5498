"""The logistic head: multinomial logistic regression on features, by L-BFGS.

The objective is scikit-learn's (`LogisticRegression`): the sum of log losses + ||W||² / (2 C), biases free.
Two classes are one sigmoid, as there. Features are standardised with the statistics of the training rows;
the statistics are folded into the layer afterwards, so that a run's network is backbone + nn.Linear.
Written out because importing scikit-learn takes longer than fitting a head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from photopic.errors import DataError

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

_MAX_ITERATIONS = 1000
_MEMORY = 10
"""Past steps that L-BFGS remembers."""
_ROUNDING = 1e-14
_SMALLEST_STEP = 1e-8
_SMALL = 2**21
"""Numbers in the feature matrix below which one thread is faster."""
_GRADIENT_TOLERANCE = 1e-6
"""Largest component of the gradient of the mean loss; scikit-learn stops at 1e-4."""
_DOUBLE_LIMIT = 2**26
"""Numbers in the feature matrix up to which the fit runs in float64 (512 MB); above it in float32."""
_RANK_TOLERANCE = 1e-12
"""Axes with less than this share of the largest variance are noise of rounding, and are left out."""
_CONSTANT = 1e-6
"""A feature whose spread is below this share of its mean is constant, up to rounding; it is not scaled up."""
_ABSENT_BIAS = -20.0
"""Bias of a class without a training image, below the smallest of the others: a probability near 1e-9."""


@dataclass(frozen=True)
class HeadTrial:
    """One candidate for the head's regularisation."""

    inverse_l2: float
    """C, the inverse of the L2 penalty."""
    val_log_loss: float
    """Mean negative log probability of the true class on the validation rows; what selects."""
    val_accuracy: float
    """Share of validation rows that are right; reported, because log loss alone can hide a bad boundary."""


@dataclass(frozen=True)
class HeadFit:
    """A fitted head and how it was chosen."""

    linear: nn.Linear
    """Raw features (N, D) to logits (N, K)."""
    inverse_l2: float
    trials: tuple[HeadTrial, ...]
    """All candidates in the order tried; empty when there was only one and no validation rows."""

    def logits(self, features: Floats) -> Floats:
        """(N, D) float32 to (N, K) float32."""
        with torch.inference_mode():
            return np.concatenate(
                [
                    self.linear(torch.from_numpy(np.array(part, dtype=np.float32))).numpy()
                    for part in _parts(features)
                ]
            )


def fit_head(
    train_features: Floats,
    train_labels: Labels,
    val_features: Floats,
    val_labels: Labels,
    num_classes: int,
    *,
    inverse_l2: Sequence[float],
    train_weights: npt.NDArray[np.float64] | None = None,
) -> HeadFit:
    """Fit a head for each C and keep the one with the smallest log loss on the validation rows.

    features: (n, D) float32. labels: (n,) int64 in 0..K-1; rows with a negative label are left out.
    train_weights: (n,) weight of each training row, for instance 1/views; default 1.
    With no labelled validation row, `inverse_l2` must hold exactly one candidate.
    Raises DataError when fewer than two classes have a training row, ValueError for impossible candidates.
    """
    keep = train_labels >= 0
    labels = train_labels[keep]
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(f"a classifier needs training images of at least 2 classes, found {len(present)}.")
    candidates = sorted(inverse_l2)
    has_val = bool((val_labels >= 0).any())
    if not candidates or (len(candidates) > 1 and not has_val):
        raise ValueError("several candidates for inverse_l2 need validation rows to choose among them")
    weights = np.ones(len(labels)) if train_weights is None else train_weights[keep]
    problem = _Problem(train_features[keep] if not keep.all() else train_features, labels, present, weights)
    best: tuple[float, HeadFit] | None = None
    trials: list[HeadTrial] = []
    start: Tensor | None = None
    for candidate in candidates:  # ascending: each solution is a good start for the next, looser one
        start = problem.solve(candidate, start)
        head = HeadFit(problem.linear(start, num_classes), candidate, ())
        if has_val:
            trials.append(_trial(head, val_features, val_labels))
        loss = trials[-1].val_log_loss if trials else 0.0
        if best is None or loss < best[0]:
            best = loss, head
    assert best is not None
    return HeadFit(best[1].linear, best[1].inverse_l2, tuple(trials))


class _Problem:
    """Standardised features and one-hot labels, ready to be solved for any C.

    The features are turned onto their principal axes, of which there are at most min(n, D). There the
    curvature of the loss at the start is diagonal (Böhning 1992), so dividing each axis by the square root of
    its curvature leaves L-BFGS a nearly round bowl: tens of steps instead of hundreds.
    """

    def __init__(
        self, features: Floats, labels: Labels, present: Labels, weights: npt.NDArray[np.float64]
    ) -> None:
        kind = torch.float64 if features.size <= _DOUBLE_LIMIT else torch.float32
        x = torch.from_numpy(np.array(features)).to(kind)
        self.shares = torch.from_numpy(weights / weights.sum()).to(kind)
        self.total_weight = float(weights.sum())
        self.mean = self.shares @ x
        x -= self.mean
        self.std = (self.shares @ x.square()).sqrt()
        self.std[self.std <= _CONSTANT * self.mean.abs()] = 1.0
        x /= self.std
        self.axes, self.variances = _principal_axes(x, self.shares)
        self.z = x @ self.axes
        self.present = torch.from_numpy(present)
        self.targets = torch.from_numpy(np.searchsorted(present, labels))
        self.outputs = 1 if len(present) == 2 else len(present)

    def solve(self, inverse_l2: float, start: Tensor | None) -> Tensor:
        """The minimum: (outputs, axes + 1) float64, weights on the axes of each output, then its bias."""
        l2 = 1.0 / (inverse_l2 * self.total_weight)
        largest = 0.25 if self.outputs == 1 else 0.5  # curvature of the loss in a logit
        curvature = torch.cat([largest * self.variances + l2, self.variances.new_tensor([largest])])
        scale = curvature.sqrt().double()
        first = torch.zeros(self.outputs, len(scale)).double() if start is None else start * scale

        def scaled(flat: Tensor) -> tuple[float, Tensor]:
            loss, gradient = self._loss_and_gradient(flat.view(self.outputs, -1) / scale, l2)
            return loss, (gradient / scale).flatten()

        with _few_threads(self.z):
            return minimise(scaled, first.flatten()).view(self.outputs, -1) / scale

    def _loss_and_gradient(self, table: Tensor, l2: float) -> tuple[float, Tensor]:
        """Weighted mean log loss + l2/2 ||W||², and its gradient, both in float64."""
        kernel, bias = table[:, :-1].to(self.z.dtype), table[:, -1].to(self.z.dtype)
        logits = torch.addmm(bias, self.z, kernel.T)
        losses, residual = self._sigmoid(logits[:, 0]) if self.outputs == 1 else self._softmax(logits)
        residual *= self.shares[:, None]
        penalty = 0.5 * l2 * float(table[:, :-1].square().sum())
        loss = float(losses.double() @ self.shares.double()) + penalty
        gradient = torch.cat([residual.T @ self.z + l2 * kernel, residual.sum(0)[:, None]], dim=1)
        return loss, gradient.double()

    def _sigmoid(self, logit: Tensor) -> tuple[Tensor, Tensor]:
        target = self.targets.to(logit.dtype)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
        return losses, (logit.sigmoid() - target)[:, None]

    def _softmax(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = logits.log_softmax(1)
        losses = -log_probs.gather(1, self.targets[:, None])[:, 0]
        residual = log_probs.exp_()
        residual[torch.arange(len(residual)), self.targets] -= 1.0
        return losses, residual

    def linear(self, solution: Tensor, num_classes: int) -> nn.Linear:
        """The solution as a layer on raw features, classes in the order of class_names."""
        table = solution.double()
        if self.outputs == 1:  # one sigmoid's logit is the difference of two logits
            table = torch.cat([-table / 2, table / 2])
        kernel = table[:, :-1] @ self.axes.T.double() / self.std.double()
        bias = table[:, -1] - kernel @ self.mean.double()
        layer = nn.Linear(kernel.shape[1], num_classes)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[self.present] = kernel.float()
            layer.bias.fill_(float(bias.min()) + _ABSENT_BIAS)
            layer.bias[self.present] = bias.float()
        return layer.requires_grad_(False)


def minimise(function: Callable[[Tensor], tuple[float, Tensor]], x: Tensor) -> Tensor:
    """Where a smooth convex function is smallest: L-BFGS (Nocedal and Wright 2006, algorithm 7.5).

    function: (n,) float64 to value and gradient, scaled so that a step of the gradient's length is sensible.
    x: start. The step is halved until the value falls enough; convexity then keeps the curvature positive.
    Written out because SciPy's costs 10 ms per step here, twenty times the function itself.
    """
    value, gradient = function(x)
    pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=_MEMORY)
    for _ in range(_MAX_ITERATIONS):
        if float(gradient.abs().max()) <= _GRADIENT_TOLERANCE:
            break
        direction = -_inverse_hessian_times(gradient, pairs)
        step, slope = 1.0, float(gradient @ direction)
        while True:
            next_x = x + step * direction
            next_value, next_gradient = function(next_x)
            if next_value <= value + 1e-4 * step * slope + _ROUNDING * abs(value):
                break
            step /= 2
            if step < _SMALLEST_STEP:  # no descent left within rounding
                return x
        if float((next_x - x) @ (next_gradient - gradient)) > 0:
            pairs.append((next_x - x, next_gradient - gradient))
        x, value, gradient = next_x, next_value, next_gradient
    return x


def _inverse_hessian_times(gradient: Tensor, pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The two loops of L-BFGS (algorithm 7.4) over (change of x, change of gradient), oldest first."""
    newest_first, product, factors = list(pairs)[::-1], gradient.clone(), []
    for moved, bent in newest_first:
        factors.append(float(moved @ product) / float(moved @ bent))
        product -= factors[-1] * bent
    if newest_first:
        moved, bent = newest_first[0]
        product *= float(moved @ bent) / float(bent @ bent)
    for (moved, bent), factor in zip(newest_first[::-1], factors[::-1], strict=True):
        product += (factor - float(bent @ product) / float(moved @ bent)) * moved
    return product


@contextmanager
def _few_threads(table: Tensor) -> Iterator[None]:
    """One thread while the block runs if the table is small: threads would wait longer than they work."""
    threads = torch.get_num_threads()
    if table.numel() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _principal_axes(x: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """(D, r) orthonormal axes that span the rows of x (n, D), and the (r,) variances along them."""
    rows = x * shares.sqrt()[:, None]
    if len(x) <= x.shape[1]:  # the smaller of the two Gram matrices has the same non-zero eigenvalues
        variances, vectors = torch.linalg.eigh((rows @ rows.T).double())
    else:
        variances, vectors = torch.linalg.eigh((rows.T @ rows).double())
    keep = variances > variances[-1].clamp_min(1e-300) * _RANK_TOLERANCE
    variances, vectors = variances[keep], vectors[:, keep]
    if len(x) <= x.shape[1]:
        vectors = rows.T.double() @ vectors / variances.sqrt()
    return vectors.to(x.dtype), variances.to(x.dtype)


def _trial(head: HeadFit, features: Floats, labels: Labels) -> HeadTrial:
    keep = labels >= 0
    logits = torch.from_numpy(head.logits(features[keep])).double()
    targets = torch.from_numpy(labels[keep])
    loss = float(torch.nn.functional.cross_entropy(logits, targets))
    accuracy = float((logits.argmax(1) == targets).double().mean())
    return HeadTrial(head.inverse_l2, loss, accuracy)


def _parts(features: Floats, rows: int = 65536) -> list[Floats]:
    return [features[first : first + rows] for first in range(0, max(len(features), 1), rows)]
