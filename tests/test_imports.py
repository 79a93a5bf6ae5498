"""What an import costs, and what the source may not contain."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "timm", "scipy", "sklearn", "PIL", "matplotlib")
SOURCE = Path(__file__).parent.parent / "photopic"


@pytest.mark.parametrize("module", ["photopic", "photopic.cli"])
def test_an_import_pulls_in_no_heavy_package(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_import_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import photopic"], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(import|from) (shelve|dill|cloudpickle|joblib)\b",
        r"\bfrom pickle import (?!UnpicklingError$)",
        r"\bpickle\.(?!UnpicklingError\b)\w",
        r"allow_pickle\s*=\s*True",
        r"weights_only\s*=\s*False",
        r"yaml\.(load|unsafe_load|full_load)\(",
        r"shell\s*=\s*True",
        r"(?<![\w.])(eval|exec)\(",
        r"\b(TODO|FIXME)\b|\braise NotImplementedError\b",
    ],
)
def test_the_source_does_without(pattern: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []
