"""What layers are made with: initial values of weights, and activation functions, each by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

from pydantic import model_serializer, model_validator

from photopic.config.base import Frozen, NonNegative, Positive
from photopic.errors import did_you_mean

InitializerName = Literal[
    "zeros",
    "ones",
    "constant",
    "normal",
    "truncated-normal",
    "uniform",
    "glorot-uniform",
    "glorot-normal",
    "he-uniform",
    "he-normal",
    "lecun-uniform",
    "lecun-normal",
]
ActivationName = Literal[
    "linear", "sigmoid", "tanh", "relu", "leaky-relu", "elu", "selu", "gelu", "silu", "softmax"
]


class _Named(Frozen):
    """A name, or a name with its parameters; written as the bare name where there are none."""

    @model_serializer
    def _short(self) -> str | dict[str, str | float]:
        values = {name: value for name, value in self.__dict__.items() if value is not None}
        return cast(str, values["name"]) if len(values) == 1 else values


def _from_name(values: Any, what: str, known: Sequence[str]) -> Any:
    """Values with the bare name unfolded. Raises ValueError for an unknown name, with the nearest."""
    values = {"name": values} if isinstance(values, str) else values
    name = values.get("name") if isinstance(values, Mapping) else None
    if isinstance(name, str) and name not in known:
        raise ValueError(f'the {what} "{name}" is not known.{did_you_mean(name, known)}')
    return values


class Initializer(_Named):
    """How weights or biases begin; n_in and n_out are the layer's fans, kernel area times channels.

    zeros, ones: 0 or 1; constant: `value`; normal: N(0, std²); truncated-normal: N(0, std²), drawn again
    beyond 2 std, so that its own spread is 0.88 std; uniform: U(-limit, limit);
    glorot-uniform (Xavier): U(-a, a) with a = √(6 / (n_in + n_out));
    glorot-normal: spread √(2 / (n_in + n_out));
    he-uniform: a = √(6 / n_in); he-normal: spread √(2 / n_in);
    lecun-uniform: a = √(3 / n_in); lecun-normal: spread √(1 / n_in).
    glorot-, he- and lecun-normal are cut at twice the standard deviation as in Keras, which is made larger by
    1 / 0.8796 before, so that the spread of what is left is the one given.
    Glorot and Bengio 2010; He et al. 2015 (arXiv:1502.01852); LeCun et al. 1998.
    """

    name: InitializerName
    """The rule."""
    value: float | None = None
    """Of constant."""
    std: Positive | None = None
    """Standard deviation of normal and truncated-normal before the cut; 0.05 if left out."""
    limit: Positive | None = None
    """Bound of uniform; 0.05 if left out."""

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, values: Any) -> Any:
        return _from_name(values, "initialisation", get_args(InitializerName))

    @model_validator(mode="after")
    def _check(self) -> Initializer:
        for field, names in (
            ("value", {"constant"}),
            ("std", {"normal", "truncated-normal"}),
            ("limit", {"uniform"}),
        ):
            if getattr(self, field) is not None and self.name not in names:
                raise ValueError(f"{field} has no effect with the initialisation {self.name}")
        if self.name == "constant" and self.value is None:
            raise ValueError("the initialisation constant needs a value, as in {name: constant, value: 0.1}")
        return self


class Activation(_Named):
    """A function of each number x of a map; softmax runs over the channels. f′ is its slope.

    linear: x; sigmoid: σ(x) = 1 / (1 + e⁻ˣ), f′ = σ (1 − σ); tanh: (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ), f′ = 1 − tanh²;
    relu: max(0, x), f′ = 0 or 1; leaky-relu: x, below 0 slope · x; elu: x, below 0 alpha (eˣ − 1);
    selu: 1.0507 · elu with alpha = 1.6733; gelu: x Φ(x), Φ the normal distribution; silu: x σ(x);
    softmax: exp xᵢ / Σⱼ exp xⱼ.
    """

    name: ActivationName = "linear"
    """The function."""
    slope: NonNegative | None = None
    """Of leaky-relu below 0; 0.01 if left out (Keras' layer: 0.3)."""
    alpha: Positive | None = None
    """Of elu: the value it tends to below 0, negated; 1 if left out."""

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, values: Any) -> Any:
        return _from_name(values, "activation", get_args(ActivationName))

    @model_validator(mode="after")
    def _check(self) -> Activation:
        for field, name in (("slope", "leaky-relu"), ("alpha", "elu")):
            if getattr(self, field) is not None and self.name != name:
                raise ValueError(f"{field} has no effect with the activation {self.name}")
        return self
