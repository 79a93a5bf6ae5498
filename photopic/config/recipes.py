"""Complete training configurations: one type for each way of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from photopic.config.base import Fraction, Frozen, Positive
from photopic.config.images import AugmentConfig, PreprocessConfig
from photopic.config.networks import BackboneConfig, FastModel, ScratchModel
from photopic.config.optimisation import SGD, OneCycleSchedule, Optimizer, Schedule


class _BaseRecipe(Frozen):
    name: str
    """The recipe's name."""
    summary: str = ""
    """What it is good for, in one line."""
    preprocess: PreprocessConfig
    """How files become network input."""


class _GradientRecipe(_BaseRecipe):
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training images."""
    optimizer: Optimizer = SGD()
    """Update rule."""
    schedule: Schedule = OneCycleSchedule()
    """Course of the learning rate."""
    total_epochs: int = Field(default=10, ge=1)
    """Passes over the training set."""
    batch_size: int = Field(default=128, ge=1)
    """Images per step; the epoch is cut into equal parts of at most this many."""
    label_smoothing: Fraction = 0.0
    """Probability mass moved to all classes alike."""
    ema_decay: Fraction = 0.0
    """Decay per step of the exponential moving average of the weights that is scored; 0: none."""
    test_views: Literal["none", "flip", "shift", "flip+shift"] = "none"
    """Views whose logits are averaged in evaluation and prediction: the mirror image, shifts by one pixel."""


class ScratchRecipe(_GradientRecipe):
    """Train all weights from a random start."""

    way: Literal["scratch"] = "scratch"
    model: ScratchModel = FastModel()
    """The network."""


class FineTuneRecipe(_GradientRecipe):
    """Start from a pretrained backbone: head first, then the layers from `unfreeze_from` on."""

    way: Literal["fine-tune"] = "fine-tune"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    unfreeze_from: str = "blocks.5"
    """First layer (a module name of the backbone) that is trained; everything before it stays frozen."""
    layer_decay: float = Field(default=0.8, gt=0, le=1)
    """Factor on the learning rate from one unfrozen layer group to the one below it."""
    batch_norm: Literal["frozen", "train"] = "frozen"
    """Statistics of unfrozen batch norms: kept as pretrained, or updated."""


class FrozenRecipe(_BaseRecipe):
    """Compute a pretrained backbone's features once and train a logistic head on them."""

    way: Literal["frozen"] = "frozen"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    views: int = Field(default=0, ge=0, le=64)
    """Augmented copies of each training image beside the plain one; their features are cached too."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the augmented copies; needs views."""
    inverse_l2: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for C, the inverse of the head's L2 penalty; the best on validation is taken."""

    @model_validator(mode="after")
    def _check(self) -> FrozenRecipe:
        if self.views == 0 and self.augment != AugmentConfig():
            raise ValueError("augment has no effect with views=0: set views, or leave augment out")
        if self.views > 0 and self.augment.is_identity:
            raise ValueError("views has no effect while augment changes nothing: set augment, or views=0")
        return self


Recipe = Annotated[ScratchRecipe | FineTuneRecipe | FrozenRecipe, Field(discriminator="way")]
AnyRecipe = ScratchRecipe | FineTuneRecipe | FrozenRecipe
