"""Layer lists as people write them, read into layer types with errors that name the layer.

layers:
  - conv: 32              # the type and its main value
    padding: same         # and further options
  - batch-norm            # a type alone
  - {type: dense, units: 10}   # or everything by name, as photopic writes it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from photopic.config.explaining import explain
from photopic.errors import did_you_mean

MAIN_OPTION = {
    "conv": "filters",
    "dense": "units",
    "max-pool": "size",
    "avg-pool": "size",
    "activation": "function",
    "dropout": "rate",
    "spatial-dropout": "rate",
    "lrn": "size",
    "residual": "layers",
    "branches": "branches",
}
"""Type to the option whose value stands behind it in the short form."""


def read_layers(values: Any, *, inside: str = "", may_be_empty: bool = False) -> tuple[Any, ...]:
    """The layers of a list in short or long form, or of layers already read.

    inside: what the list is part of; empty for a network's own list, whose last layer alone may be `output`.
    Raises ValueError that names the layer by position and type and says what is wrong with it.
    """
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of layers, got {_shown(values)}")
    if not values and not may_be_empty:
        raise ValueError("a list of layers needs at least one layer")
    layers = tuple(_read_layer(value, number) for number, value in enumerate(values, 1))
    outputs = [number for number, layer in enumerate(layers, 1) if layer.type == "output"]
    if outputs and inside:
        raise ValueError(f"layer {outputs[0]} (output): output stands at the end of the network, not inside")
    if outputs and outputs != [len(layers)]:
        raise ValueError(
            f"layer {outputs[0]} (output): output is the last layer and stands once; "
            f"layer {outputs[0] + 1} follows it"
        )
    _check_names(layers)
    return layers


def _check_names(layers: tuple[Any, ...]) -> None:
    seen: dict[str, int] = {}
    for number, layer in enumerate(layers, 1):
        if layer.name is not None and seen.setdefault(layer.name, number) != number:
            raise ValueError(f'layers {seen[layer.name]} and {number} both have the name "{layer.name}"')


def _read_layer(value: Any, number: int) -> Any:
    from photopic.config.layers import LAYER_TYPES

    if isinstance(value, tuple(LAYER_TYPES.values())):
        return value
    kind, options = _unfold(value, f"layer {number}")
    if kind not in LAYER_TYPES:
        raise ValueError(f'layer {number}: the type "{kind}" is not known.{did_you_mean(kind, LAYER_TYPES)}')
    layer = LAYER_TYPES[kind]
    try:
        return layer.model_validate(options)
    except ValidationError as error:
        raise ValueError(f"layer {number} ({kind}): {_explain(error, layer)}") from None


def _unfold(value: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Type and options of a layer, the type among them."""
    if isinstance(value, str):
        return value, {"type": value}
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{where}: expected a layer such as `conv: 32` or `flatten`, got {_shown(value)}")
    if "type" in value:
        return str(value["type"]), dict(value)
    kind = _type_among([str(key) for key in value], where)
    main, options = value[kind], {key: option for key, option in value.items() if key != kind}
    if isinstance(main, Mapping) and kind != "activation":
        options = dict(main) | options
    elif main is not None:
        if kind not in MAIN_OPTION:
            raise ValueError(f"{where} ({kind}): takes no value of its own; write `- {kind}`")
        if MAIN_OPTION[kind] in options:
            raise ValueError(f"{where} ({kind}): {MAIN_OPTION[kind]} is given twice")
        options[MAIN_OPTION[kind]] = main
    return kind, {"type": kind} | options


def _type_among(keys: Sequence[str], where: str) -> str:
    """The key that names the type; `activation` names it only where no other key does."""
    from photopic.config.layers import LAYER_TYPES

    types = [key for key in keys if key in LAYER_TYPES]
    named = [key for key in types if key != "activation"] or types
    if len(named) > 1:
        raise ValueError(
            f"{where}: names two types, {named[0]} and {named[1]}; each layer is an entry of its own"
        )
    if not named:
        raise ValueError(f'{where}: the type "{keys[0]}" is not known.{did_you_mean(keys[0], LAYER_TYPES)}')
    return named[0]


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first problem of a layer, in the user's words."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = [name for name in kind.model_fields if name != "type"]
        return f'option "{path[-1]}" is not known here.{did_you_mean(path[-1], known)}'
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"needs {path[-1]}"
    if problem["type"] == "value_error":
        return f"{path[0]}: {message}" if path and path[0] not in message else message
    return explain(error, kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
