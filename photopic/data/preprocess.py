"""From a decoded image to network input: one object, the same in training, evaluation and prediction.

Two halves. `to_store` runs once per image, on uint8 with Pillow: grey, crop or pad, resize. `to_float` runs
once per batch, on the device: uint8 to normalised float32. Axes: n images, h height, w width, c channels.
"""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from photopic.config import PreprocessConfig
from photopic.config.images import FIXED_SCALINGS
from photopic.errors import ConfigError, DataError
from photopic.runtime import to_device

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
Numbers = tuple[float, ...]
Counts = npt.NDArray[np.int64]
_VERSION = 1  # part of `key`; raise it when `to_store` gives other pixels
_MAX_MEASURED = 2**31  # pixel values that `measured_on` reads at most: about 14,000 photos of 224 px
_VALUES = np.arange(256, dtype=np.int64)  # of a pixel


class Preprocess:
    """How one image becomes network input. `config` says all of it; mean and std may come later.

    Immutable; two objects with equal configs do the same.
    """

    def __init__(self, config: PreprocessConfig) -> None:
        self.config = config

    @property
    def key(self) -> str:
        """Hexadecimal hash of everything that changes stored pixels; scaling, mean and std do not."""
        fields = self.config.model_dump(mode="json", exclude={"mean", "std", "scaling"})
        text = json.dumps({"version": _VERSION, **fields}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def min_side(self) -> int:
        """Shorter side, pixels, below which decoding must not shrink an image: what `to_store` scales to."""
        return math.ceil(self.config.size / self.config.crop_fraction)

    # ---- once per image ----------------------------------------------------------------------------------

    def to_store(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 1 or 3) uint8, any size, upright -> (size, size, channels) uint8.

        Grey is ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B) as in Pillow's mode L, taken before resizing.
        Raises DataError for another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
            raise DataError(
                f"an image must be uint8 with shape (height, width, 1 or 3); got {image.dtype} {image.shape}."
            )
        size, channels = self.config.size, self.config.channels
        if image.shape[:2] != (size, size) or self.config.crop_fraction != 1.0 or image.shape[2] > channels:
            image = self._resize(_to_pillow(image, channels))
        if image.shape[2] < channels:
            image = np.repeat(image, channels, axis=2)
        return np.ascontiguousarray(image)

    def _resize(self, image: Image.Image) -> np.ndarray:
        size, width, height = self.config.size, image.width, image.height
        resample = _FILTERS[self.config.interpolation]
        if self.config.resize == "crop":
            kept = min(width, height) * self.config.crop_fraction
            left, top = (width - kept) / 2, (height - kept) / 2
            image = image.resize((size, size), resample, box=(left, top, left + kept, top + kept))
        elif self.config.resize == "stretch":
            image = image.resize((size, size), resample)
        else:
            image = self._pad(image, resample)
        return _from_pillow(image)

    def _pad(self, image: Image.Image, resample: Image.Resampling) -> Image.Image:
        size = self.config.size
        scale = size / max(image.width, image.height)
        width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        background = Image.new("RGB", (size, size), self.config.background).convert(image.mode)
        background.paste(image.resize((width, height), resample), ((size - width) // 2, (size - height) // 2))
        return background

    # ---- once per batch ----------------------------------------------------------------------------------

    def to_01(self, images_u8: Tensor) -> Tensor:
        """(n, h, w, c) uint8 -> (n, c, h, w) float32 in 0..1, channels_last memory; before augmentation."""
        self._check_batch(images_u8)
        return images_u8.to(torch.float32).mul_(1 / 255).permute(0, 3, 1, 2)

    def normalise(self, images_01: Tensor) -> Tensor:
        """(n, c, h, w) float32 in 0..1 -> the same minus mean, divided by std; channels_last memory."""
        scale, bias = self._scale_and_bias(1.0)
        out = torch.empty_like(images_01, memory_format=torch.channels_last)
        if images_01.is_contiguous(memory_format=torch.channels_last):
            return _multiply_add(images_01.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), scale, bias)
        for channel, (factor, offset) in enumerate(zip(scale, bias, strict=True)):
            term = images_01.new_full((), offset)
            torch.add(term, images_01[:, channel], alpha=factor, out=out[:, channel])
        return out

    def to_float(self, images_u8: Tensor) -> Tensor:
        """(n, h, w, c) uint8 -> (n, c, h, w) float32, normalised, channels_last memory, on the same device.

        Raises ConfigError while mean and std are unknown: see `measured_on`.
        """
        self._check_batch(images_u8)
        scale, bias = self._scale_and_bias(255.0)
        floats = torch.empty(images_u8.shape, dtype=torch.float32, device=images_u8.device)
        return _multiply_add(floats.copy_(images_u8), floats, scale, bias)

    def _scale_and_bias(self, largest: float) -> tuple[list[float], list[float]]:
        config = with_fixed_scaling(self.config)
        mean, std = config.mean, config.std
        if mean is None or std is None:
            raise ConfigError(
                "mean and std are not known yet. Give both, or call measured_on(training images)."
            )
        scale = [1 / (largest * s) for s in std]
        return scale, [-m / s for m, s in zip(mean, std, strict=True)]

    def _check_batch(self, images_u8: Tensor) -> None:
        if (
            images_u8.dtype != torch.uint8
            or images_u8.ndim != 4
            or images_u8.shape[3] != self.config.channels
        ):
            raise DataError(
                f"a batch must be uint8 with shape (n, h, w, {self.config.channels}); "
                f"got {images_u8.dtype} {tuple(images_u8.shape)}."
            )

    # ---- once per training -------------------------------------------------------------------------------

    def measured_on(self, images_u8: np.ndarray | Tensor) -> Preprocess:
        """A Preprocess with mean and std filled in from (n, h, w, c) uint8 training images, where None.

        Pixels x in 0..1 become (x − mean) / std, whatever the scaling; `PreprocessConfig.scaling` has the
        formulas. Exact over all pixels of up to 2^31 values; of more, over evenly spaced images. A range or
        spread of nothing counts as 1/255, one grey level. Raises DataError when there is no image to measure.
        """
        config = with_fixed_scaling(self.config)
        if config.mean is None or config.std is None:
            if len(images_u8) == 0:
                raise DataError("mean and std cannot be measured on no images.")
            mean, std = _MEASURES[config.scaling](_histogram(images_u8))
            mean, std = config.mean or mean, config.std or std
            config = config.model_copy(update={"mean": mean, "std": std})
        return Preprocess(config)


def with_fixed_scaling(config: PreprocessConfig) -> PreprocessConfig:
    """The config with mean and std, where its scaling gives them without looking at an image."""
    if config.scaling not in FIXED_SCALINGS:
        return config
    mean, std = FIXED_SCALINGS[config.scaling]
    return config.model_copy(update={"mean": (mean,) * config.channels, "std": (std,) * config.channels})


def _to_pillow(image: np.ndarray, channels: int) -> Image.Image:
    if image.shape[2] == 1:
        return Image.fromarray(image[:, :, 0])
    pillow = Image.fromarray(image)
    return pillow.convert("L") if channels == 1 else pillow


def _from_pillow(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def _multiply_add(source_nhwc: Tensor, out_nhwc: Tensor, scale: list[float], bias: list[float]) -> Tensor:
    """out = source · scale + bias per channel, as NCHW. Runs over whole pixel rows of w·c values, because an
    innermost axis of three channels is too short to vectorise (measured: 15 times slower)."""
    n, h, w, c = source_nhwc.shape
    rows = torch.tensor([scale, bias], dtype=source_nhwc.dtype).repeat(1, w)
    scale_row, bias_row = to_device(rows, source_nhwc.device)
    torch.addcmul(bias_row, source_nhwc.view(n * h, w * c), scale_row, out=out_nhwc.view(n * h, w * c))
    return out_nhwc.permute(0, 3, 1, 2)


def _histogram(images_u8: np.ndarray | Tensor) -> Counts:
    """How often each channel has each value, (c, 256); of very many images, in evenly spaced ones."""
    n, h, w, c = images_u8.shape
    step = max(1, math.ceil(n * h * w * c / _MAX_MEASURED))
    chunk = max(1, 2**24 // (h * w * c)) * step
    counts = np.zeros((c, 256), np.int64)
    for start in range(0, n, chunk):
        part = images_u8[start : start + chunk : step]
        values = part if isinstance(part, np.ndarray) else part.cpu().numpy()
        counts += np.reshape(_to_pillow(values.reshape(-1, w, c), c).histogram(), (c, 256))
    return counts


def _mean_and_std(histogram: Counts) -> tuple[Numbers, Numbers]:
    """Per-channel mean and (population) standard deviation of pixels in 0..1, from exact integer sums."""
    count = int(histogram[0].sum())
    totals, squares = ((histogram @ _VALUES**power).tolist() for power in (1, 2))
    mean = tuple(total / count / 255 for total in totals)
    # Integers until the last step: the variance loses nothing to cancellation.
    variance = [
        (count * square - total * total) / count**2 for total, square in zip(totals, squares, strict=True)
    ]
    return mean, tuple(max(math.sqrt(v), 1.0) / 255 for v in variance)


def _min_and_range(histogram: Counts) -> tuple[Numbers, Numbers]:
    """Per-channel minimum, and maximum minus minimum, of pixels in 0..1."""
    ends = [np.flatnonzero(counts)[[0, -1]].tolist() for counts in histogram]
    return tuple(low / 255 for low, _ in ends), tuple(max(high - low, 1) / 255 for low, high in ends)


def _mean_and_maximum(histogram: Counts) -> tuple[Numbers, Numbers]:
    """The mean of all pixels and channels, and the largest value minus it, in 0..1; alike for each."""
    means, _ = _mean_and_std(histogram)
    mean = sum(means) / len(means)
    largest = int(np.flatnonzero(histogram.any(axis=0))[-1])
    most = max(largest / 255 - mean, 1 / 255)
    return (mean,) * len(means), (most,) * len(means)


_MEASURES = {"standardise": _mean_and_std, "min-max": _min_and_range, "centre-max": _mean_and_maximum}
