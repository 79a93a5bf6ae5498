"""What class weights, balanced sampling and the focal loss change where half of the classes are rare.

The embedded digits: of 5 to 9 a tenth of the training images is kept. The test holds 60 images of each class
that no training sees. Five seeds of each way.

    python benchmarks/unequal_classes.py
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import row, write_result
from sklearn.datasets import load_digits

import photopic

SEEDS, TEST_PER_CLASS, RARE = 5, 60, range(5, 10)
WAYS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "class_weights=balanced": {"class_weights": "balanced"},
    "sampling=balanced": {"sampling": "balanced"},
    "loss=focal": {"loss": "focal"},
}


def unequal_digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test images (n, 8, 8) uint8 with their labels."""
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)
    train, test = [], []
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        test.append(rows[:TEST_PER_CLASS])
        rest = rows[TEST_PER_CLASS:]
        train.append(rest[: len(rest) // 10] if label in RARE else rest)
    chosen = np.concatenate(train), np.concatenate(test)
    return (images[chosen[0]], labels[chosen[0]]), (images[chosen[1]], labels[chosen[1]])


def measure(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Accuracy on all test images and on those of the rare classes."""
    train, (images, labels) = unequal_digits()
    with tempfile.TemporaryDirectory() as folder:
        run = photopic.train(
            train, recipe="digits", settings=settings, seed=seed, test_fraction=0.0, out=Path(folder) / "run"
        )
        answers = np.array([int(answer) for answer in run.predict(images).labels])
    right = answers == labels
    return {"all": float(right.mean()), "rare": float(right[np.isin(labels, RARE)].mean())}


def main() -> None:
    readings = {way: [measure(settings, seed) for seed in range(SEEDS)] for way, settings in WAYS.items()}
    rows = []
    for way, values in readings.items():
        mean = {name: statistics.mean(value[name] for value in values) for name in ("all", "rare")}
        low, high = (pick(value["rare"] for value in values) for pick in (min, max))
        measured = f"all {mean['all']:.1%}, rare {mean['rare']:.1%} ({low:.1%} to {high:.1%}, {SEEDS} seeds)"
        rows.append(row(f"digits with five rare classes, accuracy: {way}", measured))
    write_result("unequal_classes", {"readings": readings, "rows": rows})


if __name__ == "__main__":
    main()
