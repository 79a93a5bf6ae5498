"""A network up to one of its layers, whose map becomes the features: transfer from a named layer."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import fx, nn

from photopic.config import BackboneConfig
from photopic.errors import ConfigError, ModelError, first_line
from photopic.models.backbones import Backbone
from photopic.models.cutting import until_module
from photopic.models.forward import evaluation_mode
from photopic.models.shapes import size_text

KERAS_NAMES = {
    "inception_v3": {
        **{"mixed0": "Mixed_5b", "mixed1": "Mixed_5c", "mixed2": "Mixed_5d", "mixed3": "Mixed_6a"},
        **{"mixed4": "Mixed_6b", "mixed5": "Mixed_6c", "mixed6": "Mixed_6d", "mixed7": "Mixed_6e"},
        **{"mixed8": "Mixed_7a", "mixed9": "Mixed_7b", "mixed10": "Mixed_7c"},
    }
}
"""Layer names of keras.applications that `until` takes too, and timm's for the same layers."""


def truncated(module: nn.Module, config: BackboneConfig, channels: int, size: int) -> nn.Module:
    """The backbone up to `config.until`, its map pooled or flattened: (N, C, S, S) to (N, D).

    channels, size: C and S, of the input. The module itself where the whole backbone is wanted. The result
    shares the module's layers under their names; its `num_features` is D.
    Raises ModelError, listing the layers, if there is none of this name, or if it gives no map; ConfigError
    for images too small for these layers.
    """
    if config.until is None:
        return module
    name = KERAS_NAMES.get(config.name, {}).get(config.until, config.until)
    cut = until_module(module, name)
    shape = _output_shape(cut, channels, size)
    if len(shape) == 3:
        _append(cut, config.pool)
    elif len(shape) != 1:
        raise ModelError(
            f"backbone.until={config.until}: this layer gives {size_text(shape)}, which is no map."
        )
    elif config.pool != "avg":
        raise ModelError(f"backbone.pool has no effect: {config.until} gives {shape[0]} numbers and no map.")
    places = shape[1] * shape[2] if len(shape) == 3 and config.pool == "flatten" else 1
    cut.num_features = shape[0] * places  # type: ignore[assignment]  # modules take any attribute
    return cut


def truncate_backbone(backbone: Backbone, config: BackboneConfig, size: int | None) -> Backbone:
    """A loaded backbone up to `config.until`. size: side of its input; None: what it was trained on."""
    if config.until is None:
        return backbone
    native = backbone.preprocess
    module = truncated(backbone.module, config, native.channels, size or native.size)
    return replace(backbone, module=module, dim=int(module.num_features))  # type: ignore[arg-type]


def _output_shape(cut: fx.GraphModule, channels: int, size: int) -> tuple[int, ...]:
    """Without the batch, of one image, computed without values. Raises ConfigError for a size too small."""
    state = {name: tensor.to("meta") for name, tensor in cut.state_dict().items()}
    images = torch.empty(1, channels, size, size, device="meta")
    try:
        with evaluation_mode(cut):
            out = torch.func.functional_call(cut, state, (images,))
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"the layers up to backbone.until cannot take images of {size}×{size} px ({first_line(error)}). "
            "Set a larger preprocess.size."
        ) from None
    return tuple(out.shape[1:])


def _append(cut: fx.GraphModule, pool: str) -> None:
    """Pool the map over its places, or put it in one row."""
    end = next(node for node in cut.graph.nodes if node.op == "output")
    last = end.args[0]
    with cut.graph.inserting_before(end):
        if pool == "avg":
            flat = cut.graph.call_function(torch.mean, (last, (2, 3)))
        else:
            flat = cut.graph.call_function(torch.flatten, (last, 1))
    end.args = (flat,)
    cut.recompile()
