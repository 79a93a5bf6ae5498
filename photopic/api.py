"""The public functions: the same words as the commands, the same objects as inside."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.config import AnyRecipe, parse_options
from photopic.errors import ConfigError, RunError
from photopic.run import Run as _Run
from photopic.run import list_runs as _list_runs
from photopic.run import new_run_path, require_free

if TYPE_CHECKING:
    from PIL import Image

    from photopic.data.dataset import DataSet
    from photopic.data.show import Summary
    from photopic.inference.predictor import Predictions
    from photopic.inference.rescore import Evaluation
    from photopic.models.listing import ModelInfo
    from photopic.models.summary import ModelSummary
    from photopic.training.job import Report
    from photopic.training.rate_finder import RateCurve

Data = str | Path | tuple[np.ndarray, np.ndarray]


class Run(_Run):
    """A run folder with the verbs that can be asked of it."""

    def evaluate(self, data: Data | None = None, **options: Any) -> Evaluation:
        """See `photopic.evaluate`."""
        return evaluate(self, data, **options)

    def predict(self, images: Any, **options: Any) -> Predictions:
        """See `photopic.predict`."""
        return predict(self, images, **options)

    def history(self) -> list[dict[str, Any]]:
        """The course of the training, a row per epoch: epoch (from 1), learning_rate, train_loss,
        train_accuracy, val_loss, val_accuracy, seconds, best."""
        from photopic.evaluation.history import history

        return history(self)

    def resume(self, **options: Any) -> Run:
        """See `photopic.resume`."""
        return resume(self, **options)


def train(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    time_limit: str | float | None = None,
    out: str | Path | None = None,
    weights: str | Path | None = None,
    report: Report | None = None,
    **options: Any,
) -> Run:
    """Train a classifier and leave a run folder.

    data: class folders, train/val/test folders, a zip of either, a CSV or JSONL manifest, (images, labels),
    or a catalog name. recipe: a name, a YAML file or a recipe; None: chosen to suit. settings: dotted recipe
    options such as {"optimizer.learning_rate": 0.1}. time_limit: seconds, or text such as "10m". out: the run
    folder; None: a new one below ./runs. weights: a file with the backbone's pretrained weights.
    options: the fields of `photopic.config.TrainOptions` (seed, data_dir, group_pattern, strict, device …).

    Returns the run; its status is "interrupted" after Ctrl-C. Raises the errors of photopic.errors.
    """
    from photopic.training import train as training
    from photopic.training.job import ignore

    limit = {} if time_limit is None else {"time_limit_s": seconds(time_limit)}
    run = training.train(
        data,
        recipe=recipe,
        settings=_with_weights(settings, weights),
        out=out,
        options=parse_options(_plain(options) | limit),
        report=report or ignore,
    )
    return Run(run.path, run.manifest)


def find_rate(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    weights: str | Path | None = None,
    report: Report | None = None,
    **options: Any,
) -> RateCurve:
    """The loss of some training steps at learning rates that grow from `low` to `high`, and a suggestion.

    The steps are the first ones of the training that `photopic.train` would begin with the same arguments;
    nothing is stored. `settings` of the result is made for the `settings` of `train`. A recipe of the way
    frozen has no learning rate: ConfigError.
    """
    from photopic.training import rate_finder
    from photopic.training.job import ignore

    for name in ("time_limit_s", "checkpoint_every_s"):
        if name in options:
            raise ConfigError(f"{name} has no effect here: only {steps} steps are made, and nothing is kept.")
    return rate_finder.find_rate(
        data,
        recipe=recipe,
        settings=_with_weights(settings, weights),
        low=low,
        high=high,
        steps=steps,
        options=parse_options(_plain(options)),
        report=report or ignore,
    )


def resume(run: _Run | str | Path, *, data: Data | None = None, report: Report | None = None) -> Run:
    """Go on with a training that was interrupted or killed; it ends as if it had never been stopped.

    data: where the data set is now, if it moved. Raises RunError when there is nothing to resume or the data
    set has changed.
    """
    from photopic.training import train as training
    from photopic.training.job import ignore

    resumed = training.resume(open_run(run), data=data, report=report or ignore)
    return Run(resumed.path, resumed.manifest)


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


def ensemble(
    runs: Sequence[_Run | str | Path],
    *,
    out: str | Path | None = None,
    weights: str = "equal",
    vote: bool = False,
    snapshots: bool = False,
    data: Data | None = None,
    device: str = "auto",
) -> Run:
    """Join finished runs into an ensemble, a folder that `evaluate` and `predict` take like a run.

    The members must have the same classes and the same test images. out: the folder; None: a new one below
    ./runs. weights: equal; or validation: those of least log loss of the mean on the validation images.
    vote: the class that most members name, instead of the mean of their probabilities. snapshots: the members
    are the snapshots of the runs, which are asked about the data set; data: where it is, if it moved.
    The test images are scored once. Raises RunError, ConfigError where the members do not fit together.
    """
    from photopic.inference.joined_run import build_ensemble
    from photopic.inference.members import candidates_of_runs, candidates_of_snapshots

    opened = [open_run(run) for run in runs]
    if not opened:
        raise ConfigError("an ensemble needs at least two runs, or one with --snapshots.")
    if data is not None and not snapshots:
        raise ConfigError("data: the answers of finished runs are stored; there is no use for the data set.")
    if out is not None:
        require_free(Path(out))
    if snapshots:
        candidates = [
            each for run in opened for each in candidates_of_snapshots(run, data=data, device=device)
        ]
    else:
        candidates = candidates_of_runs(opened)
    name = opened[0].manifest.data.get("name", "run")
    path = new_run_path(Path("runs"), f"{name}-ensemble") if out is None else Path(out)
    built = build_ensemble(candidates, path, how="vote" if vote else "mean", weights_by=weights)
    return Run(built.path, built.manifest)


def train_ensemble(
    data: Data,
    *,
    seeds: int | Sequence[int] = 5,
    out: str | Path | None = None,
    join_weights: str = "equal",
    vote: bool = False,
    **options: Any,
) -> Run:
    """Train one member for each seed, and join them.

    seeds: that many from 0 on, or the seeds themselves. The members become runs of their own beside `out`:
    NAME-seed0, NAME-seed1 … join_weights, vote: `weights` and `vote` of `ensemble`. options: those of `train`
    but seed. Raises RunError when a member is stopped; the members that are complete can be joined later.
    """
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if "seed" in options or len(set(numbers)) < max(2, len(numbers)):
        raise ConfigError(
            f"seeds={seeds}: an ensemble needs at least two different ones, and no seed beside."
        )
    if out is not None:
        require_free(Path(out))
    name = data if isinstance(data, str | Path) else "arrays"
    path = new_run_path(Path("runs"), f"{Path(name).stem}-ensemble") if out is None else Path(out)
    members = []
    for seed in numbers:
        run = train(data, seed=seed, out=path.with_name(f"{path.name}-seed{seed}"), **options)
        if run.manifest.status != "complete":
            raise RunError(
                f"{run.path}: was stopped. {run.advice()} Then join the members: photopic ensemble."
            )
        members.append(run)
    return ensemble(members, out=path, weights=join_weights, vote=vote)


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


def list_models() -> list[ModelInfo]:
    """All networks that a recipe can name."""
    from photopic.models.listing import list_models as listed

    return listed()


def model_summary(
    name: str | None = None,
    *,
    recipe: str | AnyRecipe | None = None,
    family: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    depth: int = 1,
) -> ModelSummary:
    """The layers of a network: output shape, parameters, operations and receptive field of each.

    name: a network of `list_models`; family ("fast", "classic", "bundled", "timm") says which where a name
    stands in two. recipe: instead of a name, a recipe, its name or its YAML file. size, channels, classes:
    None: those that the network was made for, and 10 classes for a recipe. depth: 1 shows the network's own
    parts, 2 their parts too. Raises ConfigError, naming the layer, where layers do not fit each other.
    """
    from photopic.models.overview import summarise_named, summarise_recipe
    from photopic.training.recipes import load_recipe

    if (name is None) == (recipe is None):
        raise ConfigError("name a network or a recipe, one of them: `photopic models` lists the networks.")
    if recipe is None:
        assert name is not None
        return summarise_named(
            name, family=family, size=size, channels=channels, classes=classes, depth=depth
        )
    if family is not None:
        raise ConfigError("family has no effect with a recipe, which says what its network is.")
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return summarise_recipe(chosen, size=size, channels=channels, classes=classes, depth=depth)


def list_recipes() -> dict[str, AnyRecipe]:
    """The named recipes."""
    from photopic.training.recipes import named_recipes

    return dict(named_recipes())


def open_dataset(data: Data, **options: Any) -> DataSet:
    """The data set behind a path, a catalog name or arrays, indexed.

    options: `data_dir`, `group_pattern`, `strict`, `download`.
    """
    from photopic.data.dataset import open_dataset as opened

    return opened(data, **options)


def summarise(data: Data | DataSet, **options: Any) -> Summary:
    """Counts per class and split, sizes, colour modes and exclusions of a data set."""
    from photopic.data.show import summarise as summarised

    return summarised(_as_dataset(data, options))


def contact_sheet(data: Data | DataSet, **options: Any) -> Image.Image:
    """A picture with some images of each class of a data set."""
    from photopic.data.show import contact_sheet as drawn

    return drawn(_as_dataset(data, options))


def augment_sheet(
    images: np.ndarray | list[np.ndarray] | Data | DataSet,
    ops: Sequence[str] | Mapping[str, Sequence[float]] | None = None,
    *,
    recipe: str | AnyRecipe | None = None,
    thumb: int = 128,
    seed: int = 0,
    **options: Any,
) -> Image.Image:
    """A picture of what augmentation does: one image under each operation at low, middle and high strength.

    images: an image file, (h, w[, 1 or 3]) uint8, a list of such arrays, or a data set, of which one image of
    each of the first classes is taken. ops: names of operations such as "rotation", or {name: strengths};
    None: all. recipe: a name, a YAML file or a recipe, whose own policy is drawn below. thumb: longer side of
    a picture, pixels. seed: of the images and of the recipe's draws. options: those of `open_dataset`.
    Raises ConfigError for an unknown operation, or a recipe that changes no image.
    """
    from photopic.augment import samples
    from photopic.augment.sheet import augment_sheet as drawn
    from photopic.training.recipes import load_recipe

    if isinstance(images, str | Path) and samples.is_image_file(images):
        shown = [samples.read_image(images)]
    elif isinstance(images, np.ndarray | list):
        several = [images] if isinstance(images, np.ndarray) else images
        shown = [image[:, :, None] if image.ndim == 2 else image for image in several]
    else:
        shown = samples.sample_images(_as_dataset(images, options), seed=seed)
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return drawn(shown, ops, recipe=chosen, thumb=thumb, seed=seed)


def seconds(time_limit: str | float) -> float:
    """A time as a number of seconds, or as text: `90`, `90s`, `10m`, `1.5h`, `1h30m`.

    Raises ConfigError for anything else, and for zero.
    """
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
    text = str(time_limit).strip().lower()
    parts: Iterable[tuple[str, str]] = re.findall(r"(\d+(?:\.\d+)?)\s*([hms]?)", text)
    whole = re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[hms]\s*)+|\d+(?:\.\d+)?", text)
    total = sum(float(number) * units[unit] for number, unit in parts) if whole else 0.0
    if total <= 0:
        raise ConfigError(f'time limit "{time_limit}" is not a time above 0. Write it as 90s, 10m or 1h30m.')
    return total


def _with_weights(settings: Mapping[str, Any] | None, weights: str | Path | None) -> dict[str, Any]:
    return dict(settings or {}) | ({} if weights is None else {"backbone.weights": str(weights)})


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Training options with paths as text, as they are stored."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def _as_dataset(data: Data | DataSet, options: Mapping[str, Any]) -> DataSet:
    from photopic.data.dataset import DataSet

    return data if isinstance(data, DataSet) else open_dataset(data, **options)
