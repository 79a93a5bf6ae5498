"""Checkpoints of an unfinished training: two generations, whole or not at all, and no pickle.

A generation is two files: `state.safetensors` (all tensors) and `state.json` (numbers, and the SHA-256 of
the tensors' file), written last. A damaged or half-written generation is passed over for the other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from photopic.files import sha256_file, write_bytes, write_json
from photopic.training.loop import Best, EpochScores, TrainingState, Validation

TENSORS = "state.safetensors"
NUMBERS = "state.json"
GENERATIONS = ("a", "b")


def save_checkpoint(folder: Path, state: TrainingState, newest: Path | None = None) -> Path:
    """Write `state` over the older of the two generations in `folder`; returns the generation.

    newest: the one that the previous call returned, which is then not read again; None: it is looked for.
    """
    newest = newest or _newest(folder)
    target = folder / ("b" if newest is not None and newest.name == "a" else "a")
    tensors: dict[str, Tensor] = {}
    numbers = _split(_state_values(state), "", tensors)
    # an invalid target must not look valid while its tensors are being replaced
    (target / NUMBERS).unlink(missing_ok=True)
    content = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    write_bytes(target / TENSORS, content)
    digest = hashlib.sha256(content).hexdigest()
    write_json(target / NUMBERS, {"epoch": state.epoch, "sha256": digest, "values": numbers})
    return target


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a whole generation in `folder`."""
    return _newest(folder) is not None


def load_checkpoint(folder: Path, state: TrainingState) -> bool:
    """Set `state` to the newest whole generation in `folder`; False when there is none."""
    newest = _newest(folder)
    if newest is None:
        return False
    document = json.loads((newest / NUMBERS).read_text("utf-8"))
    # copies, for what is mapped holds on to the file, and on Windows it could not be replaced
    tensors = {name: tensor.clone() for name, tensor in load_file(newest / TENSORS).items()}
    values = _join(document["values"], tensors)
    state.model.load_state_dict(values["model"])
    state.optimizer.load_state_dict(values["optimizer"])
    if state.average is not None:
        state.average.model.load_state_dict(values["average"])
        state.average.steps = values["average_steps"]
    if values["best"] is not None:
        best = values["best"]
        state.best = Best(best["epoch"], Validation(**best["validation"]), best["weights"])
    state.history = [EpochScores(*scores) for scores in values.get("history", ())]
    state.epoch = document["epoch"]
    return True


def remove_checkpoints(folder: Path) -> None:
    """Delete all generations, once the training is complete."""
    shutil.rmtree(folder, ignore_errors=True)


def _state_values(state: TrainingState) -> dict[str, Any]:
    best = state.best
    return {
        "model": dict(state.model.state_dict()),
        "optimizer": state.optimizer.state_dict(),
        "average": None if state.average is None else dict(state.average.model.state_dict()),
        "average_steps": None if state.average is None else state.average.steps,
        "best": None
        if best is None
        else {"epoch": best.epoch, "validation": asdict(best.validation), "weights": best.weights},
        "history": [astuple(scores) for scores in state.history],
    }


def _newest(folder: Path) -> Path | None:
    """The whole generation with the latest epoch."""
    epochs = {path: _epoch_if_whole(path) for path in (folder / name for name in GENERATIONS)}
    whole = {path: epoch for path, epoch in epochs.items() if epoch is not None}
    return max(whole, key=lambda path: whole[path]) if whole else None


def _epoch_if_whole(generation: Path) -> int | None:
    try:
        document = json.loads((generation / NUMBERS).read_text("utf-8"))
        epoch = document["epoch"]
        whole = sha256_file(generation / TENSORS) == document["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return epoch if whole and isinstance(epoch, int) else None


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON values of a nested state; tensors go to `tensors`, and their place holds their name.

    Dictionaries become lists of pairs, because JSON would turn the optimizer's integer keys into text.
    """
    if isinstance(value, Tensor):
        tensors[path] = value.detach()
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"pairs": [[key, _split(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_split(item, f"{path}/{number}", tensors) for number, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else {"list": items}
    return value


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `_split`."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "pairs":
        return {key: _join(item, tensors) for key, item in content}
    items = [_join(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
