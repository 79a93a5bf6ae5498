"""`photopic recipes` and `photopic rate` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from photopic.cli import run
from photopic.training.recipes import named_recipes

SGD = ["--set", "optimizer=sgd"]


def test_a_recipe_is_printed_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "digits"]) == 0
    assert capsys.readouterr().out.startswith("name: digits\n")


def test_show_draws_the_schedule_with_its_axes(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "total_epochs=6", "--set", "optimizer.learning_rate=0.24"]
    assert run(["recipes", "show", "digits", *options]) == 0
    printed = capsys.readouterr().out
    for words in ("schedule: one-cycle", "learning rate", "0.24 ┤", "epochs", " 6\n"):
        assert words in printed


@pytest.mark.parametrize("name", sorted(named_recipes()))
def test_every_named_recipe_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "show", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name} (")


def test_show_gives_the_points_of_the_formula_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    piecewise = ["--set", "schedule={name: piecewise, boundaries: [4], factors: [1, 0.01], unit: epochs}"]
    assert run(["recipes", "show", "digits", *SGD, *piecewise, "--images", "640", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schedule"]["name"] == "piecewise"
    assert len(shown["points"]) == 10 * 10 + 1  # 640 images in batches of 64, and the end
    for epoch, rate in shown["points"]:
        assert rate == pytest.approx(0.01 if epoch < 4 else 0.0001)


def test_show_knows_that_a_frozen_recipe_has_no_learning_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "show", "photos-frozen"]) == 0
    assert "no learning rate" in capsys.readouterr().out
    assert run(["recipes", "show", "photos-frozen", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digitz"], 'Did you mean "digits"'),
        (["digits", *SGD, "--set", "schedule={name: power, unit: steps}"], "--images 60000"),
        (["digits", "--images", "0"], "must be at least 1"),
        (["digits", "--set", "schedule={name: performance, patience: 9}"], "never lowers the rate"),
        (["digits", "--set", "schedule.warmup=0.1"], "not known with one-cycle"),
    ],
)
def test_what_cannot_be_drawn_is_explained(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recipes", "show", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_rate_draws_the_curve_and_suggests_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [*SGD, "--set", "model.widths=[8, 8]", "--steps", "40"]
    assert run(["rate", "digits", *small, "--out", str(tmp_path / "curve.png")]) == 0
    printed = capsys.readouterr().out
    again = (
        "photopic train digits --set optimizer=sgd --set 'model.widths=[8, 8]' --set optimizer.learning_rate="
    )
    for words in ("training loss of digits", "▲", "suggestion: --set optimizer.l", "curve.png", again):
        assert words in printed.replace("\n", " ")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 300


def test_rate_gives_the_curve_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", "digits", *SGD, "--set", "model.widths=[8, 8]", "--steps", "40", "--json"]) == 0
    curve = json.loads(capsys.readouterr().out)
    assert len(curve["rates"]) == len(curve["losses"]) == len(curve["smoothed"]) <= 40
    assert curve["suggestion"] == pytest.approx(curve["lowest"] / 10)
    assert curve["settings"]["optimizer.learning_rate"] == pytest.approx(curve["suggestion"], rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "photos-frozen"], "no learning rate"),
        (["--out", "curve.pdf"], "ends in .png"),
        (["--low", "1", "--high", "0.1"], "high above low"),
        (["--steps", "3"], "at least 10"),
    ],
)
def test_a_wrong_search_is_explained(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rate", "digits", *arguments]) == 2
    assert words in capsys.readouterr().err
