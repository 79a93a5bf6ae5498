"""A small picture set that photopic draws itself: traffic-sign shapes with jitter. They are no photographs.

Six classes that differ in shape and colour, in random place, size, tilt, light and blur, before random
backgrounds; enough for a demonstration without a network, too easy for any claim about real signs.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from photopic.data.arrays import ArrayData

SIDE = 64
"""Pixels of an image's side."""
_SCALE = 2  # drawn larger and scaled down, for smooth edges
_RED, _BLUE, _YELLOW, _WHITE, _BLACK = (
    (200, 30, 40),
    (20, 80, 170),
    (245, 200, 40),
    (245, 245, 245),
    (30, 30, 30),
)
Points = list[tuple[float, float]]


def draw_signs(per_class: int = 100, seed: int = 0) -> ArrayData:
    """per_class images of each sign, (n, 64, 64, 3), the classes in turn. The same seed draws the same."""
    random = np.random.default_rng(seed)
    names = tuple(sorted(_SIGNS))
    labels = np.arange(per_class * len(names), dtype=np.int64) % len(names)
    images_u8 = np.stack([_draw_one(names[label], random) for label in labels])
    return ArrayData(images_u8, labels, names)


def _draw_one(name: str, random: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(64, 64, 3) uint8."""
    side = SIDE * _SCALE
    sign = Image.new("RGBA", (side, side))
    _SIGNS[name](ImageDraw.Draw(sign), side / 2, side * random.uniform(0.3, 0.44))
    shift = random.uniform(-0.1, 0.1, 2) * side
    sign = sign.rotate(
        random.uniform(-15, 15), Image.Resampling.BILINEAR, translate=(int(shift[0]), int(shift[1]))
    )
    # Seen from the side: narrower by up to a quarter.
    narrow = max(1, round(side * random.uniform(0.75, 1.0)))
    sign = sign.resize((narrow, side), Image.Resampling.BILINEAR)
    picture = _background(side, random)
    picture.paste(sign, ((side - narrow) // 2, 0), sign)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    picture = ImageEnhance.Brightness(picture).enhance(random.uniform(0.45, 1.2))
    picture = ImageEnhance.Color(picture).enhance(random.uniform(0.4, 1.2))
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.0, 1.2)))
    noisy = np.asarray(picture, np.float32) + random.normal(0, random.uniform(1, 10), (SIDE, SIDE, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _background(side: int, random: np.random.Generator) -> Image.Image:
    """Soft random patches, mostly grey, as of sky, leaves and walls out of focus."""
    patches = random.uniform(30, 210, (5, 5, 1)) + random.normal(0, 22, (5, 5, 3))
    patches_u8 = np.clip(patches, 0, 255).astype(np.uint8)
    return Image.fromarray(patches_u8).resize((side, side), Image.Resampling.BICUBIC)


def _polygon(corners: int, middle: float, radius: float, turn: float) -> Points:
    """Corners of a regular polygon; turn: degrees of the first corner, clockwise from the right."""
    angles = [math.radians(turn + 360 * corner / corners) for corner in range(corners)]
    return [(middle + radius * math.cos(angle), middle + radius * math.sin(angle)) for angle in angles]


def _circle(draw: ImageDraw.ImageDraw, middle: float, radius: float, color: tuple[int, int, int]) -> None:
    draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=color)


def _box(
    draw: ImageDraw.ImageDraw, middle: float, width: float, height: float, color: tuple[int, int, int]
) -> None:
    corners = (middle - width / 2, middle - height / 2, middle + width / 2, middle + height / 2)
    draw.rectangle(corners, fill=color)


def _stop(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    draw.polygon(_polygon(8, middle, radius, 22.5), fill=_WHITE)
    draw.polygon(_polygon(8, middle, 0.92 * radius, 22.5), fill=_RED)
    for at in (-0.54, -0.18, 0.18, 0.54):  # four strokes where the letters stand
        x = middle + at * radius
        stroke = (x - 0.11 * radius, middle - 0.24 * radius, x + 0.11 * radius, middle + 0.24 * radius)
        draw.rectangle(stroke, fill=_WHITE)


def _give_way(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    draw.polygon(_polygon(3, middle, radius, 90), fill=_RED)
    draw.polygon(_polygon(3, middle, 0.62 * radius, 90), fill=_WHITE)


def _warning(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    draw.polygon(_polygon(3, middle, radius, -90), fill=_RED)
    draw.polygon(_polygon(3, middle, 0.62 * radius, -90), fill=_WHITE)
    _box(draw, middle, 0.12 * radius, 0.5 * radius, _BLACK)


def _no_entry(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    _circle(draw, middle, radius, _RED)
    _box(draw, middle, 1.4 * radius, 0.36 * radius, _WHITE)


def _priority(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    draw.polygon(_polygon(4, middle, radius, 0), fill=_WHITE)
    draw.polygon(_polygon(4, middle, 0.72 * radius, 0), fill=_YELLOW)


def _ahead(draw: ImageDraw.ImageDraw, middle: float, radius: float) -> None:
    _circle(draw, middle, radius, _WHITE)
    _circle(draw, middle, 0.92 * radius, _BLUE)
    _box(draw, middle, 0.22 * radius, 1.1 * radius, _WHITE)
    tip = [(middle, middle - 0.8 * radius), (middle - 0.42 * radius, middle - 0.25 * radius)]
    draw.polygon([*tip, (middle + 0.42 * radius, middle - 0.25 * radius)], fill=_WHITE)


_SIGNS = {
    "stop": _stop,
    "give way": _give_way,
    "warning": _warning,
    "no entry": _no_entry,
    "priority road": _priority,
    "straight ahead": _ahead,
}
