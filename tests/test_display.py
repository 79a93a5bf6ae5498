"""What a training shows while it works."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from photopic.cli.display import TrainingDisplay


def test_the_time_left_of_a_second_training_knows_nothing_of_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin = {
        "event": "recipe",
        "recipe": SimpleNamespace(name="r", way="scratch"),
        "reason": "asked for",
        "runtime": SimpleNamespace(device="cpu", reason="no GPU", threads=1, precision_name="float32"),
        "path": "runs/r",
    }
    step = {"event": "step", "epoch": 0, "train_loss": 1.0, "images_per_second": 10.0, "learning_rate": 0.1}
    epoch = step | {"event": "epoch", "val_accuracy": 0.5, "val_loss": 1.0, "best_epoch": 0}
    with TrainingDisplay() as display:
        for steps in (100, 50):
            display(begin)
            for number in (10, 20):
                display(step | {"step": steps // 5 + number, "total_steps": steps})
            display(epoch | {"step": steps // 5 + 20})
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    assert all(" left" in line and "-" not in line for line in lines)
