from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from photopic.data.dataset import DataSet, open_dataset
from photopic.data.index import Index
from photopic.data.subset import select_classes
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
    dataset = replace(open_dataset("digits"), catalog_name="mnist")
    rows = dataset.usable
    assert choose_recipe(dataset, rows, CPU).recipe.name == "mnist-fast"
    assert choose_recipe(dataset, rows, CPU, 60.0).recipe.name == "mnist-fast"
    assert choose_recipe(dataset, rows, CPU, 900.0).recipe.name == "mnist-best"
    assert choose_recipe(dataset, rows, GPU).recipe.name == "mnist-best"


def test_every_recipe_made_for_a_data_set_exists() -> None:
    assert {name for pair in MADE_FOR.values() for name in pair} <= set(named_recipes())


def test_a_folder_that_is_only_called_like_a_catalog_data_set_is_the_users_own(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "digits" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (80, 80), (number, number, number)).save(
                tmp_path / "digits" / label / f"{number}.png"
            )
    dataset = open_dataset(tmp_path / "digits")
    assert (dataset.name, dataset.catalog_name) == ("digits", None)
    assert choose_recipe(dataset, dataset.usable, CPU).recipe.name == "photos-frozen"
    assert open_dataset("digits").catalog_name == "digits"
    assert select_classes(open_dataset("digits"), ["3", "8"]).catalog_name == "digits"


def photos(n: int) -> DataSet:
    """n photos of 200 px, of which nothing is looked at but the sizes."""
    dataset = made(10, 70)
    columns = {name: np.repeat(column, n // 10, axis=0) for name, column in vars(dataset.index).items()}
    return replace(dataset, index=Index(**columns))


@pytest.mark.parametrize(
    ("n", "runtime", "limit_s", "name", "words"),
    [
        (1000, CPU, None, "photos-frozen", "one pass; less than a minute"),
        (1000, GPU, None, "photos-frozen", "few labels"),
        (1000, CPU, 1e9, "photos-frozen", "few labels"),
        (4000, CPU, None, "photos-frozen", "with --time-limit 34m or more it would be photos-finetune"),
        (4000, CPU, 600.0, "photos-frozen", "with --time-limit 34m or more"),
        (4000, CPU, 2100.0, "photos-finetune", "the time limit leaves the time; about 34 min"),
        (4000, GPU, None, "photos-finetune", "a GPU gives the time; about 3 min"),
        (4000, GPU, 60.0, "photos-frozen", "with --time-limit 3m or more"),
    ],
)
def test_photos_are_fine_tuned_where_they_are_many_and_there_is_time(
    n: int, runtime: Runtime, limit_s: float | None, name: str, words: str
) -> None:
    dataset = photos(n)
    choice = choose_recipe(dataset, dataset.usable, runtime, limit_s)
    assert choice.recipe.name == name
    assert words in choice.reason


def test_small_images_take_as_many_epochs_as_the_time_limit_allows() -> None:
    dataset = made(600, 32)
    assert "epochs" not in choose_recipe(dataset, dataset.usable, CPU).reason
    limited = choose_recipe(dataset, dataset.usable, CPU, 60.0)
    assert limited.recipe.name == "small-images"
    assert limited.reason.endswith("in as many epochs as fit the time limit")
