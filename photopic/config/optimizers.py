"""Update rules by name, with every parameter they have.

In the formulas w are the weights, g is the gradient of the loss, η the learning rate of this step, and
products, squares and roots of tensors are taken element by element. The rules are torch's; where Keras
differs, the docstring says how.

Weight decay comes in two kinds. *In the gradient*: g ← g + weight_decay·w, the gradient of the penalty
(weight_decay/2)·Σw²; so a penalty written λ·Σw², as Keras' `l2(λ)` and the recipe's `regularizer` are, is
weight_decay = 2λ. *Decoupled* (AdamW, Lion): w ← w − η·weight_decay·w beside the update, which an adaptive
rule does not rescale (Loshchilov and Hutter 2019). Both spare biases and norms (tensors of one dimension);
only Muon's, which is for everything but filters, does not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from photopic.config.base import Fraction, Frozen, NonNegative, Positive, by_name


class UpdateRule(Frozen):
    """What all update rules share: a learning rate, and a bound on gradients."""

    name: str
    learning_rate: Positive
    """Peak learning rate; the schedule gives each step its share of it."""
    clip_norm: Positive | None = None
    """Largest length of all gradients taken as one vector; longer ones are scaled down to it (Pascanu 2013,
    arXiv:1211.5063). Keras calls this global_clipnorm; its clipnorm looks at each tensor alone."""
    clip_value: Positive | None = None
    """Each element of each gradient is cut to ± this."""

    @model_validator(mode="after")
    def _one_way_of_clipping(self) -> UpdateRule:
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("clip_norm and clip_value exclude each other: leave one of them out")
        return self


class SGD(UpdateRule):
    """Stochastic gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever 2013, ICML).

    v ← momentum·v + g;  w ← w − η·v, or with Nesterov w ← w − η·(g + momentum·v). Keras keeps η inside v
    (v ← momentum·v − η·g; w ← w + v), which is the same as long as η is constant.
    """

    name: Literal["sgd"] = "sgd"
    learning_rate: Positive = 0.01
    """Peak learning rate."""
    momentum: Fraction = 0.9
    """Weight of the past in the velocity; 0: plain gradient descent, as Keras' default."""
    nesterov: bool | None = None
    """Look ahead along the velocity; none: yes where there is momentum."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""

    @model_validator(mode="after")
    def _check(self) -> SGD:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov has no effect with momentum=0: set momentum, or nesterov=false")
        return self


class Adagrad(UpdateRule):
    """Steps that shrink as squared gradients add up (Duchi 2011, JMLR 12, 2121).

    s ← s + g²;  w ← w − η·g/(√s + epsilon). Keras starts s at 0.1, takes √(s + epsilon) and epsilon = 1e-7.
    """

    name: Literal["adagrad"] = "adagrad"
    learning_rate: Positive = 0.01
    """Peak learning rate; Keras 3 has 0.001."""
    initial_accumulator: NonNegative = 0.0
    """Sum of squared gradients before the first step."""
    epsilon: Positive = 1e-10
    """Keeps the quotient finite."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class Adadelta(UpdateRule):
    """Steps in the units of the weights, without a tuned rate (Zeiler 2012, arXiv:1212.5701).

    s ← rho·s + (1−rho)·g²;  d = g·√(u + epsilon)/√(s + epsilon);  u ← rho·u + (1−rho)·d²;  w ← w − η·d.
    Keras: epsilon = 1e-7, and 0.001 as its default rate.
    """

    name: Literal["adadelta"] = "adadelta"
    learning_rate: Positive = 1.0
    """Peak learning rate; 1 is the paper's rule."""
    rho: Fraction = 0.95
    """Decay of both averages."""
    epsilon: Positive = 1e-6
    """Starts the steps: the first ones are about as long as its root."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class RMSprop(UpdateRule):
    """Gradient divided by its running root mean square (Hinton 2012, Coursera lecture 6e).

    s ← rho·s + (1−rho)·g²;  v ← momentum·v + g/(√s + epsilon);  w ← w − η·v. Centred: √(s − m²) in place of
    √s, with m the running mean of g (Graves 2013, arXiv:1308.0850). Keras takes √(s + epsilon) and epsilon =
    1e-7, and keeps η inside v.
    """

    name: Literal["rmsprop"] = "rmsprop"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    rho: Fraction = 0.9
    """Decay of the mean square; torch's own default is 0.99."""
    momentum: Fraction = 0.0
    """Weight of the past in the velocity."""
    centered: bool = False
    """Divide by the standard deviation of the gradient instead of its root mean square."""
    epsilon: Positive = 1e-8
    """Keeps the quotient finite."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class Adam(UpdateRule):
    """Running mean of the gradient over its running root mean square (Kingma and Ba 2015, arXiv:1412.6980).

    m ← beta_1·m + (1−beta_1)·g;  s ← beta_2·s + (1−beta_2)·g²;  w ← w − η·m̂/(√ŝ + epsilon), where in step t
    m̂ = m/(1−beta_1^t) and ŝ = s/(1−beta_2^t). Keras: epsilon = 1e-7, added to √s before its correction. Its
    momentum is beta_1; the rule with Nesterov's is nadam.
    """

    name: Literal["adam"] = "adam"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""
    epsilon: Positive = 1e-8
    """Keeps the quotient finite."""
    amsgrad: bool = False
    """Divide by the root of the largest s so far (Reddi 2018, arXiv:1904.09237)."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class AdamW(UpdateRule):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    w ← w − η·weight_decay·w, then Adam's update with a gradient that knows of no decay.
    """

    name: Literal["adamw"] = "adamw"
    learning_rate: Positive = 0.001
    """Peak learning rate."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""
    epsilon: Positive = 1e-8
    """Keeps the quotient finite."""
    amsgrad: bool = False
    """Divide by the root of the largest s so far (Reddi 2018, arXiv:1904.09237)."""
    weight_decay: NonNegative = 0.01
    """Decoupled decay of weights (not of biases and norms); Keras has 0.004."""


class Adamax(UpdateRule):
    """Adam with the largest gradient in place of the root mean square (Kingma and Ba 2015, section 7.1).

    m as in Adam;  u ← max(beta_2·u, abs(g) + epsilon);  w ← w − η/(1−beta_1^t)·m/u. Keras: epsilon = 1e-7,
    added to u outside of the maximum.
    """

    name: Literal["adamax"] = "adamax"
    learning_rate: Positive = 0.001
    """Peak learning rate; the paper and torch have 0.002."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the largest gradient."""
    epsilon: Positive = 1e-8
    """Keeps the quotient finite."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class Nadam(UpdateRule):
    """Adam with Nesterov's momentum (Dozat 2016, ICLR workshop).

    μ_t = beta_1·(1 − 0.5·0.96^(t·momentum_decay)) and P_t = μ_1·…·μ_t in step t;
    m̂ = μ_(t+1)·m/(1−P_(t+1)) + (1−μ_t)·g/(1−P_t);  w ← w − η·m̂/(√ŝ + epsilon), with m and ŝ as in Adam.
    Keras: 0.96^t, a momentum_decay of 1, and epsilon = 1e-7.
    """

    name: Literal["nadam"] = "nadam"
    learning_rate: Positive = 0.001
    """Peak learning rate; the paper and torch have 0.002."""
    beta_1: Fraction = 0.9
    """Decay of the first moment."""
    beta_2: Fraction = 0.999
    """Decay of the second moment."""
    epsilon: Positive = 1e-8
    """Keeps the quotient finite."""
    momentum_decay: NonNegative = 0.004
    """How fast the momentum grows from half of beta_1 to beta_1."""
    weight_decay: NonNegative = 0.0
    """Penalty weight_decay/2 · Σw² on weights (not on biases and norms), through the gradient."""


class Lion(UpdateRule):
    """The sign of an interpolated momentum: every weight moves by η (Chen 2023, arXiv:2302.06675).

    w ← w − η·(sign(beta_1·m + (1−beta_1)·g) + weight_decay·w);  m ← beta_2·m + (1−beta_2)·g. Wants a rate 3
    to 10 times smaller than AdamW's and a decay as much larger (its section 5). Half the memory of Adam.
    """

    name: Literal["lion"] = "lion"
    learning_rate: Positive = 0.0001
    """Peak learning rate: the distance that every weight moves in a step."""
    beta_1: Fraction = 0.9
    """Weight of the past in the direction of this step."""
    beta_2: Fraction = 0.99
    """Decay of the momentum."""
    weight_decay: NonNegative = 0.0
    """Decoupled decay of weights (not of biases and norms)."""


class Muon(UpdateRule):
    """Orthogonalised momentum for convolution filters (Jordan 2024), SGD with Nesterov for the rest.

    v ← momentum·v + g;  w ← w·√n/‖w‖ − η·U·Vᵀ, for n filters and g + momentum·v = U·S·Vᵀ, filters as rows.
    Small batches want a longer momentum, because U·Vᵀ gives noise the length of a signal.
    """

    name: Literal["muon"] = "muon"
    learning_rate: Positive = 0.24
    """Peak learning rate of convolution filters."""
    momentum: Fraction = 0.6
    """Momentum of convolution filters."""
    head_learning_rate: Positive | None = None
    """Peak learning rate of matrices; in photopic's own networks: the last layer. None: airbench94's 0.67; in
    photopic's own networks 0.67 · batch_size, because the loss is a mean here and a sum there."""
    other_learning_rate: Positive | None = None
    """Peak learning rate of everything else (norms, biases). None: 0.053, in photopic's own networks
    0.053 · batch_size."""
    other_momentum: Fraction = 0.85
    """Momentum of everything that is not a filter."""
    weight_decay: NonNegative = 0.0
    """L2 penalty of everything that is not a filter, per step at the peak rate: gradient plus
    weight_decay / learning rate times the weight."""

    def rates(self, images: int = 1) -> tuple[float, float]:
        """Peak rates of matrices and of the rest. images: over which the published loss is a sum."""
        head, other = self.head_learning_rate, self.other_learning_rate
        return 0.67 * images if head is None else head, 0.053 * images if other is None else other


Optimizer = Annotated[
    SGD | Adagrad | Adadelta | RMSprop | Adam | AdamW | Adamax | Nadam | Lion | Muon,
    Field(discriminator="name"),
    BeforeValidator(by_name),
]
