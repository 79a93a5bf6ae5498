"""C41's trainings: photopic's recipe for each data set of the course, and the course's network beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photopic.lab.course.beat_contest import Source
from photopic.lab.course.cifar_training import FULL as CIFAR10
from photopic.lab.course.held_out import HELD_OUT
from photopic.lab.course.ninety_nine import join
from photopic.lab.course.transfer import LABELLED, PAIR, SEEDS

if TYPE_CHECKING:
    from photopic.api import Run
    from photopic.lab.course.context import Context

MEMBERS = 5
"""Networks of the ensemble."""
QUICK_IMAGES, QUICK_SIDE = 1000, 64
"""A quick run's training images of each data set; its photos' side, pixels."""
NARROW = (8, 16, 32)
"""Channels of a quick run's networks where full ones would take minutes to score the test images."""
ONE_EPOCH = {"total_epochs": 1, "batch_size": 50, "test_views": "none"}


@dataclass(frozen=True)
class Trained:
    """What was trained for one data set."""

    tested: tuple[Run, ...]
    """Whose test accuracy counts: one, or the same training from several seeds."""
    seconds: float
    """Of all trainings that one of them needs."""


@dataclass(frozen=True)
class Rival:
    """A network of the course for the same data set."""

    experiment: str
    row: str
    """The row with its test accuracy."""
    recipes: tuple[str, ...]
    """Of lab/course/recipes/, trained one after the other."""
    networks: int = 1
    """Trained so; an ensemble has at least two."""


@dataclass(frozen=True)
class Goal:
    """A figure of the course, and photopic's answer."""

    name: str
    """The row; experiments.yaml has what the decks printed under the same name."""
    recipe: str
    """In words."""
    train: Callable[[Context], Trained]
    rivals: tuple[Rival, ...]
    """The best of them counts where the decks printed nothing."""
    estimate_s: float
    """Its trainings on the reference machine (speed.py), seconds."""
    printed_by: Source = "decks"
    """Whose the figure of experiments.yaml is."""


# ---- the trainings -----------------------------------------------------------------------------------------


def _train(
    context: Context,
    recipe: str,
    data: str,
    *,
    settings: Mapping[str, Any] | None = None,
    quick: Mapping[str, Any] | None = None,
    seed: int = 0,
    **options: Any,
) -> Run:
    """The recipe as it is; a quick run takes QUICK_IMAGES images, one epoch and the settings of `quick`."""
    changes = dict(settings or {})
    if context.quick:
        changes |= ONE_EPOCH if quick is None else quick
        options.setdefault("train_images", QUICK_IMAGES)
    return context.train(recipe, data, settings=changes, seed=context.seed + seed, **options)


def _alone(run: Run) -> Trained:
    return Trained((run,), run.manifest.seconds)


def _small(widths: tuple[int, ...]) -> dict[str, Any]:
    return ONE_EPOCH | {"model.widths": widths}


def mnist(context: Context) -> Trained:
    """One network."""
    return _alone(_digits(context, 0))


def mnist_ensemble(context: Context) -> Trained:
    """The same network from MEMBERS seeds, the mean of their probabilities."""
    members = [_digits(context, seed) for seed in range(2 if context.quick else MEMBERS)]
    seconds = sum(run.manifest.seconds for run in members)
    return Trained((join(context, members),), seconds)


def _digits(context: Context, seed: int) -> Run:
    return _train(context, "mnist-strong", "mnist", seed=seed, val_fraction=HELD_OUT)


def fashion(context: Context) -> Trained:
    """One network."""
    return _alone(_train(context, "fashion-fast", "fashion-mnist", val_fraction=HELD_OUT))


def cifar10(context: Context) -> Trained:
    """One network."""
    share = CIFAR10.val / (CIFAR10.train + CIFAR10.val)
    return _alone(_train(context, "cifar10-fast", "cifar10", quick=_small(NARROW), val_fraction=share))


def signs(context: Context) -> Trained:
    """One network; validated on whole tracks."""
    quick = _small(NARROW)
    return _alone(_train(context, "gtsrb-best", "gtsrb", quick=quick, val_fraction=HELD_OUT))


def cats_dogs_scratch(context: Context) -> Trained:
    """One network from random weights."""
    quick = {"total_epochs": 1, "preprocess.size": 32}
    return _alone(_train(context, "photos-few", "cats-dogs", quick=quick, **_photos(context)))


def cats_dogs_transfer(context: Context) -> Trained:
    """Features of a pretrained network, and a logistic head."""
    quick = {"preprocess.size": QUICK_SIDE}
    return _alone(_train(context, "photos-frozen", "cats-dogs", quick=quick, **_photos(context)))


def _photos(context: Context) -> dict[str, Any]:
    return {"train_images": 100} if context.quick else {}


def fashion_pair(context: Context) -> Trained:
    """C26's tasks: eight classes, and on that network the two others from few images, for several seeds."""
    known = tuple(name for name in context.dataset("fashion-mnist").class_names if name not in PAIR)
    eight = _train(
        context,
        "fashion-fast",
        "fashion-mnist",
        settings={"total_epochs": 1},
        classes=known,
        val_fraction=HELD_OUT,
    )
    pairs = [_pair(context, eight, seed) for seed in range(2 if context.quick else SEEDS)]
    each = sum(run.manifest.seconds for run in pairs) / len(pairs)
    return Trained(tuple(pairs), eight.manifest.seconds + each)


def _pair(context: Context, eight: Run, seed: int) -> Run:
    return _train(
        context,
        "transfer",
        "fashion-mnist",
        settings={"backbone.weights": str(eight.path.resolve())},
        quick={"total_epochs": 3, "frozen_epochs": 1},
        seed=seed,
        split_seed=context.seed + seed,
        classes=PAIR,
        train_images=LABELLED,
        val_fraction=HELD_OUT,
    )


GOALS = (
    Goal("MNIST, one network", "mnist-strong", mnist, (Rival("C10", "accuracy", ("mnist-cnn",)),), 40),
    Goal(
        "MNIST, ensemble",
        f"{MEMBERS} × mnist-strong, mean of the probabilities",
        mnist_ensemble,
        (Rival("C10", "accuracy", ("mnist-cnn",), networks=2),),
        200,
    ),
    Goal("Fashion-MNIST", "fashion-fast", fashion, (Rival("C12", "accuracy", ("fashion-cnn",)),), 20),
    Goal("CIFAR-10", "cifar10-fast", cifar10, (Rival("C20", "accuracy", ("cifar10-deep-norm",)),), 360),
    Goal("GTSRB", "gtsrb-best", signs, (Rival("C13", "test accuracy", ("gtsrb-cnn",)),), 900, "people"),
    Goal(
        "Cats and dogs, from scratch",
        "photos-few",
        cats_dogs_scratch,
        (Rival("C14", "test accuracy, augmentation and dropout", ("cats-dogs-dropout",)),),
        110,
    ),
    Goal(
        "Cats and dogs, transfer",
        "photos-frozen",
        cats_dogs_transfer,
        (
            Rival("C15", "test accuracy, cut and frozen", ("cats-dogs-cut",)),
            Rival("C27", "test accuracy", ("cats-dogs-frozen",)),
        ),
        20,
    ),
    Goal(
        "Fashion-MNIST, task A to task B",
        "fashion-fast for one epoch for A, transfer for B",
        fashion_pair,
        (Rival("C26", "accuracy, B on A", ("fashion-eight", "fashion-pair-on-eight")),),
        40,
    ),
)
"""In the order of the rows."""
