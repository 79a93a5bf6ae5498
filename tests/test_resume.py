"""A training that is killed and resumed ends in the weights of one that was not: every way, every device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import photopic

PROGRAM = """
import json, sys, photopic
data, out, arguments = sys.argv[1:]
photopic.train(data, out=out, checkpoint_every_s=0, **json.loads(arguments))
"""
WAYS: dict[str, dict[str, Any]] = {
    "small-images": {"preprocess.size": 16, "model.widths": [8, 16], "augment.rotation_range": 10},
    # with dropout in the head, norms that move, and a backbone that is unfrozen after the first epoch
    "photos-finetune": {
        **{"preprocess.size": 32, "unfreeze_from": "blocks.6", "batch_norm": "train"},
        **{"head": [{"dropout": 0.3}], "head_start": "random", "frozen_epochs": 1, "ema_decay": 0.9},
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))],
)
def test_a_killed_training_ends_as_one_that_was_not(way: str, device: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, images=images, labels=np.arange(60) % 2)
    settings = WAYS[way] | {"total_epochs": 5, "batch_size": 8, "select_by": "last"}
    arguments = {"recipe": way, "settings": settings, "device": device}
    whole = photopic.train(data, out=tmp_path / "whole", **arguments)

    place = [str(data), str(tmp_path / "run"), json.dumps(arguments)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *place], env=os.environ | threads)
    records = tmp_path / "run" / "records.jsonl"
    deadline = time.monotonic() + 120
    while not (records.exists() and '"epoch": 2' in records.read_text()):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()

    told: list[str] = []
    resumed = photopic.resume(tmp_path / "run", report=lambda record: told.append(record["event"]))
    assert "resumed" in told
    ours, theirs = resumed.load_weights(), whole.load_weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
