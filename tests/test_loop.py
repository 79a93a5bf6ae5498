from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
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
from photopic.training.loop import Prepared, TrainingState, Validation, fit
from photopic.training.meter import Meter
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


class MixedPoints(Points):
    """Points that are mixed with the last ones of their batch."""

    def batch(self, rows: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Mix | None]:
        images, _ = super().batch(rows, draws)
        mix = Mix(torch.arange(len(rows) - 1, -1, -1), torch.linspace(0.1, 0.9, len(rows)))
        weight = mix.weight[:, None, None, None]
        return weight * images + (1 - weight) * images[mix.partners], mix


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


def run(
    recipe: ScratchRecipe,
    state: TrainingState,
    *,
    inputs: Points | None = None,
    validate: Callable[[nn.Module], Validation] = score,
    save: Callable[[TrainingState], None] = lambda state: None,
    class_weights: Tensor | None = None,
    seed: int = 5,
) -> list[dict[str, Any]]:
    """Train, and return what was reported."""
    records: list[dict[str, Any]] = []
    prepared = Prepared(recipe, state, inputs or Points(), LABELS, class_weights, seed, CPU)
    fit(prepared, validate, report=records.append, save=save)
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
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True)
    batches, step = Batches(N, 16, 5), 0
    with torch.random.fork_rng():
        for epoch in range(4):
            torch.manual_seed(derive_seed(5, "layers", epoch))
            inputs.start_epoch(epoch)
            model.train()
            for rows, _ in batches.epoch(epoch):
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


def test_all_rules_together_end_in_the_weights_of_a_bare_loop() -> None:
    """Focal loss, class weights, mixed and balanced images, both penalties, clipping, the largest norm."""
    recipe = make_recipe(
        loss="focal",
        class_weights={"a": 2.0},
        sampling="balanced",
        regularizer={"l1": 1e-3, "l2": 1e-2, "biases": True},
        optimizer=SGD(learning_rate=0.05, clip_norm=0.5),
        max_norm=0.4,
    )
    state = make_state(recipe)
    weights = torch.tensor([2.0, 1.0, 0.5])
    run(recipe, state, inputs=MixedPoints(), class_weights=weights)

    model, inputs = make_model(), MixedPoints()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True)
    batches, step = Batches(N, 16, 5, balanced=LABELS), 0
    with torch.random.fork_rng():
        for epoch in range(4):
            torch.manual_seed(derive_seed(5, "layers", epoch))
            inputs.start_epoch(epoch)
            model.train()
            place = 0
            for rows, _ in batches.epoch(epoch):
                progress = Progress(step, 4 * len(batches), len(batches))
                optimizer.param_groups[0]["lr"] = 0.05 * learning_rate_factor(recipe.schedule, progress)
                images, mix = inputs.batch(rows, torch.arange(place, place + len(rows)))
                assert mix is not None
                log_probs = model(images).log_softmax(1)
                focal = -((1 - log_probs.exp()) ** 2) * log_probs
                smooth = 0.9 * torch.eye(K) + 0.1 / K
                own, other = LABELS[rows], LABELS[rows][mix.partners]
                losses = mix.weight * weights[own] * (focal * smooth[own]).sum(1)
                losses = losses + (1 - mix.weight) * weights[other] * (focal * smooth[other]).sum(1)
                size = sum(1e-3 * w.abs().sum() + 1e-2 * w.square().sum() for w in model.parameters())
                optimizer.zero_grad()
                (losses.mean() + size).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                with torch.no_grad():
                    for layer in (model[0], model[5]):
                        layer.weight.copy_(layer.weight.renorm(2, 0, 0.4))  # type: ignore[union-attr,operator]
                step += 1
                place += len(rows)
    for name, tensor in model.state_dict().items():
        # the two sums of penalty and loss round differently
        torch.testing.assert_close(state.model.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_activity_penalties_are_learned_from_and_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    penalised = make_recipe(regularizer={"l2": 0.01})
    by_weights, by_activity = make_state(penalised), make_state(make_recipe())
    records = run(penalised, by_weights)
    monkeypatch.setattr(
        "photopic.training.loop.activity_penalty",
        lambda model: 0.01 * sum(w.square().sum() for w in model.parameters() if w.ndim > 1),
    )
    others = run(make_recipe(), by_activity)
    for name, tensor in weights_of(by_weights).items():
        torch.testing.assert_close(weights_of(by_activity)[name], tensor, rtol=1e-4, atol=1e-5)
    assert others[-1]["train_loss"] == pytest.approx(records[-1]["train_loss"], rel=1e-4)


def test_a_resumed_training_stops_where_an_unbroken_one_does(tmp_path: Path) -> None:
    losses = [1.0, 0.8, 0.85, 0.81, 0.9, 0.5, 0.4, 0.3]
    recipe = make_recipe(
        total_epochs=8, early_stopping={"monitor": "val_loss", "patience": 3}, select_by="val_loss"
    )

    def scripted(state: TrainingState) -> Callable[[nn.Module], Validation]:
        return lambda model: Validation(0.5, losses[state.epoch])

    whole = make_state(recipe)
    records = run(recipe, whole, validate=scripted(whole))
    assert records[-1] == {
        "event": "stopped",
        "epoch": 4,
        "reason": "val_loss has not fallen for 3 epochs; its best was 0.8000",
    }
    assert whole.epoch == 5
    assert whole.best is not None
    assert whole.best.epoch == 1

    for stop in (2, 4, 5):  # also after the epoch that ends it

        def save_and_stop(state: TrainingState, stop: int = stop) -> None:
            save_checkpoint(tmp_path / str(stop), state)
            if state.epoch == stop:
                raise KeyboardInterrupt

        first = make_state(recipe)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, first, validate=scripted(first), save=save_and_stop)
        second = make_state(recipe)
        assert load_checkpoint(tmp_path / str(stop), second)
        again = run(recipe, second, validate=scripted(second))
        assert again[-1] == records[-1]
        assert second.epoch == 5
        assert second.history == whole.history
        assert_equal(weights_of(second), weights_of(whole))


def test_a_checkpoint_without_a_history_can_be_resumed(tmp_path: Path) -> None:
    recipe = make_recipe()
    state = make_state(recipe)
    save_checkpoint(tmp_path, state)
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    document["values"]["pairs"] = [pair for pair in document["values"]["pairs"] if pair[0] != "history"]
    (tmp_path / "a" / "state.json").write_text(json.dumps(document))
    assert load_checkpoint(tmp_path, state)
    assert state.history == []


@pytest.mark.parametrize(
    ("select_by", "best"),
    [("val_accuracy", [0, 1, 2, 2]), ("val_loss", [0, 1, 2, 3]), ("last", [0, 1, 2, 3])],
)
def test_the_kept_epoch_is_the_best_by_what_selects(select_by: str, best: list[int]) -> None:
    recipe = make_recipe(select_by=select_by)
    scores = iter([Validation(0.5, 1.0), Validation(0.7, 1.0), Validation(0.7, 0.9), Validation(0.6, 0.1)])
    records = run(recipe, make_state(recipe), validate=lambda model: next(scores))
    assert [record["best_epoch"] for record in records if record["event"] == "epoch"] == best


@pytest.mark.parametrize(
    ("select_by", "better", "worse"),
    [
        ("val_accuracy", (0.7, 9.0), (0.6, 0.1)),
        ("val_accuracy", (0.7, 0.8), (0.7, 0.9)),
        ("val_loss", (0.6, 0.1), (0.7, 0.2)),
        ("val_loss", (0.7, 0.1), (0.6, 0.1)),
    ],
)
def test_ties_are_broken_by_the_other_number(
    select_by: Any, better: tuple[float, float], worse: tuple[float, float]
) -> None:
    assert Validation(*better).beats(Validation(*worse), select_by)
    assert not Validation(*worse).beats(Validation(*better), select_by)
    assert not Validation(*better).beats(Validation(*better), select_by)
    assert Validation(*worse).beats(Validation(*better), "last")
    assert Validation(*worse).beats(None, select_by)


def test_the_best_epoch_is_kept() -> None:
    recipe = make_recipe()
    state = make_state(recipe)
    scores = iter([Validation(0.5, 1.0), Validation(0.7, 1.0), Validation(0.7, 0.9), Validation(0.6, 0.1)])
    snapshots: list[dict[str, Tensor]] = []

    def scripted(model: nn.Module) -> Validation:
        snapshots.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    records = run(recipe, state, validate=scripted)
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


@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "mse"])
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 1.0}, {"clip_value": 0.5}], ids=str)
def test_a_loss_that_is_not_finite_stops_with_the_step(loss: str, clip: dict[str, float]) -> None:
    recipe = make_recipe(
        loss=loss, label_smoothing=0.0, optimizer=SGD(learning_rate=1e30, **clip), regularizer={"l2": 1.0}
    )
    with pytest.raises(TrainingError, match=r"step \d+ \(epoch \d\)\. Lower optimizer\.learning_rate"):
        run(recipe, make_state(recipe))


def test_the_step_that_is_named_is_the_first_whose_loss_was_not_finite() -> None:
    meter, logits, labels = (
        Meter(2, torch.device("cpu")),
        torch.zeros(4, 2),
        torch.zeros(4, dtype=torch.int64),
    )
    for loss in (1.0, 2.0, 3.0):
        meter.add(torch.tensor(loss), logits, labels)
    assert meter.step_record(13, 30, 0.1)["train_loss"] == 2.0
    for loss in (1.0, math.inf, 2.0, math.nan, 1.0):
        meter.add(torch.tensor(loss), logits, labels)
    with pytest.raises(TrainingError, match=r"not finite at step 15 \(epoch 2\)"):
        meter.step_record(18, 30, 0.1)


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
