"""What is in a data set: counts, sizes, colour modes and bad files as numbers, and images as a picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from photopic.data.dataset import DataSet, Excluded
from photopic.data.decode import ImageError
from photopic.data.split import SPLITS
from photopic.errors import ConfigError

_BACKGROUND, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (150, 150, 150)
_GAP = 4  # pixels between pictures


@dataclass(frozen=True)
class SizeRange:
    """Pixels of the upright images: smallest, middle and largest, each side on its own."""

    width: tuple[int, int, int]
    height: tuple[int, int, int]


@dataclass(frozen=True)
class Summary:
    """A data set in numbers; only usable images are counted, unless said otherwise."""

    name: str
    images: int
    classes: dict[str, dict[str, int]]
    """Class → images of each part ("train", "val", "test"; "all" where nothing is split), in label order."""
    sizes: SizeRange
    modes: dict[str, int]
    """Pillow's name of the stored colour mode → images, most frequent first."""
    groups: int
    """Named groups of images that must not be separated."""
    duplicates: int
    """Images whose contents an earlier image has too, byte for byte."""
    excluded: tuple[Excluded, ...]
    """Files with something wrong."""
    ignored: int
    """Files that are no images and do not claim to be."""
    fingerprint: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns of `classes`, in order."""
        first: dict[str, int] = next(iter(self.classes.values()), {})
        return tuple(first)

    @property
    def reasons(self) -> dict[str, int]:
        """Why files are excluded → how many, most frequent first."""
        return dict(Counter(row.reason for row in self.excluded).most_common())

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self) | {"reasons": self.reasons}


def summarise(dataset: DataSet, splits: NDArray[np.str_] | None = None) -> Summary:
    """Count a data set. splits: (n,) part of each index row; None: the parts given with the data."""
    index, rows = dataset.index, dataset.usable
    parts = (index.splits if splits is None else splits)[rows]
    named = [part for part in SPLITS if (parts == part).any()]
    rest = "unsplit" if named else "all"
    columns = {part: parts == part for part in named} | {rest: ~np.isin(parts, named)}
    if named and not columns[rest].any():
        del columns[rest]
    labels = index.labels[rows]
    counts = {
        part: np.bincount(labels[mask], minlength=len(dataset.class_names)) for part, mask in columns.items()
    }
    return Summary(
        name=dataset.name,
        images=len(rows),
        classes={
            name: {part: int(n[label]) for part, n in counts.items()}
            for label, name in enumerate(dataset.class_names)
        },
        sizes=SizeRange(_range(index.widths[rows]), _range(index.heights[rows])),
        modes={str(mode): n for mode, n in Counter(index.modes[rows].tolist()).most_common()},
        groups=len(set(index.groups[rows].tolist()) - {""}),
        duplicates=len(rows) - len(set(index.hex_digests(rows))),
        excluded=tuple(dataset.excluded),
        ignored=len(dataset.ignored),
        fingerprint=dataset.fingerprint,
    )


def _range(pixels: NDArray[np.int32]) -> tuple[int, int, int]:
    return int(pixels.min()), int(np.median(pixels)), int(pixels.max())


def contact_sheet(
    dataset: DataSet, *, per_class: int = 10, max_classes: int = 50, thumb: int = 64, seed: int = 0
) -> Image.Image:
    """A picture with one row per class: its name, its count, and some of its images, drawn by the seed.

    per_class: images in a row; max_classes: rows, the first ones; thumb: pixels of a thumbnail's side.
    An image that cannot be read any more leaves a crossed box. Raises ConfigError for sizes below 1.
    """
    for name, value, least in (
        ("per_class", per_class, 1),
        ("max_classes", max_classes, 1),
        ("thumb", thumb, 8),
    ):
        if value < least:
            raise ConfigError(f"{name}={value} must be at least {least}.")
    counts = dataset.counts()
    shown = list(counts)[:max_classes]
    font = ImageFont.load_default(size=max(10, thumb // 5))
    captions = [f"{name} ({counts[name]:,})" for name in shown]
    margin = min(6 * thumb, max(int(font.getlength(text)) for text in captions)) + 3 * _GAP
    row_height = max(thumb, font.getbbox("Ag")[3]) + _GAP
    left_out = len(counts) - len(shown)
    height = row_height * len(shown) + _GAP + (row_height if left_out else 0)
    sheet = Image.new("RGB", (int(margin + per_class * (thumb + _GAP)), int(height)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    labels = dataset.index.labels[dataset.usable]
    for at, (name, caption) in enumerate(zip(shown, captions, strict=True)):
        top = int(_GAP + at * row_height)
        _write(draw, caption, (_GAP, top + thumb // 2), margin - 2 * _GAP, font)
        rows = dataset.usable[labels == dataset.class_names.index(name)]
        chosen = np.random.default_rng([seed, at]).permutation(rows)[:per_class]
        for column, row in enumerate(np.sort(chosen)):
            _paste(sheet, dataset, int(row), (int(margin) + column * (thumb + _GAP), top), thumb)
    if left_out:
        _write(draw, f"and {left_out} more classes", (_GAP, height - row_height / 2), margin, font)
    return sheet


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float],
    width: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """One line of text, its middle at the height given, its end cut where it does not fit."""
    short = text
    while font.getlength(short) > width and len(short) > 2:
        short = short[:-2] + "…"
    draw.text(place, short, _INK, font, anchor="lm")


def _paste(sheet: Image.Image, dataset: DataSet, row: int, place: tuple[int, int], thumb: int) -> None:
    try:
        pixels = dataset.image(row, min_side=thumb)
    except ImageError:
        draw, (x, y) = ImageDraw.Draw(sheet), place
        draw.rectangle((x, y, x + thumb - 1, y + thumb - 1), outline=_FAINT)
        draw.line((x, y, x + thumb - 1, y + thumb - 1), _FAINT)
        return
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels).convert("RGB")
    # Small images stay pixels; large ones are averaged.
    larger = max(image.size) > thumb
    method = Image.Resampling.BICUBIC if larger else Image.Resampling.NEAREST
    sheet.paste(ImageOps.pad(image, (thumb, thumb), method, color=_BACKGROUND), place)
