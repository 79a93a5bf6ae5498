"""A pretrained network sees what it was made to see, unless somebody asks for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm

import photopic
from photopic.config import BackboneConfig, FrozenRecipe, PreprocessConfig, override
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError
from photopic.models.backbones import native_preprocess
from photopic.models.native import with_native_preprocess
from photopic.models.reuse import find_backbone
from photopic.runtime import choose_runtime
from photopic.training.features import Extractor
from photopic.training.frozen import filled_in
from photopic.training.recipes import load_recipe

IMAGES = (np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3), np.uint8), np.arange(24) % 2)


def resolved(name: str, settings: dict[str, Any]) -> PreprocessConfig:
    named = load_recipe(name)
    return with_native_preprocess(named, override(named, settings), settings).preprocess


def weights_of(name: str, folder: Path) -> str:
    """A file with random weights of an architecture of timm."""
    path = folder / f"{name}.safetensors"
    safetensors.torch.save_file(timm.create_model(name).state_dict(), path)
    return str(path)


@pytest.mark.parametrize("name", ["photos-frozen", "photos-frozen-views", "photos-finetune"])
def test_the_bundled_backbone_sees_the_same_pixels_as_ever(name: str) -> None:
    """Written out: features that were computed once stay valid, and results do not change."""
    known = PreprocessConfig(
        size=224, crop_fraction=0.875, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    extractor = Extractor(BackboneConfig(), choose_runtime("cpu"))
    recipe = load_recipe(name)
    found = filled_in(recipe.model_copy(update={"preprocess": resolved(name, {})}), extractor)  # type: ignore[arg-type]
    assert found == known
    assert Preprocess(found).key == Preprocess(known).key
    assert resolved(name, {}) == recipe.preprocess


@pytest.mark.parametrize("name", ["resnet18", "inception_v3", "vit_base_patch16_384"])
def test_another_backbone_brings_size_crop_and_filter_with_it(name: str) -> None:
    found, native = resolved("photos-frozen", {"backbone.name": name}), native_preprocess(name)
    for field in ("size", "resize", "crop_fraction", "interpolation"):
        assert getattr(found, field) == getattr(native, field)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"preprocess.size": 96}, (96, "crop", 0.95)),
        ({"preprocess.resize": "stretch", "preprocess.crop_fraction": 1.0}, (224, "stretch", 1.0)),
        ({"preprocess": {"size": 64, "resize": "pad"}}, (64, "pad", 1.0)),
    ],
)
def test_what_the_user_asks_for_stays(settings: dict[str, Any], expected: tuple[int, str, float]) -> None:
    found = resolved("photos-frozen", {"backbone.name": "resnet18"} | settings)
    assert (found.size, found.resize, found.crop_fraction) == expected


def test_what_a_recipe_file_names_stays(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("{way: frozen, preprocess: {size: 48}, backbone: {name: inception_v3}}")
    assert resolved(str(file), {}).size == 48
    assert resolved(str(file), {}).crop_fraction == 0.875
    file.write_text("{way: frozen, preprocess: {size: 48, resize: stretch}, backbone: {name: inception_v3}}")
    assert resolved(str(file), {}).resize == "stretch"
    assert resolved(str(file), {}).interpolation == "bilinear"


def test_weights_from_a_file_are_used_with_their_own_mean_and_std(tmp_path: Path) -> None:
    settings = {"backbone.name": "resnet10t", "preprocess.size": 32}
    run = photopic.train(
        IMAGES,
        recipe="photos-frozen",
        settings=settings,
        weights=weights_of("resnet10t", tmp_path),
        out=tmp_path / "run",
    )
    native = native_preprocess("resnet10t")
    assert (run.preprocess.mean, run.preprocess.std) == (native.mean, native.std)
    assert native.mean != (0.5, 0.5, 0.5)
    assert (run.preprocess.size, run.preprocess.crop_fraction) == (32, native.crop_fraction)


def test_a_backbone_of_one_size_names_it(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    config = BackboneConfig(name=name, weights=weights_of(name, tmp_path))
    with pytest.raises(ConfigError, match=r"96×96 px .* --set preprocess\.size=224"):
        find_backbone(config, size=96)
    assert find_backbone(config, size=224).dim == 192


def test_a_network_from_scratch_of_one_size_names_it_before_an_image_is_decoded(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=r"vit_tiny_patch16_224 .* --set preprocess\.size=224"):
        photopic.train(
            IMAGES,
            recipe="photos-scratch",
            settings={"model.name": "vit_tiny_patch16_224"},
            out=tmp_path / "run",
            report=lambda record: told.append(record["event"]),
        )
    assert "decode" not in told


def test_the_layer_table_of_a_recipe_is_at_the_backbones_own_size() -> None:
    recipe = FrozenRecipe(name="mine", backbone=BackboneConfig(name="vit_tiny_patch16_224"))
    assert photopic.model_summary(recipe=recipe)
    mobile = FrozenRecipe(name="mine", backbone=BackboneConfig(name="inception_v3"))
    assert photopic.model_summary(recipe=mobile).input_shape == (3, 299, 299)
