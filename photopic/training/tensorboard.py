"""A reader of training records that writes them for TensorBoard; needs the extra `tensorboard`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from photopic.errors import ConfigError
from photopic.training.meter import Record

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/validation",
}


class TensorBoard:
    """Event files in a folder: scalars at their training step, and the network's graph.

    Each sitting says from which step on it counts, so records that a resumed training writes again take the
    place of the old ones.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when tensorboard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "--tensorboard needs the package tensorboard: pip install 'photopic[tensorboard]'."
            ) from None
        self._new_writer = SummaryWriter
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._step = 0

    def __call__(self, record: Record) -> None:
        """Write the numbers of one record; records without any are passed over."""
        if record["event"] == "step":
            self._scalar("learning_rate", record["learning_rate"], record["step"])
            self._scalar("images_per_second", record["images_per_second"], record["step"])
        elif record["event"] == "epoch":
            for key, tag in SCALARS.items():
                self._scalar(tag, record[key], record["step"])
        elif record["event"] == "scored":
            defined = [row for row in record["scores"].rows() if row["value"] is not None]
            for row in defined:
                self._scalar(f"score {record['split']}/{row['name']}", row["value"], self._step)

    def draw(self, model: nn.Module, channels: int, size: int) -> None:
        """Write the network's graph; its boxes are the network's modules, by name.

        Raises RuntimeError when torch cannot trace the network.
        """
        device = next(model.parameters()).device
        with warnings.catch_warnings():  # tracing is deprecated in torch, and what TensorBoard's graph needs
            warnings.simplefilter("ignore")
            self._at(self._step).add_graph(model.eval(), torch.zeros(1, channels, size, size, device=device))

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()

    def _scalar(self, tag: str, value: float, step: int) -> None:
        self._step = step
        self._at(step).add_scalar(tag, value, step)

    def _at(self, step: int) -> SummaryWriter:
        """The writer, which is opened at the first step that is written."""
        if self._writer is None:
            self._writer = self._new_writer(str(self._folder), purge_step=step)
        return self._writer
