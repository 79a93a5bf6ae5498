"""Where and how a training runs: device, precision, threads, and seeds as a pure function of their keys."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from photopic.errors import ConfigError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")
_CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")
"""A processor's instructions that multiply in bfloat16, as torch names them."""


@dataclass(frozen=True)
class Runtime:
    """One process's device, with the reason for each automatic choice."""

    device: torch.device
    reason: str
    precision: torch.dtype
    """Type of convolutions and matrix products; weights stay float32."""
    threads: int
    """Intra-op threads of the CPU."""

    @property
    def precision_name(self) -> str:
        """Without "torch."."""
        return str(self.precision).removeprefix("torch.")

    def autocast(self) -> AbstractContextManager[Any]:
        """A context that runs convolutions in `precision`; does nothing in float32."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` on the device; see the function of this name."""
        return to_device(tensor, self.device)

    def describe(self) -> dict[str, Any]:
        """What to write into a run so that its numbers can be placed."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.processor()
        return {
            "device": str(self.device),
            "device_name": name or platform.machine(),
            "reason": self.reason,
            "precision": self.precision_name,
            "threads": self.threads,
            "cpu_count": os.cpu_count(),
            "platform": platform.platform(),
        }


def choose_runtime(device: str = "auto", precision: str = "auto") -> Runtime:
    """The runtime for `device` (one of DEVICES, or cuda:1 and so on), and why.

    precision: one of PRECISIONS; auto is bfloat16 on a GPU that computes in it, and float32 elsewhere.
    Raises ConfigError for an unknown or absent device, and for a precision that it has no arithmetic for.
    """
    threads = torch.get_num_threads()
    if device == "auto":
        kind, reason = _best_device()
    else:
        kind, reason = _named_device(device), "asked for"
    chosen = torch.device(kind)
    if chosen.type == "cuda":
        torch.backends.cudnn.benchmark = False  # the chosen kernels would differ from run to run
        torch.backends.cudnn.deterministic = True
    return Runtime(chosen, reason, _precision(precision, chosen), threads)


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name not in PRECISIONS:
        raise ConfigError(f'precision "{name}" is not known.{did_you_mean(name, PRECISIONS)}')
    if name == "float32" or (name == "auto" and device.type != "cuda"):
        return torch.float32
    if _computes_in_bfloat16(device):
        return torch.bfloat16
    if name == "auto":
        return torch.float32
    place = "this processor" if device.type == "cpu" else f'the device "{device}"'
    raise ConfigError(
        f"precision bfloat16: {place} has no arithmetic for it, so it would be slower than float32. "
        "Leave it out, or name a device that has."
    )


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether in hardware: emulated, as on GPUs before Ampere, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # old torch: none
        return any(bool(capabilities.get(name)) for name in _CPU_BFLOAT16)
    return False


def _best_device() -> tuple[str, str]:
    if torch.cuda.is_available():
        return "cuda", "a CUDA device is present"
    if torch.backends.mps.is_available():
        return "mps", "an Apple GPU is present"
    return "cpu", "no GPU is present"


def _named_device(device: str) -> str:
    match = re.fullmatch(r"(cpu|mps|cuda)(?::(\d+))?", device)
    if match is None or (match[2] and match[1] != "cuda"):
        raise ConfigError(f'device "{device}" is not known. Known: {", ".join(DEVICES)}, cuda:1.')
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if int(match[2] or 0) >= count[match[1]]:
        raise ConfigError(f'device "{device}" is not present on this machine. Use --device cpu, or auto.')
    return device


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on the device; from the CPU towards CUDA through pinned memory, without waiting."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Numbers nearer to zero than 1e-38 are zero while the block runs; its speed is all that one sees.

    A processor takes many times as long over each, and saturated sigmoids make many of them
    (docs/design/threads.md). Holds for this thread, and for those that torch starts meanwhile to help it.
    """
    flushed_before = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's default generators, of the CPU and of `device`, while the block runs.

    Afterwards both are as they were before. Those of other devices are never touched.
    """
    gpu = None if device is None or device.type == "cpu" else device
    with torch.random.fork_rng([gpu] if gpu else [], device_type=gpu.type if gpu else "cuda"):
        torch.default_generator.manual_seed(seed)
        if gpu is not None and gpu.type == "cuda":
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        elif gpu is not None:
            torch.mps.manual_seed(seed)
        yield


def derive_seed(seed: int, *keys: int | str) -> int:
    """A 63-bit seed that depends on `seed` and all `keys`, and on nothing else.

    SHA-256 over the written-out keys: the same on every machine and in every version of Python.
    """
    text = "\x1f".join([str(seed), *(f"{type(key).__name__}:{key}" for key in keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *keys: int | str) -> torch.Generator:
    """A CPU generator seeded by `derive_seed(seed, *keys)`."""
    return torch.Generator().manual_seed(derive_seed(seed, *keys))
