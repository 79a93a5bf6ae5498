"""Cutting, freezing, layer-wise rates, and the whole way."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from photopic.config import BackboneConfig, FineTuneRecipe, FrozenRecipe, parse_recipe
from photopic.data.dataset import open_dataset
from photopic.data.preprocess import Preprocess
from photopic.errors import ModelError
from photopic.models.backbones import Backbone, feature_size, load_backbone
from photopic.models.cutting import layers_from, split_at
from photopic.models.efficientnet_lite import EfficientNetLite
from photopic.models.zoo import build_model
from photopic.runtime import choose_runtime
from photopic.training import finetune
from photopic.training.finetune import train_finetune
from photopic.training.frozen import train_frozen
from photopic.training.job import Job
from photopic.training.loop import Record
from photopic.training.unfreezing import parameter_groups, prepare_finetune


def _recipe(**changes: object) -> FineTuneRecipe:
    values = {"way": "fine-tune", "name": "x", "preprocess": {"size": 64}, **changes}
    recipe = parse_recipe(values)
    assert isinstance(recipe, FineTuneRecipe)
    return recipe


def _backbone(module: nn.Module) -> Backbone:
    recipe = _recipe()
    return Backbone("x", module.eval(), feature_size(module), recipe.preprocess, "", "")


@pytest.mark.parametrize("name", ["conv_stem", "blocks", "blocks.0", "blocks.3", "blocks.3.1", "conv_head"])
def test_lower_then_upper_equals_the_whole(name: str) -> None:
    module = EfficientNetLite().eval()
    lower, upper = split_at(module, name)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(upper.eval()(lower.eval()(images)), module(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("architecture", "name"),
    [("resnet10t", "layer3"), ("resnet18", "layer3.1"), ("mobilenetv3_small_050", "blocks.3"),
     ("vit_tiny_patch16_224", "blocks.10"), ("convnext_atto", "stages.2")],
)  # fmt: skip
def test_networks_of_timm_are_cut_too(architecture: str, name: str) -> None:
    module = timm.create_model(architecture, num_classes=0).eval()
    lower, upper = split_at(module, name)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(upper.eval()(lower.eval()(images)), module(images), rtol=0, atol=0)


def test_upper_holds_only_what_is_above_and_shares_its_parameters() -> None:
    module = EfficientNetLite()
    lower, upper = split_at(module, "blocks.5")
    above = {
        id(parameter)
        for layer in layers_from(module, "blocks.5")
        for p in layer
        for parameter in p.parameters()
    }
    assert {id(parameter) for parameter in upper.parameters()} == above
    assert not above & {id(parameter) for parameter in lower.parameters()}


def test_unknown_module_lists_the_children() -> None:
    module = EfficientNetLite()
    listing = r"It has: conv_stem, bn1, blocks, conv_head, bn2\."
    with pytest.raises(ModelError, match=r'no module "block\.5"\. ' + listing):
        layers_from(module, "block.5")
    with pytest.raises(ModelError, match=r"Inside blocks has: blocks\.0, blocks\.1, .*blocks\.6\."):
        layers_from(module, "blocks.7")
    with pytest.raises(ModelError, match=r'no module "bn1\.x"\. bn1 has no parts\.'):
        layers_from(module, "bn1.x")


class _TwoPaths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.first(x)
        return self.second(y) + x * 2


def test_network_with_two_values_across_the_cut_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be cut before second: 2 values pass it"):
        split_at(_TwoPaths(), "second")


def test_only_layers_from_the_named_one_on_learn() -> None:
    model = prepare_finetune(_recipe(unfreeze_from="blocks.5"), _backbone(EfficientNetLite()), 3)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    expected = ("head.", "backbone.blocks.5.", "backbone.blocks.6.", "backbone.conv_head.", "backbone.bn2.")
    assert learning == {name for name, _ in model.named_parameters() if name.startswith(expected)}


def test_rates_fall_by_layer_decay_towards_the_input() -> None:
    model = prepare_finetune(_recipe(unfreeze_from="blocks.4"), _backbone(EfficientNetLite()), 3)
    scales = {}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in parameter_groups(model, "blocks.4", 0.5):
        for parameter in group["params"]:
            scales[".".join(names[id(parameter)].split(".")[:3])] = group["lr_scale"]
    assert scales["head.weight"] == 1.0
    assert scales["backbone.conv_head.weight"] == scales["backbone.bn2.weight"] == 0.5
    assert [scales[f"backbone.blocks.{i}"] for i in (6, 5, 4)] == [0.25, 0.125, 0.0625]
    assert set(map(id, (p for p in model.parameters() if p.requires_grad))) == {
        id(p) for group in parameter_groups(model, "blocks.4", 0.5) for p in group["params"]
    }


@pytest.mark.parametrize("policy", ["frozen", "train"])
def test_statistics_of_norms_move_only_where_they_may(policy: str) -> None:
    recipe = _recipe(unfreeze_from="blocks.6", batch_norm=policy)
    model = prepare_finetune(recipe, _backbone(EfficientNetLite()), 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    model(torch.randn(4, 3, 64, 64))
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    if policy == "frozen":
        assert moved == set()
    else:
        assert {name.split(".")[1] for name in moved} == {"blocks", "bn2"}
        assert all(name.startswith(("backbone.blocks.6.", "backbone.bn2.")) for name in moved)
    model.eval()
    assert not any(module.training for module in model.modules())


def test_copy_of_the_network_keeps_its_own_modules_in_eval() -> None:
    import copy

    recipe = _recipe(unfreeze_from="blocks.6")
    model = prepare_finetune(recipe, _backbone(EfficientNetLite()), 3)
    twin = copy.deepcopy(model).train()
    assert twin.kept_in_eval[0] is not model.kept_in_eval[0]
    assert {id(m) for m in twin.kept_in_eval} <= {id(m) for m in twin.modules()}
    assert not any(m.training for m in twin.kept_in_eval)


# ---- the whole way ------------------------------------------------------------------------------------


def _job(recipe: FineTuneRecipe | FrozenRecipe, records: list[Record]) -> Job:
    """Two classes of 64 px images: one brighter on the left, one on the right."""
    random = np.random.default_rng(0)
    labels = np.arange(36) % 2
    images = random.integers(0, 160, (36, 64, 64, 3), np.uint8)
    images[labels == 0, :, :32] += 60
    images[labels == 1, :, 32:] += 60
    dataset = open_dataset((images, labels))
    rows = {"train": np.arange(16), "val": np.arange(16, 26), "test": np.arange(26, 36)}
    return Job(recipe, dataset, rows, seed=0, runtime=choose_runtime("cpu"), report=records.append)


_RATES = {"optimizer": {"name": "adamw", "learning_rate": 0.00003}, "total_epochs": 2, "batch_size": 8}


def test_cached_lower_layers_train_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _recipe(unfreeze_from="blocks.6", batch_norm="train", **_RATES)
    cached = train_finetune(_job(recipe, []))
    monkeypatch.setattr(finetune, "_CACHE_BYTES", 0)
    whole = train_finetune(_job(recipe, []))
    assert list(cached.model.state_dict()) == list(whole.model.state_dict())
    for name, expected in whole.model.state_dict().items():
        ours = cached.model.state_dict()[name]
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3, msg=name)  # sums in another order
    np.testing.assert_allclose(cached.answer("test").logits, whole.answer("test").logits, atol=1e-2)


@pytest.mark.parametrize("flip", ["none", "random"])
def test_frozen_layers_stay_and_others_learn(flip: str) -> None:
    recipe = _recipe(unfreeze_from="blocks.6", augment={"horizontal_flip": flip}, **_RATES)
    records: list[Record] = []
    fitted = train_finetune(_job(recipe, records))
    pretrained = load_backbone(BackboneConfig()).module.state_dict()
    for name, tensor in fitted.model.backbone.state_dict().items():
        if not name.startswith(("blocks.6", "conv_head", "bn2")):
            torch.testing.assert_close(tensor, pretrained[name], rtol=0, atol=0)
    epochs = [record for record in records if record["event"] == "epoch"]
    assert len(epochs) == 2
    assert epochs[1]["train_loss"] < epochs[0]["train_loss"]
    assert build_model(recipe, 2).load_state_dict(fitted.model.state_dict())


def test_fine_tuning_that_harms_leaves_the_head() -> None:
    harmful = {**_RATES, "optimizer": {"name": "sgd", "learning_rate": 1.0}}
    fitted = train_finetune(_job(_recipe(unfreeze_from="blocks.6", **harmful), []))
    frozen = parse_recipe({"way": "frozen", "name": "x", "preprocess": {"size": 64}})
    assert isinstance(frozen, FrozenRecipe)
    head = train_frozen(_job(frozen, []))
    assert fitted.selected["epoch"] == -1
    np.testing.assert_allclose(fitted.answer("test").logits, head.answer("test").logits, rtol=1e-3, atol=1e-3)


def test_frozen_answers_are_those_of_its_network() -> None:
    frozen = parse_recipe({"way": "frozen", "name": "x", "preprocess": {"size": 64}})
    assert isinstance(frozen, FrozenRecipe)
    job = _job(frozen, [])
    fitted = train_frozen(job)
    answers = fitted.answer("test")
    preprocess = Preprocess(fitted.recipe.preprocess)
    images_u8 = torch.from_numpy(np.stack([job.dataset.image(row) for row in answers.rows]))
    with torch.inference_mode():
        logits = fitted.model(preprocess.to_float(images_u8))
    np.testing.assert_allclose(answers.logits, logits.numpy(), rtol=1e-3, atol=1e-3)
    assert fitted.recipe.preprocess.mean == (0.5, 0.5, 0.5)
    assert fitted.selected["inverse_l2"] in frozen.inverse_l2
