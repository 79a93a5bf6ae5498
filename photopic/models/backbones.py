"""Pretrained networks without their last layer, and where their weights come from.

efficientnet_lite0 is built here and needs no timm; every other name is an architecture of timm, whose import
takes about two seconds and is left until it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from photopic.config import BackboneConfig, PreprocessConfig
from photopic.errors import ConfigError, ModelError, OfflineError, did_you_mean, first_line
from photopic.files import sha256_file
from photopic.models.bundled import BUNDLED
from photopic.models.efficientnet_lite import EfficientNetLite
from photopic.models.weights import (
    hash_tensors,
    load_by_name,
    load_in_order,
    read_bundled,
    read_weights,
)

_LITE_PREPROCESS = PreprocessConfig(
    size=224,
    crop_fraction=0.875,
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


@dataclass(frozen=True)
class Backbone:
    """A pretrained network that turns images into features."""

    name: str
    module: nn.Module
    """(N, 3, S, S) normalised float32 to (N, D) float32."""
    dim: int
    """D, the length of a feature vector."""
    preprocess: PreprocessConfig
    """What the network was trained to see."""
    license: str
    """Licence of the weights, an SPDX identifier where known."""
    sha256: str
    """Identity of the weights."""


class BackboneClassifier(nn.Module):
    """A backbone and one linear layer: the network of the ways frozen and fine-tune.

    hidden: layers between the two, which put out `dim` numbers. one_output: the head has a single output z
    for two classes, whose logits are [0, z]. kept_in_eval: modules that stay in evaluation mode whatever mode
    the network is in: frozen layers, and batch norms whose statistics are to stay as pretrained.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dim: int,
        num_classes: int,
        *,
        hidden: nn.Module | None = None,
        one_output: bool = False,
    ) -> None:
        super().__init__()
        if one_output and num_classes != 2:
            raise ConfigError(
                f"loss: binary-cross-entropy is for two classes, and there are {num_classes}. "
                "Take cross-entropy."
            )
        self.backbone = backbone
        self.hidden = hidden
        self.one_output = one_output
        self.head = nn.Linear(dim, 1 if one_output else num_classes)
        self.kept_in_eval: tuple[nn.Module, ...] = ()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, S, S) to logits (N, K)."""
        features = self.backbone(images)
        return self.as_logits(self.head(features if self.hidden is None else self.hidden(features)))

    def as_logits(self, outputs: Tensor) -> Tensor:
        """The head's outputs (N, 1 or K) as logits (N, K)."""
        return torch.cat([torch.zeros_like(outputs), outputs], 1) if self.one_output else outputs

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, except for what is kept in evaluation mode."""
        super().train(mode)
        for module in self.kept_in_eval:
            module.eval()
        return self


def load_backbone(config: BackboneConfig, *, allow_download: bool = False) -> Backbone:
    """The backbone with its pretrained weights.

    Raises ModelError for an unknown name or weights that do not fit, OfflineError when the weights are not on
    this machine and no download is allowed.
    """
    if config.weights == "bundled" and config.name in BUNDLED:
        module = build_features(config.name)
        load_in_order(module, read_bundled(config.name), f"the bundled file of {config.name}")
        bundled = BUNDLED[config.name]
        return _backbone(config.name, module, bundled.license, bundled.sha256)
    if config.weights in ("bundled", "download"):
        return _download(config, allow_download)
    return _from_file(config.name, Path(config.weights).expanduser())


def backbone_identity(config: BackboneConfig) -> str | None:
    """SHA-256 of the weights without loading them; None when they would have to be downloaded first."""
    if config.weights == "bundled" and config.name in BUNDLED:
        return BUNDLED[config.name].sha256
    if config.weights in ("bundled", "download"):
        return None
    path = Path(config.weights).expanduser()
    return sha256_file(path) if path.is_file() else None


def build_features(name: str) -> nn.Module:
    """The architecture without its last layer, from random weights; its `num_features` is D.

    Raises ModelError for an unknown name.
    """
    if name in BUNDLED:
        return EfficientNetLite(name)
    return create_timm(name, num_classes=0)


def feature_size(module: nn.Module) -> int:
    """D, the length of the feature vectors of what `build_features` returned."""
    return int(getattr(module, "head_hidden_size", None) or module.num_features)  # type: ignore[arg-type]


def native_preprocess(name: str) -> PreprocessConfig:
    """What a backbone was trained to see: size, crop, interpolation, mean and std."""
    if name in BUNDLED:
        return _LITE_PREPROCESS
    cfg = _pretrained_cfg(name)
    channels, height, width = cfg.input_size
    if channels != 3 or height != width:
        raise ModelError(f"{name} takes {channels}×{height}×{width} images; photopic's backbones take 3×S×S.")
    squash = cfg.crop_mode == "squash"
    return PreprocessConfig(
        size=height,
        resize="stretch" if squash else "crop",
        crop_fraction=1.0 if squash else cfg.crop_pct,
        interpolation=cfg.interpolation if cfg.interpolation in ("bilinear", "lanczos") else "bicubic",
        mean=cfg.mean,
        std=cfg.std,
    )


def create_timm(name: str, **options: Any) -> nn.Module:
    """timm.create_model without weights. Raises ModelError for an unknown name."""
    import timm

    _check_timm_name(name)
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model


def _check_timm_name(name: str) -> None:
    import timm

    if not timm.is_model(name):
        hint = did_you_mean(name, [*BUNDLED, *timm.list_models()])
        raise ModelError(f'model "{name}" is not known.{hint} `photopic models` lists all.')


def _pretrained_cfg(name: str) -> Any:
    import timm

    _check_timm_name(name)
    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError:  # the part behind the dot
        architecture = name.split(".")[0]
        tags = timm.list_pretrained(f"{architecture}.*")
        raise ModelError(f'weights "{name}" are not known.{did_you_mean(name, tags)}') from None
    return cfg or timm.models.PretrainedCfg()


def _from_file(name: str, path: Path) -> Backbone:
    module = build_features(name)
    state = read_weights(path)
    if name in BUNDLED and not state.keys() & {"conv_stem.weight"}:
        load_in_order(module, state, f"{path} for {name}")
    else:
        load_by_name(module, state, f"{path} for {name}")
    return _backbone(name, module, f"unknown: see where {path.name} came from", sha256_file(path))


def _download(config: BackboneConfig, allow_download: bool) -> Backbone:
    name = config.name
    if name in BUNDLED:
        raise ModelError(f'{name} comes with photopic: set weights to "bundled" instead of "download".')
    cfg = _pretrained_cfg(name)  # an unknown name is the more useful complaint
    fetched = _fetched_before(cfg)
    if fetched is None and not allow_download:
        raise OfflineError(
            f"the weights of {name} are not on this machine, and no download was allowed. Three ways: use "
            "the bundled backbone efficientnet_lite0; name a file with --weights PATH; or --allow-download."
        )
    import timm

    overlay = None if fetched is None else {"state_dict": read_weights(fetched)}
    try:
        module: nn.Module = timm.create_model(
            name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        )
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"the weights of {name} could not be had ({first_line(error)}). Use --weights PATH."
        ) from error
    built: Any = module
    built.pretrained_cfg.pop("state_dict", None)  # the same weights once more
    source = f"https://huggingface.co/{cfg.hf_hub_id}" if cfg.hf_hub_id else "the architecture's page in timm"
    return _backbone(name, module, cfg.license or f"unknown: see {source}", hash_tensors(module.state_dict()))


def _fetched_before(cfg: Any) -> Path | None:
    """The file of an earlier download, in the cache of the hub or of torch; None: there is none."""
    from huggingface_hub import try_to_load_from_cache

    if cfg.hf_hub_id:
        usual = ("model.safetensors", "pytorch_model.bin")
        for name in (cfg.hf_hub_filename,) if cfg.hf_hub_filename else usual:
            found = try_to_load_from_cache(cfg.hf_hub_id, name)
            if isinstance(found, str):
                return Path(found)
        return None
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(cfg.url or "none").name
    return file if file.is_file() else None


def _backbone(name: str, module: nn.Module, license_name: str, sha256: str) -> Backbone:
    module = module.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Backbone(name, module, feature_size(module), native_preprocess(name), license_name, sha256)
