"""C16 to C23: layers and counts, what reaches each layer, plans for a time limit, the deck's wrong index."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import photopic
from photopic import api
from photopic.config import ScratchRecipe, override
from photopic.errors import ConfigError
from photopic.lab.course import cifar10, cifar_ensemble, cifar_training
from photopic.lab.course.budget import EPOCHS, IMAGES, Plan, Sizes, fit_plan, measured_seconds_per_image
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.lab.course.gradients import LayerSignal, layer_signals, signal_figure
from photopic.models.zoo import build_model
from photopic.runtime import choose_runtime, derive_seed
from photopic.training.recipes import load_recipe
from photopic.training.regularisers import add_penalty_gradients

RECIPES = Path(cifar10.__file__).parent / "recipes"
SIZES = Sizes(train=45_000, val=1000, test=10_000)
CONVOLUTIONS = [
    (3, 64),
    (64, 64),
    (64, 128),
    (128, 128),
    (128, 256),
    (256, 256),
    (256, 512),
    *[(512, 512)] * 3,
]


def recipe(name: str) -> ScratchRecipe:
    loaded = load_recipe(str(RECIPES / f"{name}.yaml"))
    assert isinstance(loaded, ScratchRecipe)
    return loaded


def context(out: Path, experiment: str = "C17", **options: Any) -> Context:
    return Context(choose([experiment])[0], out, **options)


# ---- the networks ----------------------------------------------------------------------------------------


def test_c16_has_the_number_of_parameters_of_its_layers() -> None:
    table = api.model_summary(recipe=recipe("cifar10-sigmoid"))
    counts = [layer.parameters for layer in table.layers if layer.parameters]
    assert counts == [896, 18_496, 1_573_248, 3_850]
    assert sum(counts) == table.parameters == 1_596_490


@pytest.mark.parametrize(
    ("name", "per_output"),
    [
        ("cifar10-deep-sigmoid", 1),
        ("cifar10-deep-relu", 1),
        ("cifar10-deep-xavier", 1),
        ("cifar10-deep-norm", 2),
    ],
)
def test_ten_convolutions_in_five_blocks_end_in_512_numbers(name: str, per_output: int) -> None:
    """per_output: numbers beside the kernel: a bias, or γ and β of a batch norm."""
    expected = sum(9 * a * b + per_output * b for a, b in CONVOLUTIONS) + 512 * 10 + 10
    table = api.model_summary(recipe=recipe(name))
    assert table.parameters == expected
    pools = [layer.output_shape for layer in table.layers if layer.name.endswith("_pool")]
    assert pools == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]


def test_weights_and_biases_begin_as_the_decks_say() -> None:
    torch.manual_seed(0)
    small = build_model(recipe("cifar10-deep-sigmoid"), 10).get_submodule("block4_conv2")
    assert small.weight.abs().max() <= 0.02
    assert float(small.weight.detach().std()) == pytest.approx(0.01 * 0.8796, rel=0.01)  # cut at two σ
    assert torch.equal(small.bias, torch.full((512,), 0.1))
    xavier = build_model(recipe("cifar10-deep-xavier"), 10).get_submodule("block4_conv2")
    assert float(xavier.weight.detach().abs().max()) == pytest.approx(
        math.sqrt(6 / (9 * 512 + 9 * 512)), rel=1e-3
    )


def test_trainings_are_the_decks() -> None:
    for name in ("cifar10-sigmoid", "cifar10-deep-sigmoid", "cifar10-deep-relu"):
        chosen = recipe(name)
        assert chosen.optimizer.model_dump() | {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0} == (
            chosen.optimizer.model_dump()
        )
        assert chosen.preprocess.scaling == "none"
    for name in ("cifar10-deep-xavier", "cifar10-deep-norm"):
        assert (recipe(name).optimizer.name, recipe(name).optimizer.learning_rate) == ("adam", 1e-4)
    for path in RECIPES.glob("cifar10-*.yaml"):
        chosen = recipe(path.stem)
        assert (chosen.total_epochs, chosen.batch_size, chosen.schedule.name) == (300, 128, "constant")
        assert (chosen.select_by, chosen.augment.is_identity) == ("last", True)


def test_narrowed_networks_have_an_eighth_of_the_filters() -> None:
    narrow = cifar_training.narrowed(recipe("cifar10-deep-norm"), 8)
    table = api.model_summary(recipe=narrow)
    assert table.parameters == sum(9 * max(a // 8, 3) * (b // 8) + b // 4 for a, b in CONVOLUTIONS) + 650
    assert narrow.optimizer == recipe("cifar10-deep-norm").optimizer


# ---- signals ---------------------------------------------------------------------------------------------


def test_signals_are_torch_s_gradients_and_spreads() -> None:
    chosen = cifar_training.narrowed(recipe("cifar10-sigmoid"), 8)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (16, 32, 32, 3), np.uint8), random.integers(0, 10, 16)
    signals = layer_signals(chosen, images, labels, classes=10, seed=3)
    torch.manual_seed(derive_seed(3, "weights"))
    model = build_model(chosen, 10)
    first = nn.Conv2d(3, 4, 3, padding=1)
    first.load_state_dict(model.get_submodule("conv1").state_dict())
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    output = torch.sigmoid(first(x))
    rest = nn.Sequential(*list(model.children())[1:])
    functional.cross_entropy(rest(output), torch.from_numpy(labels)).backward()  # type: ignore[no-untyped-call]
    assert first.weight.grad is not None
    assert signals[0].gradient == pytest.approx(float(first.weight.grad.square().mean().sqrt()), rel=1e-4)
    flat = output.detach().double().flatten(1)
    spread = float(flat.var(0, correction=0).mean().sqrt() / flat.square().mean().sqrt())
    assert signals[0].difference == pytest.approx(spread, rel=1e-4)
    assert [each.name for each in signals] == ["conv1", "conv2", "dense1", "output"]
    assert len(signal_figure({"a": signals}, title="t").axes) == 2


def test_gradients_vanish_with_sigmoids_and_small_weights_and_not_with_xavier_s() -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (8, 32, 32, 3), np.uint8), random.integers(0, 10, 8)
    first = {}
    for name in ("sigmoid", "relu", "xavier"):
        chosen = cifar_training.narrowed(recipe(f"cifar10-deep-{name}"), 8)
        signals = layer_signals(chosen, images, labels, classes=10, seed=0)
        assert len(signals) == 11
        first[name] = signals[0].gradient
    assert first["sigmoid"] < 1e-12 < first["relu"] < 1e-6 < 1e-3 < first["xavier"]


def test_the_images_that_are_looked_at_are_training_images() -> None:
    images, labels = np.zeros((30, 4, 4, 3), np.uint8), np.arange(30) % 2
    splits = np.array(["test"] * 5 + ["train"] * 20 + ["test"] * 5)
    dataset = api.open_dataset((images, labels))
    dataset = replace(dataset, index=replace(dataset.index, splits=splits))
    np.testing.assert_array_equal(cifar10.training_rows(dataset, 3), [5, 14, 24])


# ---- penalty ---------------------------------------------------------------------------------------------


def test_c21_sums_the_squares_of_what_is_learned_and_of_nothing_else() -> None:
    model = build_model(cifar_training.narrowed(recipe("cifar10-deep-norm"), 8), 10)
    for name, values in model.named_buffers():
        values.fill_(785)  # as after some steps
        assert "running" in name or "tracked" in name
    run = SimpleNamespace(load_weights=model.state_dict)
    expected = sum(float(values.detach().double().square().sum()) for values in model.parameters())
    assert cifar10._sum_of_squares(run) == pytest.approx(expected, rel=1e-9)


def test_c21_s_penalty_has_the_gradient_of_the_deck_s_half_of_5e_4() -> None:
    weight = torch.randn(4, 3, requires_grad=True)
    (5e-4 * 0.5 * weight.square().sum()).backward()
    layer = nn.Linear(3, 4)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(weight[:, 0])
    penalised = override(recipe("cifar10-deep-norm"), cifar10.L2)
    assert isinstance(penalised, ScratchRecipe)
    add_penalty_gradients(layer, penalised.regularizer)
    torch.testing.assert_close(layer.weight.grad, weight.grad)
    assert weight.grad is not None
    torch.testing.assert_close(layer.bias.grad, weight.grad[:, 0])


# ---- what is said ----------------------------------------------------------------------------------------


def trained_for(monkeypatch: pytest.MonkeyPatch, steps: int) -> Any:
    monkeypatch.setattr(cifar10, "epochs", lambda run: [{"step": steps}])


def test_a_short_training_says_that_it_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run: Any = None
    trained_for(monkeypatch, 24)
    said = cifar10._how_long(run)
    assert said.startswith("These are 24 steps; the deck's 300 epochs are 117,000.")
    assert "Too few" in said
    assert "24 steps it has not left that plateau; the deck's figures are from after 23,790" in (
        cifar10._still_guessing(run)
    )
    trained_for(monkeypatch, 105_600)
    assert "Too few" not in cifar10._how_long(run)


def test_what_was_learned_is_named_by_the_numbers() -> None:
    assert cifar10._what_it_learned(0.10, 0.10).endswith("0.1000: that is guessing.")
    assert cifar10._what_it_learned(0.99, 0.78).endswith("0.7800: it overfits.")
    assert cifar10._what_it_learned(0.50, 0.48).endswith("test accuracy at 0.4800.")


def test_what_reaches_the_last_convolution_is_named_by_the_numbers() -> None:
    def told(last: float) -> str:
        return cifar10._on_the_way_up([LayerSignal(name, 0.1, last) for name in ("a", "b", "output")])

    assert "nearly the same for all images" in told(1e-8)
    assert "nearly the same" not in told(0.5)


def test_augmented_images_are_called_harder_where_fewer_are_known() -> None:
    assert "harder" in cifar10._with_and_without(0.4, 0.5)
    assert "harder" not in cifar10._with_and_without(0.5, 0.5)
    assert "harder" not in cifar10._with_and_without(0.10, 0.12)  # both guess


# ---- plans -----------------------------------------------------------------------------------------------


def test_a_plan_takes_the_most_images_and_then_the_most_epochs_that_fit() -> None:
    for limit_s in (80, 160, 600, 6000, 60_000, 600_000):
        plan = fit_plan(limit_s, 0.01, SIZES, 300)
        count = plan.images or SIZES.train
        assert seconds(plan, 0.01) <= limit_s or plan.epochs == 300
        more = [number for number in (*IMAGES, SIZES.train) if number > count]
        assert not more or seconds(Plan(more[0], EPOCHS[0]), 0.01) > limit_s
        longer = [number for number in EPOCHS if number > plan.epochs]
        assert not longer or seconds(Plan(plan.images, longer[0]), 0.01) > limit_s


def seconds(plan: Plan, image_s: float) -> float:
    """By the formula: a step per image, a third of it for each image that is only looked at."""
    per_epoch = (plan.images or SIZES.train) + SIZES.val / 3
    return image_s * (plan.epochs * per_epoch + SIZES.test / 3)


def test_little_noise_in_the_measured_speed_mostly_gives_the_same_plan() -> None:
    plans = [fit_plan(600, 0.01 * noise, SIZES, 300) for noise in (0.98, 1, 1.02)]
    assert len(set(plans)) <= 2


def test_a_limit_too_short_for_the_smallest_training_says_what_it_takes() -> None:
    with pytest.raises(ConfigError, match=r"5 epochs on 500 images.* 1\.2 min.*leaves 0\.2 min"):
        fit_plan(10, 0.01, SIZES, 300)


def test_all_images_and_all_epochs_are_the_deck_s_training() -> None:
    assert fit_plan(1e9, 0.01, SIZES, 300) == Plan(None, 300)


def test_a_step_is_timed_and_leaves_torch_s_generator_alone() -> None:
    before = torch.random.get_rng_state()
    narrow = cifar_training.narrowed(recipe("cifar10-sigmoid"), 8)
    assert 0 < measured_seconds_per_image(narrow, choose_runtime("cpu")) < 1
    assert torch.equal(before, torch.random.get_rng_state())


# ---- first weights of their own, the same batches --------------------------------------------------------


def small(tmp_path: Path, name: str, **options: Any) -> photopic.Run:
    chosen = {"total_epochs": 1, "batch_size": 64}
    return photopic.train("digits", recipe="digits", settings=chosen, out=tmp_path / name, **options)


def test_weights_seed_changes_the_first_weights_alone(tmp_path: Path) -> None:
    usual, same, other = (
        small(tmp_path, "usual", seed=4),
        small(tmp_path, "same", seed=4, weights_seed=4),
        small(tmp_path, "other", seed=4, weights_seed=5),
    )
    logits = [run.load_predictions("val").logits for run in (usual, same, other)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert not np.array_equal(logits[0], logits[2])
    whole = small(tmp_path, "whole", seed=5)
    assert not np.array_equal(logits[2], whole.load_predictions("val").logits)


def test_weights_seed_is_refused_where_no_weights_are_drawn(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    with pytest.raises(ConfigError, match="weights_seed has no effect with the way frozen"):
        photopic.train(
            (images, np.arange(40) % 2), recipe="photos-frozen", out=tmp_path / "run", weights_seed=1
        )


# ---- C23 -------------------------------------------------------------------------------------------------


def test_the_deck_s_index_is_the_accuracy_of_a_batch_averaged_over_sizes() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 700)
    logits = random.normal(0, 1, (3, 700, 3)) + 1.5 * np.eye(3)[labels]
    numbers = cifar_ensemble.by_the_decks_index(logits, labels)
    order = np.random.default_rng(0).permutation(700)
    exp = np.exp(logits)
    probs = (exp / exp.sum(2, keepdims=True))[:, order]
    for k, number in enumerate(numbers):
        rows = slice(128 * k, 128 * (k + 1))
        right = [probs[:size, rows].mean(0).argmax(1) == labels[order][rows] for size in (1, 2, 3)]
        assert number == pytest.approx(np.mean(right))


def test_parts_of_the_tensorboard_graph_are_the_named_layers(tmp_path: Path) -> None:
    board = pytest.importorskip("photopic.training.tensorboard")
    pytest.importorskip("tensorboard")
    from photopic.lab.course.cifar_graph import named_blocks

    writer = board.TensorBoard(tmp_path)
    writer.draw(build_model(cifar_training.narrowed(recipe("cifar10-deep-norm"), 8), 10), 3, 32)
    writer.close()
    found = named_blocks(tmp_path)
    assert {"block1_conv1", "block3_norm2", "block5_pool"} <= set(found)
    assert len(found) == 35
    (tmp_path / "empty").mkdir()
    assert named_blocks(tmp_path / "empty") == []


# ---- on real images --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sigmoid_network_learns_nothing_in_short_and_says_so(tmp_path: Path, data_dir: Path) -> None:
    outcome = cifar10.c17(context(tmp_path, quick=True, data_dir=data_dir))
    rows = {row.name: row for row in outcome.rows}
    assert rows["loss"].measured == pytest.approx(math.log(10), abs=0.02)
    assert 0.09 < float(rows["accuracy"].measured or 0) < 0.11
    assert "It calls every test image" in outcome.sentences[0]
    assert any("Shortened by --quick: an eighth of the filters" in note for note in outcome.notes)


@pytest.mark.slow
def test_a_time_limit_cuts_images_and_epochs_and_the_notes_say_to_what(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "plan_for", lambda *_: Plan(500, 5))
    outcome = cifar10.c16(context(tmp_path, "C16", time_limit_s=60.0, data_dir=data_dir))
    assert any("500 of 49,000 training images and 5 of 300 epochs" in note for note in outcome.notes)
    assert {row.name: row.measured for row in outcome.rows}["parameters"] == 1_596_490
