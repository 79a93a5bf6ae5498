"""A small data set that a tiny network learns in seconds, and trainings on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import photopic

TINY = {
    "preprocess.size": 16,
    "preprocess.channels": 1,
    "model.widths": [8, 16],
    "total_epochs": 3,
    "batch_size": 32,
}


def stripes(n_per_class: int = 40, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy horizontal and vertical stripes: easy, but not trivial."""
    random = np.random.default_rng(seed)
    images, labels = [], []
    for label in (0, 1):
        for _ in range(n_per_class):
            wave = 127 + 80 * np.sin(np.arange(size) * random.uniform(0.8, 1.2) + random.uniform(0, 6))
            image = np.tile(wave, (size, 1)) if label else np.tile(wave[:, None], (1, size))
            images.append(np.clip(image + random.normal(0, 25, (size, size)), 0, 255))
            labels.append(label)
    return np.array(images, np.uint8), np.array(["down", "across"])[labels]


def write_stripes(folder: Path) -> Path:
    """The stripes as PNG files in class folders."""
    images, labels = stripes()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / label / f"{number:03}.png")
    return folder


def train(data: Any, out: Path, **changes: Any) -> photopic.Run:
    """A few epochs; changes: further arguments of photopic.train."""
    settings = TINY | changes.pop("settings", {})
    return photopic.train(data, recipe="small-images", settings=settings, out=out, **changes)


def same_weights(one: photopic.Run, other: photopic.Run) -> bool:
    ours, theirs = one.load_weights(), other.load_weights()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
