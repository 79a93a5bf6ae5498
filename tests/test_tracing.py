"""Operations against torch's own counter, receptive fields against gradients and a published table."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from photopic.models.tracing import trace


def timm_model(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name).eval()


@pytest.mark.parametrize(
    "name", ["resnet18", "efficientnet_b0", "convnext_atto", "vit_tiny_patch16_224", "coatnet_nano_rw_224"]
)
def test_operations_are_those_of_torchs_counter(name: str) -> None:
    model = timm_model(name)
    images = torch.empty(1, 3, 224, 224, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    assert trace(model, images).flops == counter.get_total_flops()


def test_a_convolutions_operations_are_the_textbooks() -> None:
    model = nn.Conv2d(3, 96, 11, stride=4).to("meta")  # AlexNet's first: 105,415,200 multiply-adds
    assert trace(model, torch.empty(1, 3, 227, 227, device="meta")).flops == 2 * 105_415_200


_PUBLISHED = {"inception_v3": (299, 1311), "vgg16": (224, 212)}
"""Name to (size, pixels): Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
Networks", Distill, table 2; of the last map before the global pool or the dense layers."""


@pytest.mark.parametrize("name", _PUBLISHED)
def test_receptive_fields_are_the_published_ones(name: str) -> None:
    size, pixels = _PUBLISHED[name]
    model = timm_model(name)
    images = torch.empty(1, 3, size, size, device="meta")
    maps = []

    def forward(x: torch.Tensor) -> None:
        maps.append(model.forward_features(x) if name == "inception_v3" else model.features(x))

    view = trace(forward, images).view_of(maps[0])
    assert view is not None
    assert view.size == (pixels, pixels)


_STACKS = [
    [nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.Conv2d(2, 1, (3, 1), stride=2)],
    [nn.Conv2d(1, 1, 3, dilation=3), nn.AvgPool2d(3, 1, padding=1), nn.Conv2d(1, 1, 2, stride=2, padding=1)],
    [nn.AvgPool2d(3, 2), nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 5, groups=2)],
]


@pytest.mark.parametrize("layers", _STACKS)
def test_receptive_field_is_where_the_gradient_is_not_zero(layers: list[nn.Module]) -> None:
    model = nn.Sequential(*layers).eval()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)  # nothing cancels
    images = torch.ones(1, 1, 40, 40, requires_grad=True)
    out = model(images)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert images.grad is not None
    rows, columns = images.grad[0, 0].nonzero().T
    wanted = (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)
    found: list[torch.Tensor] = []
    view = trace(lambda x: found.append(model(x)), images.detach()).view_of(found[0])
    assert view is not None
    assert view.size == wanted


@pytest.mark.parametrize(
    ("layer", "whole"),
    [
        (lambda x: x.mean((2, 3)), True),
        (lambda x: x.amax((2, 3)), True),
        (lambda x: nn.functional.adaptive_avg_pool2d(x, 1), True),
        (lambda x: nn.functional.linear(x.flatten(1), torch.ones(2, 32)), True),
        (lambda x: nn.functional.linear(x.permute(0, 2, 3, 1), torch.ones(5, 2)), False),
        (lambda x: x.mean(1), False),
        (lambda x: torch.cat([x, x.flip(1)], 1) + 1, False),
        (lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2), True),
        (lambda x: nn.functional.scaled_dot_product_attention(x, x, x), True),
        (lambda x: x * x.mean((2, 3), keepdim=True), True),
    ],
)
def test_what_looks_at_all_places_sees_the_whole_image(layer: object, whole: bool) -> None:
    found: list[torch.Tensor] = []
    images = torch.ones(1, 2, 4, 4)
    view = trace(lambda x: found.append(layer(x)), images).view_of(found[0])  # type: ignore[operator]
    assert view is not None
    assert view.size == ((float("inf"),) * 2 if whole else (1, 1))


def test_nothing_is_seen_of_what_does_not_depend_on_the_image() -> None:
    found: list[torch.Tensor] = []
    seen = trace(lambda x: found.append(torch.ones(3) * 2), torch.ones(1, 1, 2, 2))
    assert seen.view_of(found[0]) is None
