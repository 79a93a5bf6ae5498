"""Backbones against stock timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from photopic.config import BackboneConfig
from photopic.errors import ModelError, OfflineError
from photopic.models.backbones import build_features, load_backbone, native_preprocess
from photopic.models.efficientnet_lite import SCALES, EfficientNetLite
from photopic.models.weights import read_bundled


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    """timm's own network with the bundled tensors, in order."""
    model = timm.create_model("tf_efficientnet_lite0")
    state = read_bundled("efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    model.reset_classifier(0)
    return model.eval()


@pytest.mark.parametrize("size", [224, 161, 96])
def test_lite0_equals_timm(lite0: torch.nn.Module, size: int) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    backbone = load_backbone(BackboneConfig())
    with torch.inference_mode():
        features = backbone.module(images)
        torch.testing.assert_close(features, lite0(images), rtol=1e-4, atol=1e-4)
    assert features.shape == (2, backbone.dim)


@pytest.mark.parametrize("name", SCALES)
def test_lite_has_the_names_and_shapes_of_timm(name: str) -> None:
    theirs = timm.create_model("tf_" + name, num_classes=0).state_dict()
    ours = EfficientNetLite(name).state_dict()
    assert list(ours) == list(theirs)
    assert [value.shape for value in ours.values()] == [value.shape for value in theirs.values()]


def test_lite0_preprocess_is_that_of_timm() -> None:
    ours, theirs = native_preprocess("efficientnet_lite0"), native_preprocess("tf_efficientnet_lite0")
    assert ours == theirs


def test_bundled_weights_name_their_license_and_hash() -> None:
    backbone = load_backbone(BackboneConfig())
    assert backbone.license == "Apache-2.0"
    assert len(backbone.sha256) == 64


def test_a_backbone_comes_in_evaluation_mode_and_frozen() -> None:
    module = load_backbone(BackboneConfig()).module
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_timm_weights_from_a_file_give_timms_features(tmp_path: Path) -> None:
    import safetensors.torch

    model = timm.create_model("resnet18", num_classes=7).eval()
    path = tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    backbone = load_backbone(BackboneConfig(name="resnet18", weights=str(path)))
    images = torch.randn(2, 3, 64, 64)
    model.reset_classifier(0)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(images), model(images), rtol=1e-4, atol=1e-4)
    assert backbone.dim == 512
    assert backbone.license.startswith("unknown: see")


def test_weights_of_another_network_name_the_first_tensor(tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(ModelError, match=r"small\.pth for resnet18 does not fit: it has no tensor conv1\."):
        load_backbone(BackboneConfig(name="resnet18", weights=str(path)))


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r'model "resnet81" is not known\. Did you mean "resnet'):
        build_features("resnet81")
    with pytest.raises(ModelError, match=r"resnet18\.nonsense"):
        load_backbone(BackboneConfig(name="resnet18.nonsense", weights="download"))


@pytest.mark.parametrize("weights", ["bundled", "download"])
def test_missing_weights_name_three_ways(weights: str) -> None:
    with pytest.raises(OfflineError, match=r"efficientnet_lite0.*--weights PATH.*--allow-download"):
        load_backbone(BackboneConfig(name="resnet18", weights=weights))


def test_weights_that_were_fetched_once_need_no_permission_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder as the hub's client keeps it."""
    import safetensors.torch

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--timm--resnet10t.c3_in1k"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots" / "abc").mkdir(parents=True)
    model = timm.create_model("resnet10t").eval()
    safetensors.torch.save_file(model.state_dict(), kept / "snapshots" / "abc" / "model.safetensors")
    backbone = load_backbone(BackboneConfig(name="resnet10t"))
    assert backbone.license == "apache-2.0"
    images = torch.randn(2, 3, 64, 64)
    model.reset_classifier(0)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.module(images), model(images), rtol=1e-4, atol=1e-4)


def test_weights_without_a_hub_are_looked_for_where_torch_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from photopic.models import backbones

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cfg = timm.models.PretrainedCfg(url="https://example.org/there/net.pth")
    assert backbones._fetched_before(cfg) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "net.pth").write_bytes(b"")
    assert backbones._fetched_before(cfg) == tmp_path / "checkpoints" / "net.pth"
