"""The map from the course to photopic (docs/course/knobs.yaml): what it names exists, and all rows run."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import cyclopts
import pytest

from photopic.cli import app
from photopic.config import ScratchRecipe, override, parse_recipe
from photopic.lab.course.catalog import experiments
from photopic.models.zoo import build_model
from photopic.training.recipes import load_recipe

ROOT = Path(__file__).parent.parent


def load_map() -> ModuleType:
    """docs/course_map.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("course_map", ROOT / "docs" / "course_map.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KNOBS = [knob for topic in load_map().topics() for knob in topic["knobs"]]
BASE = {
    "way": "scratch",
    "name": "base",
    "preprocess": {"size": 28, "channels": 1},
    "model": {"layers": [{"conv": 4}, "flatten"]},
}
MAY_BE_DEFAULT = {"schedule", "loss", "preprocess.scaling", "model.init"}


def knobs_with(key: str) -> list[Any]:
    return [pytest.param(knob, id=knob["knob"][:40]) for knob in KNOBS if key in knob]


def test_each_knob_is_somewhere_or_said_to_be_missing() -> None:
    for knob in KNOBS:
        assert {"set", "command", "function", "missing"} & knob.keys(), knob["knob"]
        assert ("test" in knob) != ("missing" in knob), knob["knob"]


@pytest.mark.parametrize("knob", knobs_with("set"))
def test_options_are_accepted_and_kept(knob: dict[str, Any]) -> None:
    base = load_recipe(knob["recipe"]) if "recipe" in knob else parse_recipe(BASE)
    recipe = override(base, knob["set"])
    is_default = knob["set"] == {"optimizer": "sgd"} or knob["set"].keys() <= MAY_BE_DEFAULT
    assert recipe != base or is_default
    if isinstance(recipe, ScratchRecipe):
        assert build_model(recipe, 2 if recipe.loss.name == "binary-cross-entropy" else 10) is not None


@pytest.mark.parametrize("knob", knobs_with("command"))
def test_commands_and_their_options_exist(knob: dict[str, Any]) -> None:
    node: cyclopts.App = app
    words, _, options = knob["command"].partition(" --")
    for word in words.split():
        node = node[word]
    known = {name for argument in node.assemble_argument_collection() for name in argument.names}
    assert set(re.findall(r"--[a-z-]+", f" --{options}" if options else "")) <= known
    assert knob.get("experiment", "C24") in {experiment.id for experiment in experiments()}


@pytest.mark.parametrize("knob", knobs_with("function"))
def test_functions_exist_and_say_what_they_compute(knob: dict[str, Any]) -> None:
    module, _, name = knob["function"].partition(":")
    assert getattr(importlib.import_module(module), name).__doc__


@pytest.mark.parametrize("knob", knobs_with("test"))
def test_tests_exist(knob: dict[str, Any]) -> None:
    file, _, name = knob["test"].partition("::")
    text = (ROOT / "tests" / file).read_text("utf-8")
    assert re.search(rf"^def {name}\(" if name else r"^def test_", text, re.MULTILINE), knob["test"]


def test_the_map_says_where_photopic_deviates() -> None:
    knob = {"command": "train", "deviation": "not as the course's framework."}
    assert load_map()._where(knob) == "`photopic train`<br>not as the course's framework."
    assert sum("deviation" in knob for knob in KNOBS) >= 4


def test_every_row_of_the_course_can_be_run() -> None:
    assert [experiment.id for experiment in experiments()] == [f"C{number:02d}" for number in range(42)]


def test_the_quick_form_of_every_row_is_tested() -> None:
    file, _, name = load_map().QUICK_TEST.partition("::")
    text = (ROOT / "tests" / file).read_text("utf-8")
    assert re.search(rf"^def {name}\(", text, re.MULTILINE)
    written = "\n".join(load_map()._lines())
    for experiment in experiments():
        assert f"`photopic course run {experiment.id}`" in written
