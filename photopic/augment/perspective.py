"""Looks at images from an angle: each corner of the outline moves inwards on its own.

A map is a (3, 3) matrix on (row, column, 1) in pixels from the centre: it takes output coordinates to input
coordinates times a third number, by which they are divided.
"""

from __future__ import annotations

import torch
from torch import Tensor

from photopic.augment.geometry import sample

PERSPECTIVE_UNIFORMS = 9
"""Columns of uniform numbers that draw_perspective uses: whether, how far each corner moves on each axis."""

_CORNERS = ((-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0))  # (row, column), in half sides
_NEAREST = 1e-4  # of a divisor; what lies behind the viewer is far outside instead


def draw_perspective(
    uniform: Tensor, probability: float, distortion: float, height: int, width: int
) -> Tensor:
    """(n, PERSPECTIVE_UNIFORMS) uniform numbers in 0..1 -> (n, 3, 3) float64 maps.

    With the probability given each corner moves inwards, on each axis by a uniform share of distortion times
    half the side; else the map is the identity. distortion: the meaning of torchvision's distortion_scale,
    below 2/3, where the outline always stays convex.
    """
    maps = torch.eye(3, dtype=torch.float64).repeat(len(uniform), 1, 1)
    chosen = (uniform[:, 0] < probability).nonzero()[:, 0]
    inwards = uniform[chosen, 1:].double().view(-1, 4, 2) * distortion
    maps[chosen] = corner_maps(inwards, height, width)
    return maps


def corner_maps(inwards: Tensor, height: int, width: int) -> Tensor:
    """(n, 4, 2) how far corners move inwards (rows, columns), in half sides -> (n, 3, 3) float64 maps.

    Corners: top left, top right, bottom right, bottom left. Eight equations for eight numbers: with i the
    input corner of the output corner o, m the map's first rows and d its last, m·(o, 1) = i·(d·(o, 1)).
    """
    half = torch.tensor([height / 2, width / 2], dtype=torch.float64)
    start = torch.tensor(_CORNERS, dtype=torch.float64)
    n = len(inwards)
    place = torch.cat([start * (1 - inwards.double()) * half, torch.ones(n, 4, 1, dtype=torch.float64)], 2)
    target = start * half
    nothing = torch.zeros_like(place)
    of_row = torch.cat([place, nothing, -target[:, :1] * place[:, :, :2]], 2)
    of_column = torch.cat([nothing, place, -target[:, 1:] * place[:, :, :2]], 2)
    right = torch.cat([target[:, 0], target[:, 1]]).expand(n, 8)
    numbers = torch.linalg.solve(torch.cat([of_row, of_column], 1), right)
    return torch.cat([numbers, numbers.new_ones(n, 1)], 1).view(n, 3, 3)


def with_affine(perspective: Tensor, affine: Tensor) -> Tensor:
    """One map for both: the image is moved by (n, 2, 3) affine maps, then seen in perspective."""
    n = len(affine)
    last = torch.cat([affine.new_zeros(n, 1, 2), affine.new_ones(n, 1, 1)], 2)
    return torch.cat([affine, last], 1) @ perspective.to(affine)


def apply_perspective(images: Tensor, maps: Tensor, *, fill_mode: str, cval: float = 0.0) -> Tensor:
    """Resample (n, c, h, w) float images through (n, 3, 3) maps; a new tensor of the same shape and type.

    Bilinear; fill modes and cval as in geometry.apply_affine.
    """
    height, width = images.shape[2:]
    grid = perspective_grid(maps.to(images.device), height, width, images.dtype)
    return sample(images.to(grid.dtype), grid, fill_mode=fill_mode, cval=cval).to(images.dtype)


def perspective_grid(maps: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """(n, 2, h, w) where output pixels are read: planes x and y, -1..1 from edge to edge of the image."""
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    maps = torch.stack([maps[:, 1] * (2 / width), maps[:, 0] * (2 / height), maps[:, 2]], 1).to(dtype)
    rows = torch.arange(height, dtype=dtype, device=maps.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=dtype, device=maps.device) - (width - 1) / 2
    of_row = maps[:, :, 0:1] * rows + maps[:, :, 2:3]
    of_column = maps[:, :, 1:2] * columns
    planes = of_row[:, :, :, None] + of_column[:, :, None, :]
    return planes[:, :2] / planes[:, 2:].clamp_(min=_NEAREST)
