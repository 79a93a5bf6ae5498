from __future__ import annotations

import pytest
import torch

from photopic.errors import ConfigError
from photopic.runtime import choose_runtime, derive_seed, flushing_denormals, generator, seeded


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


@pytest.mark.parametrize(
    "device", ["gpu", "tpu:0", "cpu:x", "cpu:0", "mps:1", "cuda:abc", "cuda:", "cuda:-1", ""]
)
def test_unknown_device_is_an_error(device: str) -> None:
    with pytest.raises(ConfigError, match="not known"):
        choose_runtime(device)


def test_a_gpu_beyond_those_that_are_there_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    runtime = choose_runtime("cuda:1")
    assert (str(runtime.device), runtime.precision) == ("cuda:1", torch.bfloat16)
    with pytest.raises(ConfigError, match="not present"):
        choose_runtime("cuda:2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_absent_device_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="--device cpu"):
        choose_runtime("cuda")


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")
def test_denormals_are_zero_while_the_block_runs_and_not_afterwards() -> None:
    def smallest() -> float:
        return (torch.full((1,), 1e-30) * 1e-10).item()

    assert smallest() == pytest.approx(1e-40, rel=1e-4)
    with flushing_denormals():
        assert smallest() == 0
        with pytest.raises(ZeroDivisionError), flushing_denormals():
            1 / 0  # noqa: B018
        assert smallest() == 0
    assert smallest() > 0


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True, "amx_bf16": False}, False)],
)
def test_a_processor_computes_in_bfloat16_where_it_can_and_is_asked_to(
    capabilities: dict[str, bool], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_runtime("cpu").precision == torch.float32
    if not can:
        with pytest.raises(ConfigError, match="bfloat16: this processor has no arithmetic for it"):
            choose_runtime("cpu", "bfloat16")
        return
    runtime = choose_runtime("cpu", "bfloat16")
    assert runtime.describe()["precision"] == "bfloat16"
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_gpu_computes_in_float32_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: False)
    assert choose_runtime("cuda").precision == torch.float32
    with pytest.raises(ConfigError, match='the device "cuda" has no arithmetic for it'):
        choose_runtime("cuda", "bfloat16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: True)
    assert choose_runtime("cuda", "float32").precision == torch.float32


def test_an_unknown_precision_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'precision "bfloat" is not known\. Did you mean "bfloat16"'):
        choose_runtime("cpu", "bfloat")


def test_autocast_does_nothing_in_float32() -> None:
    with choose_runtime("cpu").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_seed_holds_while_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(seed: int) -> None:
        raise AssertionError("the generators of a GPU that is not used were seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
    before = torch.get_rng_state()
    with seeded(3):
        drawn = torch.rand(5)
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_generator_of_a_gpu_gets_its_state_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"now": torch.tensor([7])}
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: state["now"])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new, device: state.update(now=new))
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: state.update(now=torch.tensor([seed])))
    with seeded(3, torch.device("mps")):
        assert state["now"].item() == 3
    assert state["now"].item() == 7


def test_bfloat16_is_taken_only_where_the_gpu_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU before Ampere emulates it, which is slower than float32."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", torch.backends.cudnn.deterministic)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert choose_runtime("cuda").precision == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert choose_runtime("cuda").precision == torch.bfloat16
