"""The course's knobs against Keras' ImageDataGenerator: its published definition, and Keras itself.

`apply_transform` below is written from the definitions of keras.src.legacy.preprocessing.image, with SciPy
and Pillow as there. The environment variable PHOTOPIC_KERAS_PYTHON may name a Python with Keras, Pillow and
SciPy; without it, the tests that ask Keras are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage, stats

from photopic.augment.color import apply_brightness, apply_channel_shift
from photopic.augment.draw import Draw, draw_all
from photopic.augment.geometry import apply_affine, compose_affine, with_flips
from photopic.augment.policy import Augment
from photopic.config import AugmentConfig

FILL_MODES = ["constant", "nearest", "reflect", "wrap"]
SIZE = 20


def pictures_u8(n: int = 12) -> np.ndarray:
    small = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(4))
    images = torch.nn.functional.interpolate(small, (SIZE, SIZE), mode="bicubic", align_corners=False)
    return (images.clamp(0, 1) * 255).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()


def parameters(n: int = 12) -> list[dict[str, float]]:
    """What get_random_transform may return, all at once; angles in degrees."""
    random = np.random.default_rng(1)
    return [
        {
            "theta": random.uniform(-60, 60),
            "tx": random.uniform(-5, 5),
            "ty": random.uniform(-5, 5),
            "shear": random.uniform(-40, 40),
            "zx": random.uniform(0.6, 1.5),
            "zy": random.uniform(0.6, 1.5),
            "flip_horizontal": bool(random.integers(2)),
            "flip_vertical": bool(random.integers(2)),
            "channel_shift_intensity": random.uniform(-60, 60),
            "brightness": random.uniform(0.5, 1.5),
        }
        for _ in range(n)
    ]


def apply_transform(image: np.ndarray, p: dict[str, float], fill_mode: str, cval: float) -> np.ndarray:
    """Keras' apply_transform on one (h, w, c) image of floats 0..255.

    SciPy's "wrap", which Keras hands on, lets the last pixel of one copy and the first of the next coincide;
    abcd|abcd|abcd, as Keras describes it, is SciPy's "grid-wrap".
    """
    theta, shear = np.deg2rad(p["theta"]), np.deg2rad(p["shear"])
    rotation = [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    shift = [[1, 0, p["tx"]], [0, 1, p["ty"]], [0, 0, 1]]
    sheared = [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    zoom = [[p["zx"], 0, 0], [0, p["zy"], 0], [0, 0, 1]]
    matrix = np.linalg.multi_dot([np.array(part, float) for part in (rotation, shift, sheared, zoom)])
    middle = np.array([[1, 0, SIZE / 2 - 0.5], [0, 1, SIZE / 2 - 0.5], [0, 0, 1]])
    matrix = middle @ matrix @ np.linalg.inv(middle)
    matrix[:, [0, 1]] = matrix[:, [1, 0]]  # x, y to row, column
    matrix[[0, 1]] = matrix[[1, 0]]
    mode = "grid-wrap" if fill_mode == "wrap" else fill_mode
    moved = [
        ndimage.affine_transform(plane, matrix[:2, :2], matrix[:2, 2], order=1, mode=mode, cval=cval)
        for plane in np.moveaxis(image, 2, 0)
    ]
    out = np.stack(moved, 2)
    out = np.clip(out + p["channel_shift_intensity"], out.min(), out.max())
    if p["flip_horizontal"]:
        out = out[:, ::-1]
    if p["flip_vertical"]:
        out = out[::-1]
    pillow = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
    return np.asarray(ImageEnhance.Brightness(pillow).enhance(p["brightness"])).astype(float)


def ours(images_u8: np.ndarray, fill_mode: str, cval: float) -> np.ndarray:
    """The same parameters through photopic's functions, in the order of its policy."""
    columns = {
        name: torch.tensor([float(p[name]) for p in parameters()], dtype=torch.float64)
        for name in parameters()[0]
    }
    affine = compose_affine(
        torch.deg2rad(columns["theta"]),
        columns["ty"],
        columns["tx"],
        torch.deg2rad(columns["shear"]),
        columns["zy"],
        columns["zx"],
    )
    affine = with_flips(affine, columns["flip_vertical"] > 0, columns["flip_horizontal"] > 0)
    images = torch.from_numpy(images_u8).permute(0, 3, 1, 2).double() / 255
    images = apply_affine(images, affine, fill_mode=fill_mode, cval=cval / 255)
    images = apply_channel_shift(images, columns["channel_shift_intensity"] / 255)
    images = apply_brightness(images, columns["brightness"])
    return images.permute(0, 2, 3, 1).numpy() * 255


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_everything_at_once_is_keras_definition(fill_mode: str) -> None:
    images, cval = pictures_u8(), 90.0 if fill_mode == "constant" else 0.0
    got = ours(images, fill_mode, cval)
    for i, p in enumerate(parameters()):
        wanted = apply_transform(images[i].astype(float), p, fill_mode, cval)
        # Pillow works on bytes: a fraction is cut off before and after the factor of up to 1.5.
        assert np.abs(got[i] - wanted).max() < 2.6
        assert abs((got[i] - wanted).mean()) < 1.5


KERAS = """
import json, sys
import numpy as np
from keras.src.legacy.preprocessing.image import ImageDataGenerator
asked = json.load(sys.stdin)
generator = ImageDataGenerator(fill_mode=asked["fill_mode"], cval=asked["cval"])
images = np.array(asked["images"], "float32")
moved = [generator.apply_transform(image, p) for image, p in zip(images, asked["parameters"])]
drawn = {}
for name, options in asked["draws"].items():
    np.random.seed(0)
    generator = ImageDataGenerator(**options)
    drawn[name] = [generator.get_random_transform((20, 20, 3)) for _ in range(4000)]
json.dump({"images": np.stack(moved).tolist(), "drawn": drawn}, sys.stdout, default=float)
"""


def ask_keras(**asked: Any) -> dict[str, Any]:
    """Run Keras in the Python that PHOTOPIC_KERAS_PYTHON names; skips where there is none."""
    python = os.environ.get("PHOTOPIC_KERAS_PYTHON")
    if not python or not Path(python).exists():
        pytest.skip("PHOTOPIC_KERAS_PYTHON names no Python with Keras")
    asked = {"images": [], "parameters": [], "fill_mode": "nearest", "cval": 0.0, "draws": {}} | asked
    if not asked["images"]:
        asked["images"], asked["parameters"] = pictures_u8(1).tolist(), parameters(1)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, "-c", KERAS], input=json.dumps(asked), capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect"])
def test_everything_at_once_is_what_keras_itself_gives(fill_mode: str) -> None:
    images, cval = pictures_u8(), 90.0 if fill_mode == "constant" else 0.0
    answer = ask_keras(images=images.tolist(), parameters=parameters(), fill_mode=fill_mode, cval=cval)
    assert np.abs(ours(images, fill_mode, cval) - np.array(answer["images"])).max() < 2.6


SHIFTS: dict[str, Any] = {"fraction": 0.2, "whole": 3, "real": 1.5}


@pytest.mark.slow
def test_shifts_zooms_and_angles_are_distributed_as_keras_draws_them() -> None:
    """Without rotation and shear a map holds its zooms and shifts as they are."""
    options = {
        name: {
            "width_shift_range": shift,
            "height_shift_range": shift,
            "zoom_range": 0.3,
            "rotation_range": 0,
        }
        for name, shift in SHIFTS.items()
    }
    drawn = ask_keras(draws=options)["drawn"]
    for name, transforms in drawn.items():
        affine = draw_all(AugmentConfig(**options[name]), 20, 4000, 0, 0).affine
        for axis in (0, 1):
            theirs = np.array([transform[("tx", "ty")[axis]] for transform in transforms])
            assert stats.ks_2samp(affine[:, axis, 2].numpy(), theirs).pvalue > 1e-3
            theirs = np.array([transform[("zx", "zy")[axis]] for transform in transforms])
            assert stats.ks_2samp(affine[:, axis, axis].numpy(), theirs).pvalue > 1e-3
        if name == "whole":
            values, counts = np.unique([transform["tx"] for transform in transforms], return_counts=True)
            own_values, own_counts = affine[:, 0, 2].unique(return_counts=True)
            assert own_values.tolist() == values.tolist() == [-2, -1, 0, 1, 2]
            np.testing.assert_allclose(own_counts / 4000, counts / 4000, atol=0.04)


def test_channel_shifts_are_uniform_in_grey_levels() -> None:
    draw = draw_all(AugmentConfig(channel_shift_range=51), 20, 5000, 0, 0)
    assert stats.kstest((draw.channel_shift / 0.2 + 1) / 2, "uniform").pvalue > 1e-3


def test_the_policy_has_the_order_of_keras() -> None:
    """Moves, channel shift, flips, brightness; flips and channel shift do not see each other."""
    config = AugmentConfig(
        rotation_range=30, horizontal_flip=True, channel_shift_range=60, brightness_range=(0.5, 1.5)
    )
    images_u8 = torch.from_numpy(pictures_u8())
    augment = Augment(config, 3, SIZE)
    draw: Draw = augment.draw(12, 0, 0)
    got = augment.apply_u8(images_u8, draw, torch.arange(12))
    images = apply_affine(images_u8.permute(0, 3, 1, 2) / 255, draw.affine, fill_mode="nearest")
    images = apply_brightness(apply_channel_shift(images, draw.channel_shift), draw.brightness)
    torch.testing.assert_close(got, images, rtol=0, atol=1e-5)
