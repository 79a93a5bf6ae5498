"""From plain values and dotted options to configuration, with errors in the user's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from photopic.config.base import Frozen
from photopic.config.options import TrainOptions
from photopic.config.recipes import AnyRecipe, Recipe
from photopic.errors import ConfigError, did_you_mean

_RECIPE: TypeAdapter[AnyRecipe] = TypeAdapter(Recipe)
_DISCRIMINATORS = ("way", "family", "name")


def parse_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> AnyRecipe:
    """The recipe that plain values (from YAML or JSON) describe.

    Raises ConfigError that names the field, what is wrong and, for an unknown field, the nearest known one.
    """
    try:
        return _RECIPE.validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error, get_args(AnyRecipe))}") from None


def parse_options(values: Mapping[str, Any]) -> TrainOptions:
    """Training options from plain values. Raises ConfigError that names the option and what is wrong."""
    try:
        return TrainOptions.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, [TrainOptions])) from None


def override(recipe: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
    """A recipe with dotted keys changed: `{"optimizer.learning_rate": 0.1}`.

    Choosing another optimizer, schedule, model family or way resets the options that belong to the old one.
    Raises ConfigError for an unknown key or an impossible value.
    """
    values = recipe.model_dump(mode="python")
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = values
        for parent in parents:
            child = node.get(parent)
            if not isinstance(child, dict):
                known = sorted(known_keys(recipe))
                raise ConfigError(
                    f'option "{key}" is not known in the way {recipe.way}.{did_you_mean(key, known)}'
                )
            node = child
        if last not in node and key not in known_keys(recipe) and last not in _DISCRIMINATORS:
            raise _unknown_key(recipe, key)
        if last in _DISCRIMINATORS and parents and node.get(last) != value and _is_choice(parents[-1], last):
            node.clear()
        node[last] = value
    return parse_recipe(values, where="options")


def _unknown_key(recipe: AnyRecipe, key: str) -> ConfigError:
    hint = did_you_mean(key, sorted(known_keys(recipe)))
    return ConfigError(f'option "{key}" is not known in the way {recipe.way}.{hint}')


def known_keys(recipe: AnyRecipe) -> list[str]:
    """All dotted option names that have an effect in this recipe."""
    return list(_keys(recipe.model_dump(mode="python"), ""))


def _keys(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def _is_choice(field: str, key: str) -> bool:
    return (field, key) in {("optimizer", "name"), ("schedule", "name"), ("model", "family")}


def _explain(error: ValidationError, kinds: Sequence[Any]) -> str:
    """The first problems of a pydantic error, in the user's words."""
    lines = []
    for problem in error.errors()[:5]:
        path = [str(part) for part in problem["loc"] if str(part) not in _UNION_TAGS]
        key = ".".join(path) or "value"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(path[-1], _field_names(kinds))
            lines.append(f'option "{key}" is not known here.{hint}')
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if problem["type"] == "missing" else f" (got {problem['input']!r})"
            lines.append(f"{key}: {message}{given}" if path else message)
    return "; ".join(lines)


_UNION_TAGS = {"scratch", "fine-tune", "frozen", "fast", "timm", "sgd", "adam", "adamw", "muon"} | {
    "constant",
    "one-cycle",
    "cosine",
}


def _field_names(kinds: Sequence[Any]) -> list[str]:
    names: set[str] = set()
    seen: set[type] = set()  # layers hold layers
    todo = list(kinds)
    while todo:
        kind = todo.pop()
        if get_origin(kind) is not None:
            todo.extend(get_args(kind))
        elif isinstance(kind, type) and issubclass(kind, Frozen) and kind not in seen:
            seen.add(kind)
            for name, field in kind.model_fields.items():
                names.add(name)
                todo.append(field.annotation)
    return sorted(names)
