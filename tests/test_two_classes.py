"""One output for two classes: binary cross-entropy as the cross-entropy of [0, z], in every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from photopic.config import parse_recipe
from photopic.errors import ConfigError
from photopic.models.fast import initialise
from photopic.models.two_classes import TwoClassLogits
from photopic.models.zoo import build_model

_FAMILIES: list[dict[str, Any]] = [
    {"family": "fast", "widths": [8, 8]},
    {"family": "timm", "name": "resnet10t"},
    {"family": "classic", "name": "softmax"},
    {"layers": [{"conv": 4}, "global-avg-pool"]},
]


def values(model: dict[str, Any]) -> dict[str, Any]:
    loss = {"name": "binary-cross-entropy"}
    return {"way": "scratch", "name": "x", "preprocess": {"size": 32}, "loss": loss, "model": model}


@pytest.mark.parametrize("family", _FAMILIES, ids=lambda family: family.get("family", "layers"))
def test_the_network_has_one_output_and_gives_two_logits(family: dict[str, Any]) -> None:
    model = build_model(parse_recipe(values(family)), 2).eval()
    assert isinstance(model, TwoClassLogits)
    images = torch.randn(5, 3, 32, 32)
    initialise(model, [images])
    z = model.network(images)
    assert z.shape == (5, 1)
    logits, labels = model(images), torch.tensor([0, 1, 1, 0, 1])
    wanted = F.binary_cross_entropy_with_logits(z[:, 0], labels.float())
    torch.testing.assert_close(F.cross_entropy(logits, labels), wanted)
    torch.testing.assert_close(logits.softmax(1)[:, 1], z[:, 0].sigmoid())


def test_more_than_two_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"for two classes, but there are 3\. Use cross-entropy"):
        build_model(parse_recipe(values({"layers": ["flatten"]})), 3)


def test_whitening_is_fitted_behind_the_single_output() -> None:
    model = build_model(parse_recipe(values(_FAMILIES[0])), 2)
    before = model.network.whitening.weight.clone()
    initialise(model, [torch.randn(8, 3, 32, 32)])
    assert not torch.equal(model.network.whitening.weight, before)
