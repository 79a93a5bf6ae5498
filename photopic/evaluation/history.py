"""The course of a training, one row per epoch, from a run's records."""

from __future__ import annotations

from typing import Any

from photopic.run import Run

COLUMNS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "best",
)


def history(run: Run) -> list[dict[str, Any]]:
    """A row for each epoch that was finished, with the keys of COLUMNS.

    epoch: counted from 1. learning_rate: of the epoch's last step (of the first group of weights). train_*:
    averages over the epoch, of images as they were learned from and without penalties. val_*: after the
    epoch. best: whether the run keeps this epoch's weights. Empty in the way frozen, which has no epochs.
    """
    rates: dict[int, float] = {}
    rows = []
    best = run.manifest.selected.get("epoch")
    for record in run.records():
        if record["event"] == "step":
            rates[record["epoch"]] = record["learning_rate"]
        elif record["event"] == "epoch":
            row = record | {"epoch": record["epoch"] + 1, "learning_rate": rates.get(record["epoch"])}
            rows.append({name: row.get(name) for name in COLUMNS})
            if run.manifest.status == "running":  # nothing is selected yet
                best = record["best_epoch"]
    for row in rows:
        row["best"] = best is not None and row["epoch"] == best + 1
    return rows
