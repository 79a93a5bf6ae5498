"""Update rules and the course of the learning rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from photopic.config.base import Fraction, Frozen, NonNegative, Positive


class SGD(Frozen):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: Positive = 0.01
    """Peak learning rate."""
    momentum: Fraction = 0.9
    """Weight of the past in the velocity."""
    nesterov: bool = True
    """Look ahead along the velocity; needs momentum above 0."""
    weight_decay: NonNegative = 0.0
    """L2 penalty added to the gradient of weights (not of biases and norms)."""


class Adam(Frozen):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""


class AdamW(Frozen):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""
    weight_decay: NonNegative = 0.01
    """Decoupled decay of weights (not of biases and norms)."""


class Muon(Frozen):
    """Orthogonalised momentum for convolution filters (Jordan 2024), SGD with Nesterov for the rest."""

    name: Literal["muon"] = "muon"
    learning_rate: Positive = 0.24
    """Peak learning rate of convolution filters."""
    momentum: Fraction = 0.6
    """Momentum of convolution filters."""
    head_learning_rate: Positive = 0.67
    """Peak learning rate of matrices; in photopic's own networks: the last layer."""
    other_learning_rate: Positive = 0.053
    """Peak learning rate of everything else (norms, biases)."""
    other_momentum: Fraction = 0.85
    """Momentum of everything that is not a filter."""
    weight_decay: NonNegative = 0.0
    """L2 penalty of everything that is not a filter, per step at the peak rate: gradient plus
    weight_decay / learning rate times the weight."""


Optimizer = Annotated[SGD | Adam | AdamW | Muon, Field(discriminator="name")]


class ConstantSchedule(Frozen):
    """The same learning rate from first to last step."""

    name: Literal["constant"] = "constant"


class OneCycleSchedule(Frozen):
    """Linear up to the peak, linear down to the end (Smith 2018, arXiv:1803.09820)."""

    name: Literal["one-cycle"] = "one-cycle"
    start: float = Field(default=0.2, ge=0, le=1)
    """First learning rate as a fraction of the peak."""
    peak_at: Fraction = 0.25
    """Share of all steps at which the peak is reached."""
    end: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a fraction of the peak."""


class CosineSchedule(Frozen):
    """Linear warm-up, then half a cosine down to the end (Loshchilov and Hutter 2017, arXiv:1608.03983)."""

    name: Literal["cosine"] = "cosine"
    warmup: Fraction = 0.05
    """Share of all steps for the warm-up."""
    end: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a fraction of the peak."""


Schedule = Annotated[ConstantSchedule | OneCycleSchedule | CosineSchedule, Field(discriminator="name")]
