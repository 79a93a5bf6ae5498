"""photopic.augment.sheet: what is on the picture, and that it is what the operations give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import photopic
from photopic.augment.operations import OPERATIONS, apply_operation
from photopic.augment.sheet import FILL_MODES, augment_sheet
from photopic.cli import run
from photopic.config import PreprocessConfig, ScratchRecipe
from photopic.errors import ConfigError


def picture(height: int = 32, width: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    small = torch.rand(1, channels, 5, 5, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")[0]
    return (image * 255).to(torch.uint8).permute(1, 2, 0).numpy()


def recipe(size: int = 32, channels: int = 3, **augment: object) -> ScratchRecipe:
    return ScratchRecipe.model_validate(
        {"name": "mine", "preprocess": PreprocessConfig(size=size, channels=channels), "augment": augment}
    )


def holds(sheet: Image.Image, part: np.ndarray, factor: int = 4) -> bool:
    """Whether an image, enlarged by a whole factor, is somewhere on the sheet, to within one grey level."""
    wanted = np.broadcast_to(part, (*part.shape[:2], 3)).repeat(factor, 0).repeat(factor, 1).astype(np.int16)
    pixels = np.asarray(sheet).astype(np.int16)
    rows, columns = pixels.shape[0] - len(wanted) + 1, pixels.shape[1] - wanted.shape[1] + 1
    possible = np.ones((rows, columns), bool)
    for y in (0, len(wanted) // 2, len(wanted) - 1):
        for x in (0, wanted.shape[1] // 3, wanted.shape[1] - 1):
            near = np.abs(pixels[y : y + rows, x : x + columns] - wanted[y, x]) <= 1
            possible &= near.all(2)
    height, width = wanted.shape[:2]
    return any(
        np.abs(pixels[y : y + height, x : x + width] - wanted).max() <= 1 for y, x in np.argwhere(possible)
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_shown_at_all_its_levels_beside_the_image(name: str) -> None:
    image = picture()
    sheet = augment_sheet(image, [name], thumb=32)
    assert holds(sheet, image, factor=1)
    images_01 = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    for level in OPERATIONS[name].levels:
        changed = apply_operation(name, images_01, torch.tensor([float(level)]))
        levels = (changed[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        assert holds(sheet, levels, factor=1), level


def test_all_operations_that_have_an_effect_are_shown_if_none_is_named() -> None:
    image, grey = picture(), picture(channels=1)
    in_colour, in_grey = augment_sheet(image, thumb=32), augment_sheet(grey, thumb=32)
    assert holds(in_colour, 255 - image, factor=1)  # invert
    assert in_colour.height > in_grey.height


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_image_gives_the_same_sheet(channels: int) -> None:
    images = [picture(40, 28, channels), picture(30, 50, channels, seed=1)]
    one, other = (augment_sheet(images, recipe=recipe(24, channels, mixup=1.0)) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_mixing_and_fill_modes_are_shown() -> None:
    image, partner = picture(), picture(seed=3)
    mixed = augment_sheet([image, partner], {"mixup": [0.5], "cutmix": [0.5]})
    assert holds(mixed, ((image.astype(int) + partner) / 2).round().astype(np.uint8))
    pasted = image.copy()
    pasted[16:, 16:] = partner[16:, 16:]
    assert holds(mixed, pasted)
    assert augment_sheet(image, ["fill-mode"]).width > len(FILL_MODES) * 128


def test_a_recipes_draws_are_those_of_its_policy() -> None:
    image = picture()
    sheet = augment_sheet(image, [], recipe=recipe(vertical_flip=True))
    assert holds(sheet, image)
    assert holds(sheet, image[::-1])


def test_large_images_are_made_smaller_and_tiny_ones_larger() -> None:
    small, large = picture(8, 8), picture(600, 900)
    assert augment_sheet(large, ["rotation"]).width < 800
    assert holds(augment_sheet(small, ["horizontal-flip"]), small[:, ::-1], factor=16)


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ConfigError, match='"rotate" is not known'):
        augment_sheet(picture(), ["rotate"])
    with pytest.raises(ConfigError, match="needs a second image"):
        augment_sheet(picture(), ["mixup"])
    with pytest.raises(ConfigError, match='recipe "mine" changes no image'):
        augment_sheet(picture(), recipe=recipe())
    with pytest.raises(ConfigError, match="thumb=3"):
        augment_sheet(picture(), thumb=3)
    with pytest.raises(ConfigError, match="image must be uint8"):
        augment_sheet(np.zeros((4, 4)))
    with pytest.raises(ConfigError, match="no image"):
        augment_sheet([])


# ---- from the command line and from Python ---------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of two photos."""
    for seed, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/b")):
        file = tmp_path / "photos" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 30, seed=seed)).save(file)
    return tmp_path / "photos"


def test_the_command_writes_a_sheet_of_a_data_set(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert run(["data", "show", str(photos), "--augment", "--recipe", "small-images", "--out", str(out)]) == 0
    with Image.open(out) as sheet:
        plain = photopic.augment_sheet(photos)
        assert sheet.height > plain.height  # the recipe's draws
        assert (
            photopic.augment_sheet(photos, recipe="small-images").tobytes() == sheet.convert("RGB").tobytes()
        )


def test_the_command_takes_a_single_image(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["data", "show", str(photos / "cat" / "a.png"), "--augment", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"augment": "augment.png"}
    with Image.open(tmp_path / "augment.png") as sheet:
        assert sheet.tobytes() == photopic.augment_sheet(picture(40, 30)).tobytes()


def test_options_of_the_sheet_without_the_sheet_are_refused(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "show", str(photos), "--out", "x.png"]) == 2
    assert "no effect without --augment" in capsys.readouterr().err
    assert run(["data", "show", str(photos / "cat" / "a.png"), "--augment", "--sheet", "x.png"]) == 2
    assert "no effect with a single image" in capsys.readouterr().err
