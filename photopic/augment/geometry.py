"""Moves pixels: rotation, shift, shear, zoom and flips, composed into one affine map per image.

Semantics are those of Keras' ImageDataGenerator: output pixel o takes the input at M (o - centre) + centre,
with M = rotation · shift · shear · zoom, then flips; bilinear; outside the image one of the four fill modes,
exactly as scipy.ndimage.affine_transform with order 1 and the modes constant, nearest, reflect and grid-wrap.
 Axis letters: n images, c channels, h height, w width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from photopic.config import AugmentConfig
from photopic.config.augment import Shift

UNIFORMS = 6
"""Columns of uniform numbers that draw_affine uses: angle, row shift, column shift, shear, two zooms."""

_ZEROS, _BORDER, _REFLECTION = 0, 1, 2  # torch.grid_sampler's names of its padding modes; 0 is also bilinear
_FAR = 1e6  # pushes a coordinate that is just outside of the image far away from it
_EDGE_TOLERANCE_PX = 1e-4  # float32 coordinates of 2048 px are this exact; less outside is still inside


# ---- draw ------------------------------------------------------------------------------------------------


def is_still(config: AugmentConfig) -> bool:
    """Whether no pixel is moved."""
    flips = config.horizontal_flip != "none" or config.vertical_flip
    shifts = config.width_shift_range or config.height_shift_range
    return not (flips or shifts or _turns(config))


def is_whole_pixels(config: AugmentConfig) -> bool:
    """Whether only flips and shifts by whole pixels are wanted: then nothing is interpolated."""
    return not _turns(config) and _is_whole(config.width_shift_range) and _is_whole(config.height_shift_range)


def _is_whole(shift_range: Shift) -> bool:
    if isinstance(shift_range, tuple):
        return all(shift.is_integer() for shift in shift_range)
    return isinstance(shift_range, int) or shift_range == 0


def _turns(config: AugmentConfig) -> bool:
    return config.rotation_range > 0 or config.shear_range > 0 or config.zoom_range != (1.0, 1.0)


def draw_shift(uniform: Tensor, shift_range: Shift, size: int) -> Tensor:
    """(n,) uniform numbers in 0..1 -> (n,) shifts in pixels, float64.

    shift_range: a number v below 1: any real shift in ± v · size. A number v of type float from 1.0 on: any
    real shift in ± v. A whole number n: a size of 0..n-1, each as likely, then a sign; so 0 is twice as
    likely as each other shift. A tuple: one of its values, each as likely.

    Source: ImageDataGenerator.get_random_transform of Keras. Its code also gives values of a list a random
    sign, against its documentation; here they stand for themselves.
    """
    uniform = uniform.double()
    if isinstance(shift_range, tuple):
        shifts = torch.tensor(shift_range, dtype=torch.float64, device=uniform.device)
        return shifts[_choose(uniform, len(shift_range))]
    if isinstance(shift_range, int) and shift_range >= 1:
        choice = _choose(uniform, 2 * shift_range)
        return (choice // 2 * (2 * (choice % 2) - 1)).double()
    return (2 * uniform - 1) * shift_range * (size if shift_range < 1 else 1)


def _choose(uniform: Tensor, n: int) -> Tensor:
    """One of 0..n-1 for each number in 0..1, int64."""
    return torch.floor(uniform * n).long().clamp_(max=n - 1)


def draw_affine(uniform: Tensor, config: AugmentConfig, size: int) -> Tensor:
    """(n, UNIFORMS) uniform numbers in 0..1 -> (n, 2, 3) float64 maps without flips.

    A map takes centred output coordinates (row, column) to centred input coordinates: its first two columns
    are the matrix, the third is the offset, pixels.
    """
    u = uniform.double()
    angle = torch.deg2rad((2 * u[:, 0] - 1) * config.rotation_range)
    shift_row = draw_shift(u[:, 1], config.height_shift_range, size)
    shift_column = draw_shift(u[:, 2], config.width_shift_range, size)
    shear = torch.deg2rad((2 * u[:, 3] - 1) * config.shear_range)
    low, high = config.zoom_range
    zoom_row, zoom_column = (low + (high - low) * u[:, 4:6]).unbind(1)
    return compose_affine(angle, shift_row, shift_column, shear, zoom_row, zoom_column)


def compose_affine(
    angle: Tensor,
    shift_row: Tensor,
    shift_column: Tensor,
    shear: Tensor,
    zoom_row: Tensor,
    zoom_column: Tensor,
) -> Tensor:
    """rotation · shift · shear · zoom as (n, 2, 3); all arguments (n,), angles in radians, counter-clockwise.

    Source: apply_affine_transform of Keras. On (x, y) it has rotation [[cos, -sin], [sin, cos]] and shear
    [[1, -sin], [0, cos]], which moves rows sideways; it then exchanges the axes. Below is the product for
    (row, column). A positive shift is added to where pixels are read: the picture goes the other way.
    """
    cos, sin = angle.cos(), angle.sin()
    both_cos, both_sin = (angle + shear).cos(), (angle + shear).sin()
    rows = [
        torch.stack([both_cos * zoom_row, sin * zoom_column], 1),
        torch.stack([-both_sin * zoom_row, cos * zoom_column], 1),
    ]
    offset = torch.stack([cos * shift_row + sin * shift_column, cos * shift_column - sin * shift_row], 1)
    return torch.cat([torch.stack(rows, 1), offset[:, :, None]], 2)


def with_flips(affine: Tensor, flip_rows: Tensor, flip_columns: Tensor) -> Tensor:
    """The same maps, then mirroring: flip_rows (n,) bool turns upside down, flip_columns left to right."""
    signs = 1 - 2 * torch.stack([flip_rows, flip_columns, torch.zeros_like(flip_rows)], 1).to(affine.dtype)
    return affine * signs[:, None, :]


# ---- apply -----------------------------------------------------------------------------------------------


def apply_affine(images: Tensor, affine: Tensor, *, fill_mode: str, cval: float = 0.0) -> Tensor:
    """Resample (n, c, h, w) float images through (n, 2, 3) maps; a new tensor of the same shape and type.

    cval: the value outside of the image with fill_mode "constant", in the units of `images`.
    """
    height, width = images.shape[2:]
    of_row, of_column = sampling_terms(affine.to(images.device), height, width, images.dtype)
    source = images.to(of_row.dtype)
    return sample(source, of_row + of_column, fill_mode=fill_mode, cval=cval).to(images.dtype)


def sampling_terms(affine: Tensor, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Where output pixels are read: a term of the row (n, 2, h, 1) plus a term of the column (n, 2, 1, w).

    Coordinates are x then y, -1..1 from edge to edge of the image. An affine map is such a sum: a fraction of
    the time of affine_grid's matrix product. Two planes, not pairs, are what grid_sampler reads fastest.
    dtype: of the images; the terms of half-precision images are float32, for half precision cannot tell the
    neighbouring pixels of a wide image apart.
    """
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    affine = torch.stack([affine[:, 1] * (2 / width), affine[:, 0] * (2 / height)], 1).to(dtype)
    rows = torch.arange(height, dtype=dtype, device=affine.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=dtype, device=affine.device) - (width - 1) / 2
    of_row = affine[:, :, 0:1] * rows + affine[:, :, 2:3]
    of_column = affine[:, :, 1:2] * columns
    return of_row[:, :, :, None], of_column[:, :, None, :]


def sample(source: Tensor, grid: Tensor, *, fill_mode: str, cval: float) -> Tensor:
    """Bilinear: (n, c, h, w) images read at (n, 2, h, w) places, x then y; the places may be overwritten."""
    if source.numel() == 0:
        return source.clone()
    if fill_mode == "nearest":
        return _sample(source, grid, _BORDER)
    if fill_mode == "reflect":
        return _sample(source, grid, _REFLECTION)
    if fill_mode == "wrap":
        return _sample_wrapped(source, grid)
    return _sample_constant(source, grid, cval)


def _sample(source: Tensor, grid: Tensor, padding_mode: int) -> Tensor:
    return torch.grid_sampler(source, grid.permute(0, 2, 3, 1), 0, padding_mode, False)


def _sample_constant(source: Tensor, grid: Tensor, cval: float) -> Tensor:
    """SciPy's "constant" does not blend the border with cval: a point is inside, or it is cval."""
    height, width = source.shape[2:]
    limit = [1 - (1 - 2 * _EDGE_TOLERANCE_PX) / side for side in (width, height)]
    for axis in (0, 1):
        plane = grid[:, axis]
        plane += (plane - plane.clamp(-limit[axis], limit[axis])) * _FAR
    if cval == 0:
        return _sample(source, grid, _ZEROS)
    return _sample(source - cval, grid, _ZEROS).add_(cval)


def _sample_wrapped(source: Tensor, grid: Tensor) -> Tensor:
    """The image repeated without end: coordinates modulo its size, on a copy with one more row and column."""
    height, width = source.shape[2:]
    repeated = torch.cat([source, source[:, :, :1]], 2)
    repeated = torch.cat([repeated, repeated[:, :, :, :1]], 3)
    for axis, side in enumerate((width, height)):
        pixels = torch.remainder((grid[:, axis] + 1) * side / 2 - 0.5, side)
        grid[:, axis] = (2 * pixels + 1) / (side + 1) - 1
    return _sample(repeated, grid, _BORDER)


def apply_whole_pixels(images: Tensor, affine: Tensor, *, fill_mode: str, cval: float = 0.0) -> Tensor:
    """As apply_affine, for maps that are only flips and shifts by whole pixels, and for images of any type.

    One gather of whole pixels: nothing is interpolated.
    """
    n, c, h, w = images.shape
    affine = affine.to(images.device)
    rows, row_outside = _source_index(affine[:, 0, 0], affine[:, 0, 2], h, fill_mode)
    columns, column_outside = _source_index(affine[:, 1, 1], affine[:, 1, 2], w, fill_mode)
    first = torch.arange(n, device=images.device)[:, None] * (h * w)
    index = (first + rows * w)[:, :, None] + columns[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(n * h * w, c).index_select(0, index.view(-1))
    out = pixels.view(n, h, w, c).permute(0, 3, 1, 2)
    if fill_mode == "constant":
        outside = row_outside[:, None, :, None] | column_outside[:, None, None, :]
        out = out.masked_fill(outside, round(cval) if not images.is_floating_point() else cval)
    return out


def _source_index(sign: Tensor, offset: Tensor, side: int, fill_mode: str) -> tuple[Tensor, Tensor]:
    """Along one axis: (n, side) int64 source places, and whether they stand for a place outside the image."""
    centre = (side - 1) / 2
    # whole and half pixels are exact in single precision, too, which is all that Apple's GPUs have
    places = torch.arange(side, dtype=sign.dtype, device=sign.device) - centre
    index = torch.round(sign[:, None] * places + offset[:, None] + centre).to(torch.int64)
    outside = (index < 0) | (index >= side)
    if fill_mode == "wrap":
        index = index.remainder(side)
    elif fill_mode == "reflect":
        index = index.remainder(2 * side)
        index = torch.minimum(index, 2 * side - 1 - index)
    return index.clamp(0, side - 1), outside
