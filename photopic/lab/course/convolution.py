"""C31, C32: convolution and pooling by hand, random filters, and an image's way through a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome
from photopic.report.figures import image_grid

GROUND = np.arange(1.0, 10.0).reshape(3, 3)
"""The deck's 3×3 image."""


def pad_same(images: Tensor, size: int, stride: int = 1, *, value: float = 0.0) -> Tensor:
    """(n, c, h, w) with rows and columns added so that a window of `size` gives ceil(side / stride) outputs.

    An odd number of them: the greater part at the right and below (Keras' 'same').
    """
    pads: list[int] = []
    for side in (images.shape[3], images.shape[2]):
        extra = max(0, (-(-side // stride) - 1) * stride + size - side)
        pads += [extra // 2, extra - extra // 2]
    return F.pad(images, pads, value=value)


def convolve(image: np.ndarray, filters: np.ndarray, *, same: bool = False, stride: int = 1) -> np.ndarray:
    """(h, w) image and (k, size, size) filters -> (k, h', w'), h' = (h + 2·padding − size)/stride + 1.

    What networks call convolution: the filter is not flipped.
    """
    images = torch.from_numpy(np.asarray(image, np.float64))[None, None]
    if same:
        images = pad_same(images, filters.shape[-1], stride)
    weights = torch.from_numpy(np.asarray(filters, np.float64))[:, None]
    result: np.ndarray = F.conv2d(images, weights, stride=stride)[0].numpy()
    return result


def max_pool(image: np.ndarray, size: int, *, stride: int, same: bool = False) -> np.ndarray:
    """(h, w) -> (h', w'): the greatest value in each window; padding never wins."""
    images = torch.from_numpy(np.asarray(image, np.float64))[None, None]
    if same:
        images = pad_same(images, size, stride, value=-torch.inf)
    result: np.ndarray = F.max_pool2d(images, size, stride)[0, 0].numpy()
    return result


def c31(context: Context) -> Outcome:
    """Convolution and pooling of the image 1…9, as exact arrays."""
    ones = np.ones((1, 2, 2))
    three = np.stack([np.full((2, 2), value) for value in (1.0, 10.0, -1.0)])
    arrays = {
        "conv 2×2 of ones, valid": convolve(GROUND, ones)[0],
        "conv 2×2 of ones, same": convolve(GROUND, ones, same=True)[0],
        "max pool 2×2, stride 1, same": max_pool(GROUND, 2, stride=1, same=True),
    }
    filtered = convolve(GROUND, three, same=True)
    more = {f"conv 2×2 of {value}, same": result for value, result in zip((1, 10, -1), filtered, strict=True)}
    pictures = [GROUND, *arrays.values(), *filtered]
    names = ["image", "ones, valid", "ones, same", "max pool, same", "filter 1", "filter 10", "filter −1"]
    figure = image_grid(pictures, columns=4, titles=names, title="An image of 1 to 9, filtered and pooled")
    rows = tuple(context.row(name, array.astype(int).tolist()) for name, array in (arrays | more).items())
    agreeing = sum(row.measured == row.reported for row in rows[: len(arrays)])
    sizes = [str(len(array)) for array in arrays.values()]
    return Outcome(
        rows=rows,
        figures=(context.draw("arrays.png", "The arrays as pictures, each from dark to bright", figure),),
        sentences=(
            f"{agreeing} of the deck's {len(arrays)} arrays come out exactly.",
            f"A 2×2 window on a 3×3 image leaves {sizes[0]}×{sizes[0]} values, (3 + 2·0 − 2)/1 + 1; 'same' "
            f"adds a row below and a column at the right, and leaves {sizes[1]}×{sizes[1]}.",
            f"The filter of tens gives {filtered[1].max() / filtered[0].max():.0f} times the values of the "
            f"filter of ones, that of −1 the same with their sign turned (down to {filtered[2].min():.0f}), "
            f"of which ReLU would leave {(filtered[2] > 0).sum()} of {filtered[2].size} values.",
        ),
    )
