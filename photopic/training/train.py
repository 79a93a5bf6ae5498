"""The public verbs of training: start a run, resume one, rehearse one, train without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photopic.config import (
    AnyRecipe,
    FineTuneRecipe,
    FrozenRecipe,
    ScratchRecipe,
    TrainOptions,
    override,
    parse_options,
)
from photopic.data import Data, catalog
from photopic.data.dataset import DataSet, open_dataset
from photopic.data.show import summarise
from photopic.data.split import SPLITS, split_dataset
from photopic.data.subset import limit_training, select_classes
from photopic.errors import ConfigError, DataError, ModelError, RunError, UserError
from photopic.files import lock
from photopic.models.native import with_native_preprocess
from photopic.models.reuse import is_of_run
from photopic.models.zoo import check_network
from photopic.run import LOCK, Run, claim_run_path, require_free
from photopic.runtime import Runtime, choose_runtime, flushing_denormals
from photopic.training.checkpoint import has_checkpoint
from photopic.training.choose import Choice, choose_recipe
from photopic.training.job import Job, Report, ignore
from photopic.training.loop import Prepared
from photopic.training.outcome import Fitted
from photopic.training.recipes import load_recipe
from photopic.training.sitting import WAYS, Sitting, new_manifest, split_rows
from photopic.training.transfer import built_on_run

NAME_ITS_PLACE = "If it is elsewhere, name its place: --data PATH on the command line, data=… in Python."


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
    asked = _asked(recipe, settings or {})
    if out is not None:
        require_free(Path(out))
    dataset, splits, rows = _open_and_split(data, options, report)
    report({"event": "split", "counts": {name: len(rows[name]) for name in SPLITS}})
    choice = asked or _choose(settings or {}, dataset, rows["train"], runtime, options.time_limit_s)
    _check_precision(choice.recipe, runtime)
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


def _check_precision(recipe: AnyRecipe, runtime: Runtime) -> None:
    """Raises ConfigError for a precision that is asked for and has no effect."""
    reduced = runtime.precision != torch.float32
    if reduced and runtime.device.type == "cpu" and isinstance(recipe, FrozenRecipe):
        raise ConfigError(
            f"precision bfloat16 has no effect on the recipe {recipe.name} (frozen): on a processor, "
            "features are computed in float32. Leave it out, or take a recipe that trains step by step, such "
            "as --recipe photos-finetune or small-images."
        )


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
        return _resolve(recipe, settings or {}).recipe
    runtime = choose_runtime(options.device, options.precision)
    dataset, _, rows = _open_and_split(data, options, report)
    return _choose(settings or {}, dataset, rows["train"], runtime, options.time_limit_s).recipe


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
    asked = _asked(recipe, settings or {})
    if asked is not None:
        _require_steps(asked.recipe)
    dataset, _, rows = _open_and_split(data, options, report)
    choice = asked or _choose(settings or {}, dataset, rows["train"], runtime)
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
    dataset, rows = reopen(run, data, report)
    _report_recipe(report, run, "as the run began", runtime)
    if run.records() and not has_checkpoint(run.path / "resume"):
        report({"event": "restarted"})
    with lock(run.path / LOCK, timeout_s=1.0):
        return Sitting(run, dataset, rows, options, runtime, report, started).work()


def stored_options(run: Run) -> TrainOptions:
    """What the run was given beside data and recipe. Raises RunError when it does not say."""
    options = run.manifest.options
    if "data" not in options or "fingerprint" not in run.manifest.data:
        raise RunError(f"{run.path}: run.json does not say what it was trained on. Train again.")
    return parse_options({key: value for key, value in options.items() if key != "data"})


def reopen(
    run: Run, data: Data | None = None, report: Report = ignore, *, remedy: str = NAME_ITS_PLACE
) -> tuple[DataSet, dict[str, np.ndarray]]:
    """The data set of a run, as it was when the run began, and the index rows of its train, val and test.

    data: where it is now, if it moved. remedy: a sentence on what the caller's user can do when it is gone.
    Raises RunError when it is gone or not the same.
    """
    options = stored_options(run)
    given = run.manifest.options["data"] if data is None else data
    if given is None:
        raise RunError(f"{run.path}: was trained on arrays, which a run does not keep. {remedy}")
    if data is None and Path(str(given)).is_absolute() and not Path(str(given)).exists():
        raise RunError(f"{run.path}: its data set is no longer at {given}. {remedy}")
    dataset = _open(given, options, report)
    if dataset.fingerprint != run.manifest.data["fingerprint"]:
        raise RunError(
            f"{run.path}: the data set {dataset.name} is not as it was when this run began, so the result "
            f"would mean nothing. Restore it, or start a new run. {remedy}"
        )
    split_of = {row.path: row.split for row in run.load_splits() if row.split}
    if [path for path in dataset.index.paths if path in split_of] != list(split_of):
        raise RunError(
            f"{run.path}: images of {dataset.name} were renamed or stand in another order than when this run "
            "began. Give them their names back, or start a new run."
        )
    return dataset, _rows(np.array([split_of.get(path, "") for path in dataset.index.paths]))


@flushing_denormals()
def train_dataset(
    dataset: DataSet,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    val_fraction: float = 0.15,
    device: str = "auto",
    report: Report = ignore,
) -> Fitted:
    """Train on an opened data set, without a run folder and without a test split."""
    rows = _rows(split_dataset(dataset, seed=seed, val_fraction=val_fraction, test_fraction=0.0))
    runtime = choose_runtime(device)
    asked = _asked(recipe, settings or {})
    choice = asked or _choose(settings or {}, dataset, rows["train"], runtime)
    job = Job(choice.recipe, dataset, rows, seed, runtime, report)
    return WAYS[type(choice.recipe)](job)


def _open(data: Data, options: TrainOptions, report: Report) -> DataSet:
    def progress(done: int, total: int, what: str) -> None:
        report({"event": "index", "done": done, "total": total, "what": what})

    if isinstance(data, str) and data in catalog.NAMES and Path(data).exists():
        report({"event": "catalog", "name": data})
    dataset = open_dataset(
        data,
        data_dir=options.data_dir,
        group_pattern=options.group_pattern,
        strict=options.strict,
        download=options.allow_download,
        progress=progress,
    )
    if options.classes is not None:
        dataset = select_classes(dataset, options.classes)
    report({"event": "data", "summary": summarise(dataset)})
    return dataset


def _open_and_split(
    data: Data, options: TrainOptions, report: Report
) -> tuple[DataSet, np.ndarray, dict[str, np.ndarray]]:
    """The data set, (N,) the split of each image by its name, and the index rows of train, val and test."""
    dataset = _open(data, options, report)
    splits = split_dataset(
        dataset,
        seed=options.split_seed,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
    )
    if options.train_images is not None:
        splits = limit_training(dataset, splits, options.train_images, seed=options.split_seed)
    return dataset, splits, _rows(splits)


def _rows(splits: np.ndarray) -> dict[str, np.ndarray]:
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    for name in ("train", "val"):
        if len(rows[name]) == 0:
            raise DataError(f"no image is left for {name}. Add images, or change the shares of the splits.")
    return rows


def _asked(recipe: str | AnyRecipe | None, settings: Mapping[str, Any]) -> Choice | None:
    """The recipe that was asked for; None: one must be chosen, which needs a look at the data."""
    if recipe is not None:
        return _resolve(recipe, settings)
    if isinstance(settings.get("backbone.weights"), str):
        _require_weights(settings["backbone.weights"])
    return None


def _resolve(recipe: str | AnyRecipe, settings: Mapping[str, Any]) -> Choice:
    """The recipe that was asked for, with its options changed."""
    if not isinstance(recipe, str | ScratchRecipe | FrozenRecipe | FineTuneRecipe):
        raise ConfigError(f"recipe: expected a name, a YAML file or a recipe, got {type(recipe).__name__}.")
    named = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return Choice(_changed(named, settings), "you asked for it")


def _choose(
    settings: Mapping[str, Any],
    dataset: DataSet,
    train_rows: np.ndarray,
    runtime: Runtime,
    time_limit_s: float | None = None,
) -> Choice:
    choice = choose_recipe(dataset, train_rows, runtime, time_limit_s)
    return Choice(_changed(choice.recipe, settings), choice.reason)


def _changed(recipe: AnyRecipe, settings: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with dotted options changed. Raises ConfigError, also for weights that it has no use for."""
    if isinstance(recipe, ScratchRecipe) and any(key.startswith("backbone.") for key in settings):
        raise ConfigError(
            f"the recipe {recipe.name} trains from scratch and takes no pretrained backbone or weights. "
            "Add --recipe photos-frozen or --recipe photos-finetune (--recipe transfer for those of a run), "
            "or leave them out."
        )
    changed = _with_absolute_weights(override(recipe, settings))
    if isinstance(changed, FrozenRecipe | FineTuneRecipe):
        pretrained = not is_of_run(changed.backbone)
        changed = (with_native_preprocess if pretrained else built_on_run)(recipe, changed, settings)
    _check_unmeasured(changed)
    check_network(changed)
    return changed


def _with_absolute_weights(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with weights that are found again from any folder. Raises ModelError when they are gone."""
    if isinstance(recipe, ScratchRecipe) or recipe.backbone.weights in ("bundled", "download"):
        return recipe
    path = str(_require_weights(recipe.backbone.weights))
    return recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"weights": path})})


def _require_weights(weights: str) -> Path:
    path = Path(weights).expanduser().absolute()
    if weights not in ("bundled", "download") and not path.exists():
        raise ModelError(f"weights {weights}: there is no such file or run folder.")
    return path


def _check_unmeasured(recipe: AnyRecipe) -> None:
    """Raises ConfigError for mean or std that a measured scaling would replace."""
    config = recipe.preprocess
    if config.scaling not in ("min-max", "centre-max") or (config.mean is None and config.std is None):
        return
    if isinstance(recipe, ScratchRecipe) or not is_of_run(recipe.backbone):
        raise ConfigError(
            f"preprocess.mean and std have no effect with scaling={config.scaling}, which measures the "
            "training images. Leave them out: --set preprocess.mean=null --set preprocess.std=null."
        )


def _reference(data: Data) -> str | None:
    """How to find the data set again: an absolute path, or a catalog name; None for arrays."""
    if isinstance(data, tuple):
        return None
    if isinstance(data, str) and data in catalog.NAMES:
        return data
    return str(Path(data).absolute()) if Path(data).exists() else str(data)
