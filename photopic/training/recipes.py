"""Named recipes, and recipes from the user's own files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from photopic.config import AnyRecipe, override, parse_recipe
from photopic.errors import ConfigError, did_you_mean


@cache
def named_recipes() -> dict[str, AnyRecipe]:
    """All recipes that come with photopic, by name."""
    folder = resources.files("photopic.training") / "recipe_files"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            name = file.name.removesuffix(".yaml")
            found[name] = _parse(file.read_text("utf-8"), name, f"recipe {name}")
    return found


def load_recipe(name_or_path: str, changes: Mapping[str, Any] | None = None) -> AnyRecipe:
    """A named recipe, or the one in a .yaml file, with dotted options changed.

    Raises ConfigError for an unknown name, an unreadable file, an unknown option or an impossible value.
    """
    recipes = named_recipes()
    if name_or_path in recipes:
        recipe = recipes[name_or_path]
    elif name_or_path.endswith((".yaml", ".yml")):
        recipe = _from_file(Path(name_or_path))
    else:
        hint = did_you_mean(name_or_path, recipes)
        raise ConfigError(
            f'recipe "{name_or_path}" is not known.{hint} `photopic recipes` lists all {len(recipes)}.'
        )
    return override(recipe, changes) if changes else recipe  # so that what the file names can be told


def to_yaml(recipe: AnyRecipe) -> str:
    """The recipe as a YAML file that `load_recipe` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def parse_setting(text: str) -> tuple[str, Any]:
    """The key and value of a `key=value` option; the value is YAML (`0.1`, `true`, `[1, 2]`).

    Raises ConfigError when there is no `=` or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f'--set "{text}" is not of the form key=value, as in --set total_epochs=20.')
    return key.strip(), _plain_yaml(value, f"--set {text}")


def _from_file(path: Path) -> AnyRecipe:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe file {path}: cannot be read ({error}).") from None
    return _parse(text, path.stem, f"recipe file {path}")


def _parse(text: str, name: str, where: str) -> AnyRecipe:
    values = _plain_yaml(text, where)
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected options as `key: value` lines, got {type(values).__name__}.")
    return parse_recipe({"name": name} | values, where=where)


def _plain_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(f"{where}: is not valid YAML ({problem}).") from None
