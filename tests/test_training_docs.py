"""The pages on stopping and on unequal classes: settings are known, code runs, nothing is left out."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest

from photopic.config import Monitor, SelectBy, override
from photopic.config.losses import BinaryCrossEntropy, CrossEntropy, FocalLoss, MeanSquaredError
from photopic.training.recipes import load_recipe, parse_setting

DOCS = Path(__file__).parent.parent / "docs"
STOPPING = (DOCS / "howto" / "stopping-and-checkpoints.md").read_text("utf-8")
CLASSES = (DOCS / "howto" / "unequal-classes.md").read_text("utf-8")


@pytest.mark.parametrize(
    "line", re.findall(r"^photopic train .*--set.*$", STOPPING + CLASSES, re.MULTILINE), ids=str
)
def test_every_shown_setting_is_accepted(line: str) -> None:
    tokens = shlex.split(line)
    changes = dict(parse_setting(text) for option, text in pairwise(tokens) if option == "--set")
    assert changes
    override(load_recipe("small-images").model_copy(update={"total_epochs": 60}), changes)


def test_every_choice_is_on_its_page() -> None:
    for name in (*get_args(Monitor), *get_args(SelectBy)):
        assert f"`{name}`" in STOPPING


def test_every_loss_has_its_formula_in_the_reference() -> None:
    for kind in (CrossEntropy, BinaryCrossEntropy, FocalLoss, MeanSquaredError):
        assert re.search(r"log|\(p_k − t_k\)²", kind.__doc__ or "")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", STOPPING + CLASSES, re.DOTALL))
def test_every_example_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(block, "page", "exec"), scope)
    assert scope["losses"]
