"""A head of several layers on a backbone that stays frozen: the network, its training, what is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import photopic
from photopic.config import BackboneConfig, FineTuneRecipe, parse_recipe
from photopic.data.dataset import open_dataset
from photopic.errors import ConfigError
from photopic.models.backbones import load_backbone
from photopic.models.folding import for_inference
from photopic.models.overview import summarise_recipe
from photopic.models.zoo import build_model
from photopic.runtime import choose_runtime
from photopic.training import finetune
from photopic.training.finetune import train_finetune
from photopic.training.job import Job
from photopic.training.loop import Record

HEAD = [{"dense": 64, "activation": "relu"}, {"dropout": 0.5}]


def recipe_of(**changes: object) -> FineTuneRecipe:
    values = {
        "way": "fine-tune",
        "name": "x",
        "preprocess": {"size": 64},
        "unfreeze_from": "none",
        "head": HEAD,
        "head_start": "random",
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "total_epochs": 2,
        "batch_size": 8,
        **changes,
    }
    recipe = parse_recipe(values)
    assert isinstance(recipe, FineTuneRecipe)
    return recipe


def sides() -> tuple[np.ndarray, np.ndarray]:
    """36 images of 64 px in two classes: one brighter on the left, one on the right."""
    random = np.random.default_rng(0)
    labels = np.arange(36) % 2
    images = random.integers(0, 160, (36, 64, 64, 3), np.uint8)
    images[labels == 0, :, :32] += 60
    images[labels == 1, :, 32:] += 60
    return images, labels


def job_of(recipe: FineTuneRecipe, records: list[Record] | None = None) -> Job:
    rows = {"train": np.arange(16), "val": np.arange(16, 26), "test": np.arange(26, 36)}
    report = (lambda record: None) if records is None else records.append
    return Job(recipe, open_dataset(sides()), rows, seed=0, runtime=choose_runtime("cpu"), report=report)


def test_the_network_is_backbone_then_layers_then_output() -> None:
    model = build_model(recipe_of(), 3).eval()
    pretrained = load_backbone(BackboneConfig()).module  # random weights give features near 0
    model.backbone.load_state_dict(pretrained.state_dict())
    images = torch.randn(2, 3, 64, 64)
    hidden = model.hidden.dense1
    with torch.inference_mode():
        by_hand = F.relu(F.linear(model.backbone(images), hidden.weight, hidden.bias))
        expected = F.linear(by_hand, model.head.weight, model.head.bias)
        torch.testing.assert_close(model(images), expected)
        torch.testing.assert_close(for_inference(model)(images), expected, rtol=1e-3, atol=1e-4)
    assert model.head.weight.shape == (3, 64)


def test_binary_cross_entropy_gives_the_head_one_output() -> None:
    model = build_model(recipe_of(loss="binary-cross-entropy"), 2).eval()
    assert model.head.weight.shape == (1, 64)
    logits = model(torch.randn(2, 3, 64, 64))
    assert (logits[:, 0] == 0).all()


@pytest.mark.parametrize("augment", [{}, {"horizontal_flip": True, "rotation_range": 20}])
def test_features_give_the_weights_that_whole_images_give(
    augment: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SGD: Adam would make rounding of tiny gradients visible."""
    recipe = recipe_of(augment=augment, optimizer={"name": "sgd", "learning_rate": 0.01})
    short = train_finetune(job_of(recipe))
    monkeypatch.setattr(finetune, "_CACHE_BYTES", 0)
    whole = train_finetune(job_of(recipe))
    assert list(short.model.state_dict()) == list(whole.model.state_dict())
    for name, expected in whole.model.state_dict().items():
        torch.testing.assert_close(short.model.state_dict()[name], expected, rtol=1e-3, atol=1e-4, msg=name)


def test_training_equals_a_bare_loop_over_the_backbone_s_features() -> None:
    head = [{"dense": 5, "activation": "relu", "init": "ones"}]
    recipe = recipe_of(
        head=head, total_epochs=1, batch_size=16,
        optimizer={"name": "sgd", "learning_rate": 0.1, "momentum": 0, "nesterov": False},
        schedule="constant",
    )  # fmt: skip
    start = deepcopy(train_finetune(job_of(recipe.model_copy(update={"optimizer": _still(recipe)}))).model)
    ours = train_finetune(job_of(recipe)).model
    images, labels = sides()
    pixels = torch.from_numpy(images[:16]).permute(0, 3, 1, 2).float() / 127.5 - 1
    backbone = load_backbone(BackboneConfig()).module
    features = backbone(pixels).detach()
    bare = nn.Sequential(nn.Linear(1280, 5), nn.ReLU(), nn.Linear(5, 2))
    bare[0].load_state_dict(start.hidden.dense1.state_dict())
    bare[2].load_state_dict(start.head.state_dict())
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    F.cross_entropy(bare(features), torch.from_numpy(labels[:16])).backward()
    optimizer.step()
    torch.testing.assert_close(ours.hidden.dense1.weight, bare[0].weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.head.weight, bare[2].weight, rtol=1e-3, atol=1e-4)
    assert (start.hidden.dense1.weight == 1).all()


def _still(recipe: FineTuneRecipe) -> object:
    """An optimizer whose steps are too small to change a float32."""
    return recipe.optimizer.model_copy(update={"learning_rate": 1e-30})


def test_only_the_head_learns() -> None:
    records: list[Record] = []
    fitted = train_finetune(job_of(recipe_of(total_epochs=6, augment={"horizontal_flip": True}), records))
    pretrained = load_backbone(BackboneConfig()).module.state_dict()
    for name, tensor in fitted.model.backbone.state_dict().items():
        torch.testing.assert_close(tensor, pretrained[name], rtol=0, atol=0)
    losses = [record["train_loss"] for record in records if record["event"] == "epoch"]
    assert losses[-1] < losses[0]


def test_run_is_reloaded_with_its_head(tmp_path: Path) -> None:
    run = photopic.train(sides(), recipe=recipe_of(), out=tmp_path / "run", seed=3)
    images, _ = sides()
    again = photopic.open_run(tmp_path / "run").predict(images[:4])
    np.testing.assert_array_equal(again.probs, run.predict(images[:4]).probs)
    Image.fromarray(images[0]).save(tmp_path / "one.png")
    np.testing.assert_allclose(run.predict(tmp_path / "one.png").probs, again.probs[:1], atol=1e-5)


def test_the_layer_table_counts_only_the_head_as_trainable() -> None:
    table = summarise_recipe(recipe_of(), classes=2)
    assert table.trainable == 1280 * 64 + 64 + 64 * 2 + 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_start": "logistic"}, "Set head_start=random"),
        ({"frozen_epochs": 1}, "frozen_epochs has no effect with unfreeze_from=none"),
        ({"layer_decay": 0.5}, "layer_decay has no effect with unfreeze_from=none"),
        ({"batch_norm": "train"}, "batch_norm has no effect with unfreeze_from=none"),
        ({"head": ["output"]}, "output stands at the end of the network"),
        ({"head": [{"dens": 3}]}, "Did you mean"),
    ],
)
def test_what_has_no_effect_or_does_not_exist_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe_of(**changes)


def test_a_layer_that_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match=r"head: layer 1 \(conv1\): a convolution needs a map"):
        build_model(recipe_of(head=[{"conv": 8}]), 2)
