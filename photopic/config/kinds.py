"""What the types of the configuration say: alternatives, the field that tells them apart, ranges, items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from photopic.config.base import Frozen

Kind = Any
"""A type as it stands in an annotation: a class, a union, a Literal, tuple[int, ...], Annotated …"""


def members(kind: Kind) -> list[Kind]:
    """The types that a value may have, without None; unions in unions are opened, Annotated is kept."""
    origin: Any = get_origin(kind)
    parts = get_args(kind)
    if origin is Annotated:
        inside = members(parts[0])
        return inside if len(inside) != 1 else [kind]
    if origin in (Union, UnionType):
        return [member for part in parts for member in members(part)]
    return [] if kind in (None, NoneType) else [kind]


def bare(kind: Kind) -> Kind:
    """A type without its annotations."""
    return bare(get_args(kind)[0]) if _is_annotated(kind) else kind


def groups(kind: Kind) -> list[type[Frozen]]:
    """The groups of options among the types that a value may have."""
    found = [bare(member) for member in members(kind)]
    return [member for member in found if isinstance(member, type) and issubclass(member, Frozen)]


def choice_field(kinds: Iterable[type[Frozen]]) -> str | None:
    """The field whose one possible value tells two or more groups of options apart; None without such."""
    alternatives = list(kinds)
    if len(alternatives) < 2:
        return None
    for name in alternatives[0].model_fields:
        tags = [tag(kind, name) for kind in alternatives]
        if None not in tags and len(set(tags)) == len(tags):
            return name
    return None


def tag(kind: type[Frozen], field: str) -> str | None:
    """The one value that a field of a group can have; None if it is free, or absent."""
    info = kind.model_fields.get(field)
    values = get_args(info.annotation) if info and get_origin(info.annotation) is Literal else ()
    return str(values[0]) if len(values) == 1 else None


def chosen(kinds: list[type[Frozen]], values: Mapping[str, Any]) -> type[Frozen] | None:
    """The group that these values belong to; None where they do not say it, or name none."""
    if len(kinds) == 1:
        return kinds[0]
    field = choice_field(kinds)
    return next((kind for kind in kinds if field and tag(kind, field) == values.get(field)), None)


def item_kind(kind: Kind, index: int = 0) -> Kind | None:
    """The type of a list's item; None if no list is among the types."""
    for member in map(bare, members(kind)):
        if get_origin(member) in (list, tuple):
            parts = [part for part in get_args(member) if part is not Ellipsis]
            return parts[index if 0 <= index < len(parts) else 0]
    return None


def mapping_kind(kind: Kind) -> Kind | None:
    """The type of the values of a mapping with free names; None if none is among the types."""
    for member in map(bare, members(kind)):
        if get_origin(member) in (dict, Mapping):
            return get_args(member)[1]
    return None


def length(kind: Kind) -> int | None:
    """How many items a list of a fixed length has; None if the length is free."""
    for member in map(bare, members(kind)):
        if get_origin(member) is tuple and Ellipsis not in get_args(member):
            return len(get_args(member))
    return None


def bounds(kind: Kind, field: FieldInfo | None = None) -> str:
    """The range of a number, in words: `above 0`, `at least 0 and below 1`, `between 0 and 180`; or empty."""
    metadata = list(field.metadata) if field else []
    if _is_annotated(kind):
        metadata += [
            item
            for data in get_args(kind)[1:]
            for item in (data.metadata if isinstance(data, FieldInfo) else [data])
        ]
    limits = {
        name: getattr(item, name)
        for item in metadata
        for name in ("gt", "ge", "lt", "le")
        if hasattr(item, name)
    }
    if limits.keys() == {"ge", "le"}:
        return f"between {limits['ge']:g} and {limits['le']:g}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{words[name]} {limits[name]:g}" for name in words if name in limits)


def _is_annotated(kind: Kind) -> bool:
    origin: Any = get_origin(kind)
    return origin is Annotated
