"""The configuration of a training: small, typed, frozen, the same in Python, files, flags and run folders.

A *recipe* is a complete training configuration. There are three ways of training, and each has a recipe
type that holds only the options with an effect in that way; so an option that would do nothing is unknown.
"""

from photopic.config.augment import (
    AugmentConfig,
    BlurConfig,
    ErasingConfig,
    NoiseConfig,
    PerspectiveConfig,
    RandAugmentConfig,
)
from photopic.config.base import Depth, Fraction, Frozen, NonNegative, Positive, Range
from photopic.config.images import PreprocessConfig
from photopic.config.losses import (
    BinaryCrossEntropy,
    ClassWeights,
    CrossEntropy,
    FocalLoss,
    Loss,
    MeanSquaredError,
    Regularizer,
)
from photopic.config.networks import (
    BackboneConfig,
    ClassicModel,
    FastModel,
    LayersModel,
    ScratchModel,
    TimmModel,
)
from photopic.config.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
)
from photopic.config.options import TrainOptions
from photopic.config.parsing import known_keys, override, parse_options, parse_recipe
from photopic.config.recipes import (
    AnyRecipe,
    FineTuneRecipe,
    FrozenRecipe,
    GradientRecipe,
    Recipe,
    ScratchRecipe,
)
from photopic.config.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    OneCycleSchedule,
    PerformanceSchedule,
    PiecewiseSchedule,
    PowerSchedule,
    Schedule,
    cycle_ends,
    unreachable,
)
from photopic.config.stopping import EarlyStopping, Monitor, SelectBy, StopAt

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AnyRecipe",
    "AugmentConfig",
    "BackboneConfig",
    "BinaryCrossEntropy",
    "BlurConfig",
    "ClassWeights",
    "ClassicModel",
    "ConstantSchedule",
    "CosineSchedule",
    "CrossEntropy",
    "Depth",
    "EarlyStopping",
    "ErasingConfig",
    "ExponentialSchedule",
    "FastModel",
    "FineTuneRecipe",
    "FocalLoss",
    "Fraction",
    "Frozen",
    "FrozenRecipe",
    "GradientRecipe",
    "LayersModel",
    "Lion",
    "Loss",
    "MeanSquaredError",
    "Monitor",
    "Muon",
    "Nadam",
    "NoiseConfig",
    "NonNegative",
    "OneCycleSchedule",
    "Optimizer",
    "PerformanceSchedule",
    "PerspectiveConfig",
    "PiecewiseSchedule",
    "Positive",
    "PowerSchedule",
    "PreprocessConfig",
    "RMSprop",
    "RandAugmentConfig",
    "Range",
    "Recipe",
    "Regularizer",
    "Schedule",
    "ScratchModel",
    "ScratchRecipe",
    "SelectBy",
    "StopAt",
    "TimmModel",
    "TrainOptions",
    "cycle_ends",
    "known_keys",
    "override",
    "parse_options",
    "parse_recipe",
    "unreachable",
]
