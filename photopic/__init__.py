"""photopic: from a folder of labelled images to a classifier that you can trust.

    import photopic

    run = photopic.train("photos/")
    print(run.evaluate())
    print(run.predict(["new.jpg"]))

Importing photopic is cheap: heavy libraries are loaded by the first call that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from photopic.api import (
        Run,
        augment_sheet,
        contact_sheet,
        ensemble,
        evaluate,
        find_rate,
        list_models,
        list_recipes,
        list_runs,
        model_summary,
        open_dataset,
        open_run,
        predict,
        resume,
        split,
        summarise,
        train,
        train_ensemble,
    )
    from photopic.errors import (
        ConfigError,
        DataError,
        ModelError,
        OfflineError,
        PhotopicError,
        RunError,
        TrainingError,
        UserError,
    )
    from photopic.estimator import PhotopicClassifier

__all__ = [
    "ConfigError",
    "DataError",
    "ModelError",
    "OfflineError",
    "PhotopicClassifier",
    "PhotopicError",
    "Run",
    "RunError",
    "TrainingError",
    "UserError",
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
    "split",
    "summarise",
    "train",
    "train_ensemble",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'photopic' has no attribute {name!r}")
    if name == "PhotopicClassifier":
        module = "photopic.estimator"
    elif name.endswith("Error"):
        module = "photopic.errors"
    else:
        module = "photopic.api"
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
