"""C34: how much dropout? The rate goes up while the network overfits, and down if it underfits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photopic.evaluation.metrics import accuracy
from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome
from photopic.lab.course.held_out import accuracy_row, notes, parameters, train
from photopic.report.figures import Line, Panel, line_panels
from photopic.training.opening import reopen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
QUICK_RATES = (0.1, 0.2, 0.3)
FIRST = 0.2
"""Where the rule begins: the deck's rate."""
OVERFITS, UNDERFITS = 0.02, 0.005
"""Gap between training and validation accuracy above which a network is called overfitted, and below which
underfitted; 0.02 is about five standard errors of 5,000 validation images."""
PROBED = 10_000
"""Training images, evenly spaced, that are asked about with dropout off."""


@dataclass(frozen=True)
class Trial:
    """One rate's network."""

    run: Run
    train_accuracy: float
    """On training images with dropout off."""
    val_accuracy: float

    @property
    def gap(self) -> float:
        """What it knows of its training images alone."""
        return self.train_accuracy - self.val_accuracy


def c34(context: Context) -> Outcome:
    """Every rate of the deck's range and none; then the rule's path through them."""
    trials = {rate: _try(context, rate) for rate in (QUICK_RATES if context.quick else RATES)}
    path = follow({rate: trial.gap for rate, trial in trials.items()}, FIRST)
    best = max(trials, key=lambda rate: trials[rate].val_accuracy)
    first = trials[FIRST].run
    rows = [context.row("parameters", parameters(first))]
    for rate, trial in trials.items():
        rows.append(
            context.row(f"training accuracy, dropout {rate}", trial.train_accuracy, note="dropout off")
        )
        rows.append(context.row(f"validation accuracy, dropout {rate}", trial.val_accuracy))
    rows.append(context.row("rate that the rule ends at", path[-1], note=" → ".join(map(str, path))))
    rows.append(context.row("rate of best validation accuracy", best))
    rows.append(accuracy_row(context, [trials[path[-1]].run], f"accuracy, dropout {path[-1]}"))
    chart = context.draw(
        "rates.png", "Accuracy and cost over the dropout rate, after the last epoch", _chart(trials)
    )
    return Outcome(
        rows=tuple(rows),
        figures=(chart,),
        sentences=_what_the_rule_does(trials, path, best),
        notes=(
            *notes(context, first),
            *context.shortened(f"rates {', '.join(map(str, QUICK_RATES))} alone."),
            "The deck names neither data, optimizer, batch nor epochs: here Fashion-MNIST, Adam, 128 and 20. "
            "The rule in numbers: up while training accuracy, with dropout off, is more than "
            f"{OVERFITS:g} above validation accuracy, down while it is less than {UNDERFITS:g} above.",
        ),
    )


def follow(gaps: dict[float, float], first: float) -> list[float]:
    """The rates that the rule visits from `first` on; it ends where it would stay, return or run out."""
    rates = sorted(gaps)
    path = [first]
    while True:
        place = rates.index(path[-1])
        gap = gaps[path[-1]]
        step = 1 if gap > OVERFITS else -1 if gap < UNDERFITS else 0
        if step == 0 or not 0 <= place + step < len(rates) or rates[place + step] in path:
            return path
        path.append(rates[place + step])


def _try(context: Context, rate: float) -> Trial:
    dense = [{"dense": units, "activation": "elu"} for units in (300, 100)]
    drop = [{"dropout": rate}] if rate else []
    layers = ["flatten", *drop, dense[0], *drop, dense[1], *drop]
    settings = {} if rate == FIRST else {"model.layers": layers}
    run = train(context, "fashion-dropout", data="fashion-mnist", settings=settings)
    return Trial(run, _known(run), run.history()[-1]["val_accuracy"])


def _known(run: Run) -> float:
    """Accuracy on training images, dropout off."""
    dataset, rows = reopen(run)
    chosen = rows["train"][
        np.linspace(0, len(rows["train"]) - 1, min(PROBED, len(rows["train"]))).astype(int)
    ]
    answers = Predictor.load(run).answer_rows(dataset, chosen)
    return accuracy(answers.logits, dataset.index.labels[answers.rows])


def _what_the_rule_does(trials: dict[float, Trial], path: list[float], best: float) -> tuple[str, ...]:
    start, end = trials[path[0]], trials[path[-1]]
    least, most = min(trials), max(trials)
    moved = (
        f"from {path[0]} to {path[-1]}: there the gap is {100 * end.gap:.1f} points"
        if len(path) > 1
        else f"nowhere: {path[0]} is neither over- nor underfitted"
    )
    return (
        f"At a rate of {path[0]} training accuracy lies {100 * start.gap:.1f} points above validation; the "
        f"rule moves {moved}.",
        f"From {least} to {most} the gap goes from {100 * trials[least].gap:.1f} to "
        f"{100 * trials[most].gap:.1f} points, while validation accuracy goes from "
        f"{trials[least].val_accuracy:.4f} to {trials[most].val_accuracy:.4f}.",
        f"Best on validation is {best} with {trials[best].val_accuracy:.4f}"
        + (
            ", where the rule ends."
            if best == path[-1]
            else f", the rule's rate has {end.val_accuracy:.4f}: a small gap is not the aim, a high "
            "validation accuracy is."
        ),
    )


def _chart(trials: dict[float, Trial]) -> Figure:
    rates = list(trials)
    known = Line("training, dropout off", rates, [trial.train_accuracy for trial in trials.values()])
    held_out = Line("validation", rates, [trial.val_accuracy for trial in trials.values()])
    histories = [trial.run.history()[-1] for trial in trials.values()]
    costs = [
        Line("training, as it learned", rates, [row["train_loss"] for row in histories]),
        Line("validation", rates, [row["val_loss"] for row in histories]),
    ]
    panels = [
        Panel([known, held_out], x_label="dropout rate", y_label="accuracy"),
        Panel(costs, x_label="dropout rate", y_label="cost"),
    ]
    return line_panels(panels, title="C34: how much dropout?")
