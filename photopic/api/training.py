"""The verbs that train: one run, the search for its learning rate, the rest of a stopped one, ensembles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from photopic.api.runs import Run, open_run
from photopic.config import AnyRecipe, parse_options
from photopic.data import Data
from photopic.errors import ConfigError, RunError
from photopic.run import Run as _Run
from photopic.run import claim_run_path, require_free

if TYPE_CHECKING:
    from photopic.training.job import Report
    from photopic.training.rate_finder import RateCurve


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


def resume(
    run: _Run | str | Path,
    *,
    data: Data | None = None,
    device: str | None = None,
    precision: str | None = None,
    report: Report | None = None,
) -> Run:
    """Go on with a training that was interrupted or killed; it ends as if it had never been stopped.

    data: where the data set is now, if it moved. device, precision: others than the run began with, whose
    rounding may differ. Raises RunError when there is nothing to resume or the data set has changed.
    """
    from photopic.training import train as training
    from photopic.training.job import ignore

    resumed = training.resume(
        open_run(run), data=data, device=device, precision=precision, report=report or ignore
    )
    return Run(resumed.path, resumed.manifest)


def ensemble(
    runs: Sequence[_Run | str | Path],
    *,
    out: str | Path | None = None,
    weights: Literal["equal", "validation"] = "equal",
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
    path = claim_run_path(Path("runs"), f"{name}-ensemble") if out is None else Path(out)
    built = build_ensemble(candidates, path, how="vote" if vote else "mean", weights_by=weights)
    return Run(built.path, built.manifest)


def train_ensemble(
    data: Data,
    *,
    seeds: int | Sequence[int] = 5,
    out: str | Path | None = None,
    join_weights: Literal["equal", "validation"] = "equal",
    vote: bool = False,
    **options: Any,
) -> Run:
    """Train one member for each seed, and join them.

    seeds: that many from 0 on, or the seeds themselves. The members become runs of their own beside `out`:
    NAME-seed0, NAME-seed1 … join_weights, vote: `weights` and `vote` of `ensemble`. options: those of `train`
    but seed. Raises ConfigError for a recipe of the way frozen, which ends in the same network with every
    seed; RunError when a member is stopped: those that are complete can be joined later.
    """
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if "seed" in options or len(set(numbers)) < max(2, len(numbers)):
        raise ConfigError(
            f"seeds={seeds}: an ensemble needs at least two different ones, and no seed beside."
        )
    if out is not None:
        require_free(Path(out))
    _require_chance(data, **options)
    name = data if isinstance(data, str | Path) else "arrays"
    path = claim_run_path(Path("runs"), f"{Path(name).stem}-ensemble") if out is None else Path(out)
    members = []
    for seed in numbers:
        run = train(data, seed=seed, out=path.with_name(f"{path.name}-seed{seed}"), **options)
        if run.manifest.status != "complete":
            raise RunError(
                f"{run.path}: was stopped. {run.advice()} Then join the members: photopic ensemble."
            )
        members.append(run)
    return ensemble(members, out=path, weights=join_weights, vote=vote)


def _require_chance(
    data: Data,
    *,
    recipe: str | AnyRecipe | None = None,
    settings: Mapping[str, Any] | None = None,
    time_limit: str | float | None = None,
    weights: str | Path | None = None,
    report: Report | None = None,
    **options: Any,
) -> None:
    """Raises ConfigError where `train` with these arguments would give the same network for every seed."""
    from photopic.training import train as training
    from photopic.training.job import ignore

    limit = {} if time_limit is None else {"time_limit_s": seconds(time_limit)}
    found = training.find_recipe(
        data,
        recipe=recipe,
        settings=_with_weights(settings, weights),
        options=parse_options(_plain(options) | limit),
        report=report or ignore,
    )
    if found.way == "frozen":
        raise ConfigError(
            f"the recipe {found.name} (frozen) ends in the same network with every seed, so the members "
            "would be one. Take a recipe that trains step by step, such as --recipe photos-finetune."
        )


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
    """Training options as they are stored, with the place of data absolute: `resume` may run elsewhere."""
    if not isinstance(options.get("data_dir"), str | Path):
        return options
    return options | {"data_dir": str(Path(options["data_dir"]).expanduser().absolute())}
