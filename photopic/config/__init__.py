"""The configuration of a training: small, typed, frozen, the same in Python, files, flags and run folders.

A *recipe* is a complete training configuration. There are three ways of training, and each has a recipe
type that holds only the options with an effect in that way; so an option that would do nothing is unknown.
"""

from photopic.config.base import Depth, Fraction, Frozen, NonNegative, Positive, Range
from photopic.config.images import AugmentConfig, PreprocessConfig
from photopic.config.losses import (
    BinaryCrossEntropy,
    ClassWeights,
    CrossEntropy,
    FocalLoss,
    Loss,
    MeanSquaredError,
    Regularizer,
)
from photopic.config.networks import BackboneConfig, FastModel, ScratchModel, TimmModel
from photopic.config.optimisation import (
    SGD,
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    Muon,
    OneCycleSchedule,
    Optimizer,
    Schedule,
)
from photopic.config.options import TrainOptions
from photopic.config.parsing import known_keys, override, parse_options, parse_recipe
from photopic.config.recipes import AnyRecipe, FineTuneRecipe, FrozenRecipe, Recipe, ScratchRecipe
from photopic.config.stopping import EarlyStopping, Monitor, SelectBy, StopAt

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AnyRecipe",
    "AugmentConfig",
    "BackboneConfig",
    "BinaryCrossEntropy",
    "ClassWeights",
    "ConstantSchedule",
    "CosineSchedule",
    "CrossEntropy",
    "Depth",
    "EarlyStopping",
    "FastModel",
    "FineTuneRecipe",
    "FocalLoss",
    "Fraction",
    "Frozen",
    "FrozenRecipe",
    "Loss",
    "MeanSquaredError",
    "Monitor",
    "Muon",
    "NonNegative",
    "OneCycleSchedule",
    "Optimizer",
    "Positive",
    "PreprocessConfig",
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
    "known_keys",
    "override",
    "parse_options",
    "parse_recipe",
]
