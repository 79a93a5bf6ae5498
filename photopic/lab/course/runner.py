"""Run experiments one after the other; one that fails for want of data does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import photopic
from photopic.api import seconds
from photopic.errors import ConfigError, PhotopicError
from photopic.lab.course.catalog import choose, experiments
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Experiment, Outcome, Row
from photopic.lab.course.page import to_markdown
from photopic.lab.course.store import DEFAULT_OUT, Result, save_result
from photopic.runtime import choose_runtime, flushing_denormals
from photopic.training.job import Report, ignore

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "matplotlib")


@dataclass
class Batch:
    """What came of the experiments that were asked for."""

    results: list[Result] = field(default_factory=list)
    failures: dict[str, PhotopicError] = field(default_factory=dict)
    """Id → why it could not be run."""


@flushing_denormals()
def run(
    ids: Sequence[str],
    *,
    quick: bool = False,
    time_limit: str | float | None = None,
    out: str | Path = DEFAULT_OUT,
    seed: int = 0,
    data_dir: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    report: Report = ignore,
    weights: str | Path | None = None,
    allow_download: bool = False,
) -> Batch:
    """Run experiments, store each result, and return them all.

    ids: such as "C31"; "all" stands for all of them. quick: a part of the data or fewer epochs, as each
    outcome's notes say. precision: of the trainings, as of `photopic.train`. time_limit: about how long an
    experiment's trainings may take together, in seconds or as text such as "10m"; they get fewer images and
    epochs, or the longest are left out, as the outcome says. out: the folder of results and trainings; what
    another experiment has trained there is reused. report: takes the records of trainings, and one each when
    an experiment starts, has its result or fails: {"event": "experiment" | "outcome" | "experiment_failed",
    …}. weights: file with the pretrained weights of the one experiment's architecture; without it a bundled
    network stands in, as its notes say. allow_download: let data and weights that are not here be fetched.
    Raises ConfigError for an unknown id and for weights or a time limit without use, before anything is run.
    """
    chosen = choose(ids)
    limit_s = None if time_limit is None else seconds(time_limit)
    if limit_s is not None:
        _check_limit(chosen, quick=quick)
    path = None if weights is None else _weights_of(chosen, Path(weights).expanduser())
    batch = Batch()
    for position, experiment in enumerate(chosen, 1):
        report({"event": "experiment", "experiment": experiment, "position": position, "of": len(chosen)})
        context = Context(
            experiment,
            Path(out),
            quick=quick,
            seed=seed,
            data_dir=data_dir,
            device=device,
            precision=precision,
            report=report,
            allow_download=allow_download,
            weights=path,
            time_limit_s=limit_s,
        )
        try:
            result = _run_one(context)
        except PhotopicError as error:
            batch.failures[experiment.id] = error
            report({"event": "experiment_failed", "id": experiment.id, "error": error})
        else:
            batch.results.append(result)
            report({"event": "outcome", "result": result})
    return batch


def _check_limit(chosen: Sequence[Experiment], *, quick: bool) -> None:
    if quick:
        raise ConfigError("quick and a time limit exclude each other: leave one of them out.")
    for experiment in chosen:
        if not experiment.shortens:
            known = ", ".join(item.id for item in experiments() if item.shortens)
            raise ConfigError(
                f"a time limit has no effect on {experiment.id}. It has one on {known}, which take long; for "
                "the others there is quick."
            )


def _weights_of(chosen: Sequence[Experiment], path: Path) -> Path:
    takers = {experiment.id: experiment.weights for experiment in experiments() if experiment.weights}
    if len(chosen) > 1 or chosen[0].id not in takers:
        known = ", ".join(f"{id_} ({network})" for id_, network in takers.items())
        raise ConfigError(
            f"weights={path}: are for one experiment at a time, and only some take any: {known}. Name one."
        )
    if not path.is_file():
        raise ConfigError(f"weights={path}: no such file. {chosen[0].id} takes those of {chosen[0].weights}.")
    return path


def _run_one(context: Context) -> Result:
    experiment = context.experiment
    started = time.perf_counter()
    outcome = _with_missing_rows(experiment, experiment.run(context))
    if context.precision != "auto" and not context.trainings:
        raise ConfigError(
            f"a precision has no effect on {experiment.id}, which trains nothing. Leave it out."
        )
    result = Result(
        id=experiment.id,
        title=experiment.title,
        quick=context.quick,
        time_limit_s=context.time_limit_s,
        seed=context.seed,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
        trainings=tuple(context.trainings),
        machine=choose_runtime(context.device, context.precision).describe(),
        versions={"photopic": photopic.__version__} | {name: version(name) for name in LIBRARIES},
        errors=experiment.errors,
        outcome=outcome,
    )
    save_result(result, to_markdown(result, experiment), context.pictures, context.out)
    return result


def _with_missing_rows(experiment: Experiment, outcome: Outcome) -> Outcome:
    """The outcome with a row for every reported figure, so that none is passed over in silence."""
    present = {row.name for row in outcome.rows}
    notes = {reported.name: reported.note for reported in experiment.reported}
    rows = [
        row.model_copy(update={"note": "; ".join(filter(None, (row.note, _told(notes.get(row.name, "")))))})
        for row in outcome.rows
    ]
    missing = [
        Row(name=told.name, reported=told.value, note="; ".join(filter(None, ("not measured", told.note))))
        for told in experiment.reported
        if told.name not in present
    ]
    return outcome.model_copy(update={"rows": (*rows, *missing)})


def _told(note: str) -> str:
    return f"reported value: {note}" if note else ""
