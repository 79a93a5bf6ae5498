"""Pretrained networks with the last layer that they were trained with, and ImageNet's 1,000 classes.

Names and numbers of the classes are those of ILSVRC 2012 (Russakovsky et al. 2015, arXiv:1409.0575): a
WordNet number such as n02123045, and the words of its synset. timm brings the list; nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from photopic.config import PreprocessConfig
from photopic.errors import OfflineError
from photopic.models.backbones import BackboneClassifier, build_features, create_timm, native_preprocess
from photopic.models.bundled import BUNDLED
from photopic.models.efficientnet_lite import FEATURES
from photopic.models.weights import load_by_name, load_in_order, read_bundled, read_weights

CLASSES = 1000
CATS = range(281, 286)
"""Domestic cats: tabby, tiger cat, Persian cat, Siamese cat, Egyptian cat."""
DOGS = range(151, 269)
"""Domestic dogs, from the Chihuahua to the Mexican hairless: 118 breeds."""


@dataclass(frozen=True)
class ImageNetClass:
    """One of the 1,000 classes."""

    wordnet_id: str
    """n and eight digits: the synset's place in WordNet 3.0."""
    words: tuple[str, ...]
    """The synset's words, the usual one first."""

    def __str__(self) -> str:
        """As keras.applications prints it: n02124075 Egyptian_cat."""
        return f"{self.wordnet_id} {self.words[0].replace(' ', '_')}"


@dataclass(frozen=True)
class ImageNetClassifier:
    """A network whose outputs are the 1,000 classes."""

    name: str
    module: nn.Module
    """(N, 3, S, S) normalised float32 to logits (N, 1000)."""
    preprocess: PreprocessConfig
    """What the network was trained to see, with mean and std."""


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """The classes in the order of the networks' outputs. Imports timm, which takes seconds."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return tuple(
        ImageNetClass(info.index_to_label_name(number), tuple(info.index_to_description(number).split(", ")))
        for number in range(CLASSES)
    )


def load_classifier(name: str = "efficientnet_lite0", weights: str | Path = "bundled") -> ImageNetClassifier:
    """A pretrained network with its own last layer.

    name: a bundled network, or an architecture of timm. weights: bundled, or a .safetensors, .pth, .pt or
    .bin file with the names of timm or torchvision. Raises ModelError for an unknown name and for weights
    that do not fit or have no layer of 1,000 classes, OfflineError if there are none for this network.
    """
    if str(weights) == "bundled" and name not in BUNDLED:
        raise OfflineError(
            f"the weights of {name} are not on this machine. Name a file with them, last layer included."
        )
    if name in BUNDLED:
        module: nn.Module = BackboneClassifier(build_features(name), FEATURES, CLASSES)
        state = read_bundled(name) if str(weights) == "bundled" else read_weights(_path(weights))
        load_in_order(module, state, f"{weights} weights of {name}")
    else:
        module = create_timm(name)
        load_by_name(module, read_weights(_path(weights)), f"{weights} for {name}")
    return ImageNetClassifier(name, module.eval().requires_grad_(False), native_preprocess(name))


def _path(weights: str | Path) -> Path:
    return Path(weights).expanduser()
