"""Images to show augmentation on: from files, or one of each of the first classes of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photopic.data.dataset import DataSet
from photopic.data.decode import IMAGE_SUFFIXES, decode
from photopic.errors import DataError

CLASSES = 3
"""Of how many classes an image is taken."""


def is_image_file(path: str | Path) -> bool:
    """Whether this is the path of a single image, and of no data set."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES and Path(path).is_file()


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """(h, w, 3) uint8, upright. Raises DataError naming the file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    return decode(data, str(path))


def sample_images(dataset: DataSet, *, seed: int = 0) -> list[NDArray[np.uint8]]:
    """One image of each of the first classes, chosen by the seed; (h, w, 1 or 3) uint8 each."""
    labels = dataset.index.labels[dataset.usable]
    images = []
    for label in range(min(CLASSES, len(dataset.class_names))):
        rows = dataset.usable[labels == label]
        if len(rows):
            images.append(dataset.image(int(np.random.default_rng([seed, label]).choice(rows))))
    return images
