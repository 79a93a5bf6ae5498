"""Backbones from anywhere: pretrained weights, or the network of a run without its last layer."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from photopic.config import BackboneConfig, ScratchRecipe
from photopic.config.networks import RUN
from photopic.errors import RunError
from photopic.models.backbones import Backbone, backbone_identity, feature_size, load_backbone
from photopic.models.bundled import BUNDLED
from photopic.models.headless import without_head
from photopic.models.native import check_size
from photopic.models.truncated import truncate_backbone
from photopic.models.zoo import build_model
from photopic.run import MANIFEST, WEIGHTS, Run


def is_of_run(config: BackboneConfig) -> bool:
    """Whether the weights are those of a run folder."""
    return config.name == RUN or (Path(config.weights).expanduser() / MANIFEST).is_file()


def find_backbone(
    config: BackboneConfig, *, allow_download: bool = False, size: int | None = None
) -> Backbone:
    """The backbone with its weights, pretrained or of a run; see `load_backbone` and `backbone_of_run`.

    size: side of its input, which decides how long a flattened map is; None: what it was trained on.
    Raises ConfigError for a size that it cannot take.
    """
    if is_of_run(config):
        backbone = backbone_of_run(Run.open(Path(config.weights).expanduser()))
    else:
        backbone = load_backbone(config, allow_download=allow_download)
        if size is not None and config.name not in BUNDLED and config.until is None:
            check_size(backbone.module, config.name, backbone.preprocess.channels, size)
    return truncate_backbone(backbone, config, size)


def find_identity(config: BackboneConfig) -> str | None:
    """SHA-256 of the weights, loaded only if need be; None when they must be downloaded first."""
    if is_of_run(config):
        run = Run.open(Path(config.weights).expanduser())
        run.verified(WEIGHTS)
        return run.manifest.files[WEIGHTS]
    return backbone_identity(config)


def load_network(run: Run, weights_name: str = WEIGHTS) -> nn.Module:
    """The network of a run with its weights, which are checked against the SHA-256 in run.json.

    weights_name: the selected weights, or others that the run has kept. Raises RunError for an ensemble, and
    when the run has no weights, or they are missing, altered or do not fit.
    """
    if run.manifest.kind == "ensemble":
        raise RunError(
            f"{run.path}: is an ensemble of several networks, and this is for one. Name a member: "
            f"{run.path / 'members'} holds them."
        )
    weights = run.load_weights(weights_name)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and thrown away
        model = build_model(run.recipe, len(run.class_names))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(f"{run.path}: its weights do not fit its recipe ({reason}). Train again.") from None
    return model


def backbone_of_run(run: Run) -> Backbone:
    """The network of a run without its last layer, in memory of its own: the run stays as it is."""
    module = (
        without_head(load_network(run)).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    )
    recipe, source = run.recipe, run.manifest.weights_source
    name = RUN if isinstance(recipe, ScratchRecipe) else recipe.backbone.name
    return Backbone(
        name,
        module,
        feature_size(module),
        recipe.preprocess,
        source.get("license", f"your own run {run.path.name}"),
        run.manifest.files[WEIGHTS],
    )
