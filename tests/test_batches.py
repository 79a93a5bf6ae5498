"""photopic.data.batches: order and cut of an epoch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from photopic.data.batches import Batches
from photopic.errors import ConfigError


def rows_of(batches: Batches, epoch: int) -> list[Tensor]:
    return [rows for rows, _ in batches.epoch(epoch)]


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (1, 64), (64, 64), (65, 64), (1000, 96), (7, 3)])
def test_an_epoch_holds_every_row_once_in_nearly_equal_batches(n: int, batch_size: int) -> None:
    batches = Batches(n, batch_size, seed=3)
    parts = rows_of(batches, 0)
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert len(parts) == len(batches) == -(-n // batch_size)
    assert all(part.dtype == torch.int64 for part in parts)


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first = torch.cat(rows_of(Batches(500, 64, seed=1), 4))
    torch.manual_seed(99)
    torch.rand(3)
    other = Batches(500, 64, seed=1)
    list(other.epoch(3))
    assert torch.equal(first, torch.cat(rows_of(other, 4)))
    assert torch.equal(first, Batches(500, 10, seed=1).order(4))  # the cut does not change the order
    assert not torch.equal(first, other.order(5))
    assert not torch.equal(first, Batches(500, 64, seed=2).order(4))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(Batches(10, 3, seed=0).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("n", "batch_size", "named"), [(0, 4, "n=0"), (4, 0, "batch_size=0")])
def test_impossible_sizes_are_refused_by_name(n: int, batch_size: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Batches(n, batch_size, seed=0)


# ---- balanced ---------------------------------------------------------------------------------------------


LABELS = torch.tensor([0] * 83 + [1] * 10 + [3] * 7)  # class 2 has no image


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_balanced_epoch_draws_equally_of_each_class_that_has_images(seed: int) -> None:
    order = Batches(100, 16, seed, balanced=LABELS).order(0)
    assert len(order) == 100
    counts = torch.bincount(LABELS[order], minlength=4).tolist()
    assert sorted(counts) == [0, 33, 33, 34]
    assert counts[2] == 0


def test_every_batch_of_a_balanced_epoch_is_a_mixture() -> None:
    for rows in rows_of(Batches(100, 25, 0, balanced=LABELS), 0):
        assert len(LABELS[rows].unique()) == 3


def test_within_a_class_no_image_is_preferred() -> None:
    times = torch.bincount(Batches(100, 16, 0, balanced=LABELS).order(5), minlength=100)
    for label in (0, 1, 3):
        of_class = times[label == LABELS]
        assert of_class.max() - of_class.min() <= 1
    large = torch.stack([Batches(100, 16, 0, balanced=LABELS).order(epoch) for epoch in range(40)])
    assert len(large.unique()) == 100  # over the epochs every image has its turn


def test_a_balanced_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first, second = (Batches(100, size, 4, balanced=LABELS) for size in (16, 25))
    list(first.epoch(0))
    assert torch.equal(first.order(3), second.order(3))
    assert not torch.equal(first.order(3), first.order(4))
    assert not torch.equal(first.order(3), Batches(100, 16, 5, balanced=LABELS).order(3))
    assert torch.equal(torch.cat(rows_of(first, 3)), first.order(3))


def test_equal_classes_that_are_balanced_come_once_each() -> None:
    labels = torch.arange(60) % 3
    assert sorted(Batches(60, 7, 0, balanced=labels).order(0).tolist()) == list(range(60))


def test_each_place_of_a_balanced_epoch_has_a_draw_of_its_own() -> None:
    parts = list(Batches(100, 16, 0, balanced=LABELS).epoch(0))
    assert torch.equal(torch.cat([draws for _, draws in parts]), torch.arange(100))
    assert all(len(rows) == len(draws) for rows, draws in parts)


def test_without_balance_each_row_has_its_own_draw() -> None:
    assert all(torch.equal(rows, draws) for rows, draws in Batches(100, 16, 0).epoch(0))
