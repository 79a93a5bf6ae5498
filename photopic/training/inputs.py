"""From stored pixels, or cached features, to what the network is given in each step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from photopic.augment.draw import Draw
from photopic.augment.mix import Mix, MixDraw, Mixer
from photopic.augment.policy import Augment
from photopic.config import AugmentConfig
from photopic.data.preprocess import Preprocess
from photopic.runtime import Runtime

_RESIDENT_SHARE = 0.3  # of a GPU's free memory that training images may take


class DeviceArray:
    """Rows of an array on the device: resident on a GPU where it fits, else copied batch by batch."""

    def __init__(self, array: np.ndarray, runtime: Runtime) -> None:
        self._runtime = runtime
        self._array = array
        self._resident: Tensor | None = None
        if runtime.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(runtime.device)
            if array.nbytes < free * _RESIDENT_SHARE:
                self._resident = torch.from_numpy(np.array(array)).to(runtime.device)

    def __len__(self) -> int:
        return len(self._array)

    def take(self, rows: Tensor) -> Tensor:
        """Some rows, on the device."""
        if self._resident is not None:
            return self._resident[self._runtime.to_device(rows)]
        return self._runtime.to_device(torch.from_numpy(self._array[rows.numpy()]))


class AugmentedImages:
    """Training images (N, S, S, C) uint8, augmented and normalised batch by batch."""

    def __init__(
        self,
        images_u8: np.ndarray,
        preprocess: Preprocess,
        augment: AugmentConfig,
        seed: int,
        runtime: Runtime,
    ) -> None:
        config = preprocess.config
        self._images = DeviceArray(images_u8, runtime)
        self._preprocess = preprocess
        self._augment: Augment | None = None
        if not augment.is_identity:
            # Of the other scalings `mean` is what is subtracted, and no colour of the images.
            colour = config.mean if config.scaling == "standardise" else None
            self._augment = Augment(augment, config.channels, config.size, mean=colour)
        self._mixer = Mixer(augment, config.size) if augment.mixes_labels else None
        self._seed = seed
        self._draw: Draw | None = None
        self._mix_draw: MixDraw | None = None

    def __len__(self) -> int:
        return len(self._images)

    def start_epoch(self, epoch: int) -> None:
        """Draw the augmentation of all images."""
        if self._augment is not None:
            self._draw = self._augment.draw(len(self), self._seed, epoch)
        if self._mixer is not None:
            self._mix_draw = self._mixer.draw(len(self), self._seed, epoch)

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        """(B, C, S, S) float32, normalised, on the device; and how images were mixed, if they were.

        draws: (B,) which of the epoch's N draws each image takes; its own by default. A row that comes twice
        in an epoch is then not changed twice in the same way.
        """
        images_u8 = self._images.take(rows)
        if self._augment is None:
            return self._preprocess.to_float(images_u8), None
        assert self._draw is not None, "start_epoch comes first"
        draws = rows if draws is None else draws
        images = self._preprocess.normalise(self._augment.apply_u8(images_u8, self._draw, draws))
        if self._mixer is None:
            return images, None
        assert self._mix_draw is not None
        return self._mixer.apply(images, self._mix_draw, draws)


class AugmentedFeatures:
    """Augmented images as a frozen network sees them: its output is computed anew in every epoch."""

    def __init__(self, images: AugmentedImages, frozen: Callable[[Tensor], Tensor], runtime: Runtime) -> None:
        """frozen: (B, C, S, S) normalised to (B, ...) features, the same for the same images."""
        self._images = images
        self._frozen = frozen
        self._runtime = runtime

    def __len__(self) -> int:
        return len(self._images)

    def start_epoch(self, epoch: int) -> None:
        """Draw the augmentation of all images."""
        self._images.start_epoch(epoch)

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        """(B, ...) float32 features; and how images were mixed, if they were."""
        images, mix = self._images.batch(rows, draws)
        with self._runtime.autocast():
            features = self._frozen(images)
        return features.float().clone(), mix  # a copy: gradients need a tensor that they may keep


class CachedInputs:
    """Inputs that are the same in every epoch: features below the cut of a fine-tuning."""

    def __init__(self, features: np.ndarray, runtime: Runtime) -> None:
        self._features = DeviceArray(features, runtime)

    def __len__(self) -> int:
        return len(self._features)

    def start_epoch(self, epoch: int) -> None:
        """Nothing is random here."""

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        """Some rows of the features, float32, on the device; nothing is drawn or mixed."""
        return self._features.take(rows).float(), None
