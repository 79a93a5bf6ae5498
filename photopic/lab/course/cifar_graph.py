"""TensorBoard's graph of a run, read back."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path


def has_tensorboard() -> bool:
    """Whether the extra that draws graphs is installed."""
    return find_spec("tensorboard") is not None


def named_blocks(folder: Path) -> list[str]:
    """The names of the layers that the graph in these event files shows, in order, each once.

    Empty where there is no graph.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"graph": 1})
    events.Reload()
    if not events.Tags()["graph"]:
        return []
    names = [node.name for node in events.Graph().node]
    found = [name for text in names for name in re.findall(r"\[(block\w+)\]", text)]
    return list(dict.fromkeys(found))
