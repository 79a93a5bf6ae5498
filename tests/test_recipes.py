from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photopic.config import ScratchRecipe
from photopic.errors import ConfigError
from photopic.training.recipes import load_recipe, named_recipes, parse_setting, to_yaml


@pytest.mark.parametrize("name", sorted(named_recipes()))
def test_every_named_recipe_is_whole_and_survives_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    (tmp_path / "copy.yaml").write_text(to_yaml(recipe), "utf-8")
    assert load_recipe(str(tmp_path / "copy.yaml")) == recipe


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "small-images"'):
        load_recipe("small-image")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("way: scratch\npreprocess: {size: 32}\nepochs: 3\n", "epochs"),
        ("way: scrach\npreprocess: {size: 32}\n", "scrach"),
        ("preprocess: [", "not valid YAML"),
        ("- 1\n- 2\n", "expected options"),
        ("way: scratch\n", "preprocess"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_wrong_recipe_file_is_named(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(file))
    assert words in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_missing_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(str(tmp_path / "absent.yaml"))


def test_settings_change_a_recipe() -> None:
    recipe = load_recipe("small-images", {"total_epochs": 3, "optimizer.name": "adamw"})
    assert isinstance(recipe, ScratchRecipe)
    assert (recipe.total_epochs, recipe.optimizer.name) == (3, "adamw")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("total_epochs=20", ("total_epochs", 20)),
        ("optimizer.learning_rate=0.1", ("optimizer.learning_rate", 0.1)),
        ("model.whitening=false", ("model.whitening", False)),
        ("model.widths=[8, 16]", ("model.widths", [8, 16])),
        ("optimizer.name=adamw", ("optimizer.name", "adamw")),
    ],
)
def test_settings_are_read_as_yaml(text: str, expected: tuple[str, Any]) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["total_epochs", "=3", "model.widths=[1"])
def test_a_setting_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_setting(text)
