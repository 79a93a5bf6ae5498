"""The list of networks: complete, quick, and without what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm

from photopic.files import cache_dir
from photopic.models.classic import CLASSICS
from photopic.models.listing import list_models, timm_licences
from photopic.models.zoo import build_features


def test_list_holds_each_model_of_a_family_once_and_says_what_is_offline() -> None:
    listed = list_models()
    models = {(info.family, info.name): info for info in listed}
    assert len(models) == len(listed)
    assert {name for family, name in models if family == "classic"} == CLASSICS.keys()
    lite = models["bundled", "efficientnet_lite0"]
    assert lite.offline
    assert lite.license == "Apache-2.0"
    assert lite.parameters == 3_371_008  # timm's network without its classifier
    assert not models["timm", "resnet50"].offline
    assert models["timm", "resnet50"].license == "apache-2.0"
    assert models["classic", "resnet50"].parameters == 25_557_032


def test_the_bundled_count_is_that_of_the_network() -> None:
    network = build_features("efficientnet_lite0")
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_371_008


def test_timms_names_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = timm_licences()
    assert list(first) == timm.list_models()
    monkeypatch.setattr("photopic.models.listing._ask_timm", lambda: pytest.fail("timm was asked again"))
    assert timm_licences() == first


def test_a_damaged_or_closed_cache_only_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_dir() / f"timm-{timm.__version__}.json"
    path.write_text("{", "utf-8")
    assert "resnet50" in timm_licences()
    path.unlink()
    monkeypatch.setattr("photopic.models.listing.write_json", _closed)
    assert "resnet50" in timm_licences()


def _closed(*_: object) -> None:
    raise PermissionError("read-only")


def test_a_second_listing_imports_neither_torch_nor_timm() -> None:
    timm_licences()
    code = (
        "import sys; from photopic.models.listing import list_models; list_models();"
        "print([name for name in ('torch', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
