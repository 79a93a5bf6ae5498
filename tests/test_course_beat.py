"""C41: who is ahead and faster, whose seconds are taken, what a time limit leaves out, what recipes cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photopic import api
from photopic.errors import ConfigError
from photopic.lab.course import beat
from photopic.lab.course.beat_contest import Contest, _error_shares, verdict, what_was_beaten
from photopic.lab.course.beat_trainings import GOALS, Goal, Rival, Trained
from photopic.lab.course.catalog import choose, experiments
from photopic.lab.course.context import Context, find_recipe
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.runner import run
from photopic.lab.course.store import Result, save_result

CATALOG = {item.id: item for item in experiments()}
WON = Contest("MNIST", 0.996, 0.994, 0.997, 0.9932, 30, 120)
CLOSE = Contest("Clothes", 0.90, 0.88, 0.92, 0.89, 50, 40)
LOST = Contest("Cats", 0.8, 0.75, 0.84, 0.85, 100, source="here")
SEEDS = replace(WON, name="Pairs", interval_kind="range")


def stored(id_: str, rows: dict[str, float], trained: list[tuple[str, float]], **changes: Any) -> Result:
    """A result of an experiment of the course with these accuracies and these trainings' seconds."""
    return Result.model_validate(
        {
            "id": id_,
            "title": "t",
            "quick": False,
            "seed": 0,
            "date": "2026-01-01",
            "seconds": 1,
            "trainings": [{"name": n, "path": n, "seconds": s, "reused": False} for n, s in trained],
            "outcome": {
                "rows": [{"name": name, "measured": value} for name, value in rows.items()],
                "sentences": ["s"],
            },
        }
        | changes
    )


# ---- the goals ---------------------------------------------------------------------------------------------


def test_every_printed_figure_has_a_goal_and_every_rival_an_experiment() -> None:
    names = [goal.name for goal in GOALS]
    assert {told.name for told in CATALOG["C41"].reported} <= set(names)
    assert len(names) == len(set(names)) == 8
    for rival in (rival for goal in GOALS for rival in goal.rivals):
        assert rival.experiment in CATALOG
        assert all(find_recipe(recipe).total_epochs > 0 for recipe in rival.recipes)  # type: ignore[union-attr]


def test_the_figures_to_beat_are_those_of_the_decks() -> None:
    def printed(id_: str, name: str) -> Any:
        return CATALOG[id_].reported_value(name)

    goals = {told.name: told.value for told in CATALOG["C41"].reported}
    assert goals["MNIST, one network"] == printed("C10", "accuracy")
    assert goals["MNIST, ensemble"] == printed("C11", "accuracy of the ensemble")
    assert str(goals["CIFAR-10"]) == printed("C20", "accuracy").split("–")[1]
    assert goals["Fashion-MNIST, task A to task B"] == printed("C26", "accuracy, B on A")


def test_estimates_sum_up_to_the_experiment_s() -> None:
    assert sum(goal.estimate_s for goal in GOALS) == pytest.approx(CATALOG["C41"].estimate_s, rel=0.1)


@pytest.mark.parametrize(("ours", "course"), [("mnist-strong", "mnist-cnn"), ("fashion-fast", "fashion-cnn")])
def test_a_whole_training_needs_less_arithmetic_than_the_course_s(ours: str, course: str) -> None:
    """Time follows arithmetic only roughly, but it does not depend on how busy the machine is."""

    def flops(name: str) -> float:
        recipe: Any = find_recipe(name)
        return float(api.model_summary(recipe=recipe, classes=10).flops) * recipe.total_epochs

    assert flops(ours) < flops(course)


# ---- what fits ---------------------------------------------------------------------------------------------


def goals(*estimates: float) -> list[Goal]:
    return [replace(GOALS[0], name=f"goal {s}", estimate_s=s) for s in estimates]


def test_the_cheapest_trainings_come_first() -> None:
    chosen = beat.affordable(goals(50, 10, 1000, 30), 60)
    assert sorted(goal.estimate_s for goal in chosen) == [10, 30]
    assert len(beat.affordable(goals(50, 10), None)) == 2


def test_a_limit_that_is_too_short_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"about 2\.5 times as long as the time limit"):
        beat.affordable(goals(50, 1000), 20)


# ---- the course's networks ---------------------------------------------------------------------------------

TWO = (Rival("C15", "test", ("cut",)), Rival("C27", "test", ("frozen",)))


def test_the_best_of_the_course_s_networks_counts() -> None:
    results = {
        "C15": stored("C15", {"test": 0.9}, [("scratch", 9), ("cut", 40)]),
        "C27": stored("C27", {"test": 0.95}, [("frozen", 60)]),
    }
    best = beat.best_rival(replace(GOALS[0], rivals=TWO), results)
    assert best is not None
    assert (best.experiment, best.accuracy, best.seconds) == ("C27", 0.95, 60)


def test_seconds_are_the_mean_of_the_seeds_and_the_sum_of_what_follows_each_other() -> None:
    trained = [("A", 100), ("B", 10), ("B", 20), ("alone", 500)]
    results = {"C26": stored("C26", {"accuracy": 0.99}, trained)}
    for networks, seconds in ((1, 115), (2, 230)):
        goal = replace(GOALS[0], rivals=(Rival("C26", "accuracy", ("A", "B"), networks),))
        best = beat.best_rival(goal, results)
        assert best is not None
        assert best.seconds == seconds


@pytest.mark.parametrize("changes", [{"quick": True}, {"time_limit_s": 60}])
def test_a_shortened_result_of_the_course_is_no_measure(changes: dict[str, Any]) -> None:
    results = {"C27": stored("C27", {"test": 0.95}, [("frozen", 60)], **changes)}
    assert beat.best_rival(replace(GOALS[0], rivals=TWO), results) is None
    assert beat.best_rival(replace(GOALS[0], rivals=TWO), {}) is None


# ---- what is said ------------------------------------------------------------------------------------------


def test_verdicts_follow_value_and_interval() -> None:
    assert verdict(WON) == "above 0.9932, the whole interval too"
    assert verdict(CLOSE) == "above 0.8900, which lies inside the interval"
    assert verdict(LOST) == "not above 0.8500"
    assert verdict(replace(LOST, goal=None)) == "nothing to compare with yet"
    assert verdict(SEEDS) == "above 0.9932, the least of the seeds too"
    assert verdict(replace(SEEDS, low=0.99)) == "above 0.9932, but not for all seeds"


def test_sentences_count_what_is_beaten_and_in_what_time() -> None:
    people = replace(LOST, name="Signs", source="people", rival_s=None)
    said = " ".join(what_was_beaten([WON, CLOSE, SEEDS, LOST, people], ["GTSRB"]))
    assert said.startswith(
        "photopic's recipes are above 3 of 3 figures that the decks print, 0 of 1 figures of people, 0 of 1 "
        "figures of the decks' networks run here; in 1 of these 5 cases the whole 95 % interval is."
    )
    assert "Not beaten: Cats (0.8000, not 0.8500); Signs (0.8000, not 0.8500)." in said
    assert "In 2 of the 3 cases" in said
    assert "from 0.25 to 1.25 of the course's seconds. Better and faster at once: 2." in said
    assert said.endswith("Not run: GTSRB.")


def test_sentences_leave_out_what_there_is_not() -> None:
    (said,) = what_was_beaten([replace(WON, rival_s=None)], [])
    assert said.startswith("photopic's recipes are above 1 of 1 figures that the decks print; in 1 of")
    assert what_was_beaten([replace(WON, goal=None, rival_s=None)], []) == (
        "There is no figure to beat yet.",
    )


def test_errors_are_shares_of_the_course_s() -> None:
    share, (least, most) = _error_shares(Contest("x", 0.98, 0.97, 0.99, 0.96, 1))
    assert (share, least, most) == pytest.approx((0.5, 0.25, 0.75))


@pytest.mark.parametrize(
    ("seeds", "reported", "source", "kind"),
    [(1, 0.9, "decks", "interval"), (1, None, "here", "interval"), (3, 0.9, "decks", "range")],
)
def test_a_contest_knows_whose_figure_it_is_and_what_its_interval_is(
    seeds: int, reported: float | None, source: str, kind: str
) -> None:
    trained = Trained((None,) * seeds, 3.0)  # type: ignore[arg-type]
    row = Row(name="x", reported=reported, measured=0.95, low=0.92, high=0.97)
    contest = beat._contest(GOALS[0], row, trained, beat.Measured("C10", 0.93, 60))
    assert (contest.source, contest.interval_kind) == (source, kind)
    assert contest.goal == (0.93 if reported is None else reported)
    assert contest.is_sure == (kind == "interval" and source == "decks")


def test_the_figure_for_signs_is_of_people_and_photos_from_scratch_have_no_printed_one() -> None:
    assert [goal.name for goal in GOALS if goal.printed_by == "people"] == ["GTSRB"]
    assert "Cats and dogs, from scratch" not in {told.name for told in CATALOG["C41"].reported}


# ---- from start to end -------------------------------------------------------------------------------------


def digits(context: Context) -> Trained:
    return Trained((context.train("digits", "digits", settings={"total_epochs": 2}),), 3.0)


def small_goals() -> tuple[Goal, ...]:
    name = "MNIST, one network"
    return (
        Goal(name, "digits", digits, (Rival("C10", "accuracy", ("mnist-cnn",)),), 1),
        Goal("CIFAR-10", "long", digits, (Rival("C20", "accuracy", ("x",)),), 1e7),
    )


def rows_of(outcome: Outcome) -> dict[str, Any]:
    return {row.name: row for row in outcome.rows}


def test_what_does_not_fit_is_said_not_to_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "GOALS", small_goals())
    save_result(stored("C10", {"accuracy": 0.99}, [("mnist-cnn", 120.0)]), "page", {}, tmp_path)
    outcome = beat.c41(Context(choose(["C41"])[0], tmp_path, time_limit_s=3600))
    rows = rows_of(outcome)
    first = rows["MNIST, one network"]
    assert (first.reported, first.n) == (0.9932, 269)
    assert first.note.startswith("digits: not above 0.9932; C10 here: 0.9900")
    assert rows["MNIST, one network: seconds"].measured == 3.0
    assert rows["MNIST, one network: seconds of the course's network"].measured == 120.0
    assert rows["CIFAR-10"].measured == rows["CIFAR-10: seconds"].measured == "not run"
    assert (
        rows["CIFAR-10: seconds of the course's network"].note
        == "C20's network, not run in full in this folder"
    )
    assert outcome.sentences[-1] == "Not run: CIFAR-10."
    assert any("Shortened to a time limit of 60 min" in note for note in outcome.notes)
    assert [drawing.file for drawing in outcome.figures] == ["errors.png", "seconds.png"]


@pytest.mark.slow
def test_the_quick_run_trains_every_recipe(data_dir: Path, tmp_path: Path) -> None:
    (result,) = run(["C41"], quick=True, out=tmp_path, data_dir=data_dir).results
    rows = rows_of(result.outcome)
    for goal in GOALS:
        assert 0 <= float(rows[goal.name].measured) <= 1
        assert float(rows[f"{goal.name}: seconds"].measured) > 0
        assert rows[f"{goal.name}: seconds of the course's network"].measured == "not run"
    assert rows["Cats and dogs, transfer"].note.startswith("photos-frozen: nothing to compare with yet")
    assert any("Shortened by --quick" in note for note in result.outcome.notes)
    assert len(result.outcome.figures) == 1
