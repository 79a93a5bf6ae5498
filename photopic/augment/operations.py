"""Every change of a single image by name, with one number as its strength: the rows of the sheet, the menu of
RandAugment and TrivialAugment, and what the contract test walks.

A *move* says where pixels come from, as maps (n, 2, 3) of geometry.py or (n, 3, 3) of perspective.py; a
*change* makes new pixels. Strengths: (n,), one for each image. Images: (n, c, h, w) floats in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photopic.augment.color import (
    apply_brightness,
    apply_channel_shift,
    apply_contrast,
    apply_grey,
    apply_hue,
    apply_saturation,
)
from photopic.augment.erasing import apply_erasing
from photopic.augment.filters import apply_blur, apply_sharpness, blur_radius
from photopic.augment.geometry import apply_affine, compose_affine, with_flips
from photopic.augment.noise import apply_noise, uniform_noise
from photopic.augment.perspective import apply_perspective, corner_maps
from photopic.augment.tone import (
    apply_autocontrast,
    apply_equalize,
    apply_invert,
    apply_posterize,
    apply_solarize,
)
from photopic.errors import ConfigError, did_you_mean
from photopic.runtime import to_device


@dataclass(frozen=True)
class Operation:
    """One change; either `move` or `change` is given."""

    option: str
    """The option of AugmentConfig that draws it; "" where only RandAugment and TrivialAugment have it."""
    neutral: float
    """The strength that changes nothing."""
    levels: tuple[float, ...]
    """Strengths to show: low, middle, high."""
    unit: str
    """How a strength is written, a format."""
    move: Callable[[Tensor, int, int], Tensor] | None = None
    """(strength, height, width) -> maps, float64."""
    change: Callable[[Tensor, Tensor], Tensor] | None = None
    """(images, strength) -> new images."""
    needs_colour: bool = False
    """Whether grey images stay as they are."""


def apply_operation(
    name: str, images_01: Tensor, strength: Tensor, *, fill_mode: str = "nearest", cval: float = 0.0
) -> Tensor:
    """Change each image by its own strength (n,); new images of the same shape and type.

    cval: in 0..1. Raises ConfigError for an unknown name.
    """
    operation = find_operation(name)
    if operation.change is not None:
        return operation.change(images_01, strength)
    assert operation.move is not None
    maps = operation.move(strength, *images_01.shape[2:])
    apply = apply_affine if maps.shape[1] == 2 else apply_perspective
    return apply(images_01, maps, fill_mode=fill_mode, cval=cval)


def apply_chosen(
    names: Sequence[str],
    choice: Tensor,
    images_01: Tensor,
    strength: Tensor,
    *,
    fill_mode: str = "nearest",
    cval: float = 0.0,
) -> Tensor:
    """Change each image by the operation names[choice]; "identity" changes nothing.

    choice: (n,) int64, best on the CPU, where reading it waits for nothing. Each operation runs once, on its
    images; all affine moves share one resampling.
    """
    out = images_01.clone()
    height, width = images_01.shape[2:]
    moved, maps = [], []
    for number in torch.unique(choice).tolist():
        if names[number] == "identity":
            continue
        operation = OPERATIONS[names[number]]
        rows = to_device((choice == number).nonzero()[:, 0], images_01.device)
        if operation.change is not None:
            out[rows] = operation.change(images_01[rows], strength[rows])
        elif operation.move is not None:
            moved.append(rows)
            maps.append(operation.move(strength[rows], height, width))
    if moved:
        rows = torch.cat(moved)
        out[rows] = apply_affine(images_01[rows], torch.cat(maps), fill_mode=fill_mode, cval=cval)
    return out


def find_operation(name: str) -> Operation:
    """Raises ConfigError, with the nearest known name."""
    if name not in OPERATIONS:
        hint = did_you_mean(name, OPERATIONS) or f" Known: {', '.join(OPERATIONS)}."
        raise ConfigError(f'operation "{name}" is not known.{hint}')
    return OPERATIONS[name]


# ---- moves -----------------------------------------------------------------------------------------------


def _affine(**changes: Tensor) -> Tensor:
    """geometry.compose_affine, with what is not given left neutral; as precise as what is given."""
    zero = torch.zeros_like(next(iter(changes.values())))
    neutral = {"angle": zero, "shift_row": zero, "shift_column": zero, "shear": zero}
    one = torch.ones_like(zero)
    values = {**neutral, "zoom_row": one, "zoom_column": one, **changes}
    return compose_affine(**values)


def _rotation(degrees: Tensor, height: int, width: int) -> Tensor:
    return _affine(angle=torch.deg2rad(degrees))


def _width_shift(share: Tensor, height: int, width: int) -> Tensor:
    return _affine(shift_column=share * width)


def _height_shift(share: Tensor, height: int, width: int) -> Tensor:
    return _affine(shift_row=share * height)


def _shear(degrees: Tensor, height: int, width: int) -> Tensor:
    return _affine(shear=torch.deg2rad(degrees))


def _zoom(factor: Tensor, height: int, width: int) -> Tensor:
    return _affine(zoom_row=factor, zoom_column=factor)


def _horizontal_flip(wanted: Tensor, height: int, width: int) -> Tensor:
    return with_flips(_zoom(torch.ones_like(wanted), height, width), wanted < 0, wanted > 0)


def _vertical_flip(wanted: Tensor, height: int, width: int) -> Tensor:
    return with_flips(_zoom(torch.ones_like(wanted), height, width), wanted > 0, wanted < 0)


def _perspective(distortion: Tensor, height: int, width: int) -> Tensor:
    """The left side goes back."""
    inwards = torch.zeros(len(distortion), 4, 2, dtype=torch.float64)
    inwards[:, [0, 3], 0] = distortion.detach().cpu().double()[:, None]
    return corner_maps(inwards, height, width).to(distortion.dtype).to(distortion.device)


def _translate_x(pixels: Tensor, height: int, width: int) -> Tensor:
    """The picture goes to the right."""
    return _affine(shift_column=-pixels)


def _translate_y(pixels: Tensor, height: int, width: int) -> Tensor:
    """The picture goes down."""
    return _affine(shift_row=-pixels)


def _shear_x(slope: Tensor, height: int, width: int) -> Tensor:
    """Rows are shifted by the slope times their distance from the upper edge, which stays."""
    maps = _translate_x(-slope * height / 2, height, width)
    maps[:, 1, 0] = slope
    return maps


def _shear_y(slope: Tensor, height: int, width: int) -> Tensor:
    """Columns are shifted by the slope times their distance from the left edge, which stays."""
    maps = _translate_y(-slope * width / 2, height, width)
    maps[:, 0, 1] = slope
    return maps


# ---- changes ---------------------------------------------------------------------------------------------


def _switch(apply: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A change without a strength: on for all strengths above 0."""

    def switched(images: Tensor, wanted: Tensor) -> Tensor:
        on = (wanted > 0).to(images.device)[:, None, None, None]
        return torch.where(on, apply(images), images)

    return switched


def _channel_shift(images: Tensor, levels: Tensor) -> Tensor:
    return apply_channel_shift(images, levels / 255)


def _grey(images: Tensor, wanted: Tensor) -> Tensor:
    return apply_grey(images, wanted > 0)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    largest = float(sigma.max()) if len(sigma) else 0.0
    return apply_blur(images, sigma, blur_radius(largest, min(images.shape[2:])))


def _noise(images: Tensor, levels: Tensor) -> Tensor:
    return apply_noise(images, levels / 255, torch.zeros(len(images), dtype=torch.int64))


def _cutout(images: Tensor, side: Tensor) -> Tensor:
    return apply_erasing(images, _middle_box(images, side**2), images.mean((2, 3)))


def _erasing(images: Tensor, area: Tensor) -> Tensor:
    key = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    return apply_erasing(images, _middle_box(images, area), uniform_noise(key, images.shape[1:]))


def _middle_box(images: Tensor, area: Tensor) -> Tensor:
    """(n, 4) boxes of these shares of the area, as wide as high in relation to the image, in its middle."""
    sides = torch.tensor(images.shape[2:], device=images.device)
    lengths = (area.to(images.device).double().sqrt()[:, None] * sides).round()
    first = ((sides - lengths) / 2).round()
    return torch.cat([first, first + lengths], 1).long()


OPERATIONS: dict[str, Operation] = {
    "rotation": Operation("rotation_range", 0, (10, 20, 40), "{:g}°", move=_rotation),
    "width-shift": Operation("width_shift_range", 0, (0.05, 0.1, 0.2), "{:.0%}", move=_width_shift),
    "height-shift": Operation("height_shift_range", 0, (0.05, 0.1, 0.2), "{:.0%}", move=_height_shift),
    "shear": Operation("shear_range", 0, (10, 20, 40), "{:g}°", move=_shear),
    "zoom": Operation("zoom_range", 1, (0.8, 0.6, 1.4), "{:g}", move=_zoom),
    "horizontal-flip": Operation("horizontal_flip", 0, (1,), "", move=_horizontal_flip),
    "vertical-flip": Operation("vertical_flip", 0, (1,), "", move=_vertical_flip),
    "perspective": Operation("perspective", 0, (0.2, 0.4, 0.6), "{:g}", move=_perspective),
    "channel-shift": Operation("channel_shift_range", 0, (-40, 40, 80), "{:+g}", change=_channel_shift),
    "brightness": Operation("brightness_range", 1, (0.4, 0.7, 1.5), "factor {:g}", change=apply_brightness),
    "contrast": Operation("contrast_range", 1, (0.3, 0.6, 1.8), "factor {:g}", change=apply_contrast),
    "saturation": Operation(
        "saturation_range", 1, (0.3, 0.6, 2.0), "factor {:g}", change=apply_saturation, needs_colour=True
    ),
    "hue": Operation("hue_range", 0, (-0.1, 0.1, 0.3), "{:+g} turns", change=apply_hue, needs_colour=True),
    "grey": Operation("grey", 0, (1,), "", change=_grey, needs_colour=True),
    "shear-x": Operation("", 0, (0.1, 0.3, 0.99), "{:g}", move=_shear_x),
    "shear-y": Operation("", 0, (0.1, 0.3, 0.99), "{:g}", move=_shear_y),
    "translate-x": Operation("", 0, (4, 8, 16), "{:g} px", move=_translate_x),
    "translate-y": Operation("", 0, (4, 8, 16), "{:g} px", move=_translate_y),
    "sharpness": Operation("", 1, (0.1, 2, 4), "factor {:g}", change=apply_sharpness),
    "posterize": Operation("", 8, (4, 3, 2), "{:g} bits", change=apply_posterize),
    "solarize": Operation("", 256, (200, 128, 60), "from {:g}", change=apply_solarize),
    "autocontrast": Operation("", 0, (1,), "", change=_switch(apply_autocontrast)),
    "equalize": Operation("", 0, (1,), "", change=_switch(apply_equalize)),
    "invert": Operation("", 0, (1,), "", change=_switch(apply_invert)),
    "blur": Operation("blur", 0, (0.5, 1, 2), "std {:g} px", change=_blur),
    "noise": Operation("noise", 0, (8, 16, 32), "std {:g}", change=_noise),
    "cutout": Operation("cutout_size", 0, (0.15, 0.25, 0.4), "{:.0%} of a side", change=_cutout),
    "erasing": Operation("erasing", 0, (0.05, 0.15, 0.3), "{:.0%} of the area", change=_erasing),
}
