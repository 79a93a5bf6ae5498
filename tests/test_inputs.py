"""photopic.training.inputs: what the network is given, and that only seed, epoch and rows decide it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import photopic
from photopic.config import AugmentConfig, PreprocessConfig
from photopic.data.preprocess import Preprocess
from photopic.runtime import Runtime
from photopic.training.inputs import AugmentedFeatures, AugmentedImages, CachedInputs, DeviceArray

CPU = Runtime(torch.device("cpu"), "test", torch.float32, 1)
N, SIZE = 40, 16
STRONG: dict[str, Any] = {
    "rotation_range": 20,
    "perspective": 0.5,
    "trivial_augment": True,
    "noise": 0.5,
    "erasing": 0.5,
}


def images_u8() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)


def preprocess(**options: Any) -> Preprocess:
    return Preprocess(PreprocessConfig(size=SIZE, **options)).measured_on(images_u8())


def make(seed: int = 3, scaled: Preprocess | None = None, **augment: Any) -> AugmentedImages:
    config = AugmentConfig.model_validate(augment)
    return AugmentedImages(images_u8(), scaled or preprocess(), config, seed, CPU)


def batch(inputs: AugmentedImages, epoch: int, rows: Tensor) -> Tensor:
    inputs.start_epoch(epoch)
    return inputs.batch(rows)[0]


def test_without_augmentation_images_are_only_normalised() -> None:
    rows = torch.tensor([7, 0, 7])
    got, mix = make().batch(rows)
    assert mix is None
    assert torch.equal(got, preprocess().to_float(torch.from_numpy(images_u8()[rows.numpy()])))


def test_scaling_comes_after_the_augmentation() -> None:
    """As Keras' rescale does: colours and cval are those of pixels of 0 to 255."""
    rows = torch.arange(N)
    changes: dict[str, Any] = {
        "width_shift_range": [4],
        "fill_mode": "constant",
        "cval": 51,
        "brightness_range": [0.5, 1.5],
        "channel_shift_range": 60,
    }
    raw, unit = (
        batch(make(scaled=preprocess(scaling=name), **changes), 0, rows) for name in ("none", "unit")
    )
    assert raw.max() > 200
    torch.testing.assert_close(unit, raw / 255)
    only_shifted = {key: changes[key] for key in ("width_shift_range", "fill_mode", "cval")}
    shifted = batch(make(scaled=preprocess(scaling="unit"), **only_shifted), 0, rows)
    torch.testing.assert_close(shifted[..., -4:], torch.full((N, 3, SIZE, 4), 51 / 255))


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0}])
def test_a_batch_depends_on_seed_epoch_and_its_rows_alone(mixing: dict[str, float]) -> None:
    rows = torch.tensor([5, 30, 2, 11, 39])
    one, other = make(**STRONG, **mixing), make(**STRONG, **mixing)
    batch(other, 0, torch.arange(8))  # as in a training that was not stopped
    other.batch(torch.arange(8, 20))
    assert torch.equal(batch(one, 2, rows), batch(other, 2, rows))
    assert not torch.equal(batch(one, 2, rows), batch(one, 3, rows))
    assert not torch.equal(batch(one, 2, rows), batch(make(4, **STRONG, **mixing), 2, rows))


def test_mixing_comes_after_everything_else_and_says_how() -> None:
    rows = torch.arange(N)
    plain = batch(make(**STRONG), 1, rows)
    inputs = make(**STRONG, mixup=0.5)
    inputs.start_epoch(1)
    got, mix = inputs.batch(rows)
    assert mix is not None
    share = mix.weight[:, None, None, None]
    torch.testing.assert_close(got, share * plain + (1 - share) * plain[mix.partners])
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_a_row_that_comes_twice_is_changed_by_the_draws_it_is_given() -> None:
    inputs = make(**STRONG, mixup=0.5)
    inputs.start_epoch(0)
    rows = torch.tensor([4, 4, 4, 9])
    same = batch(make(**STRONG), 0, rows)
    assert torch.equal(same[0], same[1])
    different = make(**STRONG)
    different.start_epoch(0)
    got, _ = different.batch(rows, torch.tensor([4, 5, 6, 9]))
    assert not torch.equal(got[0], got[1])
    assert torch.equal(got[0], same[0])
    _, mix = inputs.batch(rows, torch.tensor([20, 21, 22, 23]))
    assert mix is not None
    assert len(mix.weight.unique()) == 4


@pytest.mark.parametrize(
    ("scaling", "colour"), [("standardise", "of all images"), ("unit", "its own"), ("min-max", "its own")]
)
def test_cutout_is_filled_with_a_mean_colour_whatever_the_scaling(scaling: str, colour: str) -> None:
    scaled = preprocess(scaling=scaling)
    inputs = AugmentedImages(images_u8(), scaled, AugmentConfig(cutout_size=7), 3, CPU)
    inputs.start_epoch(0)
    got, _ = inputs.batch(torch.arange(N))
    images_01 = torch.from_numpy(images_u8()).permute(0, 3, 1, 2) / 255
    means = images_01.mean((2, 3)) if colour == "its own" else images_01.mean((0, 2, 3)).expand(N, 3)
    wanted = scaled.normalise(means[:, :, None, None].expand(-1, -1, SIZE, SIZE).contiguous())
    plain = scaled.to_float(torch.from_numpy(images_u8()))
    changed = ((got - plain).abs() > 1e-4).any(1, keepdim=True).expand_as(got)
    assert changed.any()
    torch.testing.assert_close(got[changed], wanted[changed], rtol=0, atol=2e-3)


def test_frozen_layers_run_in_the_precision_of_the_others() -> None:
    runtime = Runtime(torch.device("cpu"), "test", torch.bfloat16, 1)
    seen: list[torch.dtype] = []
    layer = torch.nn.Conv2d(3, 4, 3).eval().requires_grad_(False)
    layer.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    inputs = AugmentedFeatures(make(**STRONG), layer, runtime)
    inputs.start_epoch(0)
    got, _ = inputs.batch(torch.arange(4))
    assert seen == [torch.bfloat16]
    assert got.dtype == torch.float32


def test_cached_inputs_are_the_same_in_every_epoch_and_never_mixed() -> None:
    features = np.random.default_rng(1).random((N, 6)).astype(np.float32)
    inputs = CachedInputs(features, CPU)
    rows = torch.tensor([3, 3, 0])
    for epoch in range(2):
        inputs.start_epoch(epoch)
        got, mix = inputs.batch(rows, torch.tensor([9, 8, 7]))
        assert mix is None
        np.testing.assert_array_equal(got, features[rows.numpy()])
    assert len(inputs) == N


def test_device_arrays_give_rows_in_the_order_asked_for() -> None:
    array = np.arange(12).reshape(6, 2)
    assert DeviceArray(array, CPU).take(torch.tensor([5, 0, 5])).tolist() == [[10, 11], [0, 1], [10, 11]]


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_a_training_with_every_augmentation_resumes_to_the_same_weights(
    tmp_path: Path, sampling: str
) -> None:
    settings: dict[str, Any] = {
        "preprocess.size": SIZE,
        "model.widths": [8, 16],
        "total_epochs": 3,
        "batch_size": 16,
        "sampling": sampling,
        "augment.mixup": 0.3,
        "augment.cutmix": 1.0,
        "augment.channel_shift_range": 30,
        "augment.hue_range": [-0.1, 0.1],
        "augment.grey": 0.1,
        "augment.blur": 0.3,
        "augment.cutout_size": 3,
        **{f"augment.{name}": value for name, value in STRONG.items()},
    }
    labels = np.array(["a", "b"])[(np.arange(120) % 3 == 0).astype(int)]
    images = np.random.default_rng(2).integers(0, 256, (120, SIZE, SIZE, 3), dtype=np.uint8)

    def stop_in_third_epoch(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"recipe": "small-images", "settings": settings, "checkpoint_every_s": 0}
    whole = photopic.train((images, labels), out=tmp_path / "whole", **options)
    stopped = photopic.train((images, labels), out=tmp_path / "run", report=stop_in_third_epoch, **options)
    assert stopped.manifest.status == "interrupted"
    resumed = stopped.resume(data=(images, labels))
    ours, theirs = whole.load_weights(), resumed.load_weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
