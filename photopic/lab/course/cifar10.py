"""C16 to C22: on CIFAR-10 from two convolutions to ten, each experiment beside the one that it changes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photopic.api import augment_sheet, model_summary
from photopic.lab.course.budget import Plan
from photopic.lab.course.cifar_graph import has_tensorboard, named_blocks
from photopic.lab.course.cifar_training import (
    DATA,
    EPOCHS,
    accuracy,
    network,
    notes,
    plan_for,
    score_rows,
    train,
)
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Drawing, Outcome, Row
from photopic.lab.course.gradients import LayerSignal, layer_signals, signal_figure
from photopic.lab.course.held_out import points
from photopic.lab.course.trainings import curves, epochs

if TYPE_CHECKING:
    from photopic.api import Run
    from photopic.data.dataset import DataSet

SIGMOID, RELU = "cifar10-deep-sigmoid", "cifar10-deep-relu"
XAVIER, NORM = "cifar10-deep-xavier", "cifar10-deep-norm"
L2 = {"regularizer.l2": 2.5e-4, "regularizer.biases": True}
"""The deck's 5e-4 · ½Σv²; `l2` is the λ of λΣw² (E11)."""
AUGMENT = {
    "augment.width_shift_range": 0.1,
    "augment.height_shift_range": 0.1,
    "augment.rotation_range": 15.0,
    "augment.perspective": {"probability": 0.5, "distortion": 0.3},
    "augment.zoom_range": [0.9, 1.1],
    "augment.brightness_range": [0.8, 1.2],
}
DECKS_STEPS, DECKS_EPOCH = 50_000 // 128, 61
"""Steps of the decks' epoch, its last partial batch dropped (E07); the first epoch that is printed of C16."""
GUESSING = 0.15
"""Training accuracy up to which a network is said to guess."""
PROBED = 128
"""Training images, a batch of the decks, whose gradients are looked at."""


# ---- C16: two convolutions ---------------------------------------------------------------------------------


def c16(context: Context) -> Outcome:
    """The small network, and how far it has come."""
    run = train(context, "cifar10-sigmoid", plan_for(context, "cifar10-sigmoid", 1))
    last, first = run.history()[-1], run.history()[0]
    return Outcome(
        rows=(_parameters(context, "cifar10-sigmoid"), *score_rows(context, run)),
        figures=(_curves(context, {"two convolutions": run}, "C16: a small sigmoid network"),),
        sentences=(
            f"Validation accuracy goes from {first['val_accuracy']:.4f} after the first epoch to "
            f"{last['val_accuracy']:.4f} after {len(run.history())}; training accuracy ends at "
            f"{last['train_accuracy']:.4f}.",
            f"On the test images it has {accuracy(run):.4f}."
            + (_still_guessing(run) if last["train_accuracy"] < GUESSING else ""),
        ),
        notes=notes(context, run),
    )


def _still_guessing(run: Run) -> str:
    return (
        f" A loss of {math.log(10):.4f} is that of guessing, and in {_steps(run):,} steps it has not left "
        f"that plateau; the deck's figures are from after {DECKS_EPOCH * DECKS_STEPS:,}."
    )


def _steps(run: Run) -> int:
    return int(epochs(run)[-1]["step"])


# ---- C17 to C19: why ten convolutions do not learn, and what helps -----------------------------------------


def c17(context: Context) -> Outcome:
    """Sigmoids and small weights: what arrives at the first layer."""
    run = train(context, SIGMOID, plan_for(context, SIGMOID, 1))
    signals = _signals(context, SIGMOID)
    fall = signals[-1].gradient / signals[0].gradient if signals[0].gradient else math.inf
    return Outcome(
        rows=(*_not_learning_rows(context, run), *_signal_rows(context, signals)),
        figures=(
            _signal_drawing(context, {"sigmoid, σ = 0.01": signals}, "C17: gradients vanish"),
            _curves(context, {"C17": run}, "C17: loss and accuracy"),
        ),
        sentences=(
            f"The loss ends at {run.history()[-1]['train_loss']:.4f}; the logarithm of 10, which guessing "
            f"costs, is {math.log(10):.4f}. {_what_it_answers(run)} {_how_long(run)}",
            f"Before the first step the gradient of the last layer's weights is {signals[-1].gradient:.1e}, "
            f"that of the first layer's {signals[0].gradient:.1e}, a ratio of {fall:.1e}: each sigmoid's "
            "slope is at most 1/4, and each layer's small weights take their part too.",
            _on_the_way_up(signals),
        ),
        notes=notes(context, run),
    )


def c18(context: Context) -> Outcome:
    """ReLU has a slope of 1, and still nothing arrives: the weights are too small."""
    run = train(context, RELU, plan_for(context, RELU, 1))
    relu, sigmoid = _signals(context, RELU), _signals(context, SIGMOID)
    ratio = relu[0].gradient / sigmoid[0].gradient if sigmoid[0].gradient else math.inf
    told = {"ReLU, σ = 0.01": relu, "sigmoid, σ = 0.01 (C17)": sigmoid}
    return Outcome(
        rows=(*_not_learning_rows(context, run), *_signal_rows(context, relu)),
        figures=(
            _signal_drawing(context, told, "C18: ReLU, the same small weights"),
            _curves(context, {"C18": run}, "C18: loss and accuracy"),
        ),
        sentences=(
            f"Before the first step the first layer's gradient is {relu[0].gradient:.1e} with ReLU: "
            f"{_times(ratio)} that of sigmoids.",
            _on_the_way_up(relu),
            f"The loss ends at {run.history()[-1]['train_loss']:.4f} beside {math.log(10):.4f} of guessing. "
            f"{_what_it_answers(run)} {_how_long(run)}",
        ),
        notes=notes(context, run),
    )


def c19(context: Context) -> Outcome:
    """The same network from Xavier's weights."""
    plan = plan_for(context, XAVIER, 1)
    run = train(context, XAVIER, plan)
    xavier, small = _signals(context, XAVIER), _signals(context, RELU)
    last = run.history()[-1]
    return Outcome(
        rows=(_parameters(context, XAVIER), *score_rows(context, run), *_signal_rows(context, xavier)),
        figures=(
            _signal_drawing(
                context, {"Xavier": xavier, "σ = 0.01 (C18)": small}, "C19: weights that suit the layers"
            ),
            _curves(context, {"Xavier": run}, "C19: loss and accuracy"),
        ),
        sentences=(
            f"Outputs of the last convolution differ between images by {xavier[-2].difference:.2g} of their "
            f"size, with σ = 0.01 by {small[-2].difference:.2g}; after {len(run.history())} epochs the loss "
            f"is {last['train_loss']:.4f} beside {math.log(10):.4f} of guessing.",
            _what_it_learned(last["train_accuracy"], accuracy(run)) + f" {_how_long(run)}",
        ),
        notes=notes(context, run),
    )


def _what_it_learned(known: float, tested: float) -> str:
    """known, tested: accuracy on the training images and on the test images."""
    said = f"Training accuracy ends at {known:.4f}, test accuracy at {tested:.4f}"
    if known < GUESSING:
        return f"{said}: that is guessing."
    return f"{said}: it overfits." if known - tested > 0.1 else f"{said}."


def _how_long(run: Run) -> str:
    """How much of the deck's training this is; a short one proves nothing about a long one."""
    steps, decks = _steps(run), EPOCHS * DECKS_STEPS
    too_few = " Too few to say what more would do." if steps < decks / 2 else ""
    return f"These are {steps:,} steps; the deck's {EPOCHS} epochs are {decks:,}.{too_few}"


def _on_the_way_up(signals: list[LayerSignal]) -> str:
    """What the convolutions let through of the differences between images, before the first step."""
    first, last = signals[0].difference, signals[-2].difference
    return (
        f"On the way up outputs differ between images by {first:.2g} of their size behind the first "
        f"convolution and by {last:.2g} behind the last"
        + (": what is left is nearly the same for all images." if last < 0.01 else ".")
    )


def _not_learning_rows(context: Context, run: Run) -> list[Row]:
    answered = np.unique(run.load_predictions("test").logits.argmax(1)).size
    return [
        *score_rows(context, run),
        context.row("loss of guessing", math.log(10), note="logarithm of the number of classes"),
        context.row("classes that it answers on the test images", answered),
        _parameters(context, SIGMOID),
    ]


def _what_it_answers(run: Run) -> str:
    answers = run.load_predictions("test").logits.argmax(1)
    counts = np.bincount(answers, minlength=len(run.class_names))
    share = counts.max() / counts.sum()
    if share == 1:
        return f'It calls every test image "{run.class_names[int(counts.argmax())]}".'
    return f'It calls {share:.0%} of the test images "{run.class_names[int(counts.argmax())]}".'


def _times(factor: float) -> str:
    digits = ".1f" if factor < 10 else ".0f" if factor < 1e4 else ".1e"
    return f"{factor:{digits}} times"


# ---- the signal of every layer -----------------------------------------------------------------------------


def _signals(context: Context, recipe: str) -> list[LayerSignal]:
    dataset = context.dataset(DATA)
    rows = training_rows(dataset, PROBED)
    images = np.stack([dataset.image(int(row)) for row in rows])
    return layer_signals(
        network(context, recipe), images, dataset.index.labels[rows], classes=10, seed=context.seed
    )


def training_rows(dataset: DataSet, count: int) -> NDArray[np.int64]:
    """`count` training images, evenly spaced over all of them."""
    rows = dataset.usable[dataset.index.splits[dataset.usable] == "train"]
    return np.asarray(rows[np.linspace(0, len(rows) - 1, count).astype(int)])


def _signal_rows(context: Context, signals: list[LayerSignal]) -> list[Row]:
    note = f"root mean square, before the first step, {PROBED} training images"
    return [
        context.row("gradient, first layer", signals[0].gradient, note=note),
        context.row("gradient, last layer", signals[-1].gradient, note=note),
        context.row(
            "difference between images, last convolution",
            signals[-2].difference,
            note="share of the outputs' size",
        ),
    ]


def _signal_drawing(context: Context, variants: dict[str, list[LayerSignal]], title: str) -> Drawing:
    caption = "What reaches each layer before the first step: the gradient, and how much outputs differ"
    return context.draw("signals.png", caption, signal_figure(variants, title=title))


# ---- C20 to C22: batch norm, L2, augmentation --------------------------------------------------------------


def c20(context: Context) -> Outcome:
    """Batch norm, dropout and scaled input against none of them."""
    plan = plan_for(context, NORM, 2)
    run, before = train(context, NORM, plan), train(context, XAVIER, plan)
    low, high = _input_range(context, run)
    rows = [context.row("smallest input", low), context.row("largest input", high)]
    return _beside(
        context,
        {"batch norm, dropout, scaled": run, "none of them (C19)": before},
        "C20: batch norm, dropout, scaled input",
        rows,
        f"The input is in {low:.2f} … {high:.2f} instead of 0 … 255.",
    )


def c21(context: Context) -> Outcome:
    """L2 on all variables; the network's blocks in TensorBoard's graph."""
    plan = plan_for(context, NORM, 2)
    run, before = _with_l2(context, plan), train(context, NORM, plan)
    size, size_before = _sum_of_squares(run), _sum_of_squares(before)
    rows = [
        context.row("Σw² of all variables", size),
        context.row("Σw² of all variables, without L2 (C20)", size_before),
        _graph_row(context, run),
    ]
    return _beside(
        context,
        {"L2": run, "without (C20)": before},
        "C21: L2 on all variables",
        rows,
        f"The sum of all squared variables is {size:,.0f} with the penalty and {size_before:,.0f} without.",
    )


def _graph_row(context: Context, run: Run) -> Row:
    """How many of the network's blocks the graph names, where there is one."""
    name = "named parts in TensorBoard's graph"
    if not has_tensorboard():
        return context.row(name, None, note="not drawn: TensorBoard is not installed (photopic[tensorboard])")
    blocks = named_blocks(run.path / "tensorboard")
    return context.row(name, len(blocks), note=", ".join(blocks[:4]) + " …")


def c22(context: Context) -> Outcome:
    """Augmentation on top."""
    plan = plan_for(context, NORM, 2)
    run, before = _with_l2(context, plan, **AUGMENT), _with_l2(context, plan)
    outcome = _beside(context, {"augmented": run, "without (C21)": before}, "C22: augmentation", [])
    dataset = context.dataset(DATA)
    images = [dataset.image(int(row)) for row in training_rows(dataset, 2)]
    sheet = augment_sheet(images, [], recipe=run.recipe, thumb=64)
    drawing = context.draw(
        "augmented.png", "Two training images as they are, and as the network sees them", sheet
    )
    known, known_before = (each.history()[-1]["train_accuracy"] for each in (run, before))
    note = (
        "The deck names the kinds of augmentation without numbers. Here: shifts of 10 %, rotation by 15°, "
        "perspective (distortion 0.3) for half of the images, zoom 0.9 to 1.1, brightness 0.8 to 1.2."
    )
    return outcome.model_copy(
        update={
            "figures": (*outcome.figures, drawing),
            "sentences": (_with_and_without(known, known_before), *outcome.sentences),
            "notes": (*outcome.notes, note),
        }
    )


def _with_and_without(known: float, known_before: float) -> str:
    """known, known_before: accuracy on the images that were learned from, augmented and not."""
    harder = ": what it learns from is harder" if known < known_before and known_before > GUESSING else ""
    return f"Training accuracy ends at {known:.4f}, without augmentation at {known_before:.4f}{harder}."


def _with_l2(context: Context, plan: Plan, **settings: object) -> Run:
    return train(context, NORM, plan, settings=L2 | settings, tensorboard=has_tensorboard())


def _beside(
    context: Context, variants: dict[str, Run], title: str, rows: list[Row], *sentences: str
) -> Outcome:
    """The first variant is the experiment's, the second the one that it changes."""
    (_, run), (name, before) = variants.items()
    gain = accuracy(run) - accuracy(before)
    last, last_before = run.history()[-1], before.history()[-1]
    return Outcome(
        rows=(
            *score_rows(context, run),
            *score_rows(context, before, f", {name}"),
            *rows,
            _parameters(context, NORM),
        ),
        figures=(_curves(context, variants, title),),
        sentences=(
            *sentences,
            f"After {len(run.history())} epochs test accuracy is {accuracy(run):.4f}, {points(gain)} against "
            f"{accuracy(before):.4f}, {name}.",
            f"The gap between training and validation accuracy is "
            f"{points(last['train_accuracy'] - last['val_accuracy'])}; {name}: "
            f"{points(last_before['train_accuracy'] - last_before['val_accuracy'])}.",
        ),
        notes=notes(context, run),
    )


def _input_range(context: Context, run: Run) -> tuple[float, float]:
    """What black and white become, of the channels' the extremes."""
    config = run.recipe.preprocess
    assert config.mean is not None
    assert config.std is not None
    ends = [
        (value - mean) / std for mean, std in zip(config.mean, config.std, strict=True) for value in (0, 1)
    ]
    return min(ends), max(ends)


def _sum_of_squares(run: Run) -> float:
    """Σw² of kernels, biases, γ and β; what batch norms only count and average is no variable."""
    return sum(
        float(values.double().square().sum())
        for name, values in run.load_weights().items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )


def _parameters(context: Context, recipe: str) -> Row:
    """Of the deck's network, in a quick run too."""
    return context.row("parameters", model_summary(recipe=context.recipe(recipe)).parameters)


def _curves(context: Context, runs: dict[str, Run], title: str) -> Drawing:
    caption = "Cost and accuracy over the epochs, training and validation"
    return context.draw("curves.png", caption, curves(runs, title=title))
