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
        self._sums = torch.zeros(3, device=device)  # loss × images, correct, images
        self._start = time.perf_counter()

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, mix: Mix | None = None) -> None:
        """Count a batch: its mean loss, and its correct answers as the network gave them while it learned."""
        n = len(labels)
        correct = right_answers(logits, labels, mix)
        self._sums += torch.stack([loss.detach().float() * n, correct.float(), correct.new_tensor(n).float()])

    def step_record(self, step: int, total_steps: int, learning_rate: float) -> Record:
        """What is known so far in this epoch. Raises TrainingError when the loss is not finite."""
        loss, correct, images = self._sums.tolist()
        check_finite(loss, "training", step, self.epoch)
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


def check_finite(loss: float, what: str, step: int, epoch: int) -> None:
    """Raises TrainingError, with the step and the way out, unless the loss is a finite number."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {what} loss is not finite at step {step} (epoch {epoch}). "
            "Lower optimizer.learning_rate, or set optimizer.clip_norm=1; the weights of the best epoch "
            "before, if there is one, are kept."
        )
