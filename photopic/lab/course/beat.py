"""C41: the course's best figure for each data set against photopic's recipe, in accuracy and in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photopic.errors import ConfigError
from photopic.lab.course.beat_contest import Contest, figures, verdict, what_was_beaten
from photopic.lab.course.beat_trainings import (
    GOALS,
    MEMBERS,
    QUICK_IMAGES,
    Goal,
    Rival,
    Trained,
)
from photopic.lab.course.experiment import Outcome, Row, from_measured
from photopic.lab.course.speed import measure_gflops, scaled_to
from photopic.lab.course.store import Result, load_results
from photopic.lab.course.trainings import over_seeds, score

if TYPE_CHECKING:
    from photopic.lab.course.context import Context

NOT_RUN = "not run"


@dataclass(frozen=True)
class Measured:
    """The course's network, as it was measured in the same folder."""

    experiment: str
    accuracy: float
    """On the test images."""
    seconds: float


def c41(context: Context) -> Outcome:
    """Train what fits into the time, judge it, and take the course's times from its own experiments here."""
    chosen = affordable(GOALS, _limit_s(context))
    results = load_results(context.out)
    rows: list[Row] = []
    contests: list[Contest] = []
    for goal in GOALS:
        rival = best_rival(goal, results)
        if goal not in chosen:
            rows += _rows_without(context, goal, rival)
            continue
        trained = goal.train(context)
        row = _accuracy(context, goal, trained)
        contest = _contest(goal, row, trained, rival)
        contests.append(contest)
        rows += [_judged(row, goal, contest, rival), *_time_rows(context, goal, rival, trained.seconds)]
    left_out = [goal.name for goal in GOALS if goal not in chosen]
    return Outcome(
        rows=tuple(rows),
        figures=figures(context, contests),
        sentences=what_was_beaten(contests, left_out),
        notes=_notes(context, left_out),
    )


def _limit_s(context: Context) -> float | None:
    """The time limit in seconds of the reference machine."""
    if context.time_limit_s is None:
        return None
    return context.time_limit_s / scaled_to(1.0, measure_gflops())


def affordable(goals: Sequence[Goal], limit_s: float | None) -> list[Goal]:
    """The cheapest goals whose trainings fit into a time together; all, if there is no limit.

    Raises ConfigError when not even one fits.
    """
    if limit_s is None:
        return list(goals)
    chosen, left_s = [], limit_s
    for goal in sorted(goals, key=lambda goal: goal.estimate_s):
        if goal.estimate_s > left_s:
            break
        chosen.append(goal)
        left_s -= goal.estimate_s
    if not chosen:
        least = min(goal.estimate_s for goal in goals)
        raise ConfigError(
            f"the shortest training here takes about {least / limit_s:.1f} times as long as the time limit "
            "allows on this machine. Allow more."
        )
    return chosen


def best_rival(goal: Goal, results: Mapping[str, Result]) -> Measured | None:
    """The best of the course's networks that were run in full in this folder; None: none was."""
    measured = [_measured(rival, results.get(rival.experiment)) for rival in goal.rivals]
    return max(filter(None, measured), key=lambda each: each.accuracy, default=None)


def _measured(rival: Rival, result: Result | None) -> Measured | None:
    if result is None or result.mode != "full":
        return None
    values = [row.measured for row in result.outcome.rows if row.name == rival.row]
    seconds = [
        [training.seconds for training in result.trainings if training.name == recipe]
        for recipe in rival.recipes
    ]
    if not values or not isinstance(values[0], float) or not all(seconds):
        return None
    mean_s = sum(sum(times) / len(times) for times in seconds)
    return Measured(rival.experiment, values[0], rival.networks * mean_s)


# ---- rows --------------------------------------------------------------------------------------------------


def _accuracy(context: Context, goal: Goal, trained: Trained) -> Row:
    """Of one network with its interval; of several seeds their mean with the lowest and the highest."""
    if len(trained.tested) > 1:
        return over_seeds(context, goal.name, trained.tested)
    told = context.experiment.reported_value(goal.name)
    return from_measured(goal.name, score(trained.tested[0]), reported=told)


def _contest(goal: Goal, row: Row, trained: Trained, rival: Measured | None) -> Contest:
    """The printed figure is the one to beat; where there is none, the one measured here."""
    printed = float(row.reported) if isinstance(row.reported, float | int) else None
    here = None if rival is None else rival.accuracy
    assert isinstance(row.measured, float)
    low, high = (row.measured if end is None else end for end in (row.low, row.high))
    return Contest(
        goal.name,
        row.measured,
        low,
        high,
        here if printed is None else printed,
        trained.seconds,
        None if rival is None else rival.seconds,
        interval_kind="range" if len(trained.tested) > 1 else "interval",
        source="here" if printed is None else goal.printed_by,
    )


def _judged(row: Row, goal: Goal, contest: Contest, rival: Measured | None) -> Row:
    printed = "" if row.reported is not None else "; the decks print none"
    here = "" if rival is None else f"; {rival.experiment} here: {rival.accuracy:.4f}"
    note = f"{goal.recipe}: {verdict(contest)}{printed}{here}; {row.note}"
    return row.model_copy(update={"note": note})


def _time_rows(context: Context, goal: Goal, rival: Measured | None, seconds: float | None) -> list[Row]:
    told = goal.rivals[0].experiment if rival is None else rival.experiment
    networks = goal.rivals[0].networks
    course = (
        f"{told}'s network" if networks == 1 else f"the least that an ensemble takes: {networks} of {told}'s"
    )
    return [
        context.row(f"{goal.name}: seconds", NOT_RUN if seconds is None else seconds, note=goal.recipe),
        context.row(
            f"{goal.name}: seconds of the course's network",
            NOT_RUN if rival is None else rival.seconds,
            note=course if rival is not None else f"{course}, not run in full in this folder",
        ),
    ]


def _rows_without(context: Context, goal: Goal, rival: Measured | None) -> list[Row]:
    note = f"{goal.recipe}; takes about {goal.estimate_s / 60:.0f} min on the reference machine"
    return [context.row(goal.name, NOT_RUN, note=note), *_time_rows(context, goal, rival, None)]


# ---- words -------------------------------------------------------------------------------------------------


def _notes(context: Context, left_out: Sequence[str]) -> tuple[str, ...]:
    told = [
        "Recipes were chosen on validation images; the test images are scored once, at the end. Seconds are "
        "those of the trainings, by the clock; the course's are taken from its experiments in the same "
        "folder. They can be compared as far as the machine was as busy in both.",
        f"MNIST's ensemble is the mean of {MEMBERS} networks, each from its own seed. The decks do not "
        "describe the members of theirs.",
        "CIFAR-10: the 0.841 to 0.927 that the decks print for ensembles are of single batches (E09).",
        "GTSRB: the decks print nothing; 0.9884 is what people reach on these signs (Stallkamp et al. 2012).",
        "Cats and dogs from scratch: the deck's 0.85 is a training accuracy, read from a curve's axis; C14's "
        "network is the rival, on these photos.",
        "Fashion-MNIST from task A to task B: mean, lowest and highest of the seeds; the deck's 0.9925 is "
        "the best of several tries. The seconds are those of A and of one B.",
    ]
    if context.time_limit_s is not None and left_out:
        told.append(
            f"Shortened to a time limit of {context.time_limit_s / 60:.0f} min: the shortest trainings are "
            "done, each in full; the others are not run."
        )
    told += context.shortened(
        f"at most {QUICK_IMAGES} training images of each data set (100 photos), one epoch (three for task "
        "B), no views; narrower networks for CIFAR-10 and GTSRB; photos of 32 and 64 pixels; two seeds, "
        "an ensemble of two. The recipes' figures are not to be expected from it."
    )
    return tuple(told)
