"""What the training makes small: losses, and the weights of unequal classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from photopic.config.base import Frozen, NonNegative, by_name
from photopic.errors import did_you_mean


class CrossEntropy(Frozen):
    """−log p of the true class, p = softmax(logits); Keras' categorical and sparse cross-entropy alike."""

    name: Literal["cross-entropy"] = "cross-entropy"


class BinaryCrossEntropy(Frozen):
    """−log of a single sigmoid output's probability of the truth; two classes only.

    The network has one output z, and its logits are [0, z]: softmax([0, z]) = [1 − sigmoid(z), sigmoid(z)].
    """

    name: Literal["binary-cross-entropy"] = "binary-cross-entropy"


class FocalLoss(Frozen):
    """−(1 − p)^gamma · log p of the true class (Lin et al. 2017, arXiv:1708.02002, equation 4).

    Images that are already right weigh less. With label smoothing Σ_k t_k · −(1 − p_k)^gamma · log p_k, as in
    Keras.
    """

    name: Literal["focal"] = "focal"
    gamma: NonNegative = 2.0
    """How much less; 0 is the cross-entropy."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """Weight of the second class, 1 − alpha that of the first (equation 5); for two classes only. With more,
    take class_weights."""


class MeanSquaredError(Frozen):
    """Mean over the classes of (p_k − t_k)², p = softmax(logits), t one-hot; as Keras."""

    name: Literal["mse"] = "mse"


Loss = Annotated[
    Annotated[CrossEntropy | BinaryCrossEntropy | FocalLoss | MeanSquaredError, Field(discriminator="name")],
    BeforeValidator(by_name),
]
"""A loss with its options, or just its name."""


def _names_as_text(value: Any) -> Any:
    """Class names such as 7 are no text in YAML. Raises ValueError for what is no weights at all."""
    if isinstance(value, dict):
        return {str(key): weight for key, weight in value.items()}
    if value not in ("none", "balanced"):
        raise ValueError(f"expected none, balanced or {{class name: weight}}.{_nearest(value)}")
    return value


def _nearest(value: Any) -> str:
    return did_you_mean(value, ("none", "balanced")) if isinstance(value, str) else ""


ClassWeights = Annotated[
    Literal["none", "balanced"] | dict[str, NonNegative], BeforeValidator(_names_as_text)
]
"""none; balanced: n / (K · n_k); or a weight for each class name, 1 where none is given."""


class Regularizer(Frozen):
    """A penalty l1 · Σ|w| + l2 · Σw² on the weights (Keras' L1L2; no factor ½).

    It enters the gradient alone: the loss that is reported is without it.
    """

    l1: NonNegative = 0.0
    """Factor of the sum of absolute weights, which makes weights exactly zero."""
    l2: NonNegative = 0.0
    """Factor of the sum of squared weights, which keeps weights small."""
    biases: bool = False
    """false: kernels alone (parameters with two or more dimensions); true: all trainable variables, also
    biases and the scales and shifts of norms."""

    @model_validator(mode="after")
    def _check(self) -> Regularizer:
        if self.biases and not self.is_active:
            raise ValueError("biases has no effect while l1 and l2 are 0: set one of them, or leave it out")
        return self

    @property
    def is_active(self) -> bool:
        """Whether there is a penalty."""
        return self.l1 > 0 or self.l2 > 0
