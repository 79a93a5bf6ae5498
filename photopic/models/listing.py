"""The list of all networks that a recipe can name; made without building any, and without importing torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version

from photopic.errors import UserError
from photopic.files import cache_dir, write_json
from photopic.models.bundled import BUNDLED
from photopic.models.classic import CLASSICS


@dataclass(frozen=True)
class ModelInfo:
    """One line of `photopic models`."""

    name: str
    family: str
    """fast: photopic's own; classic: of the textbooks; bundled: weights come with photopic; timm: weights
    from a file or a hub, or none."""
    parameters: int | None
    """Number of weights: of classic networks as published, of bundled ones without the last layer; None where
    counting would mean building the network (`photopic models show NAME` does)."""
    offline: bool
    """Whether it can be used with pretrained weights, or needs none, without a download."""
    license: str
    """Licence of the weights; empty where there are none."""


def list_models() -> list[ModelInfo]:
    """All networks that a recipe can name; photopic's own, the classic and the bundled ones first.

    A name may stand in two families: resnet18 is a classic layer list and an architecture of timm.
    """
    own = [ModelInfo("fast", "fast", None, offline=True, license="")]
    classic = [
        ModelInfo(name, "classic", network.parameters, offline=True, license="")
        for name, network in CLASSICS.items()
    ]
    bundled = [
        ModelInfo(name, "bundled", weights.parameters, offline=True, license=weights.license or "unknown")
        for name, weights in BUNDLED.items()
    ]
    others = [
        ModelInfo(name, "timm", None, offline=False, license=license_name)
        for name, license_name in timm_licences().items()
        if name not in BUNDLED
    ]
    return own + classic + bundled + others


def timm_licences() -> dict[str, str]:
    """timm's architectures and the licences of their weights, empty where there are none.

    Kept in the cache for the installed version of timm, because importing timm takes seconds.
    """
    path = cache_dir() / f"timm-{version('timm')}.json"
    try:
        known: dict[str, str] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = _ask_timm()
        try:
            write_json(path, known)
        except (OSError, UserError):
            return known  # a cache that cannot be written only costs time
    return known


def _ask_timm() -> dict[str, str]:
    import timm

    found = {}
    for name in timm.list_models():
        cfg = timm.get_pretrained_cfg(name, allow_unregistered=True)
        found[name] = (cfg.license or "unknown") if cfg is not None and cfg.has_weights else ""
    return found
