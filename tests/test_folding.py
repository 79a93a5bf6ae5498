"""Inference is the same function, rewritten."""

from __future__ import annotations

import threading

import pytest
import timm
import torch

from photopic.config import BackboneConfig
from photopic.models import folding
from photopic.models.backbones import BackboneClassifier, load_backbone
from photopic.models.efficientnet_lite import EfficientNetLite
from photopic.models.folding import FoldedLite, Spread, for_inference
from photopic.models.weights import read_bundled

# float32 through 50 convolutions in another order of summation
_TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def timm_lite0() -> torch.nn.Module:
    """timm's own network with the bundled tensors."""
    model = timm.create_model("tf_efficientnet_lite0")
    state = read_bundled("efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    model.reset_classifier(0)
    return model.eval()


def _images(n: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 130), (33, 32), (64, 65)])
@pytest.mark.parametrize("fused", [True, False])
def test_folded_equals_timm(
    timm_lite0: torch.nn.Module, height: int, width: int, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not fused:
        monkeypatch.setattr(folding, "_has_fused_convolution", lambda: False)
    images = _images(3, height, width)
    with torch.inference_mode():
        expected = timm_lite0(images)
        module = load_backbone(BackboneConfig()).module
        assert isinstance(module, EfficientNetLite)
        torch.testing.assert_close(FoldedLite(module)(images), expected, **_TOLERANCE)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_classifier_for_inference_equals_evaluation_mode(name: str) -> None:
    model = BackboneClassifier(EfficientNetLite(name), 1280, 7)
    with torch.no_grad():  # norms that do something
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    images = _images(11, 64, 64)
    before = images.clone()
    fast = for_inference(model)
    with torch.inference_mode():
        torch.testing.assert_close(fast(images), model.eval()(images), **_TOLERANCE)
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    assert not fast(images).requires_grad


@pytest.mark.parametrize("n", [0, 1, 2, 5, 64])
def test_any_network_and_any_number_of_images(n: int) -> None:
    model = timm.create_model("resnet10t", num_classes=4).eval()
    images = _images(n, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(for_inference(model)(images), model(images), **_TOLERANCE)


def test_parts_keep_their_order_and_sizes_are_even() -> None:
    seen: list[int] = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        seen.append(len(part))
        return part.flatten(1).sum(1)

    images = torch.arange(23.0)[:, None, None, None].expand(23, 1, 224, 224)
    result = Spread(forward, threads=2)(images)
    torch.testing.assert_close(result, torch.arange(23.0) * 224 * 224)
    assert sum(seen) == 23
    assert len(seen) % 2 == 0
    assert max(seen) - min(seen) <= 1
    assert max(seen) <= 4


def test_thread_settings_of_others_are_left_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # a number that no other test has made workers for
    try:
        seen: set[int] = set()

        def forward(part: torch.Tensor) -> torch.Tensor:
            seen.add(torch.get_num_threads())
            return part

        Spread(forward, threads=3)(torch.zeros(24, 1, 224, 224))
        assert seen == {1}
        assert torch.get_num_threads() == 3
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [3]
    finally:
        torch.set_num_threads(before)


def test_error_in_a_part_reaches_the_caller() -> None:
    def forward(part: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="broken on purpose"):
        Spread(forward, threads=2)(torch.zeros(16, 1, 224, 224))
