"""What is measured while a network learns: sums on the device, read only when something is reported."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from photopic.augment.mix import Mix
from photopic.errors import TrainingError
from photopic.training.losses import right_answers

Record = dict[str, Any]


class Meter:
    """Sums of an epoch, kept on the device and read only at records."""

    def __init__(self, epoch: int, device: torch.device) -> None:
        self.epoch = epoch
        self._sums = torch.zeros(2, device=device)  # loss × images, correct
        # how many there were before the first that was not finite
        self._finite_steps = torch.zeros((), dtype=torch.int64, device=device)
        self._steps = 0
        self._images = 0
        self._start = time.perf_counter()

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, mix: Mix | None = None) -> None:
        """Count a batch: its mean loss, and its correct answers as the network gave them while it learned."""
        n = len(labels)
        correct = right_answers(logits, labels, mix)
        self._sums += torch.stack([loss.detach().float() * n, correct.float()])
        self._finite_steps += self._sums[0].isfinite()  # a sum that is not finite stays so
        self._steps += 1
        self._images += n

    def step_record(self, step: int, total_steps: int, learning_rate: float) -> Record:
        """What is known in this epoch after `step` steps of the training.

        Raises TrainingError, with the first step at which the loss was not finite.
        """
        return {
            "event": "step",
            "epoch": self.epoch,
            "step": step,
            "total_steps": total_steps,
            "learning_rate": learning_rate,
            **self._averages(step),
            "images_per_second": self._images / self._seconds,
        }

    def epoch_record(self, step: int) -> Record:
        """The epoch's averages over all its images. Raises TrainingError as `step_record`."""
        averages, seconds = self._averages(step), self._seconds
        return {
            "event": "epoch",
            "epoch": self.epoch,
            "step": step,
            **averages,
            "seconds": seconds,
            "images_per_second": self._images / seconds,
        }

    def _averages(self, step: int) -> Record:
        loss, correct = self._sums.tolist()
        if not math.isfinite(loss):
            bad = step - self._steps + int(self._finite_steps.item()) + 1
            check_finite(loss, "training", bad, self.epoch)
        return {"train_loss": loss / self._images, "train_accuracy": correct / self._images}

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._start


def check_finite(loss: float, what: str, step: int, epoch: int) -> None:
    """Raises TrainingError, with the step and the way out, unless the loss is a finite number."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {what} loss is not finite at step {step} (epoch {epoch}). "
            "Lower optimizer.learning_rate, or set optimizer.clip_norm=1; the weights of the best epoch "
            "before, if there is one, are kept."
        )
