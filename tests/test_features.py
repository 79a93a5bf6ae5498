"""Features: computed once per image content, the same as the plain network's, failures listed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from photopic.config import AugmentConfig, BackboneConfig, PreprocessConfig
from photopic.data.dataset import DataSet, open_dataset
from photopic.data.preprocess import Preprocess
from photopic.errors import DataError
from photopic.files import cache_dir
from photopic.models.backbones import load_backbone
from photopic.runtime import choose_runtime
from photopic.training import features
from photopic.training.feature_cache import FeatureCache
from photopic.training.features import Extractor, extract_features

_CONFIG = PreprocessConfig(size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_SHIFTS = AugmentConfig(width_shift_range=0.3, height_shift_range=0.3, horizontal_flip="random")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders of three small images each."""
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(3):
            _photo(tmp_path / "photos" / label / f"{i}.png", seed=i + 10 * (label == "b"))
    return tmp_path / "photos"


def _photo(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((80, 70), Image.Resampling.BICUBIC).save(path)


def _extractor() -> Extractor:
    return Extractor(BackboneConfig(), choose_runtime("cpu"))


def _extract(dataset: DataSet, rows: np.ndarray | None = None, **options: object) -> features.Features:
    rows = dataset.usable if rows is None else rows
    return extract_features(dataset, rows, Preprocess(_CONFIG), _extractor(), **options)  # type: ignore[arg-type]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that went through the network."""
    seen: list[int] = []
    plain = Extractor.__call__

    def counting(self: Extractor, images: torch.Tensor) -> np.ndarray:
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Extractor, "__call__", counting)
    return seen


def test_features_are_those_of_the_plain_network(photos: Path) -> None:
    dataset = open_dataset(photos)
    preprocess = Preprocess(_CONFIG)
    images = np.stack([preprocess.to_store(dataset.image(row)) for row in dataset.usable])
    with torch.inference_mode():
        expected = load_backbone(BackboneConfig()).module(preprocess.to_float(torch.from_numpy(images)))
    found = _extract(dataset)
    np.testing.assert_allclose(found.views[0], expected.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.rows, dataset.usable)


def test_second_time_nothing_is_decoded_or_computed_in_any_order(
    photos: Path, forwards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(photos)
    first = _extract(dataset)
    assert sum(forwards) == 6
    forwards.clear()
    monkeypatch.delattr(DataSet, "image")
    order = dataset.usable[[4, 0, 5]]
    again = _extract(dataset, order)
    assert forwards == []
    np.testing.assert_array_equal(again.views[0], first.views[0][[4, 0, 5]])


def test_new_images_alone_are_computed(photos: Path, forwards: list[int]) -> None:
    _extract(open_dataset(photos))
    forwards.clear()
    _photo(photos / "a" / "new.png", seed=99)
    (photos / "b" / "copy.png").write_bytes((photos / "a" / "0.png").read_bytes())
    grown = _extract(open_dataset(photos))
    assert sum(forwards) == 1
    assert len(grown.rows) == 8


def test_other_preprocessing_or_backbone_is_another_space(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(photos)
    spaces = set()
    weights = tmp_path / "other.pth"
    torch.save(load_backbone(BackboneConfig()).module.state_dict(), weights)
    for config, backbone in [
        (_CONFIG, BackboneConfig()),
        (_CONFIG.model_copy(update={"size": 96}), BackboneConfig()),
        (_CONFIG.model_copy(update={"std": (0.4, 0.5, 0.5)}), BackboneConfig()),
        (_CONFIG.model_copy(update={"mean": (0.4, 0.5, 0.5)}), BackboneConfig()),
        (_CONFIG, BackboneConfig(weights=str(weights))),
    ]:
        extractor = Extractor(backbone, choose_runtime("cpu"))
        extract_features(dataset, dataset.usable[:1], Preprocess(config), extractor)
        spaces = {path.parent for path in (cache_dir() / "features").glob("*/*.npy")}
    assert len(spaces) == 5


def test_another_pillow_is_another_space(
    photos: Path, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    _extract(open_dataset(photos))
    forwards.clear()
    monkeypatch.setattr(features.PIL, "__version__", "0.1")
    _extract(open_dataset(photos))
    assert sum(forwards) == 6


def test_cached_features_need_neither_timm_nor_the_backbone(photos: Path) -> None:
    _extract(open_dataset(photos))
    script = """
import sys
from photopic.config import BackboneConfig, PreprocessConfig
from photopic.data.dataset import open_dataset
from photopic.data.preprocess import Preprocess
from photopic.runtime import choose_runtime
from photopic.training.features import Extractor, extract_features
config = PreprocessConfig(size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
dataset = open_dataset(sys.argv[1])
extractor = Extractor(BackboneConfig(), choose_runtime("cpu"))
assert extract_features(dataset, dataset.usable, Preprocess(config), extractor).views[0].shape == (6, 1280)
assert "backbone" not in vars(extractor)
assert not {"timm", "torchvision", "sklearn"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(photos)], check=True)


def test_views_differ_but_depend_on_content_and_number_alone(photos: Path) -> None:
    dataset = open_dataset(photos)
    all_rows = _extract(dataset, views=2, augment=_SHIFTS)
    plain, first, second = all_rows.views
    assert not np.allclose(plain, first)
    assert not np.allclose(first, second)
    for path in (cache_dir() / "features").glob("*/*.npy"):
        path.unlink()
    some = _extract(dataset, dataset.usable[[3, 1]], views=2, augment=_SHIFTS)
    for ours, expected in zip(some.views, all_rows.views, strict=True):
        np.testing.assert_allclose(
            ours, expected[[3, 1]], rtol=1e-4, atol=1e-4
        )  # other batches, other rounding


def test_image_that_vanished_is_listed_and_nothing_shifts(photos: Path) -> None:
    dataset = open_dataset(photos)
    expected = _extract(dataset).views[0]
    for path in (cache_dir() / "features").glob("*/*.npy"):
        path.unlink()
    (photos / "a" / "1.png").unlink()
    found = _extract(dataset)
    assert [item.path for item in found.failed] == ["a/1.png"]
    np.testing.assert_array_equal(found.rows, np.delete(dataset.usable, 1))
    np.testing.assert_allclose(found.views[0], np.delete(expected, 1, axis=0), rtol=1e-4, atol=1e-4)


def test_no_readable_image_is_an_error(photos: Path) -> None:
    dataset = open_dataset(photos)
    for path in photos.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="none of 6 images can be read"):
        _extract(dataset)


def test_stopped_extraction_keeps_what_is_done(
    photos: Path, forwards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_CPU_BATCH", 2)

    def stop(done: int, total: int, what: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _extract(open_dataset(photos), progress=stop)
    forwards.clear()
    _extract(open_dataset(photos))
    assert sum(forwards) == 2


# ---- the cache ----------------------------------------------------------------------------------------


def _digests(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), np.uint8)


def test_cache_finds_what_was_added_in_several_segments() -> None:
    cache = FeatureCache("space")
    digests, vectors = _digests(10), np.random.default_rng(1).standard_normal((10, 5)).astype(np.float32)
    digests[3, -1] = digests[4, 0] = 0  # zeros at the ends must count
    cache.add(digests[:4], vectors[:4])
    cache.add(digests[4:8], vectors[4:8])
    order = np.array([7, 2, 9, 3, 4])
    found, present = FeatureCache("space").find(digests[order])
    np.testing.assert_array_equal(present, [True, True, False, True, True])
    np.testing.assert_array_equal(found[present], vectors[order[present]])
    assert not FeatureCache("other").find(digests)[1].any()


def test_damaged_record_is_absent_and_the_others_are_not() -> None:
    cache = FeatureCache("space")
    digests, vectors = _digests(4), np.ones((4, 5), np.float32)
    cache.add(digests, vectors)
    (path,) = (cache_dir() / "features").glob("*/*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(cache.find(digests)[1], [True, True, True, False])
    path.write_bytes(content[:-20])
    assert not cache.find(digests)[1].any()
    path.write_bytes(b"")
    assert not cache.find(digests)[1].any()


def test_pickled_segment_is_not_loaded() -> None:
    cache = FeatureCache("space")
    cache.add(_digests(1), np.ones((1, 5), np.float32))
    (path,) = (cache_dir() / "features").glob("*/*.npy")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path.write_bytes(buffer.getvalue())
    assert not cache.find(_digests(1))[1].any()


def test_segments_not_used_for_longest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    old = FeatureCache("space")
    for seed in range(3):
        old.add(_digests(100, seed), np.ones((100, 50), np.float32))
    for age, path in enumerate(sorted((cache_dir() / "features").glob("*/*.npy"))):
        os.utime(path, (1000 + age, 1000 + age))
    cache = FeatureCache("space")
    cache.find(_digests(100, 0))  # now the newest
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", "60000")
    cache.reserve(100, 50)
    cache.add(_digests(100, 3), np.ones((100, 50), np.float32))
    kept = [seed for seed in range(4) if cache.find(_digests(100, seed))[1].all()]
    assert kept == [0, 3]


def test_an_extraction_deletes_nothing_of_its_own(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(photos)
    first = _extract(dataset, dataset.usable[:3])
    dim = first.views[0].shape[1]
    rest = len(dataset.usable) - 3
    other = FeatureCache("another job")
    other.add(_digests(1), np.ones((1, dim), np.float32))
    for path in (cache_dir() / "features").glob("*/*.npy"):
        os.utime(path, (1000, 1000))
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", str(rest * (4 * dim + 36)))  # for the others alone
    np.testing.assert_array_equal(_extract(dataset).views[0][:3], first.views[0])
    assert not other.find(_digests(1))[1].any()


def test_features_that_never_fit_are_refused_before_they_are_computed(
    photos: Path, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE_LIMIT", "1 KB")
    with pytest.raises(DataError, match="PHOTOPIC_CACHE_LIMIT higher"):
        _extract(open_dataset(photos))
    assert forwards == []


def test_a_disk_without_room_for_the_features_is_said_before_they_are_computed(
    photos: Path, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    usage = shutil.disk_usage(photos)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match="the disk is full"):
        _extract(open_dataset(photos))
    assert forwards == []


def test_a_vanished_photo_is_listed_once_with_its_reason(photos: Path) -> None:
    dataset = open_dataset(photos)
    (photos / "a" / "1.png").unlink()
    (lost,) = _extract(dataset).failed
    assert (lost.path, lost.reason) == ("a/1.png", "the file is gone")


def test_features_do_not_depend_on_what_the_cache_held_before(photos: Path) -> None:
    dataset = open_dataset(photos)
    parts = [_extract(dataset, dataset.usable[[0, 4]]), _extract(dataset)]
    shutil.rmtree(cache_dir() / "features")
    np.testing.assert_array_equal(_extract(dataset).views[0], parts[1].views[0])
