from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from photopic.config import AdamW
from photopic.training.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from photopic.training.loop import Best, TrainingState, Validation, copy_weights
from photopic.training.optimizers import build_optimizer


def make_state(fill: float, epoch: int) -> TrainingState:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(fill)
    optimizer = build_optimizer(AdamW(), model)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return TrainingState(model, optimizer, epoch=epoch)


def weight(state: TrainingState) -> torch.Tensor:
    return state.model.weight.detach()  # type: ignore[operator, return-value]


def test_no_checkpoint_changes_nothing(tmp_path: Path) -> None:
    state = make_state(1.0, 3)
    assert not load_checkpoint(tmp_path / "absent", state)
    assert state.epoch == 3


def test_a_loaded_state_holds_on_to_no_file(tmp_path: Path) -> None:
    state = make_state(3.0, 1)
    state.best = Best(0, Validation(0.5, 1.0), copy_weights(state.model))
    save_checkpoint(tmp_path, state)
    loaded = make_state(0.0, 0)
    assert load_checkpoint(tmp_path, loaded)
    tensors = tmp_path / "a" / "state.safetensors"
    with tensors.open("r+b") as file:  # in place, which a mapping would show
        file.write(bytes(tensors.stat().st_size))
    assert loaded.best is not None
    assert torch.equal(loaded.best.weights["weight"], state.best.weights["weight"])
    for ours, theirs in zip(*(each.optimizer.state.values() for each in (loaded, state)), strict=True):
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])


def test_the_newest_of_two_generations_is_taken(tmp_path: Path) -> None:
    states = [make_state(float(epoch), epoch) for epoch in range(1, 5)]
    for state in states:
        save_checkpoint(tmp_path, state)
    loaded = make_state(0.0, 0)
    assert load_checkpoint(tmp_path, loaded)
    assert loaded.epoch == 4
    assert torch.equal(weight(loaded), weight(states[-1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_who_knows_the_newest_generation_saves_in_turns_without_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = save_checkpoint(tmp_path, make_state(1.0, 1))
    with monkeypatch.context() as patch:
        patch.setattr("photopic.training.checkpoint.sha256_file", None)
        for epoch in (2, 3, 4):
            newest = save_checkpoint(tmp_path, make_state(float(epoch), epoch), newest)
    assert newest == tmp_path / "b"
    loaded = make_state(0.0, 0)
    assert load_checkpoint(tmp_path, loaded)
    assert loaded.epoch == 4
    (newest / "state.json").unlink()
    assert load_checkpoint(tmp_path, loaded)
    assert loaded.epoch == 3


@pytest.mark.parametrize("damage", ["truncate", "flip", "no json", "broken json", "no tensors"])
def test_a_damaged_generation_is_passed_over(tmp_path: Path, damage: str) -> None:
    older, newer = make_state(1.0, 1), make_state(2.0, 2)
    save_checkpoint(tmp_path, older)
    save_checkpoint(tmp_path, newer)
    tensors, numbers = tmp_path / "b" / "state.safetensors", tmp_path / "b" / "state.json"
    content = tensors.read_bytes()
    if damage == "truncate":
        tensors.write_bytes(content[:-10])
    elif damage == "flip":
        tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no json":
        numbers.unlink()
    elif damage == "broken json":
        numbers.write_text(numbers.read_text()[:30])
    else:
        tensors.unlink()
    loaded = make_state(0.0, 0)
    assert load_checkpoint(tmp_path, loaded)
    assert loaded.epoch == 1
    assert torch.equal(weight(loaded), weight(older))


def test_optimizer_state_comes_back(tmp_path: Path) -> None:
    state = make_state(1.0, 1)
    save_checkpoint(tmp_path, state)
    loaded = make_state(5.0, 0)
    load_checkpoint(tmp_path, loaded)
    for ours, theirs in zip(loaded.optimizer.state.values(), state.optimizer.state.values(), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_removed_checkpoints_are_gone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "resume", make_state(1.0, 1))
    remove_checkpoints(tmp_path / "resume")
    assert not (tmp_path / "resume").exists()
    remove_checkpoints(tmp_path / "resume")
