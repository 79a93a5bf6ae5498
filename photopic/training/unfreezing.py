"""Which weights of a backbone learn, how fast, and from which epoch on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from photopic.augment.mix import Mix
from photopic.config import FineTuneRecipe
from photopic.models.backbones import Backbone, BackboneClassifier
from photopic.models.cutting import layers_from
from photopic.models.layers import BatchNorm
from photopic.models.zoo import classifier_on
from photopic.training.loop import Inputs

ALL, NONE = "all", "none"
"""unfreeze_from: the whole backbone, nothing of it."""
_NORMS = (nn.modules.batchnorm._BatchNorm, BatchNorm)


def unfrozen_layers(module: nn.Module, name: str) -> list[list[nn.Module]]:
    """The layers that learn, lowest first; each is one or more modules.

    name: as in `layers_from`; none: there are none; all: every child of the network is a layer, of a list of
    layers each part.
    Raises ModelError, listing the children, if there is no such module.
    """
    if name == NONE:
        return []
    if name != ALL:
        return layers_from(module, name)
    layers: list[list[nn.Module]] = []
    for part in _parts(module):
        if layers and all(parameter.ndim < 2 for parameter in part.parameters()):
            layers[-1].append(part)  # a norm or a pool belongs to the layer before it
        else:
            layers.append([part])
    return layers


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from child.children() if isinstance(child, nn.Sequential | nn.ModuleList) else [child]


def prepare_finetune(recipe: FineTuneRecipe, backbone: Backbone, num_classes: int) -> BackboneClassifier:
    """Backbone and a new head, with what `unfreeze_from` and `batch_norm` say frozen.

    With binary cross-entropy the head has one output. Raises ModelError, listing the children, if the
    backbone has no module of that name, ConfigError for one output and more than two classes.
    """
    one_output = recipe.loss.name == "binary-cross-entropy"
    model = classifier_on(backbone.module, backbone.dim, num_classes, recipe.head, one_output=one_output)
    model.requires_grad_(recipe.unfreeze_from == ALL)  # parameters of no layer too, such as a class token
    for parameter in head_parameters(model):
        parameter.requires_grad_(True)
    unfrozen: set[nn.Module] = set()
    for layer in unfrozen_layers(backbone.module, recipe.unfreeze_from):
        for part in layer:
            part.requires_grad_(True)
            unfrozen.update(part.modules())
    kept = [module for module in backbone.module.modules() if unfrozen.isdisjoint(module.modules())]
    if recipe.batch_norm == "frozen":
        kept += [module for module in unfrozen if isinstance(module, _NORMS)]
    model.kept_in_eval = tuple(kept)
    return model


def head_parameters(model: BackboneClassifier) -> list[nn.Parameter]:
    """Weights and biases of everything behind the backbone."""
    hidden = [] if model.hidden is None else list(model.hidden.parameters())
    return [*hidden, *model.head.parameters()]


@torch.no_grad()
def set_head(model: BackboneClassifier, head: nn.Linear) -> None:
    """Take over a head of K outputs; of one with a single output their difference, which says the same."""
    one = model.one_output
    model.head.weight.copy_(head.weight[1:] - head.weight[:1] if one else head.weight)
    model.head.bias.copy_(head.bias[1:] - head.bias[:1] if one else head.bias)


def draw_head(model: BackboneClassifier, seed: int) -> None:
    """Glorot uniform weights and biases of 0 (Glorot and Bengio 2010), from the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    nn.init.xavier_uniform_(model.head.weight, generator=generator)
    nn.init.zeros_(model.head.bias)


def parameter_groups(
    model: BackboneClassifier, unfreeze_from: str, layer_decay: float
) -> list[dict[str, Any]]:
    """Groups for `build_optimizer`, the head first: rate 1, then layer_decay, layer_decay² and so on."""
    groups: list[dict[str, Any]] = [{"params": head_parameters(model), "lr_scale": 1.0}]
    for distance, layer in enumerate(reversed(unfrozen_layers(model.backbone, unfreeze_from)), start=1):
        parameters = [parameter for part in layer for parameter in part.parameters()]
        groups.append({"params": parameters, "lr_scale": layer_decay**distance})
    if unfreeze_from == ALL:
        groups[-1]["params"] += list(model.backbone.parameters(recurse=False))
    return groups


class Unfreezing:
    """Training inputs that freeze the backbone at the beginning of the first epochs, and then no more.

    All that changes follows from the number of the epoch, so a resumed training is in the same state.
    """

    def __init__(
        self,
        inputs: Inputs,
        recipe: FineTuneRecipe,
        model: BackboneClassifier,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """model and optimizer: prepared for the epochs after the freeze."""
        self._inputs = inputs
        self._recipe = recipe
        self._model = model
        self._optimizer = optimizer
        self._learning = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
        self._kept_in_eval = model.kept_in_eval
        self._rates = [group["peak_lr"] for group in optimizer.param_groups]

    def __len__(self) -> int:
        return len(self._inputs)

    def start_epoch(self, epoch: int) -> None:
        """Freeze or unfreeze: gradients, statistics of norms, dropout and learning rates."""
        frozen = epoch < self._recipe.frozen_epochs
        for parameter in self._learning:
            parameter.requires_grad_(not frozen)
        self._model.kept_in_eval = (self._model.backbone,) if frozen else self._kept_in_eval
        factor = 1.0 if frozen else self._recipe.unfrozen_rate
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["peak_lr"] = rate * factor
        self._inputs.start_epoch(epoch)

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        """As the inputs themselves."""
        return self._inputs.batch(rows, draws)
