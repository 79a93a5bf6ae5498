"""The contract of every operation: one table, one set of promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from photopic.augment.operations import OPERATIONS, apply_chosen, apply_operation, find_operation
from photopic.config import AugmentConfig
from photopic.errors import ConfigError

every_operation = pytest.mark.parametrize("name", OPERATIONS)
ALL_LEVELS = {name: (op.neutral, *op.levels) for name, op in OPERATIONS.items()}


def pictures(n: int, channels: int = 3, height: int = 19, width: int = 22) -> Tensor:
    """Smooth coloured blobs in whole grey levels."""
    random = torch.Generator().manual_seed(n)
    small = torch.rand(n, channels, 5, 6, generator=random)
    images = torch.nn.functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    return (images * 255).round() / 255


def strengths(name: str, n: int) -> Tensor:
    """Each strength of the sheet and the neutral one, again and again."""
    levels = ALL_LEVELS[name]
    return torch.tensor([levels[i % len(levels)] for i in range(n)], dtype=torch.float32)


@every_operation
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_equals_one_by_one(name: str, channels: int) -> None:
    images, strength = pictures(9, channels), strengths(name, 9)
    whole = apply_operation(name, images, strength)
    single = [apply_operation(name, images[i : i + 1], strength[i : i + 1]) for i in range(9)]
    # A blur looks farther when a stronger one is in the batch; beyond three sigma there is next to nothing.
    torch.testing.assert_close(whole, torch.cat(single), rtol=0, atol=3e-3 if name == "blur" else 2e-6)


@every_operation
def test_the_input_is_left_alone_and_the_output_is_new(name: str) -> None:
    images, strength = pictures(8), strengths(name, 8)
    before = images.clone()
    got = apply_operation(name, images, strength)
    assert torch.equal(images, before)
    assert got.shape == images.shape
    assert got.data_ptr() != images.data_ptr()
    assert got.min() >= 0
    assert got.max() <= 1


@every_operation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_type_and_device_are_kept(name: str, dtype: torch.dtype) -> None:
    images, strength = pictures(6).to(dtype), strengths(name, 6)
    got = apply_operation(name, images, strength)
    assert got.dtype == dtype
    assert got.device == images.device
    if name not in ("equalize", "posterize", "solarize"):  # a step turns a rounding into a whole level
        wanted = apply_operation(name, images.double(), strength)
        assert (got.double() - wanted).abs().mean() < 0.01


@every_operation
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_of_zero_works(name: str, channels: int) -> None:
    got = apply_operation(name, pictures(2, channels)[:0], strengths(name, 0))
    assert got.shape == (0, channels, 19, 22)


@every_operation
@pytest.mark.parametrize("channels", [1, 3])
def test_the_neutral_strength_changes_nothing(name: str, channels: int) -> None:
    images = pictures(5, channels)
    neutral = torch.full((5,), float(OPERATIONS[name].neutral))
    torch.testing.assert_close(apply_operation(name, images, neutral), images, rtol=0, atol=3e-6)


@every_operation
def test_every_other_strength_changes_something(name: str) -> None:
    images = pictures(4)
    for level in OPERATIONS[name].levels:
        got = apply_operation(name, images, torch.full((4,), float(level)))
        assert ((got - images).abs().amax((1, 2, 3)) > 0.02).all(), level


@every_operation
def test_the_same_input_gives_the_same_output(name: str) -> None:
    images, strength = pictures(6), strengths(name, 6)
    assert torch.equal(apply_operation(name, images, strength), apply_operation(name, images, strength))


@every_operation
def test_memory_that_is_not_contiguous_works(name: str) -> None:
    images, strength = pictures(6), strengths(name, 6)
    wanted = apply_operation(name, images, strength)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    every_other = torch.stack([images, images], 1).view(12, 3, 19, 22)[::2]
    turned = images.transpose(2, 3).contiguous().transpose(2, 3)
    for other in (channels_last, every_other, turned):
        assert torch.equal(other, images)
        got = apply_operation(name, other, strength)
        torch.testing.assert_close(got, wanted, rtol=0, atol=2e-6)  # sums in another order


@every_operation
def test_colour_operations_leave_grey_images_alone(name: str) -> None:
    operation = OPERATIONS[name]
    if operation.needs_colour:
        images = pictures(4, channels=1)
        level = torch.full((4,), float(operation.levels[-1]))
        torch.testing.assert_close(apply_operation(name, images, level), images, rtol=0, atol=2e-6)


@every_operation
def test_tiny_images_work(name: str) -> None:
    for side in (1, 2, 3):
        assert apply_operation(name, pictures(4, 3, side, side), strengths(name, 4)).shape == (
            4,
            3,
            side,
            side,
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_operation
def test_a_gpu_gives_the_same(name: str) -> None:
    images, strength = pictures(8), strengths(name, 8)
    got = apply_operation(name, images.cuda(), strength.cuda())
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), apply_operation(name, images, strength), rtol=0, atol=1e-4)


def test_every_option_that_changes_images_is_an_operation() -> None:
    options = {operation.option for operation in OPERATIONS.values()} - {""}
    not_images = {"fill_mode", "cval", "rand_augment", "trivial_augment", "mixup", "cutmix"}
    assert options == set(AugmentConfig.model_fields) - not_images


def test_chosen_operations_are_applied_to_their_images_alone() -> None:
    names = ("identity", "rotation", "invert", "shear-x", "brightness")
    choice = torch.tensor([4, 0, 1, 3, 1, 2, 0, 4, 3])
    strength = torch.tensor([0.5, 9, 30, 0.3, -70, 1, 9, 1.4, -0.2])
    images = pictures(9)
    got = apply_chosen(names, choice, images, strength, fill_mode="reflect")
    for i, number in enumerate(choice.tolist()):
        wanted = images[i : i + 1]
        if number:
            wanted = apply_operation(names[number], wanted, strength[i : i + 1], fill_mode="reflect")
        torch.testing.assert_close(got[i : i + 1], wanted, rtol=0, atol=2e-6)
    assert apply_chosen(names, choice[:0], images[:0], strength[:0]).shape == (0, 3, 19, 22)


def test_an_unknown_operation_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r'"rotatoin" is not known\. Did you mean "rotation"'):
        find_operation("rotatoin")
