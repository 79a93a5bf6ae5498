"""A training in a process of its own that is killed while it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

PROGRAM = """
import json, sys, photopic
data, out, arguments = sys.argv[1:]
photopic.train(data, out=out, checkpoint_every_s=0, **json.loads(arguments))
"""


def kill_in_epoch(epoch: int, data: Path, out: Path, **arguments: Any) -> None:
    """Train with a checkpoint after every epoch, and kill that as soon as `epoch`, from 0 on, has a record.

    arguments: of photopic.train, as JSON has them. As many threads as here, so that the weights can agree.
    """
    place = [str(data), str(out), json.dumps(arguments)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *place], env=os.environ | threads)
    records = out / "records.jsonl"
    deadline = time.monotonic() + 120
    while not (records.exists() and f'"epoch": {epoch}' in records.read_text()):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
