"""C00, C38: images as numbers and galleries, and one photo under the knobs of augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from photopic.augment.geometry import apply_affine, compose_affine
from photopic.augment.sheet import augment_sheet
from photopic.data.dataset import DataSet
from photopic.errors import OfflineError
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Drawing, Outcome, Row
from photopic.report.figures import image_grid, value_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GALLERY_ROWS, GALLERY_COLUMNS = 3, 12
PHOTO_SIDE = 128
KNOBS = {
    "rotation": (-40.0, -20.0, -10.0, 10.0, 20.0, 40.0),
    "shear": (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0),
    "zoom": (0.6, 0.8, 0.9, 1.1, 1.2, 1.4),
}
"""Degrees, degrees counter-clockwise, factors on the part of the photo that is shown (below 1: closer)."""
FILLS = ("constant", "nearest", "reflect", "wrap")


# ---- C00 ---------------------------------------------------------------------------------------------------


def c00(context: Context) -> Outcome:
    """MNIST's first image as numbers and as a picture, a gallery, CIFAR-10's first image."""
    mnist = context.dataset("mnist")
    digit, label = mnist.image(0)[:, :, 0], mnist.class_names[mnist.index.labels[0]]
    rows = [
        context.row("MNIST train image 0: label", label),
        context.row("MNIST train image 0: pixel [6][7]", int(digit[6, 7])),
        context.row("MNIST train image 0: pixel [6][8]", int(digit[6, 8])),
        context.row("MNIST images, train / test", _counts(mnist)),
    ]
    count = GALLERY_ROWS * GALLERY_COLUMNS
    gallery = image_grid(
        [mnist.image(row)[:, :, 0] for row in range(count)],
        columns=GALLERY_COLUMNS,
        titles=[mnist.class_names[mnist.index.labels[row]] for row in range(count)],
        inches=0.7,
    )
    figures = [
        context.draw("digit.png", "MNIST train image 0, its pixels written into it", _digit(digit)),
        context.draw("gallery.png", f"The first {count} training images of MNIST", gallery),
    ]
    notes = context.shortened("without CIFAR-10, whose files take seconds to list.")
    if not context.quick:
        try:
            more, figure, notes = _first_photo(context, context.dataset("cifar10"))
        except OfflineError as error:
            notes = (f"Without CIFAR-10: {error}",)
        else:
            rows += more
            figures.append(figure)
    share = float((digit == 0).mean())
    return Outcome(
        rows=tuple(rows),
        figures=tuple(figures),
        sentences=(
            f"A {label} of 28×28 pixels is {digit.size} numbers from {digit.min()} to {digit.max()}, "
            f"{share:.0%} of them 0.",
            f"The first {count} images show {len({int(mnist.index.labels[row]) for row in range(count)})} of "
            f"{len(mnist.class_names)} digits, each in many hands.",
        ),
        notes=notes,
    )


def _counts(dataset: DataSet) -> str:
    splits = dataset.index.splits[dataset.usable]
    return f"{(splits == 'train').sum()} / {(splits == 'test').sum()}"


def one_hot_shape(dataset: DataSet) -> str:
    """Shape of the training images' labels, as they are and with a column for each class."""
    rows = dataset.usable[dataset.index.splits[dataset.usable] == "train"]
    labels = dataset.index.labels[rows]
    return f"{labels.shape} → {np.eye(len(dataset.class_names))[labels].shape}"


def _digit(digit: np.ndarray) -> Figure:
    return value_table(digit, title="MNIST train image 0", inches=0.34)


def _first_photo(context: Context, cifar: DataSet) -> tuple[list[Row], Drawing, tuple[str, ...]]:
    """CIFAR-10's first training image: of the published files, or of class folders made from them."""
    published = cifar.array is not None
    row = 0 if published else _first_frog(cifar)
    photo = cifar.image(row)
    first = " ".join(str(value) for value in photo[0, 0])
    rows = [
        context.row("CIFAR-10 images, train / test", _counts(cifar)),
        context.row("CIFAR-10 train image 0: first pixel", first),
        context.row(
            "CIFAR-10 training labels → one-hot",
            one_hot_shape(cifar),
            note="losses here take the numbers themselves",
        ),
    ]
    name = cifar.class_names[cifar.index.labels[row]]
    title = f"CIFAR-10: a {name}, 32×32×3, its first pixel {first}"
    figure = context.draw("photo.png", title, image_grid([photo], columns=1, inches=2.4))
    if published:
        return rows, figure, ()
    note = (
        f"This copy of CIFAR-10 has a file for each image; shown is {cifar.index.paths[row]}, for the first "
        "training image is a frog. Encoded as JPEG, its pixels differ a little from the published ones."
    )
    return rows, figure, (note,)


def _first_frog(cifar: DataSet) -> int:
    """The first training image of the class frog, as the published train image 0 is."""
    index = cifar.index
    frogs = (index.labels == cifar.class_names.index("frog")) & (index.splits == "train")
    return int(np.flatnonzero(frogs)[0])


# ---- C38 ---------------------------------------------------------------------------------------------------


def c38(context: Context) -> Outcome:
    """One photo turned, sheared and zoomed, and the four ways to fill what comes in from outside."""
    photo, name = _photo(context)
    rows = []
    for knob, values in KNOBS.items():
        outside = [_share_outside(photo.shape, {knob: value}) for value in values]
        rows.append(
            context.row(
                f"{knob}: greatest share of pixels from outside", max(outside), note=_at(values, outside)
            )
        )
    filled = [turn(photo, {"rotation": 30.0, "zoom": 1.3}, fill_mode=mode) for mode in FILLS]
    figures = (
        context.draw("knobs.png", f"Rotation, shear and zoom of {name}", augment_sheet(photo, KNOBS)),
        context.draw(
            "fill.png",
            "The four fill modes: rotation 30°, zoom 1.3",
            image_grid(filled, columns=len(FILLS), titles=FILLS, inches=1.5),
        ),
    )
    widest = max(rows, key=lambda row: row.measured if isinstance(row.measured, float) else 0.0)
    return Outcome(
        rows=tuple(rows),
        figures=figures,
        sentences=(
            f"Of the strengths drawn, {widest.name.split(':')[0]} brings in most from outside: "
            f"{widest.measured:.0%} of the pixels are made up by the fill mode ({widest.note}).",
            "; ".join(f"{row.name.split(':')[0]} {row.note}: {row.measured:.0%}" for row in rows) + ".",
        ),
        notes=(f"The photo: {name}. The course's is not given.",),
    )


def turn(photo: np.ndarray, knobs: Mapping[str, float], *, fill_mode: str = "nearest") -> np.ndarray:
    """(h, w, 3) uint8 under one map: rotation and shear in degrees, zoom as a factor on the part shown."""
    images = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float()
    turned = apply_affine(images, _map(**knobs), fill_mode=fill_mode)
    return np.asarray(turned[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy())


def _map(rotation: float = 0.0, shear: float = 0.0, zoom: float = 1.0) -> Tensor:
    def one(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    angle, slant = torch.deg2rad(one(rotation)), torch.deg2rad(one(shear))
    return compose_affine(angle, one(0), one(0), slant, one(zoom), one(zoom))


def _share_outside(shape: tuple[int, ...], knobs: Mapping[str, float]) -> float:
    """Share of the pixels of the result that lie outside of the photo."""
    inside = apply_affine(torch.ones(1, 1, *shape[:2]), _map(**knobs), fill_mode="constant")
    return float((inside < 0.5).float().mean())


def _at(values: tuple[float, ...], shares: list[float]) -> str:
    return f"at {values[int(np.argmax(shares))]:g}"


def _photo(context: Context) -> tuple[np.ndarray, str]:
    """A photo of a cat, its middle square; without photos here a drawn traffic sign. With its name."""
    try:
        dataset = context.dataset("cats-dogs")
    except OfflineError:
        dataset = context.dataset("signs")
    splits = dataset.index.splits[dataset.usable]
    row = int(dataset.usable[np.isin(splits, ["train", ""])][0])
    image = Image.fromarray(dataset.image(row))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((PHOTO_SIDE, PHOTO_SIDE))
    return np.asarray(square), f"{dataset.name} {dataset.index.paths[row]}"
