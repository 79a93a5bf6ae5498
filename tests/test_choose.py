from __future__ import annotations

import numpy as np
import pytest
import torch

from photopic.data.dataset import DataSet, open_dataset
from photopic.runtime import Runtime
from photopic.training.choose import MADE_FOR, choose_recipe
from photopic.training.recipes import named_recipes

CPU = Runtime(torch.device("cpu"), "test", torch.float32, 2)
GPU = Runtime(torch.device("cuda"), "test", torch.bfloat16, 2)


def made(n: int, side: int, channels: int = 3) -> DataSet:
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, channels), np.uint8)
    return open_dataset((images, np.arange(n) % 2))


@pytest.mark.parametrize(
    ("n", "side", "channels", "name", "size"),
    [
        (600, 8, 1, "small-images", 28),
        (600, 32, 3, "small-images", 32),
        (600, 40, 3, "small-images", 48),
        (600, 64, 3, "small-images", 64),
        (600, 65, 3, "photos-frozen", 224),
        (400, 32, 3, "photos-frozen", 224),
    ],
)
def test_size_and_number_of_images_decide(n: int, side: int, channels: int, name: str, size: int) -> None:
    dataset = made(n, side, channels)
    choice = choose_recipe(dataset, dataset.usable, CPU)
    assert (choice.recipe.name, choice.recipe.preprocess.size) == (name, size)
    assert choice.reason
    if name == "small-images":
        assert choice.recipe.preprocess.channels == channels


def test_a_gpu_or_much_time_gets_the_best_recipe_of_a_catalog_data_set() -> None:
    dataset = open_dataset("digits")
    object.__setattr__(dataset, "name", "mnist")
    rows = dataset.usable
    assert choose_recipe(dataset, rows, CPU).recipe.name == "mnist-fast"
    assert choose_recipe(dataset, rows, CPU, 60.0).recipe.name == "mnist-fast"
    assert choose_recipe(dataset, rows, CPU, 900.0).recipe.name == "mnist-best"
    assert choose_recipe(dataset, rows, GPU).recipe.name == "mnist-best"


def test_every_recipe_made_for_a_data_set_exists() -> None:
    assert {name for pair in MADE_FOR.values() for name in pair} <= set(named_recipes())
