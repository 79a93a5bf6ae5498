"""Results of experiments on the disk: OUT/C10/ with outcome.json, page.md and the figures.

A quick run stands in OUT/C10/quick/, one cut to a time limit in OUT/C10/shortened/, so that neither ever
replaces a full one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from photopic.config import Frozen
from photopic.errors import RunError
from photopic.files import write_bytes, write_json
from photopic.lab.course.experiment import Outcome

DEFAULT_OUT = Path("runs/course")
SCHEMA_VERSION = 1
RESULT = "outcome.json"
QUICK, SHORTENED = "quick", "shortened"


class Training(Frozen):
    """One training that an experiment asked for."""

    name: str
    """The recipe's."""
    path: str
    """Its run folder, relative to the folder of the course where it lies within."""
    seconds: float
    """Time that the training took."""
    reused: bool
    """Whether the run was there already, from another experiment or an earlier attempt."""


class Result(Frozen):
    """An outcome, and how it came about: the content of outcome.json."""

    schema_version: int = SCHEMA_VERSION
    """Version of this format."""
    id: str
    """The experiment."""
    title: str
    """The experiment's."""
    quick: bool
    """Whether it was run on a part of the data or for fewer epochs."""
    time_limit_s: float | None = None
    """Time that its trainings were cut to, seconds; None: they were not."""
    seed: int
    """Of everything random in it."""
    date: str
    """End, ISO 8601, UTC."""
    seconds: float
    """Time from start to end; trainings that were reused took none of it."""
    trainings: tuple[Training, ...] = ()
    """In the order in which they were asked for."""
    machine: dict[str, Any] = Field(default_factory=dict)
    """Device, threads, platform."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of photopic and of the libraries that decide the numbers."""
    errors: dict[str, str] = Field(default_factory=dict)
    """The decks' errors that touch it."""
    outcome: Outcome
    """Rows, figures, sentences, notes."""

    @property
    def mode(self) -> str:
        """quick, shortened or full."""
        return self._part or "full"

    @property
    def folder(self) -> str:
        """Where it is stored, below the folder of the course, with / between the parts."""
        return f"{self.id}/{self._part}".removesuffix("/")

    @property
    def _part(self) -> str:
        return QUICK if self.quick else "" if self.time_limit_s is None else SHORTENED


def save_result(result: Result, page: str, pictures: Mapping[str, bytes], out: Path) -> Path:
    """Write figures and page, then outcome.json; pictures of an earlier run that are no more are removed."""
    folder = Path(out) / result.folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        if old.name not in pictures:
            old.unlink()
    for name, data in pictures.items():
        write_bytes(folder / name, data)
    write_bytes(folder / "page.md", page.encode("utf-8"))
    write_json(folder / RESULT, result.model_dump(mode="json"))
    return folder


def load_result(file: Path) -> Result:
    """A stored result. Raises RunError when the file is damaged or was written by a newer photopic."""
    try:
        values = json.loads(file.read_text("utf-8"))
        version = values["schema_version"]
        if version == SCHEMA_VERSION:
            return Result.model_validate(values)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        cause = "a field is not as it should be" if isinstance(error, ValidationError) else error
        raise RunError(f"{file}: cannot be read ({cause}). Run the experiment again.") from None
    raise RunError(
        f"{file}: has schema version {version}, but this photopic reads {SCHEMA_VERSION}. Update photopic, "
        "or run the experiment again."
    )


def load_results(out: str | Path = DEFAULT_OUT) -> dict[str, Result]:
    """Id → result of every experiment that was run in a folder: the full one, the shortened, the quick one.

    A figure whose file is not in the folder is left out: photographs that may not be published are not passed
    on with the results. Raises RunError that names a damaged file.
    """
    found: dict[str, Result] = {}
    for folder in sorted(Path(out).glob("C[0-9][0-9]")):
        for file in (folder / RESULT, folder / SHORTENED / RESULT, folder / QUICK / RESULT):
            if file.is_file():
                found[folder.name] = _with_pictures_at(file.parent, load_result(file))
                break
    return found


def _with_pictures_at(folder: Path, result: Result) -> Result:
    there = tuple(drawing for drawing in result.outcome.figures if (folder / drawing.file).is_file())
    return result.model_copy(update={"outcome": result.outcome.model_copy(update={"figures": there})})
