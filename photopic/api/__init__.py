"""The public functions: the same words as the commands, the same objects as inside."""

from photopic.api.looking import (
    augment_sheet,
    contact_sheet,
    list_models,
    list_recipes,
    model_summary,
    open_dataset,
    split,
    summarise,
)
from photopic.api.runs import Run, evaluate, list_runs, open_run, predict
from photopic.api.training import ensemble, find_rate, resume, seconds, train, train_ensemble
from photopic.data import Data

__all__ = [
    "Data",
    "Run",
    "augment_sheet",
    "contact_sheet",
    "ensemble",
    "evaluate",
    "find_rate",
    "list_models",
    "list_recipes",
    "list_runs",
    "model_summary",
    "open_dataset",
    "open_run",
    "predict",
    "resume",
    "seconds",
    "split",
    "summarise",
    "train",
    "train_ensemble",
]
