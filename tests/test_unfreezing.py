"""Which parameters learn, and in which group."""

from __future__ import annotations

from photopic.config import FineTuneRecipe, PreprocessConfig
from photopic.training.recipes import load_recipe


def test_all_means_every_parameter_once() -> None:
    import timm

    from photopic.models.backbones import Backbone
    from photopic.training.unfreezing import parameter_groups, prepare_finetune

    for name in ("vit_tiny_patch16_224", "resnet18"):
        module = timm.create_model(name, num_classes=0).requires_grad_(False)
        backbone = Backbone(name, module, module.num_features, PreprocessConfig(size=224), "", "")
        recipe = load_recipe("transfer")
        assert isinstance(recipe, FineTuneRecipe)
        model = prepare_finetune(recipe, backbone, 3)
        assert all(parameter.requires_grad for parameter in model.parameters())
        groups = parameter_groups(model, "all", 0.5)
        given = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(given) == sorted(id(parameter) for parameter in model.parameters())
        assert [group["lr_scale"] for group in groups] == [0.5**distance for distance in range(len(groups))]
