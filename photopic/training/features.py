"""From images to a frozen backbone's features: each image goes through the network once, then never again.

Decoding and the network overlap: threads decode the next images while the network works on these. What is in
the cache (feature_cache.py) is not computed, and when nothing is missing the backbone is not even loaded.

Augmented *views* are copies of an image changed at random, as in training. A view's random parameters depend
on the image's content and the view's number alone, so all runs and seeds share them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt
import PIL
import torch
from torch import Tensor

from photopic.augment.draw import Draw
from photopic.augment.policy import Augment
from photopic.config import AugmentConfig, BackboneConfig
from photopic.data.dataset import DataSet, Excluded
from photopic.data.index import Progress, same_content
from photopic.data.preprocess import Preprocess
from photopic.data.store import decode_row
from photopic.errors import DataError
from photopic.models.backbones import Backbone
from photopic.models.folding import for_inference
from photopic.models.reuse import find_backbone, find_identity
from photopic.parallel import ordered_map
from photopic.runtime import Runtime
from photopic.training.feature_cache import FeatureCache, Floats

Rows = npt.NDArray[np.int64]

_VERSION = 1  # part of every space; raise it when the same configuration gives other features
_CPU_BATCH, _GPU_BATCH = 32, 256  # images
_DRAWS = 4096
"""Different random parameters per view; an image takes those of its digest modulo this."""
_SEGMENT_IMAGES = 8192
"""Images after which features are written, so that a stopped run has not worked in vain."""


@dataclass(frozen=True)
class Features:
    """Features of the images that could be read."""

    rows: Rows
    """(n,) index rows, in the order asked for."""
    views: tuple[Floats, ...]
    """(n, D) float32 each: the plain images, then the augmented views."""
    failed: list[Excluded]
    """Images that could not be decoded, with the reason."""


class Extractor:
    """A backbone on its device, loaded when it is first needed."""

    def __init__(
        self,
        config: BackboneConfig,
        runtime: Runtime,
        *,
        allow_download: bool = False,
        size: int | None = None,
    ) -> None:
        """size: side of the images that it will see; None: what the backbone was trained on."""
        self.config = config
        self.runtime = runtime
        self._allow_download = allow_download
        self._size = size

    @cached_property
    def backbone(self) -> Backbone:
        """The backbone with its weights, on the device."""
        backbone = find_backbone(self.config, allow_download=self._allow_download, size=self._size)
        backbone.module.to(self.runtime.device)
        return backbone

    @cached_property
    def identity(self) -> str:
        """Name and SHA-256 of the weights; does not load them where that can be avoided."""
        cut = "" if self.config.until is None else f" {self.config.until} {self.config.pool}"
        return f"{self.config.name} {find_identity(self.config) or self.backbone.sha256}{cut}"

    def __call__(self, images: Tensor) -> Floats:
        """(N, 3, S, S) normalised to (N, D) float32."""
        with torch.inference_mode(), self.runtime.autocast():
            return self._forward(images).float().cpu().numpy()

    @cached_property
    def _forward(self) -> Callable[[Tensor], Tensor]:
        return for_inference(self.backbone.module, self.runtime.device)


def extract_features(
    dataset: DataSet,
    rows: Rows,
    preprocess: Preprocess,
    extractor: Extractor,
    *,
    views: int = 0,
    augment: AugmentConfig | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of these rows, plain and in `views` augmented copies, from the cache or computed now.

    rows: (n,) index rows. preprocess: with mean and std. progress(done, total, what) is called while
    computing. Raises DataError when no image can be read.
    """
    plan = [_View(number, preprocess, extractor, augment) for number in range(views + 1)]
    digests = dataset.index.sha256s[rows]
    found = [view.cache.find(digests) for view in plan]
    missing = {view.number: ~present for view, (_, present) in zip(plan, found, strict=True)}
    reasons = _compute_missing(dataset, rows, preprocess, extractor, plan, missing, progress)
    failed = [reasons.get(digest.tobytes(), "") for digest in digests]
    kept = np.array([not reason for reason in failed])
    if not kept.any():
        raise DataError(f"{dataset.name}: none of {len(rows)} images can be read.")
    if any(part.any() for part in missing.values()):
        found = [view.cache.find(digests[kept]) for view in plan]
    if not all(present.all() for _, present in found):
        raise DataError(
            "written features cannot be read back. Check the disk, or set PHOTOPIC_CACHE to another folder."
        )
    paths = dataset.index.paths[rows]
    excluded = [Excluded(str(path), reason) for path, reason in zip(paths, failed, strict=True) if reason]
    return Features(rows[kept], tuple(vectors for vectors, _ in found), excluded)


class _View:
    """One way to look at every image, and the cache of its features."""

    def __init__(
        self, number: int, preprocess: Preprocess, extractor: Extractor, augment: AugmentConfig | None
    ) -> None:
        self.number = number
        self._preprocess = preprocess
        self._augment: Augment | None = None
        self._draw: Draw | None = None
        config = preprocess.config
        space = {
            "version": _VERSION,
            "pillow": PIL.__version__,  # whose decoder and filters may change
            "backbone": extractor.identity,
            "precision": str(extractor.runtime.precision),
            "preprocess": preprocess.key,
            "mean": config.mean,
            "std": config.std,
        }
        if number > 0:
            assert augment is not None, "augmented views need an AugmentConfig"
            space |= {"view": number, "augment": augment.model_dump(mode="json")}
            self._augment = Augment(augment, config.channels, config.size)
        self.cache = FeatureCache(json.dumps(space, sort_keys=True))

    def images(self, images_u8: Tensor, digests: npt.NDArray[np.uint8]) -> Tensor:
        """(b, S, S, 3) uint8 to (b, 3, S, S) normalised."""
        if self._augment is None:
            return self._preprocess.to_float(images_u8)
        if self._draw is None:
            self._draw = self._augment.draw(_DRAWS, 0, self.number)
        numbers = np.ascontiguousarray(digests[:, :8]).view("<u8")[:, 0] % _DRAWS
        draws = torch.from_numpy(numbers.astype(np.int64))
        return self._preprocess.normalise(
            self._augment.apply(self._preprocess.to_01(images_u8), self._draw, draws)
        )


def _compute_missing(
    dataset: DataSet,
    rows: Rows,
    preprocess: Preprocess,
    extractor: Extractor,
    plan: Sequence[_View],
    missing: dict[int, npt.NDArray[np.bool_]],
    progress: Progress | None,
) -> dict[bytes, str]:
    """Fill the caches; the digests of images that could not be read, with the reason."""
    failed: dict[bytes, str] = {}
    todo = _by_missing_views(dataset, rows, plan, missing)
    total, done = sum(len(part) for part in todo.values()), 0
    if todo:
        vectors = sum(len(numbers) * len(part) for numbers, part in todo.items())
        plan[0].cache.reserve(vectors, extractor.backbone.dim)
    for numbers, part in todo.items():
        writers = {number: _Writer(plan[number].cache) for number in numbers}
        try:
            for batch_rows, images in _decoded(dataset, part, preprocess, extractor.runtime, failed):
                digests = dataset.index.sha256s[batch_rows]
                images_u8 = extractor.runtime.to_device(images)
                for number in numbers:
                    writers[number].add(digests, extractor(plan[number].images(images_u8, digests)))
                done += len(batch_rows)
                if progress is not None:
                    progress(done, total, "features")
        finally:  # also when the user stops it: what is done need not be done again
            for writer in writers.values():
                writer.flush()
    return failed


def _by_missing_views(
    dataset: DataSet, rows: Rows, plan: Sequence[_View], missing: dict[int, npt.NDArray[np.bool_]]
) -> dict[tuple[int, ...], Rows]:
    """Rows to compute, by the views that they lack; of images with the same content only the first."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    _, first = np.unique(same_content(dataset.index.sha256s[rows]), return_index=True)
    for position in np.sort(first).tolist():
        lacking = tuple(view.number for view in plan if missing[view.number][position])
        if lacking:
            groups[lacking].append(int(rows[position]))
    return {numbers: np.array(group, np.int64) for numbers, group in groups.items()}


class _Writer:
    """Collects features and writes them in segments."""

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._digests: list[npt.NDArray[np.uint8]] = []
        self._features: list[Floats] = []

    def add(self, digests: npt.NDArray[np.uint8], features: Floats) -> None:
        self._digests.append(digests)
        self._features.append(features)
        if sum(map(len, self._digests)) >= _SEGMENT_IMAGES:
            self.flush()

    def flush(self) -> None:
        if self._digests:
            self._cache.add(np.concatenate(self._digests), np.concatenate(self._features))
            self._digests, self._features = [], []


def _decoded(
    dataset: DataSet, rows: Rows, preprocess: Preprocess, runtime: Runtime, failed: dict[bytes, str]
) -> Iterator[tuple[Rows, Tensor]]:
    """Batches of (rows, (b, S, S, C) uint8) in order, two decoded ahead, without the images that failed."""
    size = _CPU_BATCH if runtime.device.type == "cpu" else _GPU_BATCH
    decoded = ordered_map(lambda row: decode_row(dataset, row, preprocess), rows.tolist(), ahead=2 * size)
    for start in range(0, len(rows), size):
        kept, images = [], []
        for row, image in zip(rows[start : start + size].tolist(), islice(decoded, size), strict=True):
            if isinstance(image, str):
                failed[dataset.index.sha256s[row].tobytes()] = image
            else:
                kept.append(row)
                images.append(image)
        if images:
            yield np.array(kept, np.int64), torch.from_numpy(np.stack(images))
