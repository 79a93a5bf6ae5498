"""C09, C10, C12: a large perceptron and convolutional networks, with the decks' cost and accuracy graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from photopic.api import model_summary
from photopic.config import ScratchRecipe
from photopic.inference.predictor import Predictor
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row
from photopic.lab.course.held_out import (
    accuracy_row,
    history_rows,
    loss_row,
    notes,
    parameters,
    train,
    train_seeds,
)
from photopic.lab.course.trainings import curves, score, score_row
from photopic.report.figures import bar_with_intervals, image_grid
from photopic.training.opening import reopen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run
    from photopic.evaluation.intervals import Measured

GOALS = {"C09": 0.98, "C10": 0.99}
MAPS = 8
"""Of each convolution of C12 that are drawn."""


# ---- C09, C10 ----------------------------------------------------------------------------------------------


def c09(context: Context) -> Outcome:
    """The large perceptron."""
    run = train(context, "mnist-wide-mlp", quick_epochs=3, quick_images=3000)
    return _against_goal(context, [run], quick_epochs=3)


def c10(context: Context) -> Outcome:
    """The convolutional network from several seeds, and what the first one's first layer looks for."""
    runs = train_seeds(context, "mnist-cnn", quick_images=2000, quick_epochs=2)
    outcome = _against_goal(context, runs, quick_epochs=2)
    layers = [layer for layer in model_summary(recipe=runs[0].recipe).layers if layer.parameters]
    rows = [context.row(f"parameters, {layer.name}", layer.parameters) for layer in layers]
    filters = context.draw(
        "filters.png", "The 32 filters of the first layer, dark to bright", _filters(runs[0])
    )
    return outcome.model_copy(update={"rows": (*outcome.rows, *rows), "figures": (*outcome.figures, filters)})


def _against_goal(context: Context, runs: Sequence[Run], *, quick_epochs: int) -> Outcome:
    """runs: the same training from one seed or several; the curves are the first one's."""
    name, run = context.experiment.id, runs[0]
    several = [
        score_row(context, f"accuracy, seed {seed}", each)
        for seed, each in enumerate(runs, context.seed)
        if len(runs) > 1
    ]
    rows = (
        context.row("parameters", parameters(run)),
        accuracy_row(context, runs),
        *several,
        *history_rows(context, runs),
        loss_row(context, runs),
    )
    first = f", seed {context.seed}" if several else ""
    graph = curves({name: run}, title=f"{name}: cost and accuracy{first}")
    caption = "Cost and accuracy over the epochs, training and validation"
    return Outcome(
        rows=rows,
        figures=(context.draw("curves.png", caption, graph),),
        sentences=_what_it_reached(context, runs),
        notes=notes(context, run, quick_epochs=quick_epochs),
    )


def _what_it_reached(context: Context, runs: Sequence[Run]) -> tuple[str, ...]:
    told, counted = context.experiment.reported_value, parameters(runs[0])
    goal, deck = GOALS[context.experiment.id], told("accuracy")
    assert isinstance(deck, float)
    scores = [score(run) for run in runs]
    values = [each.value for each in scores]
    reached = sum(value >= goal for value in values)
    spread, verdict, whose = "", "reached" if reached else "missed", ""
    if len(runs) > 1:
        spread = f" (mean of {len(runs)} seeds, {min(values):.4f} to {max(values):.4f})"
        verdict = f"reached by {reached} of {len(runs)} seeds"
        whose = f" of seed {context.seed}"
    return (
        f"{counted:,} parameters, {'as' if counted == told('parameters') else 'not as'} printed; on the test "
        f"images {np.mean(values):.4f}{spread}.",
        f"The goal of {goal:g} is {verdict} and lies {_place(goal, scores)}.",
        f"The deck's {deck:g} lies {_place(deck, scores)}; its network saw all 60,000 training images, was "
        "watched on the test images, and is a single one.",
        _how_the_loss_went(runs[0], whose),
    )


def _place(value: float, scores: Sequence[Measured]) -> str:
    """Where a value lies by the 95 % interval of each seed's test accuracy."""
    sides = []
    for each in scores:
        assert each.interval is not None
        low, high = each.interval.low, each.interval.high
        sides.append("below" if value < low else "above" if value > high else "inside")
    if len(scores) == 1:
        return f"{sides[0]} the 95 % interval ({low:.4f} to {high:.4f})"
    return " and ".join(
        f"{side} the 95 % interval of {sides.count(side)} of {len(scores)} seeds"
        for side in ("below", "inside", "above")
        if side in sides
    )


def _how_the_loss_went(run: Run, whose: str) -> str:
    history = run.history()
    last, least = history[-1], min(history, key=lambda row: row["val_loss"])
    way = (
        "still fell in the last epoch"
        if least is last
        else f"was least in epoch {least['epoch']} of {last['epoch']} ({least['val_loss']:.4f})"
    )
    return (
        f"Validation loss{whose} {way} and ends at {last['val_loss']:.4f}, training loss at "
        f"{last['train_loss']:.4f}."
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
    assert isinstance(run.recipe, ScratchRecipe)
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
        notes=(
            *notes(context, run, quick_epochs=1),
            f"The deck names no batch size: here its framework's default, {run.recipe.batch_size}.",
        ),
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
