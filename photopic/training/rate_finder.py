"""Which learning rate? Some steps of the real training, at a rate that grows from step to step.

The range test of Smith 2015 (arXiv:1506.01186, section 3.3) in the exponential form that fastai made popular:
while the rate is too small the loss stays where it is, then it falls, and at last it diverges. Two rules are
in use: the rate at which the loss falls most steeply, and a tenth of the rate at which it is lowest. The
suggestion is the second: the first depends on the noise of single steps, and on where the range begins.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from photopic.config import AnyRecipe, FineTuneRecipe, GradientRecipe, Muon, TrainOptions
from photopic.data import Data
from photopic.errors import ConfigError, TrainingError
from photopic.runtime import derive_seed, seeded
from photopic.training.job import Report, ignore
from photopic.training.loop import Prepared, TrainingState, update
from photopic.training.losses import step_loss
from photopic.training.optimizers import optimizer_of
from photopic.training.train import rehearse

LOW, HIGH, STEPS = 1e-6, 10.0, 100
"""First and last rate, and number of steps: fourteen to each factor of ten."""
MARGIN = 10.0
"""The suggestion is the rate of the lowest loss, divided by this."""
DIVERGED = 4.0
"""A running mean of the loss this many times above its lowest ends the search (as in fastai)."""
MEMORY = 0.8
"""Weight of the past in that running mean."""
SMOOTHING_STEPS = 2.5
"""Standard deviation of the smoothing; it looks both ways, so that nothing is shifted."""
HEARD = ("index", "decode", "features", "data", "excluded")
"""Events of a training that happen here too."""


@dataclass(frozen=True)
class RateCurve:
    """The loss at growing learning rates, and what follows from it."""

    recipe: str
    """Name of the recipe."""
    rates: tuple[float, ...]
    """Learning rate of each step, rising: values of `optimizer.learning_rate`."""
    losses: tuple[float, ...]
    """Training loss of each step, before its update."""
    smoothed: tuple[float, ...]
    """The losses with less of the noise of single steps."""
    diverged: bool
    """Whether the loss diverged; if not, the search ended at the highest rate."""
    lowest: float
    """Rate at which the smoothed loss is lowest; where it never falls noticeably, the last one before it
    rises."""
    steepest: float
    """Rate below `lowest` at which the smoothed loss falls fastest with the logarithm of the rate."""
    suggestion: float
    """A tenth of `lowest`."""
    settings: dict[str, float]
    """The suggestion as recipe options; further rates of an optimizer grow in proportion."""


def find_rate(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    options: TrainOptions | None = None,
    report: Report = ignore,
) -> RateCurve:
    """The loss over learning rates, in the training that `train` would begin with these arguments.

    Network, augmentation, loss, regularisers and the order of images are the recipe's. Nothing is stored.
    Raises ConfigError for a recipe without a learning rate or an impossible range, TrainingError when the
    loss falls nowhere in the range.
    """
    if not 0 < low < high < math.inf:
        raise ConfigError(f"low={low:g} and high={high:g}: low must be above 0, and high above low.")
    if steps < 10:
        raise ConfigError(f"steps={steps} must be at least 10, to see a curve.")
    rates = np.geomspace(low, high, steps).tolist()
    found: list[RateCurve] = []
    rehearse(
        data,
        lambda prepared: found.append(rate_curve(prepared, rates)),
        recipe=recipe,
        settings=settings,
        options=options,
        report=lambda record: report(record) if record["event"] in HEARD else None,
    )
    return found[0]


def rate_curve(prepared: Prepared, rates: Sequence[float]) -> RateCurve:
    """Try the rates on a prepared training, which is left as it was. Raises TrainingError as `find_rate`."""
    losses, diverged = sweep(prepared, rates)
    if len(losses) < 5:
        raise TrainingError(
            "the loss diverges at the lowest rates already. Lower them (--low), or look at the data and at "
            "the scaling of the input."
        )
    smoothed = smooth(losses)
    lowest = _lowest(losses, smoothed, diverged)
    falls = np.diff(smoothed[: max(lowest, 1) + 1]) / np.diff(np.log(rates[: max(lowest, 1) + 1]))
    suggestion = rates[lowest] / MARGIN
    return RateCurve(
        recipe=prepared.recipe.name,
        rates=tuple(rates[: len(losses)]),
        losses=tuple(losses),
        smoothed=tuple(smoothed.tolist()),
        diverged=diverged,
        lowest=rates[lowest],
        steepest=rates[int(falls.argmin())],
        suggestion=suggestion,
        settings=_as_settings(prepared.recipe, suggestion),
    )


def sweep(prepared: Prepared, rates: Sequence[float]) -> tuple[list[float], bool]:
    """The loss of a step at each rate, until it diverges, and whether it did; weights are given back.

    A fine-tuning is looked at as it is after its frozen epochs.
    """
    recipe, inputs = prepared.recipe, prepared.inputs
    start = recipe.frozen_epochs if isinstance(recipe, FineTuneRecipe) else 0
    losses: list[float] = []
    watch = _Watch()
    with _on_loan(prepared) as state:
        state.model.train()
        for rate, (rows, draws) in zip(rates, _batches(prepared, start), strict=False):
            for group in state.optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate / recipe.optimizer.learning_rate
            images, mix = inputs.batch(rows, draws)
            labels = prepared.labels[prepared.runtime.to_device(rows)]
            with prepared.runtime.autocast():
                loss = step_loss(recipe, state.model(images), labels, mix, prepared.class_weights)
            if watch.diverges(loss.item()):
                return losses, True
            losses.append(loss.item())
            update(state, recipe, loss)
    return losses, False


def smooth(losses: Sequence[float]) -> np.ndarray:
    """Means over neighbouring steps with a Gaussian's weights; losses above twice the first count as that."""
    values = np.minimum(losses, 2 * losses[0])
    steps = np.arange(len(values))
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / SMOOTHING_STEPS) ** 2)
    smoothed: np.ndarray = weights @ values / weights.sum(1)
    return smoothed


class _Watch:
    """Notices that the loss diverges."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._steps = 0
        self._lowest = math.inf

    def diverges(self, loss: float) -> bool:
        """Whether this loss, or the running mean with it, is beyond hope."""
        self._steps += 1
        self._mean = MEMORY * self._mean + (1 - MEMORY) * loss
        mean = self._mean / (1 - MEMORY**self._steps)
        self._lowest = min(self._lowest, mean)
        return not math.isfinite(loss) or mean > DIVERGED * self._lowest


def _batches(prepared: Prepared, start: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of epoch `start` and all that follow, as the training would take them: rows and draws."""
    batches = prepared.batches
    for epoch in itertools.count(start):
        prepared.inputs.start_epoch(epoch)
        yield from batches.epoch(epoch)


@contextmanager
def _on_loan(prepared: Prepared) -> Iterator[TrainingState]:
    """The prepared training, without its weight average; afterwards everything is as it was before."""
    model, optimizer = prepared.state.model, prepared.state.optimizer
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    with seeded(derive_seed(prepared.seed, "rates"), prepared.runtime.device):
        try:
            yield TrainingState(model, optimizer)
        finally:
            optimizer.zero_grad(set_to_none=True)
            model.load_state_dict(weights)
            optimizer.load_state_dict(state)
            prepared.inputs.start_epoch(0)


def _lowest(losses: Sequence[float], smoothed: np.ndarray, diverged: bool) -> int:
    """The step at which the curve is lowest; if it falls no more than its noise, the last before it rises."""
    quiet = max(3, len(losses) // 4)  # the first steps hardly change the weights: they show the noise
    level, noise = float(np.mean(losses[:quiet])), float(np.std(losses[:quiet]))
    lowest = int(smoothed.argmin())
    if level - smoothed[lowest] > max(noise, 0.01 * level):
        return lowest
    if not diverged:
        raise TrainingError(
            f"the loss stays at {level:.3g} at all rates. Raise the highest one (--high), or look at the "
            "network and its initial weights."
        )
    return int(np.flatnonzero(smoothed <= level + noise)[-1])


def _as_settings(recipe: GradientRecipe, suggestion: float) -> dict[str, float]:
    """Recipe options with the suggestion, of two significant digits."""
    optimizer = optimizer_of(recipe)
    rates = {"learning_rate": optimizer.learning_rate}
    if isinstance(optimizer, Muon):
        rates["head_learning_rate"], rates["other_learning_rate"] = optimizer.rates()
    factor = suggestion / optimizer.learning_rate
    return {f"optimizer.{name}": float(f"{rate * factor:.2g}") for name, rate in rates.items()}
