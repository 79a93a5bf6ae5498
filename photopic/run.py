"""The run folder: the whole truth about one training, in files that can be copied, mailed and compared.

    run.json             what was trained, on what, with which result; written last, atomically
    records.jsonl        one record per line: every few steps and every epoch
    weights.safetensors  the selected weights
    splits.csv.gz        path, sha256, label, group and split of every image
    predictions/         index, labels and logits of val and test
    checkpoints/         weights of each epoch that was the best so far, if the recipe names them
    snapshots/           weights at the ends of the schedule's cycles, if the recipe wants them
    resume/              two generations of checkpoints, while the training is not complete
    members/             copies of the runs that an ensemble joins: run.json and weights

Nothing here is a pickle, and run.json holds the SHA-256 of the files beside it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from pydantic import ValidationError

from photopic.config import PreprocessConfig, Recipe
from photopic.errors import RunError
from photopic.files import append_line, lock, lock_is_held, sha256_file, write_bytes, write_json, write_with
from photopic.manifest import SCHEMA_VERSION, Manifest

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "run.json"
LOCK = ".lock"
WRITING = f".{MANIFEST}.lock"
RECORDS = "records.jsonl"
WEIGHTS = "weights.safetensors"
KEPT = ("checkpoints/", "snapshots/")
SPLITS_FILE = "splits.csv.gz"


@dataclass(frozen=True)
class StoredPredictions:
    """Logits of one split, as stored beside the run."""

    index: np.ndarray
    """(N,) int64 rows of splits.csv.gz."""
    labels: np.ndarray
    """(N,) int64."""
    logits: np.ndarray
    """(N, K) float32."""


class SplitRow(NamedTuple):
    """One image of the data set, as it was split; a line of splits.csv.gz."""

    path: str
    sha256: str
    label: str
    group: str
    split: str


class Run:
    """A handle on a run folder."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = Path(path)
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, status={self.manifest.status!r})"

    # ---- open and write ---------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, manifest: Manifest, splits: Iterable[SplitRow] | None = None) -> Self:
        """Start a run folder; splits: how the data set was split. run.json is written last, so it is there
        only beside them.

        Raises RunError when the folder holds anything already. Two processes may find it free at once: hold
        `lock(path / LOCK)` where that can be.
        """
        path = Path(path)
        require_free(path)
        run = cls(path, manifest)
        if splits is not None:
            run._write_splits(splits)
            files = manifest.files | {SPLITS_FILE: sha256_file(path / SPLITS_FILE)}
            run.manifest = manifest.model_copy(update={"files": files})
        run._write_manifest()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a run folder.

        Raises RunError when it is none, is damaged, or was written by a newer photopic.
        """
        path = Path(path)
        file = path / MANIFEST
        if not file.is_file():
            raise RunError(
                f"{path}: is not a run folder ({MANIFEST} is missing). `photopic runs` lists yours."
            )
        try:
            values = json.loads(file.read_text("utf-8"))
            version = values["schema_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: cannot be read ({error}). Restore it from a copy of the run.") from None
        if type(version) is int and version > SCHEMA_VERSION:
            raise RunError(
                f"{file}: has schema version {version}, but this photopic reads up to {SCHEMA_VERSION}. "
                "Update photopic."
            )
        if type(version) is not int or version < 1:
            raise RunError(
                f"{file}: has schema version {version!r}, which no photopic has written. "
                "Restore it from a copy of the run."
            )
        try:
            return cls(path, Manifest.model_validate(values))
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise RunError(
                f"{file}: the field {field} is not as it should be. Restore it from a copy of the run."
            ) from None

    def reload(self) -> None:
        """Take over what another handle wrote into run.json."""
        self.manifest = self.open(self.path).manifest

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def update(self, **changes: Any) -> None:
        """Change fields of run.json; what other handles have written into the others stays."""
        self._change(lambda manifest: changes)

    def _change(self, changes: Callable[[Manifest], dict[str, Any]]) -> None:
        """Read run.json, change the fields that `changes` gives for it, write it; one process at a time."""
        with lock(self.path / WRITING, timeout_s=60.0):
            self.reload()
            self.manifest = Manifest.model_validate(self.manifest.model_dump() | changes(self.manifest))
            self._write_manifest()

    def _write_manifest(self) -> None:
        write_json(self.path / MANIFEST, self.manifest.model_dump(mode="json"))

    def register(self, name: str) -> None:
        """Note the SHA-256 of a file of this run."""
        digest = sha256_file(self.path / name)
        self._change(lambda manifest: {"files": manifest.files | {name: digest}})

    def verified(self, name: str) -> Path:
        """The path of a file of this run, after its content was compared with run.json.

        Raises RunError when it is missing or altered.
        """
        path = self.path / name
        expected = self.manifest.files.get(name)
        if expected is None:
            raise RunError(
                f"{self.path}: has no {name} yet (status: {self.manifest.status}). {self.advice()}"
            )
        if not path.is_file():
            raise RunError(f"{path}: is missing. Restore it from a copy of the run, or train again.")
        if sha256_file(path) != expected:
            raise RunError(f"{path}: was altered since the training wrote it. Restore it, or train again.")
        return path

    def advice(self) -> str:
        """What to do when this run does not have yet what was asked for."""
        if self.manifest.status == "failed" and self.manifest.error:
            return f"It failed: {self.manifest.error}"
        if self.manifest.kind == "ensemble":
            return "Join its members again."
        if self.manifest.status != "complete":
            return f"`photopic resume {quoted(self.path)}` goes on with it."
        return "Train again."

    @property
    def is_at_work(self) -> bool:
        """Whether a process is training it now; a run that was killed has the status "running" as well."""
        return lock_is_held(self.path / LOCK)

    # ---- what a run is asked for ------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """The resolved training configuration."""
        return self.manifest.recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the network's outputs."""
        return self.manifest.class_names

    @property
    def preprocess(self) -> PreprocessConfig:
        """How files become network input, statistics included."""
        return self.manifest.recipe.preprocess

    # ---- records ----------------------------------------------------------------------------------------

    def append_record(self, record: Mapping[str, Any]) -> None:
        """Add one line to records.jsonl."""
        append_line(self.path / RECORDS, json.dumps(record))

    def records(self) -> list[dict[str, Any]]:
        """All records; a line that a crash cut short is left out."""
        file = self.path / RECORDS
        if not file.is_file():
            return []
        return list(_parse_lines(file))

    def rewind_records(self, epoch: int) -> None:
        """Drop the records of `epoch` and later, which a resumed training writes again."""
        if not (self.path / RECORDS).exists():
            return
        kept = [record for record in self.records() if record.get("epoch", 0) < epoch]
        write_bytes(self.path / RECORDS, "".join(json.dumps(record) + "\n" for record in kept).encode())

    # ---- weights, splits, predictions -------------------------------------------------------------------

    def save_weights(self, weights: Mapping[str, Tensor], name: str = WEIGHTS) -> None:
        """Store the selected weights, or under another name others that the recipe wants kept."""
        from safetensors.torch import save

        content = save({key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()})
        write_bytes(self.path / name, content)
        self.register(name)

    def kept_weights(self) -> list[str]:
        """Names of the other weights that the recipe had kept, in the order in which they were written."""
        return [name for name in self.manifest.files if name.startswith(KEPT)]

    def load_weights(self, name: str = WEIGHTS) -> dict[str, Tensor]:
        """The selected weights, or others by name ("checkpoints/…", "snapshots/…").

        Raises RunError when the file is missing, altered or no safetensors.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.verified(name)
        try:
            return load_file(path)
        except SafetensorError as error:
            raise RunError(f"{path}: cannot be read ({error}). Train again.") from None

    def _write_splits(self, rows: Iterable[SplitRow]) -> None:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(SplitRow._fields)
        writer.writerows(rows)
        # mtime=0: the same split gives the same bytes; level 1: most of it are hashes, which do not shrink
        write_bytes(self.path / SPLITS_FILE, gzip.compress(text.getvalue().encode("utf-8"), 1, mtime=0))

    def load_splits(self) -> list[SplitRow]:
        """How the data set was split, one row per image."""
        content = gzip.decompress(self.verified(SPLITS_FILE).read_bytes()).decode("utf-8")
        return [SplitRow(**row) for row in csv.DictReader(io.StringIO(content))]

    def save_predictions(self, split: str, index: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> None:
        """Store the logits of one split."""
        name = f"predictions/{split}.npz"
        write_with(
            self.path / name,
            lambda file: np.savez_compressed(
                file,
                index=np.asarray(index, np.int64),
                labels=np.asarray(labels, np.int64),
                logits=np.asarray(logits, np.float32),
            ),
        )
        self.register(name)

    def load_predictions(self, split: str) -> StoredPredictions:
        """The stored logits of one split. Raises RunError when they are missing or altered."""
        with np.load(self.verified(f"predictions/{split}.npz"), allow_pickle=False) as file:
            return StoredPredictions(file["index"], file["labels"], file["logits"])

    def note_test_look(self, what: str) -> None:
        """Record that the test set was scored, before the score is shown."""
        look = {"time": now(), "what": what}
        self._change(lambda manifest: {"test_looks": [*manifest.test_looks, look]})


def list_runs(folder: str | Path, *, on_error: Callable[[RunError], None]) -> list[Run]:
    """All runs directly in `folder`, oldest first; a damaged one is given to `on_error` instead."""
    found = []
    for path in sorted(Path(folder).glob(f"*/{MANIFEST}")):
        try:
            found.append(Run.open(path.parent))
        except RunError as error:
            on_error(error)
    return sorted(found, key=lambda run: run.manifest.created)


def require_free(path: Path) -> None:
    """Raises RunError when there is anything at `path` but an empty folder; the lock of a run is nothing."""
    if path.exists() and (not path.is_dir() or any(entry.name != LOCK for entry in path.iterdir())):
        raise RunError(f"{path}: already exists and is not empty. Choose another --out, or remove it.")


def claim_run_path(folder: Path, name: str) -> Path:
    """Make a new empty folder for a run: `name`, or `name-2`, `name-3` …; no other process gets the same.

    Raises RunError where none can be made.
    """
    clean = (
        "".join(char if char.isalnum() or char in "-_." else "-" for char in name).strip("-.")[:60] or "run"
    )
    path, number = folder / clean, 2
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError):
                path.mkdir()
                return path
            path, number = folder / f"{clean}-{number}", number + 1
    except OSError as error:
        raise RunError(f"{path}: cannot be made ({error.strerror}). Name a place with --out.") from None


def quoted(argument: Path | str) -> str:
    """A path or another argument as it can be pasted into a command."""
    text = str(argument)
    if os.name == "nt":
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parse_lines(file: Path) -> Iterator[dict[str, Any]]:
    lines = file.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("not a record")
        except ValueError:  # also for bytes that are no text
            if number == len(lines):
                return
            raise RunError(f"{file}: line {number} is not JSON. Restore it from a copy of the run.") from None
        yield record
