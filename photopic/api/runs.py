"""A run folder with its verbs: the numbers it defends and the answers it gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photopic.data import Data
from photopic.errors import ConfigError, RunError
from photopic.run import Run as _Run
from photopic.run import list_runs as _list_runs

if TYPE_CHECKING:
    from photopic.inference.predictor import Predictions
    from photopic.inference.rescore import Evaluation


class Run(_Run):
    """A run folder with the verbs that can be asked of it."""

    def evaluate(self, data: Data | None = None, **options: Any) -> Evaluation:
        """See `photopic.evaluate`."""
        return evaluate(self, data, **options)

    def predict(self, images: Any, **options: Any) -> Predictions:
        """See `photopic.predict`."""
        return predict(self, images, **options)

    def history(self) -> list[dict[str, Any]]:
        """The training epoch by epoch, a row for each: epoch (from 1), learning_rate, train_loss,
        train_accuracy, val_loss, val_accuracy, seconds, best."""
        from photopic.evaluation.history import history

        return history(self)

    def resume(self, **options: Any) -> Run:
        """See `photopic.resume`."""
        from photopic.api.training import resume

        return resume(self, **options)


def open_run(run: _Run | str | Path) -> Run:
    """A handle on a run folder. Raises RunError when it is none or is damaged."""
    if isinstance(run, _Run):
        return run if isinstance(run, Run) else Run(run.path, run.manifest)
    return Run.open(run)


def list_runs(
    folder: str | Path = "runs", *, on_error: Callable[[RunError], None] | None = None
) -> list[Run]:
    """The runs in a folder, oldest first.

    on_error: takes the error of a run that is damaged; None: such a run is warned of and left out.
    """
    found = _list_runs(folder, on_error=on_error or (lambda error: warnings.warn(str(error), stacklevel=4)))
    return [Run(run.path, run.manifest) for run in found]


def evaluate(run: _Run | str | Path, data: Data | None = None, **options: Any) -> Evaluation:
    """The run's numbers with intervals.

    data: None: the scores of the run's own splits, from stored predictions, without another look at the test
    set. A data set: the network is asked about its images; those that it was trained or selected on are left
    out, and images of the run's test split count as another look at it.
    options: `data_dir`, `group_pattern`, `strict`, `device`; `test_views`: other views than the run's own,
    tried on its validation images when no data set is given.
    """
    from photopic.inference.rescore import evaluate_on, evaluate_stored, evaluate_views

    if data is None and options.get("test_views") is not None and options.keys() <= {"test_views", "device"}:
        return evaluate_views(open_run(run), **options)
    if data is None and options:
        raise ConfigError(f"{', '.join(options)}: without a data set to score there is no use for this.")
    if data is None:
        return evaluate_stored(open_run(run))
    return evaluate_on(open_run(run), data, **options)


def predict(
    run: _Run | str | Path,
    images: Any,
    *,
    top_k: int = 5,
    test_views: str | None = None,
    device: str = "auto",
) -> Predictions:
    """Class names and probabilities for images, in the order given; from a run or an ensemble.

    images: paths of files, folders and zips, or (N, H, W[, C]) uint8 arrays. Files that cannot be read are
    listed with the reason, in their place. test_views: none, flip, shift, flip+shift; None: the recipe's.
    """
    from photopic.inference.ensemble import open_predictor

    predictor = open_predictor(open_run(run), device=device, test_views=test_views)
    return predictor.predict(images, top_k=top_k)
