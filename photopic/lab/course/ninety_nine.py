"""C11: stop as soon as accuracy is above 0.99, by training and by validation images; and ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photopic import api
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row, from_measured
from photopic.lab.course.held_out import accuracy_row, notes, parameters, train
from photopic.lab.course.trainings import score, score_row
from photopic.report.figures import Line, line_chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

GOAL, QUICK_GOAL = 0.99, 0.65
MONITORS = {"training": "train_accuracy", "validation": "val_accuracy"}
MEMBERS, MEMBER_EPOCHS = 5, 4
MEMBER = {
    "total_epochs": MEMBER_EPOCHS,
    "augment.rotation_range": 10,
    "augment.width_shift_range": [-1, 0, 1],
    "augment.height_shift_range": [-1, 0, 1],
    "augment.zoom_range": [0.9, 1.1],
    "augment.fill_mode": "constant",
    "test_views": "shift",
}
"""What the ensemble's members change of photopic's recipe mnist-fast."""


def c11(context: Context) -> Outcome:
    """Two stopping rules on one network; its runs joined, and small networks joined."""
    stopped = {name: _stopped(context, monitor) for name, monitor in MONITORS.items()}
    fast = [_member(context, seed) for seed in range(2 if context.quick else MEMBERS)]
    joined = join(context, fast)
    rows = [row for name, run in stopped.items() for row in _stop_rows(context, name, run)]
    rows += [
        accuracy_row(context, fast, "accuracy of a member"),
        score_row(context, "accuracy of the ensemble", joined, note=f"{len(fast)} of photopic's mnist-fast"),
        context.row("parameters", parameters(stopped["training"])),
        context.row("parameters of a member", parameters(fast[0])),
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw(
                "curves.png",
                "Accuracy over the epochs, and where each rule stops",
                _rules(list(stopped.values()), QUICK_GOAL if context.quick else GOAL),
            ),
            context.draw("ensemble.png", "Test accuracy of the first members together", _sizes(joined)),
        ),
        sentences=_what_c11_shows(context, stopped, fast, joined),
        notes=(
            *notes(context, stopped["training"], quick_epochs=3),
            *context.shortened(f"the goal is {QUICK_GOAL}, and the ensemble has {len(fast)} members."),
            "The deck does not list the network's layers: here C10's with dropout 0.3 behind all three pools "
            "and a dense layer of 512 before that of 128.",
            f"Nor does it describe the ensemble: here {MEMBERS} networks of photopic's recipe mnist-fast, "
            f"each trained for {MEMBER_EPOCHS} epochs from its own seed on images turned, shifted and zoomed "
            "a little; the mean of their probabilities.",
        ),
    )


def _stopped(context: Context, monitor: str) -> Run:
    """The deck's network until the monitored accuracy has reached the goal."""
    goal = QUICK_GOAL if context.quick else GOAL
    settings = {"stop_at.monitor": monitor, "stop_at.value": goal}
    return train(context, "mnist-deep-cnn", settings=settings, quick_images=2000, quick_epochs=3)


def _member(context: Context, seed: int) -> Run:
    return train(context, "mnist-fast", settings=MEMBER, seed=seed, quick_images=2000, quick_epochs=1)


def join(context: Context, members: Sequence[Run]) -> Run:
    """The ensemble of these runs; one that was joined before from the same members is taken again."""
    digests = "".join(run.path.name.rpartition("-")[2][:4] for run in members)
    path = Path(context.out) / "runs" / f"ensemble-{digests}"
    if (path / "run.json").is_file():
        kept = api.open_run(path)
        if kept.manifest.status == "complete":
            return kept
        kept.remove()
    return api.ensemble(members, out=path, device=context.device)


def _stop_rows(context: Context, name: str, run: Run) -> list[Row]:
    last = run.history()[-1]
    told = context.experiment.reported_value("accuracy") if name == "training" else None
    label = "accuracy" if name == "training" else "accuracy, stopped by validation accuracy"
    note = f"stopped by {name} accuracy after {last['epoch']} epochs"
    return [
        from_measured(label, score(run), reported=told, note=note),
        context.row(f"epochs, stopped by {name} accuracy", last["epoch"]),
        context.row(f"training accuracy, stopped by {name} accuracy", last["train_accuracy"]),
        context.row(f"validation accuracy, stopped by {name} accuracy", last["val_accuracy"]),
    ]


def _what_c11_shows(
    context: Context, stopped: dict[str, Run], fast: Sequence[Run], joined: Run
) -> tuple[str, ...]:
    goal = QUICK_GOAL if context.quick else GOAL
    last = {name: run.history()[-1] for name, run in stopped.items()}
    reached = {name: last[name][monitor] >= goal for name, monitor in MONITORS.items()}
    words = [
        f"{name} accuracy {'reaches it' if reached[name] else 'has not reached it'} in epoch "
        f"{last[name]['epoch']}"
        for name in MONITORS
    ]
    tested = {name: score(run).value for name, run in stopped.items()}
    measured = score(joined)
    told = context.experiment.reported_value("accuracy of the ensemble")
    assert isinstance(told, float)
    assert measured.interval is not None
    members = [score(run).value for run in fast]
    verdict = "beats" if measured.value > told else "does not beat"
    inside = "inside" if measured.interval.low <= told <= measured.interval.high else "outside"
    return (
        f"The goal is {goal:g}: {', '.join(words)}; {tested['training']:.4f} and "
        f"{tested['validation']:.4f} of the test images are right then.",
        _which_is_later({name: last[name]["epoch"] for name in MONITORS if reached[name]}),
        f"{len(fast)} small networks with {min(members):.4f} to {max(members):.4f} each are right on "
        f"{measured.value:.4f} together, which {verdict} the deck's {told:.4f}; that lies {inside} the 95 % "
        f"interval of {measured.interval.low:.4f} to {measured.interval.high:.4f}.",
    )


def _which_is_later(epochs: Mapping[str, int]) -> str:
    """What the epochs in which the goal was reached say about the two rules.

    epochs: name of a rule → epoch; a rule whose goal was not reached is not in it.
    """
    if not epochs:
        return "Neither rule was satisfied before the epochs were over."
    if len(epochs) == 1:
        return f"Only {next(iter(epochs))} accuracy got there before the epochs were over."
    if epochs["training"] > epochs["validation"]:
        return (
            "Training accuracy is counted while dropout is at work and weights still change, so it lags "
            "behind: the deck's callback trains longer than its goal asks for."
        )
    if epochs["training"] < epochs["validation"]:
        return "Training accuracy is there first: the deck's callback stops before new images are that good."
    return "Both rules stop in the same epoch."


def _rules(runs: Sequence[Run], goal: float) -> Figure:
    """Accuracies of the longer training, the goal, and the epoch in which each rule is satisfied.

    The trainings have the same seed, so the shorter one is the longer one's beginning.
    """
    history = max((run.history() for run in runs), key=len)
    epochs = [row["epoch"] for row in history]
    lines, marks = [], []
    for name, monitor in MONITORS.items():
        lines.append(Line(name, epochs, [row[monitor] for row in history]))
        hits = [row for row in history if row[monitor] >= goal]
        marks += [(row["epoch"], row[monitor], f"epoch {row['epoch']}") for row in hits[:1]]
    lines.append(Line(f"goal {goal:g}", epochs, [goal] * len(epochs), points=False))
    return line_chart(
        lines, title="C11: two stopping rules", x_label="epoch", y_label="accuracy", marks=marks
    )


def _sizes(joined: Run) -> Figure:
    """Accuracy over the number of members, by mean and by vote."""
    assert joined.manifest.joined is not None
    sizes = joined.manifest.joined.sizes
    counts = [each["size"] for each in sizes]
    lines = []
    for how, name in (("mean", "mean of probabilities"), ("vote", "majority vote")):
        values = [each[how]["value"] for each in sizes]
        ends = [each[how]["interval"] for each in sizes]
        if how == "mean" and all(ends):
            low, high = ([end[side] for end in ends] for side in ("low", "high"))
            lines.append(Line(f"{name}, 95 % interval", counts, values, low=low, high=high))
        else:
            lines.append(Line(name, counts, values))
    return line_chart(lines, title="C11: an ensemble", x_label="members", y_label="test accuracy")
