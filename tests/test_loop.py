from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from photopic.augment.mix import Mix
from photopic.config import SGD, AdamW, Muon, OneCycleSchedule, PreprocessConfig, ScratchRecipe
from photopic.data.batches import Batches
from photopic.errors import TrainingError
from photopic.runtime import Runtime, derive_seed
from photopic.training.average import WeightAverage
from photopic.training.checkpoint import load_checkpoint, save_checkpoint
from photopic.training.loop import TrainingState, Validation, fit
from photopic.training.optimizers import build_optimizer
from photopic.training.schedules import Progress, learning_rate_factor

CPU = Runtime(torch.device("cpu"), "test", torch.float32, 2)
N, K = 70, 3


class Points:
    """Inputs with noise that depends on the epoch and the row, as an augmentation's does."""

    def __init__(self) -> None:
        self.points = torch.randn(N, 4, 4, 4, generator=torch.Generator().manual_seed(1))
        self.noise = torch.zeros(N)

    def __len__(self) -> int:
        return N

    def start_epoch(self, epoch: int) -> None:
        self.noise = torch.randn(N, generator=torch.Generator().manual_seed(epoch))

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        chosen = rows if draws is None else draws
        return self.points[rows] + self.noise[chosen, None, None, None], None


LABELS = torch.randint(0, K, (N,), generator=torch.Generator().manual_seed(2))


def make_model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(32, K)
        )


def make_recipe(**changes: Any) -> ScratchRecipe:
    values = {
        "name": "test",
        "preprocess": PreprocessConfig(size=4),
        "total_epochs": 4,
        "batch_size": 16,
        "optimizer": SGD(learning_rate=0.05),
        "schedule": OneCycleSchedule(),
        "label_smoothing": 0.1,
    }
    return ScratchRecipe(**(values | changes))


def make_state(recipe: ScratchRecipe) -> TrainingState:
    model = make_model()
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None
    return TrainingState(model, build_optimizer(recipe.optimizer, model), average)


def score(model: nn.Module) -> Validation:
    model.eval()
    with torch.no_grad():
        logits = model(Points().points)
    accuracy = (logits.argmax(1) == LABELS).float().mean().item()
    return Validation(accuracy, functional.cross_entropy(logits, LABELS).item())


def run(recipe: ScratchRecipe, state: TrainingState, **changes: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {
        "seed": 5,
        "runtime": CPU,
        "report": records.append,
        "save": lambda state: None,
    }
    fit(state, recipe, Points(), LABELS, score, **(arguments | changes))
    return records


def weights_of(state: TrainingState) -> dict[str, Tensor]:
    return dict(state.model.state_dict())


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_fit_ends_in_the_weights_of_a_bare_loop() -> None:
    recipe = make_recipe()
    state = make_state(recipe)
    run(recipe, state)

    model, inputs = make_model(), Points()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    batches, step = Batches(N, 16, 5), 0
    with torch.random.fork_rng():
        for epoch in range(4):
            torch.manual_seed(derive_seed(5, "layers", epoch))
            inputs.start_epoch(epoch)
            model.train()
            for rows in batches.epoch(epoch):
                progress = Progress(step, 4 * len(batches), len(batches))
                optimizer.param_groups[0]["lr"] = 0.05 * learning_rate_factor(recipe.schedule, progress)
                optimizer.zero_grad()
                logits = model(inputs.batch(rows)[0])
                loss = functional.cross_entropy(logits, LABELS[rows], label_smoothing=0.1)
                loss.backward()
                optimizer.step()
                step += 1
    assert_equal(weights_of(state), dict(model.state_dict()))


@pytest.mark.parametrize(
    "optimizer", [SGD(learning_rate=0.05), AdamW(), Muon()], ids=lambda config: config.name
)
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_resumed_training_equals_one_that_was_not_stopped(
    tmp_path: Path, optimizer: Any, ema_decay: float
) -> None:
    recipe = make_recipe(optimizer=optimizer, ema_decay=ema_decay)
    whole = make_state(recipe)
    run(recipe, whole)

    first = make_state(recipe)

    def save_and_stop(state: TrainingState) -> None:
        save_checkpoint(tmp_path, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(recipe, first, save=save_and_stop)
    second = make_state(recipe)
    assert load_checkpoint(tmp_path, second)
    assert second.epoch == 2
    run(recipe, second)
    assert_equal(weights_of(second), weights_of(whole))
    assert_equal(dict(second.scored_model.state_dict()), dict(whole.scored_model.state_dict()))
    assert second.best is not None
    assert whole.best is not None
    assert second.best.epoch == whole.best.epoch
    assert_equal(second.best.weights, whole.best.weights)
    assert second.val_losses == whole.val_losses
    assert second.history == whole.history


def test_the_best_epoch_is_kept() -> None:
    recipe = make_recipe()
    state = make_state(recipe)
    scores = iter([Validation(0.5, 1.0), Validation(0.7, 1.0), Validation(0.7, 0.9), Validation(0.6, 0.1)])
    snapshots: list[dict[str, Tensor]] = []

    def scripted(model: nn.Module) -> Validation:
        snapshots.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    records: list[dict[str, Any]] = []
    fit(
        state,
        recipe,
        Points(),
        LABELS,
        scripted,
        seed=0,
        runtime=CPU,
        report=records.append,
        save=lambda state: None,
    )
    assert state.best is not None
    assert state.best.epoch == 2
    assert_equal(state.best.weights, snapshots[2])
    assert [record["best_epoch"] for record in records if record["event"] == "epoch"] == [0, 1, 2, 2]


def test_records_count_every_image_once() -> None:
    recipe = make_recipe(total_epochs=2)
    records = run(recipe, make_state(recipe))
    epochs = [record for record in records if record["event"] == "epoch"]
    steps = [record for record in records if record["event"] == "step"]
    assert len(epochs) == 2
    assert epochs[-1]["step"] == steps[-1]["step"] == steps[-1]["total_steps"] == 10
    assert 0 <= epochs[0]["train_accuracy"] <= 1
    assert epochs[0]["train_accuracy"] * N == pytest.approx(round(epochs[0]["train_accuracy"] * N), abs=1e-4)


def test_a_loss_that_is_not_finite_stops_with_the_step() -> None:
    recipe = make_recipe(optimizer=SGD(learning_rate=1e20))
    with pytest.raises(TrainingError, match=r"step \d+ \(epoch \d\)"):
        run(recipe, make_state(recipe))


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    recipe = make_recipe(total_epochs=1)
    run(recipe, make_state(recipe))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_gives_other_weights() -> None:
    recipe = make_recipe(total_epochs=1)
    one, other = make_state(recipe), make_state(recipe)
    run(recipe, one, seed=1)
    run(recipe, other, seed=2)
    assert not torch.equal(one.model[0].weight, other.model[0].weight)  # type: ignore[index]


def test_the_average_follows_its_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, decay=0.5)
    expected = model.weight.item()
    for step, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)
