"""The course of the learning rate against its formulas, torch's schedulers and NumPy's interpolation."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from photopic.config import (
    SGD,
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    OneCycleSchedule,
    PerformanceSchedule,
    PiecewiseSchedule,
    PowerSchedule,
    PreprocessConfig,
    Schedule,
    ScratchRecipe,
    cycle_ends,
    parse_recipe,
    unreachable,
)
from photopic.errors import ConfigError
from photopic.runtime import Runtime
from photopic.training.checkpoint import load_checkpoint, save_checkpoint
from photopic.training.loop import Prepared, TrainingState, Validation, fit
from photopic.training.optimizers import build_optimizer
from photopic.training.schedules import Progress, learning_rate_factor

EPOCHS, PER_EPOCH = 8, 5
TOTAL = EPOCHS * PER_EPOCH
SHARES = np.arange(TOTAL + 1) / TOTAL
ALL = [
    ConstantSchedule(),
    PowerSchedule(),
    ExponentialSchedule(),
    PiecewiseSchedule(),
    PerformanceSchedule(),
    OneCycleSchedule(),
    CosineSchedule(),
]


def factors(schedule: Schedule, **changes: Any) -> list[float]:
    """The factor of each step, and the one after the last."""
    return [
        learning_rate_factor(schedule, Progress(step, TOTAL, PER_EPOCH, **changes))
        for step in range(TOTAL + 1)
    ]


def torch_factors(make: Any, steps: int = TOTAL) -> list[float]:
    """The rates that one of torch's schedulers gives with a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_constant_is_always_the_peak() -> None:
    assert set(factors(ConstantSchedule())) == {1.0}


def test_power_in_steps_is_keras_decay() -> None:
    decay = 0.01
    got = factors(PowerSchedule(scale=1 / decay, unit="steps"))
    np.testing.assert_allclose(got, [1 / (1 + decay * step) for step in range(TOTAL + 1)], rtol=1e-12)


def test_power_in_epochs_follows_its_formula() -> None:
    got = factors(PowerSchedule(scale=2, power=1.5))
    expected = [1 / (1 + step / PER_EPOCH / 2) ** 1.5 for step in range(TOTAL + 1)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_exponential_in_steps_is_torchs() -> None:
    got = factors(ExponentialSchedule(factor=0.5, scale=1, unit="steps"))
    theirs = torch_factors(lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
    np.testing.assert_allclose(got, theirs, rtol=1e-12)


def test_exponential_falls_by_its_factor_in_its_scale_of_epochs() -> None:
    got = factors(ExponentialSchedule(factor=0.1, scale=4))
    assert got[4 * PER_EPOCH] == pytest.approx(0.1)
    np.testing.assert_allclose(got, 0.1 ** (np.arange(TOTAL + 1) / PER_EPOCH / 4), rtol=1e-12)


def test_piecewise_in_epochs_is_torchs_multi_step() -> None:
    got = factors(PiecewiseSchedule(boundaries=(2, 5), factors=(1, 0.1, 0.01), unit="epochs"))
    milestones = [2 * PER_EPOCH, 5 * PER_EPOCH]
    theirs = torch_factors(lambda opt: torch.optim.lr_scheduler.MultiStepLR(opt, milestones, gamma=0.1))
    np.testing.assert_allclose(got, theirs, rtol=1e-12)


def test_piecewise_in_shares_changes_where_they_say() -> None:
    got = factors(PiecewiseSchedule(boundaries=(0.5,), factors=(1, 0.01)))
    assert got == [1.0] * (TOTAL // 2) + [0.01] * (TOTAL // 2 + 1)


@pytest.mark.parametrize(("patience", "min_delta", "floor"), [(1, 0.0, 0.0), (2, 0.0, 0.0), (3, 0.05, 0.02)])
def test_performance_is_torchs_reduction_on_a_plateau(patience: int, min_delta: float, floor: float) -> None:
    losses = np.abs(np.random.default_rng(4).normal(1, 0.3, 40) * np.geomspace(2, 1, 40)).tolist()
    schedule = PerformanceSchedule(divide_by=3, patience=patience, min_delta=min_delta, floor=floor)
    got = [
        learning_rate_factor(schedule, Progress(0, 1, 1, val_losses=tuple(losses[:seen])))
        for seen in range(1, 41)
    ]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # torch acts when more than its patience have failed; ours and Keras' when as many have
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=1 / 3,
        patience=patience - 1,
        threshold=min_delta,
        threshold_mode="abs",
        min_lr=floor,
        eps=0,
    )
    theirs = []
    for loss in losses:
        scheduler.step(loss)
        theirs.append(optimizer.param_groups[0]["lr"])
    assert theirs[-1] < 0.2
    np.testing.assert_allclose(got, theirs, rtol=1e-9)


def test_performance_without_losses_is_the_peak() -> None:
    assert set(factors(PerformanceSchedule())) == {1.0}


@pytest.mark.parametrize(("start", "peak_at", "end"), [(0.2, 0.25, 0.0), (0.0, 0.5, 0.07), (1.0, 0.0, 0.0)])
def test_one_cycle_is_the_line_through_start_peak_and_end(start: float, peak_at: float, end: float) -> None:
    got = factors(OneCycleSchedule(start=start, peak_at=peak_at, end=end))
    points = ([0, peak_at, 1], [start, 1, end]) if peak_at else ([0, 1], [1, end])
    np.testing.assert_allclose(got, np.interp(SHARES, *points), atol=1e-12)


def test_one_cycle_with_a_tail_is_torchs_in_three_phases() -> None:
    steps = TOTAL + 1  # torch's last step is the one at which our progress is 1
    theirs = torch_factors(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps,
            pct_start=0.4,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=10,
            final_div_factor=1000,
            three_phase=True,
        ),
        steps=TOTAL - 1,
    )
    peak, fallen = 0.4 * steps - 1, 2 * 0.4 * steps - 2
    schedule = OneCycleSchedule(
        start=0.1, peak_at=peak / TOTAL, end=0.1, tail=1 - fallen / TOTAL, tail_end=0.0001
    )
    np.testing.assert_allclose(factors(schedule)[:TOTAL], theirs, rtol=1e-9)
    assert factors(schedule)[-1] == pytest.approx(0.0001)


def test_cosine_warms_up_on_a_line_and_falls_on_half_a_cosine() -> None:
    got = dict(zip(SHARES.tolist(), factors(CosineSchedule(warmup=0.1, end=0.2)), strict=True))
    assert got[0.05] == pytest.approx(0.5)
    assert got[0.1] == pytest.approx(1.0)
    assert got[0.55] == pytest.approx(0.2 + 0.8 * 0.5)
    assert got[0.325] == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert got[1.0] == pytest.approx(0.2)


def test_cosine_without_warm_up_is_torchs() -> None:
    got = factors(CosineSchedule(warmup=0.0, end=0.1))
    theirs = torch_factors(lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, TOTAL, eta_min=0.1))
    np.testing.assert_allclose(got, theirs, rtol=1e-9)


def test_cosine_cycles_are_torchs_warm_restarts() -> None:
    got = factors(CosineSchedule(warmup=0.0, end=0.1, cycles=4))
    theirs = torch_factors(
        lambda opt: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, TOTAL // 4, eta_min=0.1)
    )
    np.testing.assert_allclose(got[:TOTAL], theirs[:TOTAL], rtol=1e-9)
    assert got[TOTAL] == pytest.approx(0.1)  # the training is over: there is no fifth cycle


def test_cycles_that_do_not_divide_the_epochs_end_with_epochs() -> None:
    schedule = CosineSchedule(warmup=0.0, cycles=3)
    assert cycle_ends(schedule, 10) == (3, 7, 10)
    assert cycle_ends(CosineSchedule(), 10) == (10,)
    rates = [learning_rate_factor(schedule, Progress(step, 40, 4)) for step in range(40)]
    assert [step for step in range(40) if rates[step] == 1.0] == [0, 12, 28]


def test_the_warm_up_of_cosine_is_inside_its_first_cycle() -> None:
    got = factors(CosineSchedule(warmup=0.125, cycles=2))
    np.testing.assert_allclose(got[: PER_EPOCH + 1], np.linspace(0, 1, PER_EPOCH + 1), atol=1e-12)
    assert got[TOTAL // 2 - 1] < 0.05
    assert got[TOTAL // 2] == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSchedule(warmup=0.25),
        PowerSchedule(warmup=0.25),
        ExponentialSchedule(warmup=0.25),
        PiecewiseSchedule(warmup=0.25),
        PerformanceSchedule(warmup=0.25),
    ],
    ids=lambda schedule: schedule.name,
)
def test_warm_up_multiplies_the_schedule_by_a_line_from_0_to_1(schedule: Any) -> None:
    cold = factors(schedule.model_copy(update={"warmup": 0.0}))
    np.testing.assert_allclose(factors(schedule), cold * np.minimum(1, SHARES / 0.25), rtol=1e-12)


@pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: schedule.name)
def test_every_factor_is_between_0_and_1(schedule: Schedule) -> None:
    got = factors(schedule, val_losses=(1.0,) * 20)
    assert all(0 <= factor <= 1 for factor in got)
    assert max(got) > 0


@pytest.mark.parametrize("step", [-1, TOTAL + 1])
def test_a_step_outside_of_the_training_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="between 0 and total_steps"):
        Progress(step, TOTAL, PER_EPOCH)


# ---- what cannot work is found before training ----------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "epochs", "words"),
    [
        (PiecewiseSchedule(boundaries=(3, 10), unit="epochs"), 10, "10 is never reached"),
        (PerformanceSchedule(patience=5), 6, "7 epochs or more"),
        (CosineSchedule(cycles=4), 3, "more than total_epochs=3"),
        (CosineSchedule(cycles=4, warmup=0.3), 8, "all of the first of 4 cycles"),
    ],
)
def test_a_schedule_that_never_reaches_its_end_is_found(schedule: Schedule, epochs: int, words: str) -> None:
    problem = unreachable(schedule, epochs)
    assert problem is not None
    assert words in problem
    values = {"name": "test", "way": "scratch", "preprocess": {"size": 8}, "total_epochs": epochs}
    with pytest.raises(ConfigError) as caught:
        parse_recipe(values | {"schedule": schedule.model_dump()})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "schedule",
    [
        PiecewiseSchedule(boundaries=(3, 10), unit="epochs"),
        PiecewiseSchedule(boundaries=(0.3, 0.99)),
        PerformanceSchedule(patience=9),
        CosineSchedule(cycles=11, warmup=0.01),
        OneCycleSchedule(end=0.1, tail=0.1),
    ],
)
def test_a_schedule_that_ends_in_time_is_accepted(schedule: Schedule) -> None:
    assert unreachable(schedule, 11) is None


def test_the_shortest_training_in_which_performance_acts() -> None:
    schedule = PerformanceSchedule(patience=2)
    assert unreachable(schedule, 3) is not None
    assert unreachable(schedule, 4) is None
    progress = Progress(step=3, total_steps=4, steps_per_epoch=1, val_losses=(1.0, 1.0, 1.0))
    assert learning_rate_factor(schedule, progress) == pytest.approx(0.1)


def test_stopping_before_the_rate_is_ever_lowered_is_refused() -> None:
    values = {"name": "test", "way": "scratch", "preprocess": {"size": 8}, "total_epochs": 20}
    values |= {"schedule": "performance", "early_stopping": {"patience": 5}}
    with pytest.raises(ConfigError, match="ends the training before"):
        parse_recipe(values)
    assert parse_recipe(values | {"early_stopping": {"patience": 6}})
    assert parse_recipe(values | {"early_stopping": {"patience": 5, "monitor": "train_loss"}})


class OnePoint:
    """The least that can be trained on."""

    def __len__(self) -> int:
        return 1

    def start_epoch(self, epoch: int) -> None:
        """Nothing is random here."""

    def batch(self, rows: torch.Tensor, draws: torch.Tensor | None = None) -> tuple[torch.Tensor, None]:
        return torch.ones(len(rows), 2), None


def test_performance_lowers_the_rate_of_a_training_also_after_a_resume(tmp_path: Path) -> None:
    recipe = ScratchRecipe(
        name="test",
        preprocess=PreprocessConfig(size=8),
        optimizer=SGD(learning_rate=0.1),
        schedule=PerformanceSchedule(patience=2, divide_by=10),
        total_epochs=8,
    )
    val_losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0]
    expected = [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]

    def rates(stop_at: int) -> list[float]:
        model = torch.nn.Linear(2, 2)
        state = TrainingState(model, build_optimizer(recipe.optimizer, model))
        load_checkpoint(tmp_path, state)
        seen: list[float] = []

        def save(state: TrainingState) -> None:
            seen.append(state.optimizer.param_groups[0]["lr"])
            save_checkpoint(tmp_path, state)
            if state.epoch == stop_at:
                raise KeyboardInterrupt

        runtime = Runtime(torch.device("cpu"), "test", torch.float32, 1)
        labels = torch.zeros(1, dtype=torch.int64)
        with suppress(KeyboardInterrupt):
            fit(
                Prepared(recipe, state, OnePoint(), labels, None, 0, runtime),
                lambda model: Validation(0.5, val_losses[state.epoch]),
                report=lambda record: None,
                save=save,
            )
        return seen

    assert rates(stop_at=5) + rates(stop_at=8) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: schedule.name)
def test_the_defaults_fit_the_default_number_of_epochs(schedule: Schedule) -> None:
    assert (
        ScratchRecipe(name="test", preprocess=PreprocessConfig(size=8), schedule=schedule).schedule
        == schedule
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "piecewise", "boundaries": []}, "at least one time"),
        ({"name": "piecewise", "boundaries": [0.5], "factors": [1, 0.1, 0.01]}, "need 2 factors"),
        ({"name": "piecewise", "boundaries": [0.5, 0.5]}, "must rise"),
        ({"name": "piecewise", "boundaries": [0.5], "factors": [1, 1]}, "equal factors"),
        ({"name": "piecewise", "boundaries": [3, 6]}, "unit=epochs"),
        ({"name": "one-cycle", "peak_at": 0.5, "tail": 0.5}, "peak_at + tail"),
        ({"name": "one-cycle", "tail": 0.1}, "tail has no effect"),
        ({"name": "one-cycle", "tail_end": 0.1}, "tail_end has no effect"),
        ({"name": "constant", "warmup": 1.0}, "warmup"),
        ({"name": "exponential", "factor": 1.0}, "factor"),
        ({"name": "performance", "divide_by": 1.0}, "divide_by"),
    ],
)
def test_a_schedule_without_meaning_is_refused(values: dict[str, Any], words: str) -> None:
    recipe = {"name": "test", "way": "scratch", "preprocess": {"size": 8}, "schedule": values}
    with pytest.raises(ConfigError) as caught:
        parse_recipe(recipe)
    assert words in str(caught.value)


def test_a_word_is_a_schedule_with_its_defaults() -> None:
    recipe = parse_recipe({"name": "test", "way": "scratch", "preprocess": {"size": 8}, "schedule": "cosine"})
    assert isinstance(recipe, ScratchRecipe)
    assert recipe.schedule == CosineSchedule()
