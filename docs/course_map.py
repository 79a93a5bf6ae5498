"""Write the map from the course's knobs to photopic's options as Markdown tables.

python docs/course_map.py FOLDER      (docs/conf.py does it for each build)

docs/course/knobs.yaml is the map; tests/test_course_map.py walks it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from photopic.lab.course.catalog import experiments

QUICK_TEST = "test_course.py::test_every_experiment_runs_in_quick_form"
MAP = Path(__file__).parent / "course" / "knobs.yaml"


def topics() -> list[dict[str, Any]]:
    """The map: topics with their knobs."""
    loaded: list[dict[str, Any]] = yaml.safe_load(MAP.read_text("utf-8"))
    return loaded


def write(folder: Path) -> None:
    """Write knobs.md into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "knobs.md").write_text("\n".join(_lines()), encoding="utf-8")


def _lines() -> Iterator[str]:
    for topic in topics():
        yield from (
            f"## {topic['topic']}",
            "",
            "| the course's knob | in photopic | tested by |",
            "|---|---|---|",
        )
        for knob in topic["knobs"]:
            yield f"| {_cell(knob['knob'])} | {_cell(_where(knob))} | {_test(knob.get('test', ''))} |"
        yield ""
    yield from (
        "## Experiments",
        "",
        "| | the course's experiment | in photopic | tested by |",
        "|---|---|---|---|",
    )
    for each in experiments():
        test = f"{QUICK_TEST}[{each.id}]"
        yield f"| {each.id} | {_cell(each.title)} | `photopic course run {each.id}` | {_test(test)} |"


def _where(knob: dict[str, Any]) -> str:
    """What has it, and where that differs from the course's framework."""
    return "<br>".join(filter(None, (_provider(knob), knob.get("deviation", ""))))


def _provider(knob: dict[str, Any]) -> str:
    if "set" in knob:
        return "<br>".join(f"`{key}={_value(value)}`" for key, value in knob["set"].items())
    if "command" in knob:
        word = f" run {knob['experiment']}" if "experiment" in knob else ""
        return f"`photopic {knob['command']}{word}`"
    return f"`{knob['function'].replace(':', '.')}`" if "function" in knob else str(knob["missing"])


def _test(name: str) -> str:
    """A test's name as words, which a table can wrap: "shapes: the course's examples"."""
    return name.replace("test_", "").replace(".py", "").replace("::", ": ").replace("_", " ")


def _value(value: Any) -> str:
    """As it is written after --set key=."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
