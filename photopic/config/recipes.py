"""Complete training configurations: one type for each way of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from photopic.config.augment import AugmentConfig
from photopic.config.base import Fraction, Frozen, Positive
from photopic.config.images import PreprocessConfig
from photopic.config.layer_lists import read_layers
from photopic.config.layers import Layer
from photopic.config.losses import ClassWeights, CrossEntropy, Loss, Regularizer
from photopic.config.networks import BackboneConfig, FastModel, ScratchModel
from photopic.config.optimizers import SGD, Optimizer
from photopic.config.schedules import OneCycleSchedule, PerformanceSchedule, Schedule, unreachable
from photopic.config.stopping import CheckpointName, EarlyStopping, SelectBy, StopAt

_NATIVE = PreprocessConfig(size=224, crop_fraction=0.875, interpolation="bicubic")
"""As most pretrained networks, the bundled one too, were trained to see photos."""


class _BaseRecipe(Frozen):
    name: str
    """The recipe's name."""
    summary: str = ""
    """What it is good for, in one line."""
    preprocess: PreprocessConfig
    """How files become network input."""


class _BaseGradientRecipe(_BaseRecipe):
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
    loss: Loss = CrossEntropy()
    """What is made small; its name alone will do."""
    label_smoothing: Fraction = 0.0
    """Probability mass moved to all classes alike."""
    class_weights: ClassWeights = "none"
    """Factor on the loss of each image, by its class: none; balanced: n / (K · n_k), which lets all classes
    weigh alike; or {class name: weight}, 1 where none is given. The mean is over images, not over weights."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """shuffled: each image once per epoch; balanced: as many draws as images, equally many of each class, so
    that images of small classes come repeatedly."""
    regularizer: Regularizer = Regularizer()
    """Penalty on the size of weights."""
    max_norm: Positive | None = None
    """Largest length of the incoming weights of a unit, or of a filter; longer ones are shortened to it after
    each step (Keras' MaxNorm)."""
    ema_decay: Fraction = 0.0
    """Decay per step of the exponential moving average of the weights that is scored; 0: none."""
    early_stopping: EarlyStopping | None = None
    """Stop when a number no longer becomes better."""
    stop_at: StopAt | None = None
    """Stop when a number has reached a value."""
    select_by: SelectBy = "val_accuracy"
    """The epoch whose weights are kept: of the highest validation accuracy (of equal ones, of the lowest
    loss), of the lowest validation loss, or the last."""
    checkpoint_name: CheckpointName | None = None
    """Keep the weights of each epoch that was the best so far, as checkpoints/NAME.safetensors in the run;
    epoch, counted from 1, and the epoch's numbers may stand in braces: "mnist-{epoch:02d}-{val_loss:.4f}"."""
    snapshots: int = Field(default=0, ge=0)
    """Keep the weights at the end of each of the last so many cycles of the schedule, in snapshots/ in the
    run (Huang et al. 2017, arXiv:1704.00109)."""
    test_views: Literal["none", "flip", "shift", "flip+shift"] = "none"
    """Views whose logits are averaged in evaluation and prediction: the mirror image, shifts by one pixel."""

    @model_validator(mode="after")
    def _check_augment(self) -> _BaseGradientRecipe:
        problem = self.augment.problem_with(self.preprocess.channels, self.preprocess.size)
        if problem is not None:
            raise ValueError(problem)
        if self.augment.mixes_labels and self.batch_size == 1:
            raise ValueError("mixup and cutmix have no effect with batch_size=1: each image would be alone")
        return self

    @model_validator(mode="after")
    def _check_training(self) -> _BaseGradientRecipe:
        if self.label_smoothing and self.loss.name == "mse":
            raise ValueError("label_smoothing has no effect with loss=mse: set it to 0, or take another loss")
        if self.class_weights == "balanced" and self.sampling == "balanced":
            raise ValueError(
                "class_weights=balanced has no effect with sampling=balanced, which makes the classes equal "
                "already: choose one of them"
            )
        if self.early_stopping and self.early_stopping.patience >= self.total_epochs:
            raise ValueError(
                f"early_stopping.patience={self.early_stopping.patience} has no effect in "
                f"{self.total_epochs} epochs: lower it, or leave early_stopping out"
            )
        if self.stop_at and self.total_epochs == 1:
            raise ValueError(
                "stop_at has no effect in total_epochs=1, which ends by itself: raise that, or leave it out"
            )
        cycles = getattr(self.schedule, "cycles", 1)
        if self.snapshots and (cycles < 2 or self.snapshots > cycles):
            raise ValueError(
                f"snapshots={self.snapshots} needs a schedule with as many cycles, such as "
                f"schedule.name=cosine and schedule.cycles={max(2, self.snapshots)}"
            )
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> _BaseGradientRecipe:
        problem = unreachable(self.schedule, self.total_epochs)
        if problem is not None:
            raise ValueError(problem)
        if isinstance(self.schedule, PerformanceSchedule) and self.early_stopping is not None:
            self._check_stopping_after(self.schedule, self.early_stopping)
        return self

    @staticmethod
    def _check_stopping_after(schedule: PerformanceSchedule, rule: EarlyStopping) -> None:
        same = rule.monitor == "val_loss" and rule.min_delta >= schedule.min_delta
        if same and rule.patience <= schedule.patience:
            raise ValueError(
                f"early_stopping.patience={rule.patience} ends the training before "
                f"schedule.patience={schedule.patience} ever lowers the rate: make the first the larger one"
            )


class ScratchRecipe(_BaseGradientRecipe):
    """Train all weights from a random start."""

    way: Literal["scratch"] = "scratch"
    model: ScratchModel = FastModel()
    """The network."""


class FineTuneRecipe(_BaseGradientRecipe):
    """Start from a pretrained backbone: head first, then the layers from `unfreeze_from` on."""

    way: Literal["fine-tune"] = "fine-tune"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    preprocess: PreprocessConfig = _NATIVE
    """How files become network input. What is not given is as the backbone was trained; with the backbone of
    a run it is that run's."""
    unfreeze_from: str = "blocks.5"
    """First layer (a module name of the backbone) that is trained; everything before it stays frozen. all:
    the whole backbone is trained; none: nothing of it, only the head."""
    head: tuple[Layer, ...] = ()
    """Layers between the backbone's features and the last layer, such as `[dense: 64, dropout: 0.5]`; needs
    head_start = random."""
    head_start: Literal["logistic", "random"] = "logistic"
    """logistic: the head begins as the best logistic regression on the untouched backbone's features, which
    may turn out to be the best weights; random: as any new layer."""
    frozen_epochs: int = Field(default=0, ge=0)
    """First epochs, in which the head alone is trained and the whole backbone stays as it is."""
    unfrozen_rate: float = Field(default=1.0, gt=0, le=1)
    """Factor on all learning rates after frozen_epochs."""
    layer_decay: float = Field(default=0.8, gt=0, le=1)
    """Factor on the learning rate from one unfrozen layer group to the one below it."""
    batch_norm: Literal["frozen", "train"] = "frozen"
    """Statistics of unfrozen batch norms: kept as pretrained, or updated."""

    @field_validator("head", mode="before")
    @classmethod
    def _read_head(cls, value: Any) -> Any:
        return read_layers(value, inside="head", may_be_empty=True)

    @model_validator(mode="after")
    def _check_head(self) -> FineTuneRecipe:
        if self.head and self.head_start == "logistic":
            raise ValueError("head: layers cannot begin as a logistic regression. Set head_start=random")
        if self.unfreeze_from == "none":
            fields = FineTuneRecipe.model_fields
            for name in ("frozen_epochs", "unfrozen_rate", "layer_decay", "batch_norm"):
                if getattr(self, name) != fields[name].default:
                    raise ValueError(f"{name} has no effect with unfreeze_from=none: leave it out")
        return self

    @model_validator(mode="after")
    def _check_unfreezing(self) -> FineTuneRecipe:
        if self.frozen_epochs >= self.total_epochs:
            raise ValueError(
                f"frozen_epochs={self.frozen_epochs} leaves none of total_epochs={self.total_epochs} for the "
                "backbone: lower it, or choose the way frozen"
            )
        if self.unfrozen_rate != 1.0 and self.frozen_epochs == 0:
            raise ValueError("unfrozen_rate has no effect with frozen_epochs=0: set that, or lower the rate")
        return self


class FrozenRecipe(_BaseRecipe):
    """Compute a pretrained backbone's features once and train a logistic head on them."""

    preprocess: PreprocessConfig = _NATIVE
    """How files become network input. What is not given is as the backbone was trained; with the backbone of
    a run it is that run's."""
    way: Literal["frozen"] = "frozen"
    backbone: BackboneConfig = BackboneConfig()
    """The pretrained network."""
    views: int = Field(default=0, ge=0, le=64)
    """Augmented copies of each training image beside the plain one; their features are cached too."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the augmented copies; needs views."""
    class_weights: ClassWeights = "none"
    """Factor on the loss of each image, by its class: none; balanced: n / (K · n_k), which lets all classes
    weigh alike; or {class name: weight}, 1 where none is given."""
    inverse_l2: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Candidates for C, the inverse of the head's L2 penalty; the best on validation is taken."""

    @model_validator(mode="after")
    def _check(self) -> FrozenRecipe:
        if self.views == 0 and self.augment != AugmentConfig():
            raise ValueError("augment has no effect with views=0: set views, or leave augment out")
        if self.views > 0 and self.augment.is_identity:
            raise ValueError("views has no effect while augment changes nothing: set augment, or views=0")
        if self.augment.mixes_labels:
            raise ValueError(
                "mixup and cutmix mix labels, which the logistic head of the way frozen cannot learn from: "
                "leave them out, or choose the way fine-tune"
            )
        problem = self.augment.problem_with(self.preprocess.channels, self.preprocess.size)
        if problem is not None:
            raise ValueError(problem)
        return self


GradientRecipe = ScratchRecipe | FineTuneRecipe
"""A recipe whose training goes step by step."""
AnyRecipe = GradientRecipe | FrozenRecipe
Recipe = Annotated[AnyRecipe, Field(discriminator="way")]
