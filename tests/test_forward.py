"""The forward pass against stock torch, one image at a time, and NumPy's padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from photopic.config import FastModel, PreprocessConfig
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError
from photopic.models.fast import FastNet
from photopic.models.forward import predict_logits
from photopic.runtime import Runtime

RUNTIME = Runtime(torch.device("cpu"), "a test", torch.float32, 2)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PREPROCESS = Preprocess(PreprocessConfig(size=8, mean=MEAN, std=STD))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    )
    net[1].running_mean.uniform_(-1, 1)
    return nn.Sequential(net, nn.Linear(6 * 64, 4)).train()


@pytest.fixture
def images_u8() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)


def one_by_one(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits of normalised (N, H, W, C) images, each alone, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        rows = [model(torch.tensor(image).permute(2, 0, 1)[None]) for image in images]
    model.train()
    return torch.cat(rows).numpy()


def normalised(images_u8: np.ndarray) -> np.ndarray:
    return ((images_u8 / 255 - MEAN) / STD).astype(np.float32)


def shifted(images: np.ndarray, y: int, x: int) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return padded[:, y : y + 8, x : x + 8]


def test_logits_are_those_of_each_image_alone(model, images_u8):
    logits = predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME, batch_size=4)
    assert logits.dtype == np.float32
    # float32, another order of summation
    np.testing.assert_allclose(logits, one_by_one(model, normalised(images_u8)), atol=1e-5)


@pytest.mark.parametrize("test_views", ["none", "flip", "shift", "flip+shift"])
def test_views_average_the_logits_of_mirrored_and_shifted_images(model, images_u8, test_views):
    images = normalised(images_u8)
    places = [(1.0, images)]
    if "shift" in test_views:
        places = [(0.5, images), (0.25, shifted(images, 0, 0)), (0.25, shifted(images, 2, 2))]
    expected = np.zeros((11, 4))
    for weight, view in places:
        if "flip" in test_views:
            expected += weight / 2 * one_by_one(model, view) + weight / 2 * one_by_one(
                model, view[:, :, ::-1].copy()
            )
        else:
            expected += weight * one_by_one(model, view)
    logits = predict_logits(
        model, images_u8, PREPROCESS, runtime=RUNTIME, test_views=test_views, batch_size=4
    )
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_flip_views_do_not_see_the_difference_between_an_image_and_its_mirror(model, images_u8):
    mirrored = images_u8[:, :, ::-1].copy()
    logits = [
        predict_logits(model, images, PREPROCESS, runtime=RUNTIME, test_views="flip")
        for images in (images_u8, mirrored)
    ]
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_every_module_gets_its_own_mode_back(model, images_u8):
    model[0][1].eval()  # a frozen batch norm in a network that is being trained
    before = [module.training for module in model.modules()]
    statistics = model[0][1].running_mean.clone()
    predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(model[0][1].running_mean, statistics)


def test_modes_are_restored_when_the_network_fails(model):
    with pytest.raises(RuntimeError):
        predict_logits(model, np.zeros((2, 9, 9, 3), np.uint8), PREPROCESS, runtime=RUNTIME)
    assert all(module.training for module in model.modules())


def test_weights_can_be_trained_on_afterwards(model, images_u8):
    predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME)
    model(torch.from_numpy(normalised(images_u8)).permute(0, 3, 1, 2)).sum().backward()


def test_read_only_memory_maps_and_tensors_give_the_same(model, images_u8, tmp_path):
    np.save(tmp_path / "images.npy", images_u8)
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME)
    np.testing.assert_array_equal(predict_logits(model, stored, PREPROCESS, runtime=RUNTIME), expected)
    tensor = torch.from_numpy(images_u8)
    np.testing.assert_array_equal(predict_logits(model, tensor, PREPROCESS, runtime=RUNTIME), expected)


def test_no_images_give_no_rows_of_the_right_length():
    model = FastNet(FastModel(widths=(8, 8)), 3, 5, 8)
    for test_views in ("none", "flip+shift"):
        logits = predict_logits(
            model, np.zeros((0, 8, 8, 3), np.uint8), PREPROCESS, runtime=RUNTIME, test_views=test_views
        )
        assert logits.shape == (0, 5)
        assert logits.dtype == np.float32


def test_large_images_are_run_in_small_batches(images_u8):
    seen = []

    class Recorder(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return images.mean((2, 3))

    large = np.zeros((5, 640, 640, 3), np.uint8)
    predict_logits(Recorder(), large, PREPROCESS, runtime=RUNTIME)
    assert seen == [3, 2]


def test_autocast_logits_come_as_float32(model, images_u8):
    runtime = Runtime(torch.device("cpu"), "a test", torch.bfloat16, 2)
    logits = predict_logits(model, images_u8, PREPROCESS, runtime=runtime)
    assert logits.dtype == np.float32
    plain = predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME)
    assert not np.array_equal(logits, plain)
    np.testing.assert_allclose(logits, plain, atol=0.1)  # bfloat16 has 8 bits


def test_unknown_views_are_named(model, images_u8):
    with pytest.raises(ConfigError, match=r'"flips" is not known\. Did you mean "flip"'):
        predict_logits(model, images_u8, PREPROCESS, runtime=RUNTIME, test_views="flips")
