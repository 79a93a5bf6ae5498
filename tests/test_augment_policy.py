"""photopic.augment.policy: what is drawn depends on seed, epoch and row, and on nothing else."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from photopic.augment.color import apply_brightness, apply_channel_shift
from photopic.augment.draw import Draw
from photopic.augment.geometry import apply_affine
from photopic.augment.policy import Augment
from photopic.config import AugmentConfig
from photopic.errors import ConfigError

EVERYTHING = AugmentConfig(
    rotation_range=20,
    width_shift_range=0.1,
    height_shift_range=0.1,
    shear_range=10,
    zoom_range=(0.8, 1.2),
    horizontal_flip="random",
    vertical_flip=True,
    brightness_range=(0.7, 1.3),
    contrast_range=(0.7, 1.3),
    saturation_range=(0.7, 1.3),
    cutout_size=5,
    channel_shift_range=30,
    hue_range=(-0.2, 0.2),
    grey=0.2,
    perspective={"probability": 0.5, "distortion": 0.4},
    rand_augment={"ops": 2, "magnitude": 12},
    blur=0.4,
    noise=0.4,
    erasing=0.5,
)
CONFIGS = {
    "everything": EVERYTHING,
    "affine": AugmentConfig(rotation_range=20, zoom_range=(0.8, 1.2), fill_mode="reflect"),
    "crop": AugmentConfig(width_shift_range=2, height_shift_range=2, horizontal_flip="alternating"),
    "colour": AugmentConfig(brightness_range=(0.7, 1.3), saturation_range=(0.5, 1.5)),
    "cutout": AugmentConfig(cutout_size=6),
    "perspective": AugmentConfig(perspective=0.6, horizontal_flip=True, fill_mode="wrap"),
    "trivial": AugmentConfig(trivial_augment=True, fill_mode="constant", cval=80),
    "filters": AugmentConfig(blur=0.5, noise=0.5),
    "erasing": AugmentConfig(erasing={"probability": 0.7, "fill": "mean"}),
    "nothing": AugmentConfig(),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def pictures(n: int, size: int = 20) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(n))


def equal(a: Draw, b: Draw) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(Draw)]
    return all(torch.equal(x, y) for x, y in pairs if x is not None)


def test_a_draw_is_a_function_of_seed_epoch_and_row() -> None:
    augment = Augment(EVERYTHING, 3, 20)
    draw = augment.draw(100, seed=7, epoch=3)
    torch.manual_seed(1)
    assert equal(draw, Augment(EVERYTHING, 3, 20).draw(100, seed=7, epoch=3))
    for n in (1, 7, 33):  # however many images there are
        assert equal(draw.take(slice(0, n)), augment.draw(n, seed=7, epoch=3))
    assert not equal(draw, augment.draw(100, seed=8, epoch=3))
    assert not equal(draw, augment.draw(100, seed=7, epoch=4))


@pytest.mark.parametrize("config", [EVERYTHING, CONFIGS["trivial"]], ids=["everything", "trivial"])
def test_every_parameter_is_drawn_anew_for_each_seed_and_epoch(config: AugmentConfig) -> None:
    augment = Augment(config, 3, 20)
    draws = [augment.draw(200, seed, epoch) for seed, epoch in ((7, 3), (8, 3), (7, 4))]
    for field in fields(Draw):
        values = [getattr(draw, field.name) for draw in draws]
        if values[0] is None or (values[0] == values[0][:1]).all():  # not wanted
            continue
        assert not torch.equal(values[0], values[1]), field.name
        assert not torch.equal(values[0], values[2]), field.name


ONE_BY_ONE = {
    "rotation_range": 30,
    "width_shift_range": 0.2,
    "height_shift_range": 3,
    "shear_range": 30,
    "zoom_range": 0.3,
    "horizontal_flip": True,
    "vertical_flip": True,
    "perspective": 0.9,
    "channel_shift_range": 60,
    "brightness_range": (0.5, 0.9),
    "contrast_range": (0.5, 0.9),
    "saturation_range": (0.5, 0.9),
    "hue_range": (0.1, 0.3),
    "grey": 0.9,
    "rand_augment": {"ops": 1},
    "trivial_augment": True,
    "blur": {"probability": 0.9, "sigma_range": (1, 2)},
    "noise": {"probability": 0.9, "std_range": (10, 20)},
    "cutout_size": 5,
    "erasing": 0.9,
}


@pytest.mark.parametrize("option", ONE_BY_ONE)
def test_every_option_alone_changes_most_images(option: str) -> None:
    config = AugmentConfig.model_validate({option: ONE_BY_ONE[option]})
    assert not config.is_identity
    augment, images = Augment(config, 3, 20), pictures(60)
    got = augment.apply(images, augment.draw(60, 0, 0), torch.arange(60))
    changed = (got - images).abs().amax((1, 2, 3)) > 0.01
    assert 0.3 < changed.float().mean() <= 1


def test_no_option_is_left_out_above() -> None:
    not_alone = {"fill_mode", "cval", "mixup", "cutmix"}
    assert set(ONE_BY_ONE) | not_alone == set(AugmentConfig.model_fields)


def test_grey_takes_the_colour_of_a_share_of_the_images() -> None:
    augment, images = Augment(AugmentConfig(grey=0.3), 3, 20), pictures(400)
    got = augment.apply(images, augment.draw(400, 0, 0), torch.arange(400))
    colourless = (got.amax(1) - got.amin(1)).amax((1, 2)) < 1e-6
    assert colourless.float().mean().item() == pytest.approx(0.3, abs=0.06)
    assert torch.equal(got[~colourless], images[~colourless])


@pytest.mark.parametrize("fill_mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("channel_shift", [0, 40])
def test_brightness_comes_after_the_moves_and_counts_outside_too(
    fill_mode: str, channel_shift: float
) -> None:
    cval = 100 if fill_mode == "constant" else 0
    config = AugmentConfig(
        rotation_range=60,
        brightness_range=(0.3, 1.8),
        channel_shift_range=channel_shift,
        fill_mode=fill_mode,
        cval=cval,
    )
    augment, images = Augment(config, 3, 20), pictures(70)
    draw = augment.draw(70, 0, 0)
    wanted = apply_affine(images, draw.affine, fill_mode=fill_mode, cval=cval / 255)
    wanted = apply_brightness(apply_channel_shift(wanted, draw.channel_shift), draw.brightness)
    got = augment.apply(images, draw, torch.arange(70))
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-6)


def test_one_operation_more_leaves_the_draws_of_the_others_alone() -> None:
    alone = Augment(AugmentConfig(rotation_range=20), 3, 20).draw(50, 0, 0)
    more = AugmentConfig(rotation_range=20, brightness_range=(0.5, 1.5), cutout_size=4)
    assert torch.equal(Augment(more, 3, 20).draw(50, 0, 0).affine, alone.affine)


@every_config
def test_any_order_and_cut_of_the_rows_gives_the_same_images(config: AugmentConfig) -> None:
    augment, images = Augment(config, 3, 20, mean=(0.4, 0.5, 0.6)), pictures(400)
    draw = augment.draw(400, seed=1, epoch=0)
    whole = augment.apply(images, draw, torch.arange(400))  # more than one chunk
    rows = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    for part in rows.split(70):
        assert torch.equal(augment.apply(images[part], draw, part), whole[part])
    one = torch.tensor([137])
    assert torch.equal(augment.apply(images[one], draw, one), whole[one])


@every_config
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_apply_keeps_shape_type_and_its_input(config: AugmentConfig, layout: torch.memory_format) -> None:
    augment = Augment(config, 3, 20)
    images = pictures(8).contiguous(memory_format=layout)
    before = images.clone()
    draw = augment.draw(8, 0, 0)
    got = augment.apply(images, draw, torch.arange(8))
    assert got.shape == images.shape
    assert got.dtype == torch.float32
    assert got.data_ptr() != images.data_ptr()
    assert torch.equal(images, before)
    assert got.min() >= 0
    assert got.max() <= 1
    contiguous = augment.apply(images.contiguous(), draw, torch.arange(8))
    torch.testing.assert_close(contiguous, got, rtol=0, atol=1e-6)  # means are summed in another order
    assert augment.apply(images[:0], draw, torch.arange(0)).shape == (0, 3, 20, 20)
    for dtype in (torch.float64, torch.bfloat16):
        assert augment.apply(images.to(dtype), draw, torch.arange(8)).dtype == dtype


@every_config
def test_bytes_of_the_store_give_the_same_as_floats(config: AugmentConfig) -> None:
    augment = Augment(config, 3, 20)
    images_u8 = (pictures(100).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    before = images_u8.clone()
    draw, rows = augment.draw(100, 0, 0), torch.arange(100)
    got = augment.apply_u8(images_u8, draw, rows)
    wanted = augment.apply(images_u8.permute(0, 3, 1, 2) / 255, draw, rows)
    assert got.dtype == torch.float32
    # Posterize, solarize and equalize make whole levels of some pixels out of another rounding.
    off = ((got - wanted).abs() > 2e-6).float().mean()
    assert off <= (0.02 if config.picks_operations else 0)
    assert torch.equal(images_u8, before)
    assert augment.apply_u8(images_u8[:0], draw, rows[:0]).shape == (0, 3, 20, 20)


@every_config
def test_single_channel_images_work(config: AugmentConfig) -> None:
    config = config.model_copy(update={"saturation_range": (1.0, 1.0), "hue_range": (0.0, 0.0), "grey": 0.0})
    augment = Augment(config, 1, 20, mean=(0.5,))
    images = pictures(4)[:, :1]
    assert augment.apply(images, augment.draw(4, 0, 0), torch.arange(4)).shape == (4, 1, 20, 20)


def test_colours_come_in_pillows_way_and_in_the_documented_order() -> None:
    config = AugmentConfig(
        brightness_range=(0.6, 1.4), contrast_range=(0.6, 1.4), saturation_range=(0.6, 1.4)
    )
    images_u8 = torch.randint(0, 256, (10, 24, 24, 3), dtype=torch.uint8)
    augment = Augment(config, 3, 24)
    draw = augment.draw(10, 5, 5)
    got = augment.apply(images_u8.permute(0, 3, 1, 2) / 255, draw, torch.arange(10)) * 255
    for i, array in enumerate(images_u8.numpy()):
        image = ImageEnhance.Brightness(Image.fromarray(array)).enhance(float(draw.brightness[i]))
        image = ImageEnhance.Contrast(image).enhance(float(draw.contrast[i]))
        image = ImageEnhance.Color(image).enhance(float(draw.saturation[i]))
        difference = got[i].permute(1, 2, 0).numpy() - np.asarray(image).astype(float)
        assert np.abs(difference).max() < 5  # three cut-off fractions, each times up to 1.4²
        assert abs(difference.mean()) < 2


def test_alternating_flip_turns_every_image_every_other_epoch_from_a_random_start() -> None:
    augment = Augment(AugmentConfig(horizontal_flip="alternating"), 3, 20)
    images = pictures(400)
    flipped = []
    for epoch in range(4):
        got = augment.apply(images, augment.draw(400, 0, epoch), torch.arange(400))
        mirrored = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(got, images, strict=True)])
        same = torch.tensor([torch.equal(a, b) for a, b in zip(got, images, strict=True)])
        assert (mirrored ^ same).all()
        flipped.append(mirrored)
    assert torch.equal(flipped[0], ~flipped[1])
    assert torch.equal(flipped[0], flipped[2])
    assert 150 < flipped[0].sum() < 250
    other_seed = augment.draw(400, 1, 0).affine[:, 1, 1] < 0
    assert not torch.equal(other_seed, flipped[0])


def test_random_flips_are_fair_and_independent() -> None:
    config = AugmentConfig(horizontal_flip="random", vertical_flip=True)
    signs = Augment(config, 3, 20).draw(4000, 0, 0).affine[:, [0, 1], [0, 1]] < 0
    assert signs.float().mean(0).numpy() == pytest.approx([0.5, 0.5], abs=0.03)
    assert (signs[:, 0] & signs[:, 1]).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_the_constant_outside_is_in_levels_of_255() -> None:
    config = AugmentConfig(width_shift_range=5, fill_mode="constant", cval=51)
    augment = Augment(config, 3, 20)
    got = augment.apply(torch.ones(50, 3, 20, 20), augment.draw(50, 0, 0), torch.arange(50))
    assert sorted(round(value, 4) for value in got.unique().tolist()) == [0.2, 1.0]
    turned = Augment(config.model_copy(update={"rotation_range": 30.0}), 3, 20)
    got = turned.apply(torch.ones(50, 3, 20, 20), turned.draw(50, 0, 0), torch.arange(50))
    assert got.min().item() == pytest.approx(0.2, abs=1e-6)


def test_cutout_takes_the_mean_colour() -> None:
    config = AugmentConfig(cutout_size=7)
    given = Augment(config, 3, 20, mean=(0.1, 0.2, 0.3))
    images = pictures(30)
    got = given.apply(images, given.draw(30, 0, 0), torch.arange(30))
    changed = (got != images).any(1)
    assert (got.permute(0, 2, 3, 1)[changed] == torch.tensor([0.1, 0.2, 0.3])).all()
    assert changed.sum((1, 2)).max() == 49
    own = Augment(config, 3, 20).apply(images, given.draw(30, 0, 0), torch.arange(30))
    wanted = images.mean((2, 3))[:, None].expand(-1, 400, -1).reshape(30, 20, 20, 3)[changed]
    torch.testing.assert_close(own.permute(0, 2, 3, 1)[changed], wanted)


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="saturation_range"):
        Augment(AugmentConfig(saturation_range=(0.5, 1.5)), 1, 28)
    with pytest.raises(ConfigError, match="cutout_size=57"):
        Augment(AugmentConfig(cutout_size=57), 1, 28)


def test_images_and_rows_must_agree() -> None:
    augment = Augment(EVERYTHING, 3, 20)
    with pytest.raises(ValueError, match="3 images, but 2 rows"):
        augment.apply(pictures(3), augment.draw(3, 0, 0), torch.arange(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_config
def test_a_gpu_gives_the_same_images(config: AugmentConfig) -> None:
    augment, images = Augment(config, 3, 20), pictures(40)
    draw, rows = augment.draw(40, 0, 0), torch.arange(40)
    got = augment.apply(images.cuda(), draw, rows)
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), augment.apply(images, draw, rows), rtol=0, atol=1e-4)
    assert torch.equal(got, augment.apply(images.cuda(), draw.to(torch.device("cuda")), rows.cuda()))


@every_config
def test_no_pixel_is_waited_for(config: AugmentConfig) -> None:
    """The meta device has no values to read: what is to be done must follow from the draw on the CPU."""
    augment, images = Augment(config, 3, 20), pictures(8).to("meta")
    got = augment.apply(images, augment.draw(8, 0, 0), torch.arange(8))
    assert got.shape == images.shape


def test_a_gpu_changes_a_whole_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that fit a cache are for processors; at 224 px they are single images."""
    sizes: list[int] = []

    def noted(source: Tensor, grid: Tensor, **options: Any) -> Tensor:
        sizes.append(len(source))
        return source

    monkeypatch.setattr("photopic.augment.policy.sample", noted)
    augment = Augment(AugmentConfig(rotation_range=20), 3, 224)
    augment.apply(torch.zeros(4, 3, 224, 224, device="meta"), augment.draw(4, 0, 0), torch.arange(4))
    assert sizes == [4]


class NoDoubles(TorchDispatchMode):
    """What Apple's GPUs are like: no operation may give float64."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else [out]:
            assert not (isinstance(each, Tensor) and each.dtype == torch.float64), func
        return out


@pytest.mark.parametrize("name", CONFIGS)
def test_single_precision_is_enough_to_apply_a_draw(name: str) -> None:
    augment, images, rows = Augment(CONFIGS[name], 3, 20), pictures(8), torch.arange(8)
    draw = augment.draw(8, 0, 0)
    with NoDoubles():
        got = augment.apply(images, draw.single(), rows)
    expected = augment.apply(images, draw, rows)
    assert (got - expected).abs().mean() < 1e-4  # a pixel at the image's edge may fall on the other side
