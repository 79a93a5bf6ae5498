"""C39: optimizers raced on one network, each at the rate that suits it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from photopic.errors import TrainingError
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.held_out import HELD_OUT
from photopic.report.figures import Line, Panel, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run
    from photopic.report.canvas import LegendPlace

DATA, RECIPE = "mnist", "mnist-race"
IMAGES, EPOCHS, TRIAL_EPOCHS = 10_000, 10, 2
QUICK_IMAGES, QUICK_EPOCHS = 2000, 3


@dataclass(frozen=True)
class Racer:
    """An optimizer, its usual rate, and the rates that are tried."""

    title: str
    name: str
    usual: float
    rates: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def settings(self, rate: float) -> dict[str, Any]:
        """As dotted options of a recipe."""
        values = {"name": self.name, "learning_rate": rate, **self.options}
        return {"optimizer": values}


_PLAIN, _MOMENTUM, _ADAPTIVE = (0.03, 0.1, 0.3, 1.0), (0.01, 0.03, 0.1, 0.3), (0.0003, 0.001, 0.003, 0.01)
RACERS = (
    Racer("SGD", "sgd", 0.1, _PLAIN, {"momentum": 0.0}),
    Racer("momentum", "sgd", 0.01, _MOMENTUM, {"momentum": 0.9, "nesterov": False}),
    Racer("Nesterov", "sgd", 0.01, _MOMENTUM, {"momentum": 0.9, "nesterov": True}),
    Racer("Adagrad", "adagrad", 0.01, (0.003, 0.01, 0.03, 0.1)),
    Racer("Adadelta", "adadelta", 1.0, (0.3, 1.0, 3.0, 10.0)),
    Racer("RMSprop", "rmsprop", 0.001, _ADAPTIVE),
    Racer("Adam", "adam", 0.001, _ADAPTIVE),
    Racer("Adamax", "adamax", 0.001, (0.001, 0.003, 0.01, 0.03)),
    Racer("Nadam", "nadam", 0.001, _ADAPTIVE),
)


def c39(context: Context) -> Outcome:
    """Try four rates of each for two epochs, then race the best of them: same first weights, same batches."""
    trials = {} if context.quick else {racer.title: _trials(context, racer) for racer in RACERS}
    rates = {racer.title: _best_rate(racer, trials.get(racer.title)) for racer in RACERS}
    runs = {racer.title: _train(context, racer, rates[racer.title]) for racer in RACERS}
    figures = [
        context.draw("race.png", "Cost of training and validation images over the epochs", _race(runs))
    ]
    if trials:
        figures.append(
            context.draw(
                "rates.png", f"Validation cost after {TRIAL_EPOCHS} epochs at several rates", _rates(trials)
            )
        )
    return Outcome(
        rows=tuple(_row(context, title, run, rates[title]) for title, run in runs.items()),
        figures=tuple(figures),
        sentences=who_wins({title: run.history() for title, run in runs.items()}, trials),
        notes=_notes(context),
    )


def _train(context: Context, racer: Racer, rate: float, epochs: int | None = None) -> Run:
    usual = QUICK_EPOCHS if context.quick else EPOCHS
    return context.train(
        RECIPE,
        DATA,
        settings={**racer.settings(rate), "total_epochs": epochs or usual},
        val_fraction=HELD_OUT,
        train_images=QUICK_IMAGES if context.quick else IMAGES,
    )


def _trials(context: Context, racer: Racer) -> dict[float, float]:
    """Validation loss after a short training at each rate; infinite where the loss was no number any more."""
    losses = {}
    for rate in racer.rates:
        try:
            losses[rate] = _train(context, racer, rate, TRIAL_EPOCHS).history()[-1]["val_loss"]
        except TrainingError:
            losses[rate] = float("inf")
    return losses


def _best_rate(racer: Racer, losses: dict[float, float] | None) -> float:
    return racer.usual if losses is None else min(losses, key=lambda rate: losses[rate])


def _row(context: Context, title: str, run: Run, rate: float) -> Row:
    last = run.history()[-1]
    note = f"epoch {last['epoch']}; rate {rate:g}; validation accuracy {last['val_accuracy']:.4f}"
    return context.row(f"training loss, {title}", last["train_loss"], note=note)


def who_wins(
    histories: dict[str, list[dict[str, Any]]], trials: dict[str, dict[float, float]]
) -> tuple[str, ...]:
    """Sentences on the race. histories: name → rows per epoch; trials: name → rate → validation loss."""
    first = {title: history[0]["train_loss"] for title, history in histories.items()}
    last = {title: history[-1]["train_loss"] for title, history in histories.items()}
    start, end = min(first, key=lambda title: first[title]), min(last, key=lambda title: last[title])
    slowest = max(last, key=lambda title: last[title])
    val = {title: history[-1]["val_accuracy"] for title, history in histories.items()}
    spread = max(val.values()) - min(val.values())
    said = [
        f"After the first epoch {start} is ahead (training loss {first[start]:.4f}), after "
        f"{len(histories[end])} it is {end} ({last[end]:.4f}); last is {slowest} ({last[slowest]:.4f}).",
        f"On validation images the best and the worst are {100 * spread:.2f} points apart: "
        f"{max(val, key=lambda title: val[title])} has {max(val.values()):.4f}.",
    ]
    if trials:
        said.append(f"The rate matters too: {what_rates_do(trials)}.")
    return tuple(said)


def what_rates_do(trials: dict[str, dict[float, float]]) -> str:
    """Who diverges at which rates, and whose cost differs most where none does."""
    diverged = {
        title: [f"{rate:g}" for rate, loss in losses.items() if not np.isfinite(loss)]
        for title, losses in trials.items()
    }
    told = [f"{title} diverges at {' and '.join(rates)}" for title, rates in diverged.items() if rates]
    reach = {
        title: max(losses.values()) / min(losses.values())
        for title, losses in trials.items()
        if not diverged[title]
    }
    if reach:
        fussy = max(reach, key=lambda title: reach[title])
        others = "of the others " if told else ""
        told.append(
            f"{others}{fussy}'s cost after {TRIAL_EPOCHS} epochs differs most between its rates, "
            f"{reach[fussy]:.1f} times"
        )
    return "; ".join(told)


def _race(runs: dict[str, Run]) -> Figure:
    panels = []
    for column, title in (("train_loss", "Training"), ("val_loss", "Validation")):
        lines = []
        for name, run in runs.items():
            history = run.history()
            lines.append(Line(name, [row["epoch"] for row in history], [row[column] for row in history]))
        legend: LegendPlace = "right" if column == "val_loss" else "none"
        panels.append(Panel(lines, title, "epoch", "cost", log_y=True, legend=legend))
    return line_panels(panels, title="C39: a race of optimizers")


def _rates(trials: dict[str, dict[float, float]]) -> Figure:
    lines = [Line(title, list(losses), list(losses.values())) for title, losses in trials.items()]
    panel = Panel(
        lines,
        "C39: how much each depends on its rate",
        "learning rate",
        f"validation cost after {TRIAL_EPOCHS} epochs",
        log_x=True,
        log_y=True,
        legend="right",
    )
    return line_panels([panel])


def _notes(context: Context) -> tuple[str, ...]:
    images = QUICK_IMAGES if context.quick else IMAGES
    return (
        f"784-256-256-10, ReLU, Glorot; batch 128; {images:,} training images, 5,000 others for validation. "
        "All begin with the same weights and see the same batches. One seed: small differences mean nothing.",
        f"Each has the best of {len(_PLAIN)} rates by validation loss after {TRIAL_EPOCHS} epochs; in a race "
        "at equal rates the rates would be compared, not the rules.",
        "Adam has no option for Nesterov's momentum: the rule that has it is Nadam.",
        *context.shortened(f"{images:,} images, {QUICK_EPOCHS} epochs, each at its usual rate."),
    )
