"""Photographs of cats and dogs for experiments that look at single ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from photopic.data.dataset import DataSet
from photopic.data.preprocess import Preprocess
from photopic.errors import DataError

IMAGENET_MEANS_BGR = (103.939, 116.779, 123.68)
"""Means of ImageNet's pixels, 0..255: blue, green, red, as keras.applications subtracts them (caffe mode)."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green, blue, in 0..1, as torchvision and timm use them."""
SCALINGS = ("0…1", "−1…1", "mean/std", "BGR minus means")
"""Ways to scale pixels that pretrained networks want; each wants one."""


def photos_of(dataset: DataSet, class_name: str, count: int) -> list[int]:
    """Index rows of the first photos of a class in the test part; in all of the data if it has no parts.

    Raises DataError for a class that the data has not.
    """
    if class_name not in dataset.class_names:
        raise DataError(f"{dataset.name}: has no class {class_name}, but {', '.join(dataset.class_names)}.")
    index, usable = dataset.index, dataset.usable
    of_class = usable[index.labels[usable] == dataset.class_names.index(class_name)]
    tested = of_class[index.splits[of_class] == "test"]
    rows: list[int] = (tested if len(tested) else of_class)[:count].tolist()
    return rows


def load_photos(dataset: DataSet, rows: list[int], preprocess: Preprocess) -> np.ndarray:
    """(n, S, S, 3) uint8, resized as the preprocessing says."""
    return np.stack([preprocess.to_store(dataset.image(row)) for row in rows])


def scaled(images_u8: np.ndarray, scaling: str) -> Tensor:
    """(n, S, S, 3) uint8 RGB to (n, 3, S, S) float32 in one of SCALINGS."""
    pixels = torch.from_numpy(images_u8).float()
    match scaling:
        case "0…1":
            values = pixels / 255
        case "−1…1":
            values = pixels / 127.5 - 1
        case "mean/std":
            values = (pixels / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        case _:
            values = pixels.flip(-1) - torch.tensor(IMAGENET_MEANS_BGR)
    return values.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def scaling_of(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> str:
    """Which of SCALINGS a network's mean and std are."""
    return "−1…1" if mean == (0.5,) * 3 and std == (0.5,) * 3 else "mean/std"
