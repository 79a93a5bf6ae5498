"""ImageNet's classes and last layers, against timm's network and torchvision's list."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import ResNet50_Weights

from photopic.errors import ModelError, OfflineError
from photopic.models.imagenet import CATS, DOGS, imagenet_classes, load_classifier
from photopic.models.weights import load_in_order, read_bundled


def test_classes_are_those_of_torchvision() -> None:
    """torchvision's list has one word for each; both have misprints of their own in a few."""
    theirs = ResNet50_Weights.DEFAULT.meta["categories"]
    ours = imagenet_classes()
    assert len(ours) == len(theirs) == 1000
    assert len({one.wordnet_id for one in ours}) == 1000
    different = [(one.words[0], word) for one, word in zip(ours, theirs, strict=True) if one.words[0] != word]
    assert len(different) < 30, different


def test_cats_have_the_course_s_numbers() -> None:
    classes = imagenet_classes()
    assert [str(classes[number]) for number in CATS] == [
        "n02123045 tabby",
        "n02123159 tiger_cat",
        "n02123394 Persian_cat",
        "n02123597 Siamese_cat",
        "n02124075 Egyptian_cat",
    ]
    assert classes[DOGS[0]].words[0] == "Chihuahua"
    assert classes[DOGS[-1]].words[0] == "Mexican hairless"
    assert len(DOGS) == 118


def test_bundled_classifier_is_timm_s_network() -> None:
    ours = load_classifier()
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    load_in_order(theirs, read_bundled("efficientnet_lite0"), "x")
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours.module(images), theirs(images), rtol=1e-3, atol=1e-3)


def test_weights_of_a_file_come_with_their_last_layer(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t").eval()
    torch.save(network.state_dict(), tmp_path / "r.pth")
    ours = load_classifier("resnet10t", tmp_path / "r.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours.module(images), network(images), rtol=0, atol=0)
    assert ours.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_last_layer_of_other_classes_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t", num_classes=7).state_dict(), tmp_path / "r.pth")
    with pytest.raises(ModelError, match=r"fc\.weight is 7×512, but the network has 1000×512"):
        load_classifier("resnet10t", tmp_path / "r.pth")


def test_weights_that_are_not_here_are_asked_for() -> None:
    with pytest.raises(OfflineError, match="the weights of resnet50 are not on this machine"):
        load_classifier("resnet50")
