"""The public verbs of training: start a run, resume one, rehearse one, train without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from photopic.config import AnyRecipe, FrozenRecipe, TrainOptions
from photopic.data import Data, catalog
from photopic.data.dataset import DataSet
from photopic.data.split import SPLITS, split_dataset
from photopic.errors import ConfigError, RunError, UserError
from photopic.files import lock
from photopic.run import LOCK, Run, claim_run_path, require_free
from photopic.runtime import Runtime, choose_runtime, flushing_denormals
from photopic.training.checkpoint import has_checkpoint
from photopic.training.job import Job, Report, ignore
from photopic.training.loop import Prepared
from photopic.training.opening import open_and_split, reopen, rows_of, stored_options
from photopic.training.outcome import Fitted
from photopic.training.resolve import asked_recipe, check_precision, chosen_recipe, named_recipe
from photopic.training.sitting import WAYS, Sitting, new_manifest, split_rows


@flushing_denormals()
def train(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    options: TrainOptions | None = None,
    report: Report = ignore,
) -> Run:
    """Train a classifier on `data` and leave a run folder.

    recipe: a name, a YAML file or a recipe; None: chosen for the data. settings: dotted recipe options.
    out: the run folder, which must be new or empty; None: a new one below ./runs.
    The test split is scored once, at the end. A stop by the user returns a run with status "interrupted",
    whose weights can be used and whose training `resume` continues.
    Raises the errors of photopic.errors; the run's status is then "failed" and its records are kept.
    """
    options = options or TrainOptions()
    started = time.perf_counter()
    # mistakes that need no look at the data are found before minutes of indexing, not after
    runtime = choose_runtime(options.device, options.precision)
    asked = asked_recipe(recipe, settings or {}, runtime)
    if out is not None:
        require_free(Path(out))
    dataset, splits, rows = open_and_split(data, options, report)
    report({"event": "split", "counts": {name: len(rows[name]) for name in SPLITS}})
    choice = asked or chosen_recipe(settings or {}, dataset, rows["train"], runtime, options.time_limit_s)
    path = claim_run_path(Path("runs"), f"{dataset.name}-{choice.recipe.name}") if out is None else Path(out)
    stored = options.model_dump() | {"data": _reference(data)}
    manifest = new_manifest(dataset, rows, choice, stored, runtime)
    try:
        with lock(path / LOCK, timeout_s=1.0):  # from before there is a run, so that it is nobody else's
            run = Run.create(path, manifest, split_rows(dataset, splits))
            _report_recipe(report, run, choice.reason, runtime)
            return _first_sitting(Sitting(run, dataset, rows, options, runtime, report, started))
    except UserError:
        with suppress(OSError):  # it is not empty, so it was begun, here or by another process
            path.rmdir()
        raise


def _first_sitting(sitting: Sitting) -> Run:
    try:
        return sitting.work()
    except UserError:
        if not sitting.run.manifest.planned:  # a wrong file or value, found before the first step
            sitting.run.remove()
        raise


def _report_recipe(report: Report, run: Run, reason: str, runtime: Runtime) -> None:
    told = {"recipe": run.recipe, "reason": reason, "runtime": runtime, "path": str(run.path)}
    report({"event": "recipe"} | told)


def find_recipe(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    options: TrainOptions | None = None,
    report: Report = ignore,
) -> AnyRecipe:
    """The recipe that `train` would take with the same arguments; nothing is trained."""
    options = options or TrainOptions()
    if recipe is not None:
        return named_recipe(recipe, settings or {}).recipe
    runtime = choose_runtime(options.device, options.precision)
    dataset, _, rows = open_and_split(data, options, report)
    return chosen_recipe(settings or {}, dataset, rows["train"], runtime, options.time_limit_s).recipe


@flushing_denormals()
def rehearse(
    data: Data,
    work: Callable[[Prepared], None],
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    options: TrainOptions | None = None,
    report: Report = ignore,
) -> AnyRecipe:
    """All that `train` does up to the first step, then `work` in place of the epochs; no run is made.

    The images and their order are those that `train` would take. Returns the recipe that was asked for or
    chosen. Raises ConfigError for a recipe of the way frozen, which has no steps.
    """
    options = options or TrainOptions()
    runtime = choose_runtime(options.device, options.precision)
    asked = asked_recipe(recipe, settings or {}, runtime)
    if asked is not None:
        _require_steps(asked.recipe)
    dataset, _, rows = open_and_split(data, options, report)
    choice = asked or chosen_recipe(settings or {}, dataset, rows["train"], runtime)
    _require_steps(choice.recipe)
    job = Job(
        choice.recipe,
        dataset,
        rows,
        options.seed,
        runtime,
        report,
        rehearse=work,
        keep=lambda name, weights: None,
        allow_download=options.allow_download,
        strict=options.strict,
        weights_seed=options.weights_seed,
    )
    WAYS[type(choice.recipe)](job)
    return choice.recipe


def _require_steps(recipe: AnyRecipe) -> None:
    if isinstance(recipe, FrozenRecipe):
        raise ConfigError(
            f"the recipe {recipe.name} (frozen) fits a logistic head, which has no learning rate. Take one "
            "that trains step by step, such as --recipe photos-finetune or small-images."
        )


@flushing_denormals()
def resume(
    run: Run,
    *,
    data: Data | None = None,
    device: str | None = None,
    precision: str | None = None,
    report: Report = ignore,
) -> Run:
    """Go on with a training that was interrupted or killed; ends as if it had never been stopped.

    data: where the data set is now, if it moved. device, precision: others than it began with, whose
    rounding may differ. Raises RunError when the run is complete or the data set is not the one that the run
    began with.
    """
    manifest = run.manifest
    if manifest.status == "complete":
        raise RunError(
            f"{run.path}: is complete; there is nothing to resume. `photopic train` starts a new run."
        )
    started = time.perf_counter()
    options = stored_options(run)
    runtime = choose_runtime(device or options.device, precision or options.precision)
    check_precision(run.recipe, runtime)
    dataset, rows = reopen(run, data, report)
    _report_recipe(report, run, "as the run began", runtime)
    if run.records() and not has_checkpoint(run.path / "resume"):
        report({"event": "restarted"})
    with lock(run.path / LOCK, timeout_s=1.0):
        return Sitting(run, dataset, rows, options, runtime, report, started).work()


@flushing_denormals()
def train_dataset(
    dataset: DataSet,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    val_fraction: float = 0.15,
    device: str = "auto",
    precision: str = "auto",
    report: Report = ignore,
) -> Fitted:
    """Train on an opened data set, without a run folder and without a test split."""
    rows = rows_of(split_dataset(dataset, seed=seed, val_fraction=val_fraction, test_fraction=0.0))
    runtime = choose_runtime(device, precision)
    asked = asked_recipe(recipe, settings or {}, runtime)
    choice = asked or chosen_recipe(settings or {}, dataset, rows["train"], runtime)
    job = Job(choice.recipe, dataset, rows, seed, runtime, report)
    return WAYS[type(choice.recipe)](job)


def _reference(data: Data) -> str | None:
    """How to find the data set again: an absolute path, or a catalog name; None for arrays."""
    if isinstance(data, tuple):
        return None
    if isinstance(data, str) and data in catalog.NAMES:
        return data
    return str(Path(data).absolute()) if Path(data).exists() else str(data)
