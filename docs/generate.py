"""Write the generated parts of the reference: every command, every field of the configuration, every recipe.

python docs/generate.py FOLDER
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from photopic import config
from photopic.cli import app
from photopic.cli.display import duration
from photopic.training.recipes import named_recipes

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def write(folder: Path) -> None:
    """Write commands.md, config.md and recipes.md into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(commands(), encoding="utf-8")
    (folder / "config.md").write_text(configuration(), encoding="utf-8")
    (folder / "recipes.md").write_text(recipes(), encoding="utf-8")


def commands() -> str:
    """The help of every command, as Markdown without the title."""
    text = app.generate_docs(output_format="markdown", recursive=True, heading_level=1, usage_name="photopic")
    body = text.split("\n", 1)[1].strip() + "\n"
    return re.sub(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", "", body, flags=re.DOTALL)


def configuration() -> str:
    """A section for each configuration type, with a row for each field."""
    return "\n".join(_section(kind) for kind in configuration_types())


def configuration_types() -> Iterator[type[config.Frozen]]:
    """Training options, recipe types and everything they are made of, in reading order, each once."""
    seen: set[type] = set()
    todo: list[Any] = [config.TrainOptions, config.ScratchRecipe, config.FineTuneRecipe, config.FrozenRecipe]
    while todo:
        kind = todo.pop(0)
        if isinstance(kind, type) and issubclass(kind, config.Frozen):
            if kind not in seen:
                seen.add(kind)
                yield kind
                todo.extend(field.annotation for field in kind.model_fields.values())
        else:
            todo.extend(get_args(kind))


def recipes(results: Path = RESULTS) -> str:
    """A row for each named recipe, with what the benchmarks have measured."""
    measured = dict(_measured(json.loads(path.read_text("utf-8"))) for path in sorted(results.glob("*.json")))
    head = ["| name | way | input | epochs | good for | measured |", "|---|---|---|---|---|---|"]
    rows = [
        f"| `{name}` | {recipe.way} | {_input(recipe)} | {getattr(recipe, 'total_epochs', '–')} "
        f"| {_text(recipe.summary)} | {measured.get(name, '')} |"
        for name, recipe in named_recipes().items()
    ]
    return "\n".join([*head, *rows, ""])


def _input(recipe: config.AnyRecipe) -> str:
    """The side of the network's input, and whether it is grey."""
    if getattr(recipe, "backbone", None) is not None and recipe.backbone.name == "run":
        return "that run's"
    return f"{recipe.preprocess.size} px" + (", grey" if recipe.preprocess.channels == 1 else "")


def _measured(result: dict[str, Any]) -> tuple[str, str]:
    """The recipe that a benchmark has trained, its mean test accuracy and median time; ("", "") if none."""
    runs = result.get("photopic", [])
    runs = [runs] if isinstance(runs, dict) else runs
    if not runs:
        return "", ""
    accuracy = statistics.fmean(run["test"]["accuracy"]["value"] for run in runs)
    seconds = statistics.median(run["process_s"] for run in runs)
    data = {"mnist_speed": "mnist"}.get(result["benchmark"], result["benchmark"].removeprefix("accuracy-"))
    mean = f", mean of {len(runs)} runs" if len(runs) > 1 else ""
    return runs[0]["recipe"], f"{accuracy:.2%} on {data.replace('_', '-')} in {duration(seconds)}{mean}"


def _section(kind: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {_meaning(field)} |"
        for name, field in kind.model_fields.items()
    ]
    head = ["| field | type and range | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {kind.__name__}", "", _text(kind.__doc__ or ""), "", *head, *rows, ""])


def _type(field: FieldInfo) -> str:
    return f"`{_type_name(field.annotation, field.metadata)}`"


def _type_name(kind: Any, metadata: Iterable[Any] = ()) -> str:
    """A type as a reader writes it: `float > 0`, `1 or 3`, `(int, int, int)`, `(float, ...)`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner = [item for field in kind.__metadata__ for item in getattr(field, "metadata", [field])]
        return _type_name(parts[0], inner)
    if origin is Literal:
        return " or ".join(str(part) for part in parts)
    if origin is tuple:
        return f"({', '.join('...' if part is Ellipsis else _type_name(part) for part in parts)})"
    if origin in (Union, UnionType):
        return " or ".join(_type_name(part) for part in parts)
    name = "none" if kind is type(None) else kind.__name__
    signs = {"Gt": ">", "Ge": ">=", "Lt": "<", "Le": "<="}
    bounds = [(type(item).__name__, item) for item in metadata]
    limits = [f"{signs[name]} {getattr(item, name.lower())}" for name, item in bounds if name in signs]
    return f"{name} {', '.join(limits)}" if limits else name


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, BaseModel):
        short = default.model_dump()  # some are written as a name alone
        return f"`{short if isinstance(short, str) else type(default).__name__}`"
    text = default if isinstance(default, str) else "none" if default is None else repr(default)
    return f"`{text}`" if text else "empty"


def _meaning(field: FieldInfo) -> str:
    if field.description:
        return _text(field.description)
    if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
        return "Tells this type from its alternatives."
    return ""


def _text(text: str) -> str:
    """One line of Markdown: a table cell may hold neither a line break nor a bar."""
    outside_code = re.split(r"(`[^`]*`)", " ".join(text.split()))
    outside_code[::2] = [re.sub(r"([*_<|])", r"\\\1", piece) for piece in outside_code[::2]]
    return "".join(outside_code)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
