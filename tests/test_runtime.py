from __future__ import annotations

import pytest
import torch

from photopic.errors import ConfigError
from photopic.runtime import choose_runtime, derive_seed, generator


def test_derived_seeds_depend_on_every_key_and_nothing_else() -> None:
    seeds = {derive_seed(s, "order", e) for s in range(20) for e in range(20)}
    assert len(seeds) == 400
    assert derive_seed(1, "order", 2) == derive_seed(1, "order", 2)
    assert derive_seed(1, 2) != derive_seed(1, "2")
    assert derive_seed(1, "a", "b") != derive_seed(1, "ab")
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_leave_the_global_one_alone() -> None:
    before = torch.random.get_rng_state()
    first = torch.rand(3, generator=generator(7, "x"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, torch.rand(3, generator=generator(7, "x")))


def test_automatic_choice_has_a_reason() -> None:
    runtime = choose_runtime()
    assert runtime.reason
    assert runtime.describe()["device"] == str(runtime.device)


@pytest.mark.parametrize(("device", "words"), [("gpu", "not known"), ("tpu:0", "not known")])
def test_unknown_device_is_an_error(device: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_runtime(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_absent_device_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="--device cpu"):
        choose_runtime("cuda")


def test_autocast_does_nothing_in_float32() -> None:
    with choose_runtime("cpu").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
