"""The package and its files say the same thing in every place."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import photopic

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


def pins() -> dict[str, str]:
    """Name → version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Everything that photopic or one of its extras asks for."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_constraints_hold_an_allowed_version_of_each_requirement(requirement: Requirement) -> None:
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"


def test_the_installed_version_is_the_package_s() -> None:
    assert importlib.metadata.version("photopic") == photopic.__version__


def test_the_changelog_has_the_version() -> None:
    assert f"\n## {photopic.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_licence_is_the_full_text() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_readme_names_the_torch_of_the_constraints() -> None:
    named = re.findall(r"(torch|torchvision)==([\d.]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert dict(named) == {name: pins()[name] for name in ("torch", "torchvision")}


def test_ci_runs_the_readme_s_test_command() -> None:
    assert "scripts/test\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    steps = re.search(r"for step in (.+); do", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert steps is not None
    assert set(steps.group(1).split()) == {"check", "docs", "test"}


@pytest.mark.parametrize("script", ["install", "demo", "test", "check", "docs", "../.ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    path = ROOT / "scripts" / script
    assert path.read_text(encoding="utf-8").startswith("#!")
    assert b"\r" not in path.read_bytes()
