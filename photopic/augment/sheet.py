"""A picture of what augmentation does: one image under each operation, and under the draws of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from photopic.augment.mix import Mixer, apply_cutmix, apply_mixup, own_share
from photopic.augment.operations import OPERATIONS, apply_operation, find_operation
from photopic.augment.policy import Augment
from photopic.config import AnyRecipe
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError

Images = NDArray[np.uint8]
FILL_MODES = ("constant", "reflect", "wrap")
"""Shown with a rotation; all other moves are shown with "nearest"."""
_MIXING = {"mixup": (0.8, 0.6, 0.4), "cutmix": (0.2, 0.4, 0.6)}
"""Weights of the image, and sides of the pasted rectangle."""
_LARGEST = 224  # pixels; larger images are made smaller first, for strengths in pixels mean something then
_DRAWS = 7  # beside each image of the recipe's block
_BACKGROUND, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (115, 115, 115)
_GAP, _GUTTER = 6, 36  # pixels


@dataclass(frozen=True)
class _Row:
    """A line of the sheet: a name, what it belongs to, and pictures with captions."""

    name: str
    note: str
    pictures: list[Image.Image]
    captions: list[str]


def augment_sheet(
    images_u8: Images | Sequence[Images],
    ops: Sequence[str] | Mapping[str, Sequence[float]] | None = None,
    *,
    recipe: AnyRecipe | None = None,
    thumb: int = 128,
    seed: int = 0,
) -> Image.Image:
    """One image under each operation at low, middle and high strength, each row labelled.

    images_u8: (h, w, 1 or 3), or several such images. The first is shown under each operation; the second is
    what mixup and CutMix take in. ops: names (those of operations.OPERATIONS, "fill-mode", "mixup" and
    "cutmix"), or {name: strengths}; None: all that have an effect on the image. recipe: also draw its own
    policy on all images, as its network would see them. thumb: longer side of a picture, pixels, at most.
    Raises ConfigError for an unknown operation, or a recipe that changes no image.
    """
    if thumb < 16:
        raise ConfigError(f"thumb={thumb} must be at least 16 pixels.")
    several = [images_u8] if isinstance(images_u8, np.ndarray) else list(images_u8)
    _check(several)
    images = [_reduced(image) for image in several]
    rows = _operation_rows(images, ops, thumb)
    rows.insert(0, _Row("the image", "", _pictures(_to_01(images[0]), thumb), ["as it is"]))
    blocks = [_panels(rows)]
    if recipe is not None:
        blocks.append(_recipe_block(several, recipe, thumb, seed))
    return _stacked(blocks)


# ---- rows ------------------------------------------------------------------------------------------------


def _operation_rows(
    images: list[Images], ops: Sequence[str] | Mapping[str, Sequence[float]] | None, thumb: int
) -> list[_Row]:
    colour = images[0].shape[2] == 3
    if ops is None:
        chosen = [name for name, operation in OPERATIONS.items() if colour or not operation.needs_colour]
        chosen.insert(chosen.index("perspective") + 1, "fill-mode")
        ops = chosen + (list(_MIXING) if len(images) > 1 else [])
    strengths = ops if isinstance(ops, Mapping) else dict.fromkeys(ops, ())
    return [_row(images, name, tuple(values), thumb) for name, values in strengths.items()]


def _row(images: list[Images], name: str, strengths: tuple[float, ...], thumb: int) -> _Row:
    image = _to_01(images[0])
    if name == "fill-mode":
        turned = [
            apply_operation("rotation", image, torch.tensor([30.0]), fill_mode=mode) for mode in FILL_MODES
        ]
        return _Row(name, "fill_mode, with a rotation", _pictures(torch.cat(turned), thumb), list(FILL_MODES))
    if name in _MIXING:
        return _mixing_row(images, name, strengths or _MIXING[name], thumb)
    operation = find_operation(name)
    levels = strengths or operation.levels
    changed = apply_operation(
        name, image.repeat(len(levels), 1, 1, 1), torch.tensor(levels, dtype=torch.float32)
    )
    note = operation.option or "RandAugment, TrivialAugment"
    captions = [operation.unit.format(level) for level in levels]
    return _Row(name, note if note != name else "", _pictures(changed, thumb), captions)


def _mixing_row(images: list[Images], name: str, levels: tuple[float, ...], thumb: int) -> _Row:
    if len(images) < 2:
        raise ConfigError(f"{name} needs a second image to mix in.")
    image, partner = _to_01(images[0]), _to_01(_fitted(images[1], images[0].shape[:2]))
    pair = torch.cat([image, partner.expand(-1, image.shape[1], -1, -1)])
    mixed, captions = [], []
    for level in levels:
        if name == "mixup":
            weight = torch.tensor([level, 1.0])
            mixed.append(apply_mixup(pair, torch.tensor([1, 0]), weight)[:1])
        else:
            height, width = image.shape[2:]
            top, left = round(height * (1 - level)), round(width * (1 - level))
            box = torch.tensor([[top, left, height, width], [0, 0, 0, 0]])
            weight = own_share(box, height, width)
            mixed.append(apply_cutmix(pair, torch.tensor([1, 0]), box)[:1])
        captions.append(f"weight {float(weight[0]):.2f}")
    return _Row(name, "labels are mixed too", _pictures(torch.cat(mixed), thumb), captions)


# ---- a recipe's own policy -------------------------------------------------------------------------------


def _recipe_block(images: list[Images], recipe: AnyRecipe, thumb: int, seed: int) -> Image.Image:
    """Each image as the network would see it, then under some draws of the policy."""
    if recipe.augment.is_identity:
        raise ConfigError(f'recipe "{recipe.name}" changes no image: it has no augmentation to draw.')
    preprocess = Preprocess(recipe.preprocess)
    stored = torch.from_numpy(np.stack([preprocess.to_store(image) for image in images]))
    config = preprocess.config
    policy = Augment(recipe.augment, config.channels, config.size)
    many = stored.repeat_interleave(_DRAWS, 0)
    at = torch.arange(len(many))
    changed = policy.apply_u8(many, policy.draw(len(many), seed, 0), at)
    captions = [""] * len(many)
    if recipe.augment.mixes_labels:
        mixer = Mixer(recipe.augment, config.size)
        changed, mix = mixer.apply(changed, mixer.draw(len(many), seed, 0), at)
        captions = [f"weight {weight:.2f}" for weight in mix.weight.tolist()]
    pictures = _pictures(changed, thumb)
    plain = _pictures(stored.permute(0, 3, 1, 2) / 255, thumb)
    lines = []
    for number, picture in enumerate(plain):
        part = slice(number * _DRAWS, (number + 1) * _DRAWS)
        lines.append(_Row("", "", [picture, *pictures[part]], ["as it is", *captions[part]]))
    title = f'recipe "{recipe.name}": {_DRAWS} draws for each image, {config.size} px'
    return _titled(title, _panel(lines))


# ---- drawing ---------------------------------------------------------------------------------------------


def _panels(rows: list[_Row]) -> Image.Image:
    """Rows side by side in one, two or three panels."""
    count = 1 if len(rows) <= 6 else 2 if len(rows) <= 14 else 3
    height = -(-len(rows) // count)
    parts = [_panel(rows[start : start + height]) for start in range(0, len(rows), height)]
    width = sum(part.width for part in parts) + (len(parts) - 1) * _GUTTER
    sheet = Image.new("RGB", (width, max(part.height for part in parts)), _BACKGROUND)
    left = 0
    for part in parts:
        sheet.paste(part, (left, 0))
        left += part.width + _GUTTER
    return sheet


def _panel(rows: list[_Row]) -> Image.Image:
    """Rows one below the other: name and note, then pictures, all of one size, with captions."""
    font, small = _font(15), _font(12)
    texts = [font.getlength(row.name) for row in rows] + [small.getlength(row.note) for row in rows]
    label_width = int(max(texts)) + 2 * _GAP if any(texts) else 0
    width, height = rows[0].pictures[0].size
    line = height + (_line_height(small) + _GAP if any(any(row.captions) for row in rows) else 0) + _GAP
    columns = max(len(row.pictures) for row in rows)
    size = (_GAP + label_width + columns * (width + _GAP), _GAP + len(rows) * line)
    panel = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(panel)
    for number, row in enumerate(rows):
        top = _GAP + number * line
        middle = top + height / 2
        draw.text((_GAP, middle), row.name, _INK, font, anchor="ls" if row.note else "lm")
        draw.text((_GAP, middle + _GAP), row.note, _FAINT, small, anchor="lt")
        for column, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
            left = _GAP + label_width + column * (width + _GAP)
            panel.paste(picture, (left, top))
            draw.text((left + width / 2, top + height + _GAP / 2), caption, _FAINT, small, anchor="ma")
    return panel


def _titled(title: str, block: Image.Image) -> Image.Image:
    font = _font(17)
    height = _line_height(font) + 2 * _GAP
    width = max(block.width, int(font.getlength(title)) + 2 * _GAP)
    out = Image.new("RGB", (width, block.height + height), _BACKGROUND)
    ImageDraw.Draw(out).text((_GAP, _GAP), title, _INK, font, anchor="lt")
    out.paste(block, (0, height))
    return out


def _stacked(blocks: list[Image.Image]) -> Image.Image:
    width, height = max(block.width for block in blocks), sum(block.height + 4 * _GAP for block in blocks)
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    top = _GAP
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height + 4 * _GAP
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow without FreeType"
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return int(font.getbbox("Ag")[3])


# ---- pixels ----------------------------------------------------------------------------------------------


def _check(images: list[Images]) -> None:
    if not images:
        raise ConfigError("there is no image to show.")
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
            raise ConfigError(f"an image must be uint8 (h, w, 1 or 3); got {image.dtype} {image.shape}.")
    if len({image.shape[2] for image in images}) > 1:
        raise ConfigError("all images must be grey, or all in colour.")


def _reduced(image: Images) -> Images:
    """The image itself, or smaller where it is larger than what networks usually see."""
    longest = max(image.shape[:2])
    if longest <= _LARGEST:
        return image
    return _fitted(image, tuple(max(1, round(side * _LARGEST / longest)) for side in image.shape[:2]))


def _fitted(image: Images, size: tuple[int, ...]) -> Images:
    """Resized to (height, width)."""
    pillow = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    resized = np.asarray(pillow.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return resized.reshape(size[0], size[1], image.shape[2])


def _to_01(image: Images) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def _pictures(images_01: Tensor, thumb: int) -> list[Image.Image]:
    """Thumbnails: small images enlarged by a whole factor, pixel by pixel, large ones averaged."""
    levels = (images_01 * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    pictures = []
    for array in levels.expand(-1, -1, -1, 3).numpy():
        picture = Image.fromarray(np.ascontiguousarray(array))
        longest = max(picture.size)
        factor = thumb // longest if longest <= thumb else thumb / longest
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BICUBIC
        pictures.append(picture.resize(size, method))
    return pictures
