"""Pydantic's errors in the words of someone who wrote an option: which one, what was expected, what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from photopic.config.base import Frozen
from photopic.config.kinds import (
    Kind,
    bare,
    bounds,
    choice_field,
    groups,
    item_kind,
    length,
    mapping_kind,
    members,
    tag,
)
from photopic.errors import did_you_mean

SHOWN = 5
"""Problems that one message names."""


def explain(error: ValidationError, kind: Kind) -> str:
    """The first problems of an error, in one line. kind: the type that the values should have had."""
    problems = [_Problem(details, _locate(details, kind)) for details in error.errors()]
    lines: dict[str, list[str]] = {}
    for problem in problems:
        if not any(_is_deeper(other, problem) for other in problems):
            lines.setdefault(problem.key, []).append(problem.words(kind))
    return "; ".join(_line(key, words) for key, words in list(lines.items())[:SHOWN])


def shown(value: Any) -> str:
    """A value as one would write it in a recipe, not longer than 60 characters."""
    words = {None: "null", True: "true", False: "false"}
    known = isinstance(value, bool) or value is None
    text = words[value] if known else f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


@dataclass
class _Place:
    """Where in the configuration a problem is."""

    path: list[str] = field(default_factory=list)
    around: list[type[Frozen]] = field(default_factory=list)
    """The groups of options that the last name was looked for in."""
    siblings: list[type[Frozen]] = field(default_factory=list)
    """Those that could have been chosen instead."""
    kind: Kind = None
    """The type that is expected there."""
    info: FieldInfo | None = None


def _locate(details: Mapping[str, Any], kind: Kind) -> _Place:
    """Follow pydantic's path through the types; it has an extra part at every union, which is left out."""
    place = _Place(kind=kind)
    possible = members(kind)
    at_union = len(possible) > 1
    for part in details["loc"]:
        if at_union:
            place.siblings = groups(place.kind)
            label = choice_field(place.siblings)
            picked = [member for member in place.siblings if label and tag(member, label) == part]
            possible, at_union = picked or possible, False
            continue
        around = [bare(member) for member in possible if groups(member)]
        info = next((group.model_fields[part] for group in around if part in group.model_fields), None)
        inner = info.annotation if info else _inner(possible, part)
        place.around = around
        if inner is None and details["type"] not in ("extra_forbidden", "missing"):
            continue  # a union that the types do not show
        place.path.append(str(part))
        place.kind, place.info = inner, info
        place.siblings = place.siblings if inner is None else []
        possible = members(inner)
        at_union = len(possible) > 1
    return place


def _inner(possible: Sequence[Kind], part: int | str) -> Kind | None:
    for member in possible:
        inner = item_kind(member, part) if isinstance(part, int) else mapping_kind(member)
        if inner is not None:
            return inner
    return None


@dataclass
class _Problem:
    details: Mapping[str, Any]
    place: _Place

    @property
    def key(self) -> str:
        """The option's dotted name."""
        path = list(self.place.path)
        if self._is_short:
            path.pop()
        if self.details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path.append(self.details["ctx"]["discriminator"].strip("'"))
        return ".".join(path)

    @property
    def _is_short(self) -> bool:
        """Whether a list of fixed length lacks an item, which pydantic reports as missing."""
        return self.details["type"] == "missing" and isinstance(self.details["loc"][-1], int)

    def words(self, kind: Kind) -> str:
        """What is wrong, to stand behind the option's name; or a whole sentence that names it."""
        kind_of_error, given = self.details["type"], self.details["input"]
        if kind_of_error == "extra_forbidden":
            return self._unknown(kind)
        if kind_of_error == "value_error":
            return str(self.details["msg"]).removeprefix("Value error, ")
        if self._is_short:
            return f"needs more values, as it has {len(given)} (got {shown(given)})"
        if kind_of_error in ("missing", "union_tag_not_found"):
            return f"is needed{self._choices()}"
        if kind_of_error in ("union_tag_invalid", "literal_error"):
            value = self.details["ctx"]["tag"] if "tag" in self.details.get("ctx", {}) else given
            return f"{shown(value)} is not known.{did_you_mean(str(value), self._known())}"
        return f"{self._expected()} (got {shown(given)})"

    def _unknown(self, kind: Kind) -> str:
        *parents, last = self.place.path
        known = [name for group in self.place.around for name in group.model_fields]
        label = choice_field(self.place.siblings)
        owners = [tag(group, label) for group in self.place.siblings if label and last in group.model_fields]
        if owners:
            hint = f" It belongs to {' and '.join(map(str, owners[:3]))}."
        else:
            near = did_you_mean(last, known)
            hint = near if "mean" in near else did_you_mean(last, all_names(kind)) or near
        return f'option "{".".join([*parents, last])}" is not known here.{hint}'

    def _choices(self) -> str:
        known = self._known()
        return f": one of {', '.join(known)}" if known else ""

    def _known(self) -> list[str]:
        """The names that could stand there."""
        alternatives = groups(self.place.kind)
        label = choice_field(alternatives)
        if label:
            return [str(tag(group, label)) for group in alternatives]
        literals = [bare(member) for member in members(self.place.kind)]
        return [str(value) for member in literals if _is_literal(member) for value in get_args(member)]

    def _expected(self) -> str:
        kind_of_error, context = self.details["type"], self.details.get("ctx", {})
        for name, words in _LIMITS.items():
            if kind_of_error == name:
                limit = f"{words} {next(iter(context.values())):g}"
                return f"must be {self._range() or limit}"
        if kind_of_error in ("too_short", "too_long"):
            fixed = length(self.place.kind)
            bound = next(context[name] for name in ("min_length", "max_length") if name in context)
            limit = "at least" if kind_of_error == "too_short" else "at most"
            return f"must have {fixed if fixed else f'{limit} {bound}'} values"
        return next(
            (words for prefix, words in _EXPECTED.items() if kind_of_error.startswith(prefix)),
            self.details["msg"],
        )

    def _range(self) -> str:
        """Of the number among the types, where its annotation says it."""
        ranges = [bounds(member) for member in members(self.place.kind)]
        return next(filter(None, ranges), bounds(None, self.place.info))


def _is_literal(kind: Kind) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


_LIMITS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
_EXPECTED = {
    "float_": "must be a number",
    "int_": "must be a whole number",
    "bool_": "must be true or false",
    "string_type": "must be text",
    "tuple_": "must be a list",
    "list_": "must be a list",
    "dict_": "must be options as in {name: value}",
    "model_": "must be options as in {name: value}",
    "finite_number": "must be a finite number",
}


def _is_deeper(other: _Problem, problem: _Problem) -> bool:
    """Whether another problem is inside of the value that this one, of another type in a union, refuses."""
    return (
        isinstance(problem.details["input"], list | tuple | Mapping)
        and problem.details["type"] not in ("value_error", "extra_forbidden", "missing")
        and other.key.startswith(problem.key + ".")
    )


def _line(key: str, words: list[str]) -> str:
    """One option's problems; where each type of a union has its own, they are alternatives."""
    wanted = list(dict.fromkeys(words))
    if wanted[0].startswith("option "):
        return wanted[0]
    if len(wanted) > 1 and all(text.startswith("must be ") for text in wanted):
        first, *others = [text.rpartition(" (got ") for text in wanted]
        kinds = [first[0], *(text[0].removeprefix("must be ") for text in others)]
        return f"{key}: {' or '.join(kinds)} (got {first[2]}"
    return f"{key}: {wanted[0]}" if key else wanted[0]


def all_names(kind: Kind) -> list[str]:
    """The names of all options below a type, sorted."""
    names: set[str] = set()
    seen: set[type] = set()  # layers hold layers
    todo = [kind]
    while todo:
        kind = todo.pop()
        todo += [inner for inner in (item_kind(kind), mapping_kind(kind)) if inner is not None]
        for group in groups(kind):
            if group not in seen:
                seen.add(group)
                names |= group.model_fields.keys()
                todo += [info.annotation for info in group.model_fields.values()]
    return sorted(names)
