"""The course lab: its catalog, what a run leaves behind, and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photopic.cli import run as photopic
from photopic.errors import ConfigError, DataError, OfflineError, RunError
from photopic.lab.course import page, runner, speed
from photopic.lab.course.catalog import TARGETS, choose, experiments
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Experiment, Outcome, Row, show
from photopic.lab.course.store import load_results

EXPERIMENTS = experiments()
SLOW = {"C01", "C02", "C03", "C04", "C05", "C06", "C07", "C08", "C09", "C10", "C11", "C12", "C13"} | {
    f"C{number}" for number in (14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 34, 39, 40)
}
"""They train networks on images, even in short."""


def experiment(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "id": "C31",
        "title": "t",
        "group": "convolution",
        "data": "none",
        "description": "d",
        "estimate_s": 1,
        "reported": (),
        "errors": {},
        "target": "tests:none",
    }
    return Experiment.model_validate(values | changes)


# ---- the catalog -----------------------------------------------------------------------------------------


def test_every_target_has_an_entry_and_ids_ascend() -> None:
    ids = [item.id for item in EXPERIMENTS]
    assert ids == sorted(set(ids))
    assert set(ids) == set(TARGETS)


@pytest.mark.parametrize("item", EXPERIMENTS, ids=lambda item: item.id)
def test_an_entry_says_what_it_is(item: Experiment) -> None:
    assert item.title
    assert item.description.endswith(".")
    assert item.data
    assert item.estimate_s > 0
    names = [reported.name for reported in item.reported]
    assert len(names) == len(set(names))
    for number, sentence in item.errors.items():
        assert 1 <= int(number.removeprefix("E")) <= 13
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    "item",
    [pytest.param(item, marks=pytest.mark.slow if item.id in SLOW else ()) for item in EXPERIMENTS],
    ids=lambda item: item.id,
)
def test_every_experiment_runs_in_quick_form(item: Experiment, tmp_path: Path) -> None:
    batch = runner.run([item.id], quick=True, out=tmp_path)
    for error in batch.failures.values():
        assert isinstance(error, OfflineError | DataError), error
        pytest.skip(f"{item.id}: {error}")
    (result,) = batch.results
    outcome = result.outcome
    rows = {row.name: row for row in outcome.rows}
    assert {reported.name for reported in item.reported} <= rows.keys()
    for reported in item.reported:
        assert rows[reported.name].reported == reported.value
    measured = [row for row in outcome.rows if row.measured is not None]
    assert measured or not outcome.rows
    for row in measured:
        if row.low is not None and row.high is not None:
            assert row.low <= row.high, row
    assert 1 <= len(outcome.sentences) <= 4
    assert all(sentence.endswith(".") and "nan" not in sentence.split() for sentence in outcome.sentences)
    folder = tmp_path / item.id / "quick"
    assert {path.name for path in folder.glob("*.png")} == {drawing.file for drawing in outcome.figures}
    for drawing in outcome.figures:
        with Image.open(folder / drawing.file) as image:
            pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 1, f"{drawing.file} is empty"
        assert f"![{drawing.title}]({drawing.file})" in (folder / "page.md").read_text("utf-8")


# ---- choosing --------------------------------------------------------------------------------------------


def test_ids_are_taken_in_any_case_once_and_in_the_order_given() -> None:
    assert [item.id for item in choose(["c33", "C31", "C33"])] == ["C33", "C31"]
    assert choose(["all"]) == EXPERIMENTS


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'"C333" is not known\. Did you mean "C33"'):
        choose(["C31", "C333"])


# ---- running and storing ---------------------------------------------------------------------------------


def test_a_figure_that_was_reported_but_not_measured_is_not_passed_over() -> None:
    item = experiment(reported=({"name": "a", "value": 1.0}, {"name": "b", "value": 2.0, "note": "guess"}))
    outcome = Outcome(rows=(Row(name="a", reported=1.0, measured=1.5),), sentences=("s.",))
    rows = runner._with_missing_rows(item, outcome).rows
    assert [(row.name, row.measured) for row in rows] == [("a", 1.5), ("b", None)]
    assert rows[1].note == "not measured; guess"


def test_a_quick_run_does_not_replace_a_full_one(tmp_path: Path) -> None:
    runner.run(["C31"], out=tmp_path)
    runner.run(["C31"], out=tmp_path, quick=True)
    assert load_results(tmp_path)["C31"].mode == "full"
    assert (tmp_path / "C31" / "quick" / "outcome.json").is_file()


def test_figures_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "C31").mkdir()
    (tmp_path / "C31" / "old.png").write_bytes(b"")
    runner.run(["C31"], out=tmp_path)
    assert not (tmp_path / "C31" / "old.png").exists()


def test_one_failure_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(context: Context) -> Outcome:
        raise DataError("the data is not here. Get it.")

    monkeypatch.setattr("photopic.lab.course.convolution.c31", fail)
    batch = runner.run(["C31", "C33"], out=tmp_path)
    assert list(batch.failures) == ["C31"]
    assert [result.id for result in batch.results] == ["C33"]
    assert list(load_results(tmp_path)) == ["C33"]


def test_the_same_seed_gives_the_same_outcome(tmp_path: Path) -> None:
    one, two = (
        runner.run(["C33"], out=tmp_path / name, seed=3).results[0].outcome for name in ("one", "two")
    )
    assert one == two


def test_results_survive_the_disk(tmp_path: Path) -> None:
    (result,) = runner.run(["C31"], out=tmp_path).results
    assert load_results(tmp_path) == {"C31": result}


def test_a_figure_that_is_not_passed_on_is_left_out(tmp_path: Path) -> None:
    (result,) = runner.run(["C31"], out=tmp_path).results
    first, *others = result.outcome.figures
    (tmp_path / "C31" / first.file).unlink()
    assert load_results(tmp_path)["C31"].outcome.figures == tuple(others)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 1}', '{"schema_version": 2}'])
def test_a_damaged_result_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "C31").mkdir()
    (tmp_path / "C31" / "outcome.json").write_text(content)
    with pytest.raises(RunError, match=r"C31.outcome\.json"):
        load_results(tmp_path)


def test_a_training_is_done_once_and_then_reused(tmp_path: Path) -> None:
    settings = {"total_epochs": 1}
    first = Context(experiment(), tmp_path)
    one = first.train("digits", "digits", settings=settings, train_images=200)
    other_seed = first.train("digits", "digits", settings=settings, train_images=200, seed=1)
    second = Context(experiment(id="C33"), tmp_path)
    again = second.train("digits", "digits", settings=settings, train_images=200)
    assert one.path == again.path != other_seed.path
    assert [training.reused for training in (*first.trainings, *second.trainings)] == [False, False, True]
    assert second.trainings[0].path.startswith("runs/digits-")


# ---- pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (60000, "60,000"),
        (0.9279, "0.9279"),
        (4.9e11, "490,000,000,000"),
        (1.23456e-5, "1.23e-05"),
        (123456.7, "1.23e+05"),
        ("inf", "inf"),
    ],
)
def test_values_are_shown_for_people(value: Any, text: str) -> None:
    assert show(value) == text


def test_a_markdown_table_leaves_empty_columns_out_and_escapes() -> None:
    table = page.markdown_table(("a", "b", "c"), [("1|2", "", "x_y"), ("[3]", "", "")])
    assert table.splitlines() == ["| a | c |", "|---|---|", r"| 1\|2 | x\_y |", r"| \[3\] |  |"]


def test_the_html_page_escapes_what_results_say(tmp_path: Path) -> None:
    (result,) = runner.run(["C31"], out=tmp_path).results
    html = page.report_html({"C31": result.model_copy(update={"title": "<script>"})})
    assert "<script>" not in html
    assert 'src="C31/arrays.png"' in html


# ---- estimates -------------------------------------------------------------------------------------------


def test_estimates_scale_with_the_speed_of_matrix_products() -> None:
    assert speed.scaled_to(10, speed.REFERENCE_GFLOPS / 2) == 20
    assert speed.scaled_to(10, speed.REFERENCE_GFLOPS * 4) == 5
    assert speed.measure_gflops() > 0.1


# ---- the command line ------------------------------------------------------------------------------------


def test_course_lists_what_was_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner.run(["C33"], out=tmp_path, quick=True)
    assert photopic(["course", "list", "--out", str(tmp_path), "--json"]) == 0
    listed = {item["id"]: item for item in json.loads(capsys.readouterr().out)}
    assert listed["C31"]["status"] == "not run"
    assert listed["C33"]["status"].startswith("quick 20")
    assert listed["C33"]["time_s"] > 0
    assert photopic(["course", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(experiment.id in out for experiment in EXPERIMENTS)
    assert "GFLOP/s" in out


def test_course_run_prints_reported_beside_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photopic(["course", "run", "c33", "--out", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "reported measured" in out
    assert "AUC 0.5000 0.5000" in out


def test_course_run_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert photopic(["course", "run", "C31", "C33", "--json", "--out", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [result["id"] for result in document["results"]] == ["C31", "C33"]
    assert document["failed"] == []


def test_course_run_with_an_unknown_id_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photopic(["course", "run", "C313", "--out", str(tmp_path)]) == 2
    assert 'Did you mean "C3' in capsys.readouterr().err


@pytest.mark.parametrize(("ids", "code"), [(["C31"], 2), (["C31", "C33"], 1)])
def test_course_run_names_what_could_not_be_run(
    ids: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(context: Context) -> Outcome:
        raise OfflineError("mnist is not here. Put it there.")

    monkeypatch.setattr("photopic.lab.course.convolution.c31", fail)
    assert photopic(["course", "run", *ids, "--out", str(tmp_path)]) == code
    assert "C31: mnist is not here. Put it there." in capsys.readouterr().err


def test_course_report_joins_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner.run(["C31", "C33"], out=tmp_path)
    assert photopic(["course", "report", "--out", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "C33 full AUC 0.5000 0.5000" in out
    assert "| C33 | full | AUC | 0.5000 | 0.5000 |" in (tmp_path / "report.md").read_text("utf-8")
    assert "<td>AUC</td>" in (tmp_path / "report.html").read_text("utf-8")
    assert [item["id"] for item in json.loads((tmp_path / "report.json").read_text("utf-8"))] == [
        "C31",
        "C33",
    ]


def test_course_report_without_results_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photopic(["course", "report", "--out", str(tmp_path)]) == 2
    assert "photopic course run all --quick" in capsys.readouterr().err
