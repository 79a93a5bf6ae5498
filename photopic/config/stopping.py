"""When a training ends before its last epoch, and which of its weights are kept."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from photopic.config.base import Frozen, NonNegative
from photopic.errors import did_you_mean

Monitor = Literal["val_loss", "val_accuracy", "train_loss", "train_accuracy"]
"""A number of each epoch; losses are better low, accuracies better high."""
SelectBy = Literal["val_accuracy", "val_loss", "last"]

_NAMED = {"epoch": 1, "val_loss": 0.5, "val_accuracy": 0.5, "train_loss": 0.5, "train_accuracy": 0.5}


class EarlyStopping(Frozen):
    """Stop when a number has not become better for some epochs (Keras' EarlyStopping)."""

    monitor: Monitor = "val_loss"
    """The number. train_accuracy and train_loss are of images as they were learned from: they do not show
    overfitting."""
    patience: int = Field(default=10, ge=1)
    """Epochs in a row without an improvement after which training stops."""
    min_delta: NonNegative = 0.0
    """An improvement by this much or less is none."""


class StopAt(Frozen):
    """Stop at the end of the first epoch in which a number has reached a value; needs two epochs or more."""

    monitor: Monitor = "val_accuracy"
    """The number; train_accuracy is what the network answered while it learned: new images do worse."""
    value: NonNegative
    """An accuracy (0..1) at or above it, or a loss at or below it, is the goal."""

    @model_validator(mode="after")
    def _check(self) -> StopAt:
        if self.monitor.endswith("accuracy") and not 0 < self.value <= 1:
            raise ValueError(
                f"an accuracy is a fraction above 0 and up to 1, got value={self.value:g}; 99 % is 0.99"
            )
        return self


def _check_name(template: str) -> str:
    """A file name with numbers of the epoch in braces. Raises ValueError that names what is wrong."""
    example = 'An example is "best-{epoch:02d}-{val_loss:.4f}".'
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        unknown = [field for field in fields if field not in _NAMED]
        name = "" if unknown else template.format(**_NAMED)
    except ValueError as error:
        raise ValueError(f"cannot be filled in: {error}. {example}") from None
    if unknown:
        raise ValueError(
            f'"{unknown[0]}" is no number of an epoch.{did_you_mean(unknown[0], _NAMED)} {example}'
        )
    if not name or name.startswith(".") or any(char in '/\\:*?"<>|' or ord(char) < 32 for char in name):
        raise ValueError(f'gives the file name "{name}", which must have no path and no special characters')
    return template


CheckpointName = Annotated[str, AfterValidator(_check_name)]
"""A file name such as "mnist-{epoch:02d}-{val_loss:.4f}"; epoch counts from 1."""
