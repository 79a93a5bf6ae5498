"""What all configuration shares: frozen models without unknown fields, and the usual ranges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Range = tuple[Positive, Positive]
Depth = Annotated[int, Field(ge=1, le=8)]


class Frozen(BaseModel):
    """Base of all configuration: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def by_name(value: Any) -> Any:
    """The short form of a choice: a word stands for the options with that name and nothing else."""
    return {"name": value} if isinstance(value, str) else value
