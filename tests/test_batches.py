"""photopic.data.batches: order and cut of an epoch."""

from __future__ import annotations

import pytest
import torch

from photopic.data.batches import Batches
from photopic.errors import ConfigError


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (1, 64), (64, 64), (65, 64), (1000, 96), (7, 3)])
def test_an_epoch_holds_every_row_once_in_nearly_equal_batches(n: int, batch_size: int) -> None:
    batches = Batches(n, batch_size, seed=3)
    parts = list(batches.epoch(0))
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert len(parts) == len(batches) == -(-n // batch_size)
    assert all(part.dtype == torch.int64 for part in parts)


def test_the_order_is_a_function_of_seed_and_epoch_alone() -> None:
    first = torch.cat(list(Batches(500, 64, seed=1).epoch(4)))
    torch.manual_seed(99)
    torch.rand(3)
    other = Batches(500, 64, seed=1)
    list(other.epoch(3))
    assert torch.equal(first, torch.cat(list(other.epoch(4))))
    assert torch.equal(first, Batches(500, 10, seed=1).order(4))  # the cut does not change the order
    assert not torch.equal(first, other.order(5))
    assert not torch.equal(first, Batches(500, 64, seed=2).order(4))


def test_an_epoch_taken_up_in_the_middle_goes_on_with_the_same_batches() -> None:
    batches = Batches(100, 16, seed=0)
    whole = list(batches.epoch(2))
    rest = list(batches.epoch(2, start=3))
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(Batches(10, 3, seed=0).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("n", "batch_size", "named"), [(0, 4, "n=0"), (4, 0, "batch_size=0")])
def test_impossible_sizes_are_refused_by_name(n: int, batch_size: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Batches(n, batch_size, seed=0)
