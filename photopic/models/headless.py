"""A classifier without its last layer: what one network has learned, for another to build upon."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from photopic.errors import ModelError
from photopic.models.backbones import BackboneClassifier
from photopic.models.fast import FastNet
from photopic.models.layered import LayeredNet
from photopic.models.two_classes import TwoClassLogits


def without_head(model: nn.Module) -> nn.Module:
    """The network up to the input of its last linear layer: images (N, C, H, W) to features (N, D).

    Its `num_features` is D, its modules keep their names. The model is used up: what comes back shares its
    parameters. FastNet loses the division of its logits too, a backbone with a head becomes the backbone.
    Raises ModelError for a network whose last layer is not linear.
    """
    match model:
        case TwoClassLogits():
            return without_head(model.network)
        case BackboneClassifier():
            return model.backbone
        case FastNet():
            model.head = None
            return model
        case LayeredNet():
            return _without_last(model)
    if not callable(getattr(model, "reset_classifier", None)):
        raise ModelError(f"{type(model).__name__} has no last layer that could be taken off.")
    model.reset_classifier(0)  # type: ignore[operator]
    return model


class _Rest(LayeredNet):
    """Layers without the output: images (N, C, H, W) to features (N, num_features)."""

    def __init__(self, layers: OrderedDict[str, nn.Module], num_features: int) -> None:
        super().__init__(layers)
        self.num_features = num_features


def _without_last(model: LayeredNet) -> LayeredNet:
    *layers, (name, last) = model.named_children()
    if not isinstance(last, nn.Linear):
        raise ModelError(
            f"the last layer of the network, {name}, is a {type(last).__name__}; "
            "only a linear one can be taken off."
        )
    return _Rest(OrderedDict(layers), last.in_features)
