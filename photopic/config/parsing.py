"""From plain values and dotted options to configuration, with errors in the user's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from photopic.config.base import Frozen
from photopic.config.explaining import explain
from photopic.config.kinds import Kind, choice_field, chosen, groups, item_kind, mapping_kind, tag
from photopic.config.options import TrainOptions
from photopic.config.recipes import AnyRecipe, Recipe
from photopic.errors import ConfigError, did_you_mean

_RECIPE: TypeAdapter[AnyRecipe] = TypeAdapter(Recipe)
_CARRIED = ("name", "summary", "preprocess")
"""What a recipe keeps when its way of training is changed."""


def parse_recipe(values: Mapping[str, Any], *, where: str = "recipe") -> AnyRecipe:
    """The recipe that plain values (from YAML or JSON) describe.

    Raises ConfigError that names the field, what is wrong and, for an unknown field, the nearest known one.
    """
    try:
        return _RECIPE.validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Recipe)}") from None


def parse_options(values: Mapping[str, Any]) -> TrainOptions:
    """Training options from plain values. Raises ConfigError that names the option and what is wrong."""
    try:
        return TrainOptions.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(explain(error, TrainOptions)) from None


def override(recipe: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
    """A recipe with dotted keys changed: `{"optimizer.learning_rate": 0.1}`.

    A number is a place in a list: `model.layers.2.rate`. A word is a choice with its defaults: `{"optimizer":
    "adam"}`. Choosing another optimizer, schedule, model family or way resets the options that belong to the
    old one; choices are made first, in whatever order they are given.
    Raises ConfigError for an unknown key or an impossible value.
    """
    values = recipe.model_dump(mode="json")
    for key in sorted(changes, key=_coarse_first):
        values = _Change(key, recipe).put(values, Recipe, key.split("."), changes[key])
    return parse_recipe(values, where="options")


def known_keys(recipe: AnyRecipe) -> list[str]:
    """All dotted option names that have an effect in this recipe."""
    return list(_keys(recipe, ""))


def _keys(options: Frozen, prefix: str) -> Iterator[str]:
    for name, field in type(options).model_fields.items():
        yield prefix + name
        value = getattr(options, name)
        if value is None:
            possible = groups(field.annotation)
            if len(possible) == 1:
                yield from (f"{prefix}{name}.{inner}" for inner in possible[0].model_fields)
        numbered = enumerate(value) if isinstance(value, list | tuple) else ()
        for path, item in ((name, value), *((f"{name}.{number}", item) for number, item in numbered)):
            if isinstance(item, Frozen):
                yield from _keys(item, f"{prefix}{path}.")


def _coarse_first(key: str) -> tuple[int, bool]:
    """Whole groups before their options, and among those the ones that choose before the others."""
    return key.count("."), key.rpartition(".")[2] not in ("way", "family", "name", "type")


class _Change:
    """One dotted option on its way to its place."""

    def __init__(self, key: str, recipe: AnyRecipe) -> None:
        self._key = key
        self._recipe = recipe

    def put(self, node: Any, kind: Kind, path: list[str], value: Any) -> Any:
        """`node`, the plain values of a type, with the value put in at the path."""
        if not path:
            return _unfolded(kind, value)
        part, *rest = path
        item = item_kind(kind)
        if isinstance(node, list) and item is not None:
            place = self._place(part, len(node))
            return [*node[:place], self.put(node[place], item, rest, value), *node[place + 1 :]]
        options = self._options(node, kind)
        possible = groups(kind)
        label = choice_field(possible)
        if part == label and not rest and options.get(part) != value:
            return self._chosen_anew(options, kind, part, value)
        return options | {part: self.put(options.get(part), self._kind(kind, options, part), rest, value)}

    def _place(self, part: str, length: int) -> int:
        if not part.isdecimal() or int(part) >= length:
            what = self._key.rpartition(f".{part}")[0] or self._key
            raise ConfigError(
                f'option "{self._key}": {what} has no "{part}"; its {length} items have the numbers 0 to '
                f"{length - 1}."
            )
        return int(part)

    def _options(self, node: Any, kind: Kind) -> dict[str, Any]:
        """The options at a place where as yet there may be none, or just a name."""
        if isinstance(node, dict):
            return dict(node)
        if groups(kind):
            return dict(_unfolded(kind, node)) if isinstance(node, str) else {}
        if mapping_kind(kind) is not None:
            return {}
        raise self._unknown()

    def _chosen_anew(self, options: dict[str, Any], kind: Kind, field: str, value: Any) -> dict[str, Any]:
        """Only the choice; of a recipe, also what all ways of training have."""
        if kind is not Recipe:
            return {field: value}
        return {name: options[name] for name in _CARRIED if name in options} | {field: value}

    def _kind(self, kind: Kind, options: Mapping[str, Any], part: str) -> Kind:
        """The type of an option. Raises ConfigError if the group that was chosen has none of this name."""
        possible = groups(kind)
        group = chosen(possible, options)
        for candidate in [group] if group else possible:
            if part in candidate.model_fields:
                return candidate.model_fields[part].annotation
        free = mapping_kind(kind)
        if free is not None:
            return free
        raise self._unknown(possible, group, part)

    def _unknown(
        self, possible: Sequence[type[Frozen]] = (), group: type[Frozen] | None = None, part: str = ""
    ) -> ConfigError:
        """For an option that its group does not have, with the nearest or the group that has it."""
        label = choice_field(possible)
        owners = [str(tag(other, label)) for other in possible if label and part in other.model_fields]
        parents = self._key.rpartition(".")[0]
        near = did_you_mean(part, group.model_fields) if group else ""
        where = f" in the way {self._recipe.way}"
        if owners and label == "way":
            hint = f" It belongs to the way {' and '.join(owners)}."
        elif owners and group and label:
            where, hint = f" with {tag(group, label)}", f" It belongs to {' and '.join(owners[:3])}."
        elif parents and "mean" in near:
            hint = near.replace('"', f'"{parents}.', 1)
        else:
            hint = did_you_mean(self._key, known_keys(self._recipe))
        return ConfigError(f'option "{self._key}" is not known{where}.{hint}')


def _unfolded(kind: Kind, value: Any) -> Any:
    """A word for a choice becomes the choice: `adam` is {name: adam}, `fast` is {family: fast}."""
    possible = groups(kind)
    label = choice_field(possible) or ("name" if possible and "name" in possible[0].model_fields else None)
    return {label: value} if isinstance(value, str) and label else value
