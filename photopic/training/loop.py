"""The training loop: one function for scratch and fine-tune, every device and every precision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from photopic.augment.mix import Mix
from photopic.config import FineTuneRecipe, ScratchRecipe
from photopic.data.batches import Batches
from photopic.errors import TrainingError
from photopic.runtime import Runtime, derive_seed
from photopic.training.average import WeightAverage
from photopic.training.schedules import Progress, learning_rate_factor

Record = dict[str, Any]
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
    """The score that selects: accuracy, and the loss where accuracies tie."""

    accuracy: float
    loss: float

    def beats(self, other: Validation | None) -> bool:
        """Whether this is better than `other`; anything is better than nothing."""
        return other is None or (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


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

    @property
    def val_losses(self) -> tuple[float, ...]:
        """The validation loss of each epoch so far."""
        return tuple(scores.val_loss for scores in self.history)

    @property
    def scored_model(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.model


def fit(
    state: TrainingState,
    recipe: ScratchRecipe | FineTuneRecipe,
    inputs: Inputs,
    labels: Tensor,
    validate: Callable[[nn.Module], Validation],
    *,
    seed: int,
    runtime: Runtime,
    report: Callable[[Record], None],
    save: Callable[[TrainingState], None],
) -> None:
    """Train `state.model` from `state.epoch` to the recipe's last epoch.

    labels: (N,) int64 on the device. Every random choice is a function of (seed, epoch, image), so a training
    that starts from a saved state ends in the same weights as one that was never stopped.
    Raises TrainingError when the loss is not finite.
    """
    batches = Batches(len(inputs), recipe.batch_size, seed)
    total_steps = recipe.total_epochs * len(batches)
    every = max(1, len(batches) // RECORDS_PER_EPOCH)
    while state.epoch < recipe.total_epochs:
        with _seeded(derive_seed(seed, "layers", state.epoch), runtime):
            inputs.start_epoch(state.epoch)
            state.model.train()
            meter = Meter(state.epoch, runtime.device)
            for number, rows in enumerate(batches.epoch(state.epoch), start=1):
                step = state.epoch * len(batches) + number
                progress = Progress(step - 1, total_steps, len(batches), state.val_losses)
                factor = learning_rate_factor(recipe.schedule, progress)
                for group in state.optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * factor
                images, _ = inputs.batch(rows)
                targets = labels[rows.to(labels.device)]
                with runtime.autocast():
                    logits = state.model(images)
                    loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
                loss.backward()  # type: ignore[no-untyped-call]
                state.optimizer.step()
                state.optimizer.zero_grad(set_to_none=True)
                if state.average is not None:
                    state.average.update(state.model)
                meter.add(loss, logits, targets)
                if number % every == 0 or number == len(batches):
                    report(meter.step_record(step, total_steps, state.optimizer.param_groups[0]["lr"]))
        record = meter.epoch_record(step)
        validation = validate(state.scored_model)
        _check_finite(validation.loss, "validation", step, state.epoch)
        if validation.beats(state.best.validation if state.best else None):
            state.best = Best(state.epoch, validation, _copy_weights(state.scored_model))
        assert state.best is not None
        state.history.append(
            EpochScores(record["train_loss"], record["train_accuracy"], validation.loss, validation.accuracy)
        )
        state.epoch += 1
        report(
            record
            | {
                "val_accuracy": validation.accuracy,
                "val_loss": validation.loss,
                "best_epoch": state.best.epoch,
            }
        )
        save(state)


class Meter:
    """Sums of an epoch, kept on the device and read only at records."""

    def __init__(self, epoch: int, device: torch.device) -> None:
        self.epoch = epoch
        self._sums = torch.zeros(3, device=device)  # loss × images, correct, images
        self._start = time.perf_counter()

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, and its correct answers as the network gave them while it learned."""
        n = len(labels)
        correct = (logits.detach().argmax(1) == labels).sum()
        self._sums += torch.stack([loss.detach().float() * n, correct.float(), correct.new_tensor(n).float()])

    def step_record(self, step: int, total_steps: int, learning_rate: float) -> Record:
        """What is known so far in this epoch. Raises TrainingError when the loss is not finite."""
        loss, correct, images = self._sums.tolist()
        _check_finite(loss, "training", step, self.epoch)
        return {
            "event": "step",
            "epoch": self.epoch,
            "step": step,
            "total_steps": total_steps,
            "learning_rate": learning_rate,
            "train_loss": loss / images,
            "train_accuracy": correct / images,
            "images_per_second": images / (time.perf_counter() - self._start),
        }

    def epoch_record(self, step: int) -> Record:
        """The epoch's averages over all its images."""
        loss, correct, images = self._sums.tolist()
        seconds = time.perf_counter() - self._start
        return {
            "event": "epoch",
            "epoch": self.epoch,
            "step": step,
            "train_loss": loss / images,
            "train_accuracy": correct / images,
            "seconds": seconds,
            "images_per_second": images / seconds,
        }


def _check_finite(loss: float, what: str, step: int, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {what} loss is not finite at step {step} (epoch {epoch}). "
            "Lower the learning rate; the weights of the best epoch before are kept."
        )


def _copy_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}


@contextmanager
def _seeded(seed: int, runtime: Runtime) -> Iterator[None]:
    """Seed the generators that layers such as dropout use, and give the caller's state back afterwards."""
    devices = [runtime.device] if runtime.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
