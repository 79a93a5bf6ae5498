"""Logits of a network for many images: the one forward pass of validation, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError, did_you_mean
from photopic.runtime import Runtime, flushing_denormals

TestViews = Literal["none", "flip", "shift", "flip+shift"]
_CPU_BATCH_PIXELS = 32 * 224 * 224
"""Pixels of one batch on a CPU: 256 images of 79 px, 32 of 224 px; more only costs memory."""
_GPU_BATCH_PIXELS = 2**24


def predict_logits(
    model: nn.Module | Callable[[Tensor], Tensor],
    images_u8: npt.NDArray[np.uint8] | Tensor,
    preprocess: Preprocess,
    *,
    runtime: Runtime,
    test_views: str = "none",
    batch_size: int = 256,
) -> npt.NDArray[np.float32]:
    """Logits (N, K) float32 of stored images (N, S, S, C) uint8, N ≥ 0, in their order.

    model: on runtime.device; a module is run in evaluation mode and given back in the mode it came in.
    test_views: whose logits are averaged, see `views`; for probabilities that is the geometric mean, made to
    sum to 1 (of members of an ensemble it is the arithmetic one). batch_size: at most so many images at once;
    fewer when they are large. Raises ConfigError for unknown views.
    """
    pixels = max(1, int(images_u8.shape[1] * images_u8.shape[2]))
    limit = _CPU_BATCH_PIXELS if runtime.device.type == "cpu" else _GPU_BATCH_PIXELS
    step = max(1, min(batch_size, limit // pixels))
    make_views = views(test_views)
    parts = []
    mode = evaluation_mode(model) if isinstance(model, nn.Module) else nullcontext()
    with torch.inference_mode(), mode, flushing_denormals():
        # max: of no images one empty batch is run, which tells the number of classes
        for start in range(0, max(1, len(images_u8)), step):
            images = preprocess.to_float(runtime.to_device(_tensor(images_u8[start : start + step])))
            with runtime.autocast():
                logits = sum(weight * model(view).float() for weight, view in make_views(images))
            assert isinstance(logits, Tensor)
            parts.append(logits.cpu())
    return torch.cat(parts).numpy()


def views(test_views: str) -> Callable[[Tensor], Iterator[tuple[float, Tensor]]]:
    """From images (N, C, H, W) to (weight, images) pairs, weights summing to 1.

    none: the images. flip: and their mirror image. shift: the images (½) and they shifted by one pixel to
    the lower right and to the upper left (¼ each), edges reflected. flip+shift: all of these and their
    mirror images (Jordan 2024, arXiv:2404.00498, section 3.5).
    """
    shifted, flipped = _VIEWS.get(test_views, (None, None))
    if shifted is None or flipped is None:
        raise ConfigError(f'test_views "{test_views}" is not known.{did_you_mean(test_views, _VIEWS)}')

    def make(images: Tensor) -> Iterator[tuple[float, Tensor]]:
        places = _shifts(images) if shifted else [(1.0, images)]
        for weight, view in places:
            if flipped:
                yield weight / 2, view
                yield weight / 2, view.flip(3)
            else:
                yield weight, view

    return make


_VIEWS: dict[str, tuple[bool, bool]] = {
    "none": (False, False),
    "flip": (False, True),
    "shift": (True, False),
    "flip+shift": (True, True),
}


def _shifts(images: Tensor) -> list[tuple[float, Tensor]]:
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect" if min(height, width) > 1 else "replicate")
    return [
        (weight, padded[:, :, y : y + height, x : x + width].contiguous(memory_format=torch.channels_last))
        for weight, y, x in ((0.5, 1, 1), (0.25, 0, 0), (0.25, 2, 2))
    ]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode while the block runs; each of its modules gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _tensor(images_u8: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    if isinstance(images_u8, Tensor):
        return images_u8
    return torch.from_numpy(np.array(images_u8))  # a copy: read-only memory maps make no tensors
