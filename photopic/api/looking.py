"""What can be looked at before a training: data sets, networks, recipes, augmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.config import AnyRecipe
from photopic.data import Data
from photopic.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

    from photopic.data.dataset import DataSet
    from photopic.data.show import Summary
    from photopic.models.listing import ModelInfo
    from photopic.models.summary import ModelSummary
    from photopic.run import SplitRow


def open_dataset(data: Data, *, allow_download: bool = False, **options: Any) -> DataSet:
    """The data set behind a path, a catalog name or arrays, indexed.

    allow_download: fetch catalog data that is not here. options: `data_dir`, `group_pattern`, `strict`.
    """
    from photopic.data.dataset import open_dataset as opened

    return opened(data, download=allow_download, **options)


def split(
    data: Data | DataSet,
    *,
    split_seed: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    classes: Sequence[str] | None = None,
    train_images: int | None = None,
    **options: Any,
) -> list[SplitRow]:
    """How `train` would split a data set: path, sha256, label, group and split of each image that it takes.

    Splits that the data set has are kept. The arguments are those of `train`; options: of `open_dataset`.
    """
    from photopic.data.split import split_dataset
    from photopic.data.subset import limit_training, select_classes
    from photopic.training.sitting import split_rows

    dataset = _as_dataset(data, options)
    if classes is not None:
        dataset = select_classes(dataset, classes)
    splits = split_dataset(dataset, seed=split_seed, val_fraction=val_fraction, test_fraction=test_fraction)
    if train_images is not None:
        splits = limit_training(dataset, splits, train_images, seed=split_seed)
    return [row for row in split_rows(dataset, splits) if row.split]


def summarise(data: Data | DataSet, **options: Any) -> Summary:
    """Counts per class and split, sizes, colour modes and exclusions of a data set."""
    from photopic.data.show import summarise as summarised

    return summarised(_as_dataset(data, options))


def contact_sheet(data: Data | DataSet, **options: Any) -> Image.Image:
    """A picture with some images of each class of a data set."""
    from photopic.data.show import contact_sheet as drawn

    return drawn(_as_dataset(data, options))


def augment_sheet(
    images: np.ndarray | list[np.ndarray] | Data | DataSet,
    ops: Sequence[str] | Mapping[str, Sequence[float]] | None = None,
    *,
    recipe: str | AnyRecipe | None = None,
    thumb: int = 128,
    seed: int = 0,
    **options: Any,
) -> Image.Image:
    """A picture of what augmentation does: one image under each operation at low, middle and high strength.

    images: an image file, (h, w[, 1 or 3]) uint8, a list of such arrays, or a data set, of which one image of
    each of the first classes is taken. ops: names of operations such as "rotation", or {name: strengths};
    None: all. recipe: a name, a YAML file or a recipe, whose own policy is drawn below. thumb: longer side of
    a picture, pixels. seed: of the images and of the recipe's draws. options: those of `open_dataset`.
    Raises ConfigError for an unknown operation, or a recipe that changes no image.
    """
    from photopic.augment import samples
    from photopic.augment.sheet import augment_sheet as drawn
    from photopic.training.recipes import load_recipe

    if isinstance(images, str | Path) and samples.is_image_file(images):
        shown = [samples.read_image(images)]
    elif isinstance(images, np.ndarray | list):
        several = [images] if isinstance(images, np.ndarray) else images
        shown = [image[:, :, None] if image.ndim == 2 else image for image in several]
    else:
        shown = samples.sample_images(_as_dataset(images, options), seed=seed)
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return drawn(shown, ops, recipe=chosen, thumb=thumb, seed=seed)


def list_models() -> list[ModelInfo]:
    """All networks that a recipe can name."""
    from photopic.models.listing import list_models as listed

    return listed()


def model_summary(
    name: str | None = None,
    *,
    recipe: str | AnyRecipe | None = None,
    family: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    depth: int = 1,
) -> ModelSummary:
    """The layers of a network: output shape, parameters, operations and receptive field of each.

    name: a network of `list_models`; family ("fast", "classic", "bundled", "timm") says which where a name
    stands in two. recipe: instead of a name, a recipe, its name or its YAML file. size, channels, classes:
    None: those that the network was made for, and 10 classes for a recipe. depth: 1 shows the network's own
    parts, 2 their parts too. Raises ConfigError, naming the layer, where layers do not fit each other.
    """
    from photopic.models.overview import summarise_named, summarise_recipe
    from photopic.training.recipes import load_recipe

    if (name is None) == (recipe is None):
        raise ConfigError("name a network or a recipe, one of them: `photopic models` lists the networks.")
    if recipe is None:
        assert name is not None
        return summarise_named(
            name, family=family, size=size, channels=channels, classes=classes, depth=depth
        )
    if family is not None:
        raise ConfigError("family has no effect with a recipe, which says what its network is.")
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    return summarise_recipe(chosen, size=size, channels=channels, classes=classes, depth=depth)


def list_recipes() -> dict[str, AnyRecipe]:
    """The named recipes."""
    from photopic.training.recipes import named_recipes

    return dict(named_recipes())


def _as_dataset(data: Data | DataSet, options: Mapping[str, Any]) -> DataSet:
    from photopic.data.dataset import DataSet

    return data if isinstance(data, DataSet) else open_dataset(data, **options)
