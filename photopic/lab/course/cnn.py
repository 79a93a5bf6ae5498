"""C09, C10, C12: a large perceptron and convolutional networks, with the decks' cost and accuracy graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from photopic.api import model_summary
from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.held_out import accuracy_row, history_rows, loss_row, notes, parameters, train
from photopic.lab.course.trainings import curves, score
from photopic.report.figures import bar_with_intervals, image_grid
from photopic.training.train import reopen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

GOALS = {"C09": 0.98, "C10": 0.99}
MAPS = 8
"""Of each convolution of C12 that are drawn."""


# ---- C09, C10 ----------------------------------------------------------------------------------------------


def c09(context: Context) -> Outcome:
    """The large perceptron."""
    run = train(context, "mnist-wide-mlp", quick_epochs=3, quick_images=3000)
    return _against_goal(context, run, quick_epochs=3)


def c10(context: Context) -> Outcome:
    """The convolutional network, and what its first layer looks for."""
    run = train(context, "mnist-cnn", quick_images=2000, quick_epochs=2)
    outcome = _against_goal(context, run, quick_epochs=2)
    layers = [layer for layer in model_summary(recipe=run.recipe).layers if layer.parameters]
    rows = [context.row(f"parameters, {layer.name}", layer.parameters) for layer in layers]
    filters = context.draw("filters.png", "The 32 filters of the first layer, dark to bright", _filters(run))
    return outcome.model_copy(update={"rows": (*outcome.rows, *rows), "figures": (*outcome.figures, filters)})


def _against_goal(context: Context, run: Run, *, quick_epochs: int) -> Outcome:
    name = context.experiment.id
    counted = parameters(run)
    told = context.experiment.reported_value("parameters")
    rows = (
        context.row("parameters", counted),
        accuracy_row(context, [run]),
        *history_rows(context, [run]),
        loss_row(context, run),
    )
    graph = curves({name: run}, title=f"{name}: cost and accuracy")
    caption = "Cost and accuracy over the epochs, training and validation"
    return Outcome(
        rows=rows,
        figures=(context.draw("curves.png", caption, graph),),
        sentences=_what_it_reached(run, GOALS[name], counted == told),
        notes=notes(context, run, quick_epochs=quick_epochs),
    )


def _what_it_reached(run: Run, goal: float, counted: bool) -> tuple[str, ...]:
    measured, history = score(run), run.history()
    interval = measured.interval
    assert interval is not None
    reached = "reaches" if measured.value >= goal else "misses"
    sure = "above" if interval.low >= goal else "below" if interval.high < goal else "on both sides of"
    last, least = history[-1], min(history, key=lambda row: row["val_loss"])
    course = (
        "still fell in the last epoch"
        if least is last
        else f"was least in epoch {least['epoch']} of {last['epoch']} ({least['val_loss']:.4f})"
    )
    return (
        f"{parameters(run):,} parameters, {'as' if counted else 'not as'} printed; on the test images "
        f"{measured.value:.4f}: it {reached} the goal of {goal:g}, and the 95 % interval "
        f"({interval.low:.4f} to {interval.high:.4f}) lies {sure} it.",
        f"Validation loss {course} and ends at {last['val_loss']:.4f}, training loss at "
        f"{last['train_loss']:.4f}.",
    )


def _filters(run: Run) -> Figure:
    """The (32, 1, 3, 3) kernel of the first convolution, one grey scale for all."""
    kernel = run.load_weights()["conv1.weight"].numpy()[:, 0]
    limit = float(np.abs(kernel).max())
    return image_grid(list(kernel), columns=8, value_range=(-limit, limit), inches=0.6)


# ---- C12 ---------------------------------------------------------------------------------------------------


def c12(context: Context) -> Outcome:
    """One epoch on clothing: what each garment is told by, and what it is taken for."""
    run = train(context, "fashion-cnn", data="fashion-mnist", quick_epochs=1, quick_images=5000)
    scores = run.evaluate().scores["test"]
    worst = min(scores.per_class, key=lambda each: each.recall.value)
    pair = scores.confused_pairs(1)[0]
    rows = (
        context.row("parameters", parameters(run)),
        accuracy_row(context, [run]),
        *history_rows(context, [run]),
        *(_recall_row(context, each.name, each.recall.value, each.images) for each in scores.per_class),
    )
    bars = bar_with_intervals(
        [each.name for each in scores.per_class],
        [each.recall.value for each in scores.per_class],
        [
            None if each.recall.interval is None else (each.recall.interval.low, each.recall.interval.high)
            for each in scores.per_class
        ],
        title="Share of each class that is recognised",
        value_label="recall",
    )
    return Outcome(
        rows=rows,
        figures=(
            context.draw("classes.png", "Recall of each class with its 95 % interval", bars),
            context.draw(
                "maps.png",
                f"A test image after the first and the second convolution: {MAPS} of 64 maps each",
                _feature_maps(run),
            ),
        ),
        sentences=(
            f"After one epoch {scores.accuracy.value:.1%} of the test images are right; hardest is the class "
            f"{worst.name} with {worst.recall.value:.1%}.",
            f"Most frequent mistake: {pair.truth} taken for {pair.predicted}, {pair.count} of "
            f"{pair.count / pair.share:.0f} times.",
        ),
        notes=notes(context, run, quick_epochs=1),
    )


def _recall_row(context: Context, name: str, recall: float, images: int) -> Row:
    return context.row(f"recall, {name}", recall, n=images)


def _feature_maps(run: Run) -> Figure:
    """The first test image and some maps behind each of the two convolutions."""
    predictor = Predictor.load(run, device="cpu")
    dataset, rows = reopen(run)
    image = predictor.preprocess.to_store(dataset.image(int(rows["test"][0])))
    maps = predictor.preprocess.to_float(torch.from_numpy(image.copy())[None])
    pictures: list[np.ndarray] = []
    with torch.inference_mode():
        for name, module in predictor.model.named_children():
            maps = module(maps)
            if name.startswith("conv"):
                pictures += [image, *maps[0, :MAPS].numpy()]
    return image_grid(pictures, columns=MAPS + 1, row_titles=("conv 1", "conv 2"), inches=0.8)
