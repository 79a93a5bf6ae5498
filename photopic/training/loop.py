"""The training loop: one function for scratch and fine-tune, every device and every precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from photopic.augment.mix import Mix
from photopic.config import GradientRecipe, SelectBy
from photopic.data.batches import Batches
from photopic.models.layered import activity_penalty
from photopic.runtime import Runtime, derive_seed, seeded
from photopic.training.average import WeightAverage
from photopic.training.losses import step_loss
from photopic.training.meter import Meter, Record, check_finite
from photopic.training.optimizers import clip_gradients
from photopic.training.regularisers import add_penalty_gradients, limit_norms
from photopic.training.schedules import Progress, learning_rate_factor
from photopic.training.stopping import stop_reason
from photopic.training.time_limit import TimeLimit

RECORDS_PER_EPOCH = 10


class Inputs(Protocol):
    """The training images, ready for the network."""

    def __len__(self) -> int:
        """Number of images."""

    def start_epoch(self, epoch: int) -> None:
        """Draw the epoch's augmentation."""

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        """Network input for some rows, on the device, and how the images of the batch were mixed, if at all.

        draws: (B,) which of the epoch's draws each image takes, 0..N-1; its own row's by default.
        """


@dataclass(frozen=True)
class Validation:
    """The numbers that select an epoch."""

    accuracy: float
    loss: float

    def beats(self, other: Validation | None, select_by: SelectBy = "val_accuracy") -> bool:
        """Whether this, the later one, is to be kept instead of `other`; anything is better than nothing.

        val_accuracy: the higher accuracy, and the lower loss where accuracies tie. val_loss: the other way
        round. last: always.
        """
        if other is None or select_by == "last":
            return True
        if select_by == "val_loss":
            return (-self.loss, self.accuracy) > (-other.loss, other.accuracy)
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


@dataclass(frozen=True)
class EpochScores:
    """The numbers of an epoch that stopping and schedules look at."""

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass
class Best:
    """The weights with the best validation score so far."""

    epoch: int
    validation: Validation
    weights: dict[str, Tensor]


@dataclass
class TrainingState:
    """All that changes while a network is trained, and all that a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    epoch: int = 0
    """The next epoch; it begins with exactly this state."""
    best: Best | None = field(default=None, repr=False)
    history: list[EpochScores] = field(default_factory=list, repr=False)
    """The scores of all epochs so far; what depends on the past, such as stopping, is computed from them."""
    stopped: str | None = None
    """Why the training is over before its last epoch; None: it is not. No checkpoint holds it."""

    @property
    def val_losses(self) -> tuple[float, ...]:
        """The validation loss of each epoch so far."""
        return tuple(scores.val_loss for scores in self.history)

    @property
    def scored_model(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.model


@dataclass(frozen=True)
class Prepared:
    """A gradient training that is ready for its first step."""

    recipe: GradientRecipe
    """The resolved recipe."""
    state: TrainingState
    inputs: Inputs
    """The training images."""
    labels: Tensor
    """(N,) int64 on the device."""
    class_weights: Tensor | None
    """(K,) float32 there; None: all are 1."""
    seed: int
    runtime: Runtime

    @property
    def batches(self) -> Batches:
        """The images of each step of each epoch."""
        balanced = self.labels if self.recipe.sampling == "balanced" else None
        return Batches(len(self.inputs), self.recipe.batch_size, self.seed, balanced=balanced)


def fit(
    prepared: Prepared,
    validate: Callable[[nn.Module], Validation],
    *,
    report: Callable[[Record], None],
    save: Callable[[TrainingState], None],
    time_limit: TimeLimit | None = None,
) -> None:
    """Train from `prepared.state` to the recipe's last epoch, or to where its rules say stop.

    Every random choice is a function of (seed, epoch, image), so a training that starts from a saved state
    ends in the same weights as one that was never stopped. When `time_limit` is over, the epoch ends after
    the current step, is scored like any other and is the last one. Raises TrainingError when the loss is not
    finite.
    """
    recipe, state, inputs, labels = prepared.recipe, prepared.state, prepared.inputs, prepared.labels
    runtime, batches = prepared.runtime, prepared.batches
    total_steps = recipe.total_epochs * len(batches)
    every = max(1, len(batches) // RECORDS_PER_EPOCH)
    state.stopped = stop_reason(recipe, state.history)
    while state.epoch < recipe.total_epochs and state.stopped is None:
        with seeded(derive_seed(prepared.seed, "layers", state.epoch), runtime.device):
            inputs.start_epoch(state.epoch)
            state.model.train()
            meter = Meter(state.epoch, runtime.device)
            for number, (rows, draws) in enumerate(batches.epoch(state.epoch), start=1):
                step = state.epoch * len(batches) + number
                progress = Progress(step - 1, total_steps, len(batches), state.val_losses)
                factor = learning_rate_factor(recipe.schedule, progress)
                for group in state.optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * factor
                images, mix = inputs.batch(rows, draws)
                targets = labels[runtime.to_device(rows)]
                with runtime.autocast():
                    logits = state.model(images)
                    loss = step_loss(recipe, logits, targets, mix, prepared.class_weights)
                update(state, recipe, loss)
                meter.add(loss, logits, targets, mix)
                if number % every == 0 or number == len(batches):
                    report(meter.step_record(step, total_steps, state.optimizer.param_groups[0]["lr"]))
                if time_limit is not None and time_limit.is_over and step < total_steps:
                    state.stopped = f"the time limit is over, after step {step:,} of {total_steps:,}"
                    break
        record = meter.epoch_record(step)
        validation = validate(state.scored_model)
        check_finite(validation.loss, "validation", step, state.epoch)
        if validation.beats(state.best.validation if state.best else None, recipe.select_by):
            state.best = Best(state.epoch, validation, copy_weights(state.scored_model))
        assert state.best is not None
        state.history.append(
            EpochScores(record["train_loss"], record["train_accuracy"], validation.loss, validation.accuracy)
        )
        state.epoch += 1
        state.stopped = state.stopped or stop_reason(recipe, state.history)
        report(
            record
            | {
                "val_accuracy": validation.accuracy,
                "val_loss": validation.loss,
                "best_epoch": state.best.epoch,
            }
        )
        save(state)
    if state.stopped is not None:
        report({"event": "stopped", "epoch": state.epoch - 1, "reason": state.stopped})


def update(state: TrainingState, recipe: GradientRecipe, loss: Tensor) -> None:
    """One step down the loss and the penalties, which are not reported; then what holds for the weights."""
    activity = activity_penalty(state.model)
    torch.autograd.backward(loss if activity is None else loss + activity)
    if recipe.regularizer.is_active:
        add_penalty_gradients(state.model, recipe.regularizer)
    clip_gradients(recipe.optimizer, state.model.parameters())
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    if recipe.max_norm is not None:
        limit_norms(state.model.modules(), recipe.max_norm)
    if state.average is not None:
        state.average.update(state.model)


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights and statistics by name, on the CPU, in memory of their own."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
