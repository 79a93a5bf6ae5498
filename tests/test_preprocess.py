"""photopic.data.preprocess, checked against Pillow, NumPy and torchvision."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from photopic.config import PreprocessConfig
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError, DataError


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth noise: neighbouring pixels are related, as in photos."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    planes = [
        Image.fromarray(coarse[:, :, c]).resize((width, height), Image.Resampling.BICUBIC)
        for c in range(channels)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def store(image: np.ndarray, **config: object) -> np.ndarray:
    return Preprocess(PreprocessConfig.model_validate(config)).to_store(image)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (64, 64), (40, 90), (1, 1), (1, 50)])
@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
def test_any_image_becomes_a_square_of_the_right_type(
    shape: tuple[int, int], resize: str, channels: int, stored: int
) -> None:
    out = store(photo(*shape, channels), size=64, resize=resize, channels=stored)
    assert out.shape == (64, 64, stored)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_stretch_is_pillows_resize(name: str) -> None:
    image = photo(97, 133)
    wanted = Image.fromarray(image).resize((48, 48), Image.Resampling[name.upper()])
    np.testing.assert_array_equal(
        store(image, size=48, resize="stretch", interpolation=name), np.asarray(wanted)
    )


@pytest.mark.parametrize("shape", [(280, 350), (351, 280), (512, 256)])
def test_crop_in_one_step_agrees_with_resize_then_centre_crop(shape: tuple[int, int]) -> None:
    from torchvision.transforms.v2 import functional as vision

    image = photo(*shape)
    resized = vision.resize(Image.fromarray(image), 256, interpolation=vision.InterpolationMode.BICUBIC)
    wanted = np.asarray(vision.center_crop(resized, 224)).astype(int)
    got = store(image, size=224, crop_fraction=0.875, interpolation="bicubic").astype(int)
    # Resizing first rounds the longer side and the crop's corner to whole pixels: up to half a pixel apart.
    assert np.abs(got - wanted).mean() < 1.5
    same_ratio = store(photo(280, 280), size=224, crop_fraction=0.875, interpolation="bicubic").astype(int)
    exact = vision.center_crop(
        Image.fromarray(photo(280, 280)).resize((256, 256), Image.Resampling.BICUBIC), 224
    )
    assert np.abs(same_ratio - np.asarray(exact).astype(int)).max() <= 1  # Pillow rounds its coefficients


@pytest.mark.parametrize("shape", [(10, 40, 3), (40, 10, 3)])
def test_pad_keeps_the_whole_image_on_the_background(shape: tuple[int, int, int]) -> None:
    out = store(np.zeros(shape, np.uint8), size=40, resize="pad", background=(10, 200, 30))
    out = out if shape[0] < shape[1] else out.transpose(1, 0, 2)
    rows_of_image = np.flatnonzero((out == 0).all(axis=(1, 2)))
    assert rows_of_image.tolist() == list(range(15, 25))
    assert (np.delete(out, rows_of_image, axis=0) == [10, 200, 30]).all()


def test_grey_is_pillows_luma() -> None:
    image = photo(32, 32)
    np.testing.assert_array_equal(
        store(image, size=32, channels=1)[:, :, 0], np.asarray(Image.fromarray(image).convert("L"))
    )


def test_a_grey_image_fills_three_equal_channels() -> None:
    image = photo(50, 40, channels=1)
    out = store(image, size=20)
    assert (out == out[:, :, :1]).all()
    np.testing.assert_array_equal(out[:, :, :1], store(image, size=20, channels=1))


def test_an_image_of_the_right_size_is_untouched() -> None:
    image = photo(28, 28)
    for resize in ("crop", "stretch", "pad"):
        np.testing.assert_array_equal(store(image, size=28, resize=resize), image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused_with_its_shape(image: np.ndarray) -> None:
    with pytest.raises(DataError, match="uint8 with shape"):
        store(image, size=4)


def test_the_key_changes_with_the_pixels_and_not_with_mean_or_std() -> None:
    base = PreprocessConfig(size=32)
    key = Preprocess(base).key
    for change in (
        {"size": 33},
        {"channels": 1},
        {"resize": "pad"},
        {"crop_fraction": 0.9},
        {"interpolation": "bicubic"},
        {"background": (0, 0, 0)},
    ):
        assert Preprocess(base.model_copy(update=change)).key != key
    normalised = base.model_copy(update={"mean": (0.5,) * 3, "std": (0.2,) * 3})
    assert Preprocess(normalised).key == key
    assert Preprocess(PreprocessConfig(size=32, scaling="unit")).key == key


def test_min_side_is_what_the_crop_is_cut_from() -> None:
    assert Preprocess(PreprocessConfig(size=224, crop_fraction=0.875)).min_side == 256
    assert Preprocess(PreprocessConfig(size=32)).min_side == 32


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_to_float_is_the_textbook_formula_in_channels_last(channels: int, n: int) -> None:
    mean, std = (0.4914, 0.4822, 0.4465)[:channels], (0.247, 0.243, 0.261)[:channels]
    preprocess = Preprocess(PreprocessConfig(size=16, channels=channels, mean=mean, std=std))
    images = torch.randint(0, 256, (n, 16, 16, channels), dtype=torch.uint8)
    before = images.clone()
    got = preprocess.to_float(images)
    wanted = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(
        -1, 1, 1
    )
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-6)  # two roundings of values up to 2
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    via_01 = preprocess.normalise(preprocess.to_01(images))
    torch.testing.assert_close(via_01, wanted, rtol=0, atol=2e-6)
    assert via_01.is_contiguous(memory_format=torch.channels_last)


def test_to_float_takes_slices_and_single_images_alike() -> None:
    preprocess = Preprocess(PreprocessConfig(size=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)))
    images = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8)
    whole = preprocess.to_float(images)
    assert torch.equal(preprocess.to_float(images[::2]), whole[::2])
    assert torch.equal(torch.cat([preprocess.to_float(image[None]) for image in images]), whole)


def test_a_batch_of_another_form_is_refused() -> None:
    preprocess = Preprocess(PreprocessConfig(size=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)))
    with pytest.raises(DataError, match="a batch must be uint8"):
        preprocess.to_float(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(DataError, match="a batch must be uint8"):
        preprocess.to_01(torch.zeros(2, 8, 8, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 5, 5), (40, 28, 28), (3, 300, 300)])
def test_measured_mean_and_std_are_numpys(channels: int, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (*shape, channels), dtype=np.uint8)
    for given in (images, torch.from_numpy(images)):
        config = Preprocess(PreprocessConfig(size=shape[1], channels=channels)).measured_on(given).config
        exact = images.astype(np.float64) / 255
        np.testing.assert_allclose(config.mean, exact.mean((0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(config.std, exact.std((0, 1, 2)), rtol=1e-12)


def test_given_mean_and_std_are_kept() -> None:
    preprocess = Preprocess(PreprocessConfig(size=4, channels=1, mean=(0.5,)))
    measured = preprocess.measured_on(np.full((2, 4, 4, 1), 255, np.uint8)).config
    assert measured.mean == (0.5,)
    assert measured.std == (1 / 255,)  # pixels that do not vary: one grey level, not zero


def _scaled(images: np.ndarray, scaling: str) -> np.ndarray:
    """What the network sees of images that are the training images too, (n, h, w, c)."""
    config = PreprocessConfig.model_validate(
        {"size": images.shape[1], "channels": images.shape[3], "scaling": scaling}
    )
    preprocess = Preprocess(config).measured_on(images)
    assert PreprocessConfig.model_validate(preprocess.config.model_dump(mode="json")) == preprocess.config
    via_01 = preprocess.normalise(preprocess.to_01(torch.from_numpy(images)))
    out = preprocess.to_float(torch.from_numpy(images))
    torch.testing.assert_close(via_01, out, rtol=1e-5, atol=1e-4)
    return out.permute(0, 2, 3, 1).numpy()


_FORMULAS = {
    "none": lambda v: v,
    "unit": lambda v: v / 255,
    "symmetric": lambda v: v / 127.5 - 1,
    "standardise": lambda v: (v - v.mean((0, 1, 2))) / v.std((0, 1, 2)),
    "min-max": lambda v: (v - v.min((0, 1, 2))) / (v.max((0, 1, 2)) - v.min((0, 1, 2))),
    "centre-max": lambda v: (v - v.mean()) / (v - v.mean()).max(),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scaling", _FORMULAS)
def test_each_scaling_is_its_formula(scaling: str, channels: int) -> None:
    images = np.stack([photo(20, 20, channels, seed) for seed in range(6)])
    images = images // 2 + np.array([7, 40, 90], np.uint8)[:channels]  # channels of other ranges
    wanted = _FORMULAS[scaling](images.astype(np.float64))
    np.testing.assert_allclose(
        _scaled(images, scaling), wanted, rtol=1e-5, atol=2e-4 if scaling == "none" else 1e-5
    )


@pytest.mark.parametrize("scaling", ["standardise", "min-max", "centre-max"])
def test_pixels_that_do_not_vary_are_scaled_by_one_grey_level(scaling: str) -> None:
    assert np.abs(_scaled(np.full((2, 4, 4, 3), 255, np.uint8), scaling)).max() < 1e-4


def test_statistics_are_of_the_images_given_alone() -> None:
    train, test = np.full((1, 4, 4, 1), 100, np.uint8), np.full((1, 4, 4, 1), 255, np.uint8)
    train[0, 0, 0] = 200
    preprocess = Preprocess(PreprocessConfig(size=4, channels=1, scaling="min-max")).measured_on(train)
    assert preprocess.to_float(torch.from_numpy(test)).max().item() == pytest.approx(1.55)
    assert preprocess.measured_on(test).config == preprocess.config


@pytest.mark.parametrize("scaling", ["none", "unit", "symmetric"])
def test_mean_and_std_beside_a_fixed_scaling_are_refused(scaling: str) -> None:
    with pytest.raises(ValueError, match=f"no effect with scaling={scaling}"):
        PreprocessConfig(size=4, channels=1, scaling=scaling, mean=(0.3,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"no effect with scaling={scaling}"):
        PreprocessConfig(size=4, channels=1, scaling=scaling, std=(0.3,))  # type: ignore[arg-type]


def test_cifar10_centred_and_divided_by_its_maximum_lies_where_the_course_prints_it(data_dir) -> None:  # type: ignore[no-untyped-def]
    from photopic.data.source import ZipSource

    source = ZipSource(data_dir / "cifar10-jpg.zip")
    paths = [path for path in source.list_files().paths if "train/" in path and path.endswith(".jpg")]
    images = np.stack([np.asarray(Image.open(io.BytesIO(source.read(path)))) for path in paths[::10]])
    source.close()
    assert len(images) == 5000
    preprocess = Preprocess(PreprocessConfig(size=32, scaling="centre-max")).measured_on(images)
    ends = preprocess.to_float(torch.tensor([[[[0] * 3], [[255] * 3]]], dtype=torch.uint8)).flatten()
    assert ends.max().item() == 1.0
    # −0.8988 on all 50,000; one image in ten gives the mean to about half a grey level
    assert ends.min().item() == pytest.approx(-0.90, abs=0.01)


def test_normalising_without_mean_and_std_says_what_to_do() -> None:
    preprocess = Preprocess(PreprocessConfig(size=4))
    with pytest.raises(ConfigError, match="measured_on"):
        preprocess.to_float(torch.zeros(1, 4, 4, 3, dtype=torch.uint8))
    with pytest.raises(DataError, match="no images"):
        preprocess.measured_on(np.zeros((0, 4, 4, 3), np.uint8))


def test_fashion_mnist_has_its_published_mean(data_dir) -> None:  # type: ignore[no-untyped-def]
    import gzip

    raw = gzip.decompress((data_dir / "fashion-mnist" / "train-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    config = Preprocess(PreprocessConfig(size=28, channels=1)).measured_on(images).config
    assert config.mean is not None
    assert config.mean[0] == pytest.approx(0.2860, abs=5e-5)
