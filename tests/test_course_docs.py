"""The course's chapters: their code runs, their commands exist, their figures are the stored results."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from photopic.cli import run as photopic
from photopic.lab.course.catalog import experiments
from photopic.lab.course.store import load_results

DOCS = Path(__file__).parent.parent / "docs"
CHAPTERS = sorted((DOCS / "course").glob("*.md"))
RESULTS = load_results(DOCS / "course" / "results")
CATALOG = {experiment.id: experiment for experiment in experiments()}


def blocks(chapter: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", chapter.read_text("utf-8"), re.DOTALL)


def shown_ids() -> list[str]:
    """Experiments that a chapter tells the reader to run."""
    found = []
    for chapter in CHAPTERS:
        for line in "\n".join(blocks(chapter, "sh")).splitlines():
            if line.startswith("photopic course run "):
                found += [word for word in shlex.split(line, comments=True) if re.fullmatch(r"C\d\d", word)]
    return sorted(set(found))


def load_writer() -> ModuleType:
    """docs/course_results.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("course_results", DOCS / "course_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_the_python_of_a_chapter_runs(
    chapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(chapter, "python"):
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(block, str(chapter), "exec"), scope)
        assert capsys.readouterr().out.strip()


@pytest.mark.slow  # test_course.py runs the same experiments in the quick tests
@pytest.mark.parametrize("id_", shown_ids())
def test_the_commands_of_the_chapters_run_in_quick_form(
    id_: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if any(name in CATALOG[id_].data for name in ("mnist", "cifar10", "cats-dogs", "gtsrb")):
        request.getfixturevalue("data_dir")
    assert photopic(["course", "run", id_, "--quick", "--out", str(tmp_path)]) == 0


def test_every_stored_result_is_of_an_experiment_and_has_its_figures() -> None:
    for id_, result in RESULTS.items():
        assert id_ in CATALOG
        folder = DOCS / "course" / "results" / result.folder
        for drawing in result.outcome.figures:
            assert (folder / drawing.file).is_file(), f"{id_}: {drawing.file}"


@pytest.mark.parametrize("id_", sorted(RESULTS))
def test_a_stored_result_has_the_reported_figures_of_the_catalog(id_: str) -> None:
    rows = {row.name: row for row in RESULTS[id_].outcome.rows}
    for reported in CATALOG[id_].reported:
        assert rows[reported.name].reported == reported.value


@pytest.mark.parametrize("id_", sorted(CATALOG))
def test_every_experiment_is_in_one_chapter(id_: str) -> None:
    included = [chapter.name for chapter in CHAPTERS if f"generated/{id_}.md\n" in chapter.read_text("utf-8")]
    assert len(included) == 1


def test_chapters_include_only_what_is_written(tmp_path: Path) -> None:
    load_writer().write(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    for chapter in CHAPTERS:
        for name in re.findall(r"```\{include\} generated/(\S+)", chapter.read_text("utf-8")):
            assert name in written | {"knobs.md"}, f"{chapter.name} includes {name}"
    table = (tmp_path / "table.md").read_text("utf-8")
    for id_ in CATALOG:
        assert f"| {id_} |" in table


def test_what_is_not_stored_is_said_not_to_be_measured(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    load_writer().write(tmp_path, tmp_path / "results")
    text = (tmp_path / "C20.md").read_text("utf-8")
    assert "*Not measured here yet.*" in text
    assert "| accuracy | 0.841–0.843 |" in text
    assert "| C20 | not measured here yet |" in (tmp_path / "table.md").read_text("utf-8")


def test_the_table_of_errors_has_each_of_the_decks_errors(tmp_path: Path) -> None:
    load_writer().write(tmp_path)
    lines = (tmp_path / "errors.md").read_text("utf-8").splitlines()[2:]
    assert {line.split(" | ")[0] for line in lines} == {f"| E{number:02d}" for number in range(1, 14)}
    for experiment in CATALOG.values():
        for number in experiment.errors:
            assert any(line.startswith(f"| {number} | ") and experiment.id in line for line in lines)
    (listed,) = (line for line in lines if line.startswith("| E07"))
    assert listed.startswith("| E07 | C16, C17, C18, C19, C20, C21, C22, C23 | No shuffling")
