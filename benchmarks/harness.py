"""What all benchmarks share: the machine and its limits, fair turns, other processes, result files.

A result is a JSON file in benchmarks/results/. It holds the machine, its measured limits, the versions, the
seeds and every single reading, and the rows that table.py puts into benchmarks/README.md.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PHOTOPIC = Path(sys.executable).with_name("photopic")
PACKAGES = ("photopic", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn", "scipy")


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleave(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Readings of every side, taken in turns (A B, B A, A B, …), so that a slow minute hits all alike."""
    readings: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats):
        names = list(sides) if turn % 2 == 0 else list(reversed(sides))
        for name in names:
            readings[name].append(sides[name]())
    return readings


def spread(readings: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest of some readings."""
    return {"median": statistics.median(readings), "min": min(readings), "max": max(readings)}


# ---- the machine ----------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Processor, cores for this process, load of the last minute, system, Python, versions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if match:
            return match.group(1)
    return platform.processor() or platform.machine()


def limits(repeats: int = 7) -> dict[str, Any]:
    """What this machine can do at most, measured now; each with all readings."""
    readings = interleave(
        {"gemm_flops": gemm_flops, "copy_bytes_per_s": copy_bandwidth, "jpegs_per_s_per_core": jpeg_rate},
        repeats,
    )
    return {name: {**spread(values), "readings": values} for name, values in readings.items()}


def gemm_flops(size: int = 2048) -> float:
    """Floating-point operations per second of one square fp32 matrix product, all threads of torch."""
    import torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    torch.mm(a, b)
    return 2 * size**3 / seconds(lambda: torch.mm(a, b))


def copy_bandwidth(size_bytes: int = 256 * 2**20) -> float:
    """Bytes read plus written per second by a copy in memory (as STREAM counts), all threads of torch."""
    import torch

    source = torch.zeros(size_bytes // 4)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * size_bytes / seconds(lambda: target.copy_(source))


def jpeg_rate(count: int = 40) -> float:
    """Noisy pictures of 500×375 pixels, JPEG quality 90, decoded to RGB per second by Pillow on one core."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 8, smooth.shape)  # about the detail of a photo: some 90 kB
    photo = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(photo, "JPEG", quality=90)

    def decode() -> None:
        for _ in range(count):
            Image.open(io.BytesIO(photo.getvalue())).convert("RGB")

    return count / seconds(decode)


# ---- other processes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """A program that ended well."""

    stdout: str
    process_s: float
    """Wall time from start to end, imports included."""
    cpu_s: float
    """Processor time of all threads; says more than the wall time when the machine is shared."""
    peak_bytes: int
    """Largest resident memory."""

    def costs(self) -> dict[str, float]:
        """The three figures, for a result."""
        return {"process_s": self.process_s, "cpu_s": self.cpu_s, "peak_bytes": self.peak_bytes}


def run_program(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Finished:
    """Run a program to its end; needs a POSIX system (the memory comes from wait4).

    Raises RuntimeError with the end of its messages when it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as messages:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=messages, env={**os.environ, **(env or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        messages.seek(0)
        if process.returncode != 0:
            tail = messages.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{command} ended with {process.returncode}: {tail}")
        peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Finished(out.read().decode("utf-8"), process_s, cpu_s, peak_bytes)


def run_keras(script: str, *options: str | Path) -> dict[str, Any]:
    """Run one of the Keras scripts in its environment; its JSON and what it cost."""
    done = run_program([keras_python(), Path(__file__).with_name(script), *options])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, **done.costs()}


def run_training(data: str, out: Path, cache: Path, *options: str) -> dict[str, Any]:
    """`photopic train` in a process of its own; what its run folder says, and time and memory.

    cache: folder of pixels and features; give an empty one to measure a first run.
    """
    command = [PHOTOPIC, "train", data, "--out", out, *options]
    done = run_program(command, {"PHOTOPIC_CACHE": str(cache)})
    manifest = json.loads((out / "run.json").read_text("utf-8"))
    return {
        "seed": manifest["options"]["seed"],
        "recipe": manifest["recipe"]["name"],
        "status": manifest["status"],
        "wall_s": manifest["seconds"],
        **done.costs(),
        "machine": manifest["machine"],
        "test": {each["name"]: each for each in manifest["results"]["test"]["measured"]},
        "val": {each["name"]: each for each in manifest["results"]["val"]["measured"]},
    }


def keras_python() -> Path:
    """The Python of the environment that has the dependency group `keras`."""
    named = os.environ.get("PHOTOPIC_KERAS_PYTHON")
    python = Path(named) if named else Path(__file__).parent / ".venv-keras" / "bin" / "python"
    if not python.exists():
        raise SystemExit(
            f"{python} is missing. Make the environment as benchmarks/README.md says, or name its Python in "
            "PHOTOPIC_KERAS_PYTHON."
        )
    return python


def data_dir() -> Path:
    """The folder named by PHOTOPIC_DATA, which holds the published files."""
    named = os.environ.get("PHOTOPIC_DATA")
    if not named or not Path(named).is_dir():
        raise SystemExit("Set PHOTOPIC_DATA to the folder that holds mnist/, cats-dogs.zip and the others.")
    return Path(named)


# ---- results --------------------------------------------------------------------------------------------


def row(what: str, measured: str, goal: str = "", met: bool | None = None) -> dict[str, Any]:
    """One line of the table; `met` is None where there is no goal."""
    return {"what": what, "measured": measured, "goal": goal, "met": met}


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json with the machine, its limits, the command and the result."""
    payload = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": machine(),
        "limits": limits(),
        **result,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(_rounded(payload), indent=2) + "\n", encoding="utf-8")
    return path


def _rounded(value: Any) -> Any:
    """Floats with six significant digits: more than any reading holds."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
