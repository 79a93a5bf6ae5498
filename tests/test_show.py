"""summarise counts what is there; contact_sheet shows it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photopic.data.dataset import open_dataset
from photopic.data.show import contact_sheet, summarise
from photopic.data.split import split_dataset
from photopic.errors import ConfigError


def save(
    file: Path, color: tuple[int, int, int], size: tuple[int, int] = (20, 10), mode: str = "RGB"
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(file)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    for number in range(6):
        save(tmp_path / "red" / f"{number}.png", (255, number, 0), (20 + number, 10))
        save(tmp_path / "blue" / f"{number}.png", (0, number, 255), (10, 20), "P" if number == 0 else "RGB")
    save(tmp_path / "blue" / "again.png", (0, 5, 255), (10, 20))
    (tmp_path / "blue" / "bad.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("hello")
    return tmp_path


def test_a_summary_counts_classes_sizes_modes_and_bad_files(colors: Path) -> None:
    dataset = open_dataset(colors, group_pattern=r"red/([0-2])")
    summary = summarise(dataset)
    assert summary.images == 13
    assert summary.classes == {"blue": {"all": 7}, "red": {"all": 6}}
    assert summary.parts == ("all",)
    assert summary.sizes.width == (10, 10, 25)
    assert summary.sizes.height == (10, 20, 20)
    assert summary.modes == {"RGB": 12, "P": 1}
    assert summary.groups == 3
    assert summary.duplicates == 1
    assert summary.reasons == {"the file is empty": 1}
    assert summary.ignored == 1
    assert summary.fingerprint == dataset.fingerprint


def test_a_summary_counts_parts(colors: Path) -> None:
    dataset = open_dataset(colors)
    splits = split_dataset(dataset)
    summary = summarise(dataset, splits)
    assert summary.parts == ("train", "val", "test")
    for label, name in enumerate(dataset.class_names):
        for part in summary.parts:
            assert summary.classes[name][part] == ((dataset.index.labels == label) & (splits == part)).sum()
    dataset.index.splits[:4] = "test"
    summary = summarise(dataset)
    assert summary.parts == ("test", "unsplit")
    assert sum(counts["test"] for counts in summary.classes.values()) == 4 - 0
    assert sum(counts["unsplit"] for counts in summary.classes.values()) == 9


def test_a_summary_is_plain_json(colors: Path) -> None:
    values = json.loads(json.dumps(summarise(open_dataset(colors)).to_json()))
    assert values["classes"]["red"] == {"all": 6}
    assert values["excluded"] == [{"path": "blue/bad.png", "reason": "the file is empty"}]
    assert values["sizes"]["width"] == [10, 10, 25]


def test_the_contact_sheet_has_a_row_of_pictures_per_class(colors: Path) -> None:
    sheet = contact_sheet(open_dataset(colors), per_class=4, thumb=32)
    pixels = np.asarray(sheet).astype(int)
    assert pixels.shape[0] == 2 * 36 + 4
    is_blue = (pixels[..., 2] > 200) & (pixels[..., 0] < 50)
    is_red = (pixels[..., 0] > 200) & (pixels[..., 2] < 50)
    assert 4 * 32 * 12 < is_blue[:40].sum() < 4 * 32 * 20  # 4 pictures of 16 × 32
    assert 4 * 32 * 10 < is_red[40:].sum() < 4 * 32 * 20
    assert not is_red[:36].any()
    assert not is_blue[40:].any()
    ink = (pixels.sum(axis=2) < 150).any(axis=0)
    assert ink[:20].any()  # the names of the classes


def test_the_same_seed_shows_the_same_pictures() -> None:
    dataset = open_dataset("digits")
    first = contact_sheet(dataset, seed=1).tobytes()
    assert contact_sheet(dataset, seed=1).tobytes() == first
    assert contact_sheet(dataset, seed=2).tobytes() != first


def test_many_classes_are_cut_and_counted() -> None:
    images = np.zeros((60, 4, 4), np.uint8)
    sheet = contact_sheet(open_dataset((images, np.arange(60))), max_classes=10, thumb=16)
    assert sheet.height == 4 + 11 * 20
    wide = contact_sheet(open_dataset((images, ["long " * 50 + str(n % 2) for n in range(60)])), per_class=1)
    assert wide.width <= 6 * 64 + 3 * 4 + 64 + 4


def test_a_vanished_file_leaves_a_crossed_box(colors: Path) -> None:
    dataset = open_dataset(colors)
    for file in (colors / "red").iterdir():
        file.unlink()
    buffer = io.BytesIO()
    contact_sheet(dataset).save(buffer, "PNG")
    assert buffer.tell() > 0


@pytest.mark.parametrize("options", [{"per_class": 0}, {"max_classes": 0}, {"thumb": 7}])
def test_sizes_below_the_least_are_errors(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least"):
        contact_sheet(open_dataset("digits"), **options)
