"""Backbones up to a named layer: the features are that layer's output, pooled or flattened."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from photopic.config import BackboneConfig, override, parse_recipe
from photopic.data.dataset import open_dataset
from photopic.errors import ConfigError, ModelError
from photopic.models.backbones import build_features
from photopic.models.layered import build_layers
from photopic.models.overview import summarise_recipe
from photopic.models.reuse import find_backbone
from photopic.models.truncated import KERAS_NAMES, truncated
from photopic.models.zoo import build_model
from photopic.runtime import choose_runtime
from photopic.training.features import Extractor
from photopic.training.recipes import load_recipe
from photopic.training.train import train_dataset


def output_of(module: nn.Module, name: str, images: Tensor) -> Tensor:
    """What a layer of the whole network gives, caught on its way."""
    caught: list[Tensor] = []
    hook = module.get_submodule(name).register_forward_hook(lambda _, args, out: caught.append(out))
    module.eval()(images)
    hook.remove()
    return caught[0]


def cut(name: str, until: str, pool: str = "avg", size: int = 64) -> tuple[nn.Module, nn.Module]:
    """The whole network and the cut one, with the same weights."""
    whole = build_features(name)
    config = BackboneConfig.model_validate({"name": name, "until": until, "pool": pool})
    return whole, truncated(whole, config, 3, size).eval()


def test_keras_mixed7_of_inception_v3_is_7_by_7_by_768_for_150_pixels() -> None:
    whole, lower = cut("inception_v3", "mixed7", "flatten", 150)
    images = torch.randn(1, 3, 150, 150)
    wanted = output_of(whole, "Mixed_6e", images)
    assert wanted.shape == (1, 768, 7, 7)  # course, C15
    assert lower.num_features == 7 * 7 * 768
    torch.testing.assert_close(lower(images), wanted.flatten(1), rtol=0, atol=0)


def test_a_cut_backbone_takes_images_that_the_whole_one_cannot(tmp_path: Path) -> None:
    """Inception's last blocks have no room on 64 pixels; up to mixed7 there are 2 by 2 places."""
    torch.save(timm.create_model("inception_v3").state_dict(), tmp_path / "weights.pth")
    given = {"name": "inception_v3", "weights": str(tmp_path / "weights.pth")}
    cut = BackboneConfig(**given, until="mixed7", pool="flatten")
    assert find_backbone(cut, size=64).dim == 768 * 2 * 2
    with pytest.raises(ConfigError, match="inception_v3 cannot take images of 64×64 px"):
        find_backbone(BackboneConfig(**given), size=64)
    with pytest.raises(ConfigError, match=r"up to backbone\.until cannot take images of 20×20 px"):
        find_backbone(cut, size=20)


def test_keras_names_stand_for_the_layers_of_its_shapes() -> None:
    """keras.applications.InceptionV3 documents mixed0…10 at 299 px in its source: channels and sides."""
    shapes = [(256, 35), (288, 35), (288, 35)] + [(768, 17)] * 5 + [(1280, 8), (2048, 8), (2048, 8)]
    with torch.device("meta"):
        whole = build_features("inception_v3")
    images = torch.empty(1, 3, 299, 299, device="meta")
    for (keras, ours), (channels, side) in zip(KERAS_NAMES["inception_v3"].items(), shapes, strict=True):
        assert output_of(whole, ours, images).shape == (1, channels, side, side), keras


@pytest.mark.parametrize(
    ("name", "until", "pool"),
    [
        ("efficientnet_lite0", "blocks.2", "avg"),
        ("efficientnet_lite0", "bn1", "flatten"),
        ("resnet18", "layer2.1.conv1", "avg"),
        ("resnet18", "global_pool", "avg"),
    ],
)
def test_features_are_the_layers_output(name: str, until: str, pool: str) -> None:
    whole, lower = cut(name, until, pool)
    images = torch.randn(2, 3, 64, 64)
    wanted = output_of(whole, until, images)
    if wanted.ndim == 4:
        wanted = wanted.mean((2, 3)) if pool == "avg" else wanted.flatten(1)
    torch.testing.assert_close(lower(images), wanted)
    assert lower.num_features == wanted.shape[1]
    assert copy.deepcopy(lower)(images).shape == wanted.shape


def test_what_comes_after_the_layer_is_gone() -> None:
    _, lower = cut("resnet18", "layer2")
    assert [name for name, _ in lower.named_children()] == [
        "conv1",
        "bn1",
        "act1",
        "maxpool",
        "layer1",
        "layer2",
    ]


def test_networks_without_filters_can_be_cut() -> None:
    model = parse_recipe(
        {
            "way": "scratch",
            "name": "x",
            "preprocess": {"size": 8, "channels": 1},
            "model": {"layers": ["flatten", {"dense": 6}, {"dense": 3}]},
        }
    ).model  # type: ignore[union-attr]
    lower = truncated(build_layers(model, 1, 8, 2), BackboneConfig(name="run", until="dense1"), 1, 8)
    assert lower.num_features == 6


def recipe(way: str, **backbone: Any) -> Any:
    values = {"way": way, "name": "x", "preprocess": {"size": 64}, "backbone": backbone}
    return parse_recipe(values | ({"unfreeze_from": "blocks.1"} if way == "fine-tune" else {}))


@pytest.mark.parametrize("way", ["frozen", "fine-tune"])
def test_a_recipe_builds_the_network_that_takes_its_weights_back(way: str) -> None:
    cut_recipe = recipe(way, until="blocks.2", pool="flatten")
    model, other = build_model(cut_recipe, 4).eval(), build_model(cut_recipe, 4).eval()
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)
    assert model.head.in_features == 40 * 8 * 8


def test_loaded_features_are_those_of_the_pretrained_layer() -> None:
    whole = find_backbone(BackboneConfig())
    lower = find_backbone(BackboneConfig(until="blocks.3"), size=96)
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        features = lower.module(images)
    torch.testing.assert_close(features, output_of(whole.module, "blocks.3", images).mean((2, 3)))
    assert lower.dim == 80
    assert lower.sha256 == whole.sha256


def test_features_of_different_cuts_are_cached_apart() -> None:
    cuts: list[dict[str, Any]] = [{}, {"until": "blocks.2"}, {"until": "blocks.2", "pool": "flatten"}]
    runtime = choose_runtime("cpu")
    identities = {Extractor(BackboneConfig.model_validate(values), runtime).identity for values in cuts}
    assert len(identities) == 3


def test_a_cut_backbone_learns_in_both_ways() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (
        rng.integers(0, 80, (24, 32, 32, 3), dtype=np.uint8)
        + (labels * 120).astype(np.uint8)[:, None, None, None]
    )
    changes = {"preprocess.size": 32, "backbone.until": "blocks.1", "backbone.pool": "flatten"}
    tuning = {"unfreeze_from": "blocks.1", "total_epochs": 1}
    for name, more in (("photos-frozen", {}), ("photos-finetune", tuning)):
        changed = override(load_recipe(name), changes | more)
        fitted = train_dataset(open_dataset((images, labels)), recipe=changed, device="cpu")
        assert fitted.model.head.in_features == 24 * 8 * 8
        answer = fitted.answer("val")
        assert (answer.logits.argmax(1) == answer.labels).all()


def test_the_summary_of_a_cut_backbone_ends_at_its_layer() -> None:
    names = [layer.name for layer in summarise_recipe(recipe("frozen", until="blocks.2")).layers]
    assert [name for name in names if "blocks" in name] == [
        f"backbone.blocks.{number}" for number in range(3)
    ]
    assert "backbone.conv_head" not in names


def test_a_wrong_cut_is_told_the_way_out() -> None:
    with pytest.raises(ConfigError, match="pool has no effect without until"):
        recipe("frozen", pool="flatten")
    with pytest.raises(ModelError, match=r'no module "blocks\.9".*blocks\.0'):
        build_model(recipe("frozen", until="blocks.9"), 2)
    with pytest.raises(ModelError, match=r"gives 197×192, which is no map"):
        cut("vit_tiny_patch16_224", "blocks.3", size=224)
    with pytest.raises(ModelError, match=r"backbone\.pool has no effect: global_pool gives 512 numbers"):
        cut("resnet18", "global_pool", "flatten")
