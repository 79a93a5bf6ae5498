"""C13: German traffic signs from start to end: look, design, train, test, and ten images from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photopic import api
from photopic.data.decode import decode
from photopic.data.gtsrb import CLASS_NAMES
from photopic.evaluation.intervals import proportion
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row, from_measured
from photopic.lab.course.held_out import parameters, train
from photopic.lab.course.photos import photos_of
from photopic.lab.course.trainings import curves, score, score_row
from photopic.report.answers import Answer, answer_figure
from photopic.report.canvas import COLOURS, finish, new_figure
from photopic.report.figures import image_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run
    from photopic.data.dataset import DataSet
    from photopic.inference.predictor import Prediction, Predictions

NEW, TOP = 10, 5
QUICK_EPOCHS, QUICK_IMAGES, QUICK_BATCH = 2, 3000, 32
NO_CLASS = {"znak1": "end of priority road", "znak4": "pedestrian crossing"}
"""New images that show a sign of none of the 43 classes, whatever folder they lie in: file name and sign."""


@dataclass(frozen=True)
class NewImage:
    """An image that is not from the training tracks."""

    pixels: np.ndarray
    """(H, W, 3) uint8."""
    truth: str | None
    """Its class; None: it has none of the data's."""
    path: str
    is_elsewhere: bool
    """Photographed elsewhere; else one of the official test images."""

    @property
    def sign(self) -> str:
        """What it shows."""
        stem = self.path.rpartition("/")[2].partition(".")[0]
        return NO_CLASS[stem] if self.truth is None else _readable(self.truth)


def c13(context: Context) -> Outcome:
    """Load, explore, summarise, draw; train and test; predict ten new images and analyse the answers."""
    dataset = context.dataset("gtsrb")
    rows = _summary_rows(context, dataset)
    run = _train(context)
    images = new_images(dataset)
    answers = run.predict([image.pixels for image in images], top_k=TOP)
    rows += _score_rows(context, dataset, run, images, answers)
    figures = (
        context.draw("classes.png", "Training images of each class", _histogram(dataset)),
        context.draw("samples.png", "One training image of each class", _samples(dataset)),
        context.draw("curves.png", "Cost and accuracy over the epochs", curves({"": run})),
        context.draw("new.png", "Ten new images", _in_a_row(images)),
        context.draw("answers.png", "Their most probable classes", _answers(images, answers)),
    )
    return Outcome(
        rows=tuple(rows),
        figures=figures,
        sentences=_sentences(run, images, answers),
        notes=_notes(context, run, images),
    )


# ---- the data ----------------------------------------------------------------------------------------------


def _summary_rows(context: Context, dataset: DataSet) -> list[Row]:
    summary = api.summarise(dataset)
    counts = {name: parts.get("train", 0) for name, parts in summary.classes.items()}
    tested = sum(parts.get("test", 0) for parts in summary.classes.values())
    most, least = (pick(counts, key=counts.__getitem__) for pick in (max, min))
    size = summary.sizes
    resized = "a copy resized to one size; published are 15 … 250" if size.width[0] == size.width[2] else ""
    return [
        context.row("classes", len(counts)),
        context.row("training images", sum(counts.values())),
        context.row("tracks (one physical sign each)", summary.groups),
        context.row("test images", tested),
        context.row("largest class, images", counts[most], note=most),
        context.row("smallest class, images", counts[least], note=least),
        context.row("width, least … largest, pixels", f"{size.width[0]} … {size.width[2]}", note=resized),
    ]


def _counts(dataset: DataSet) -> np.ndarray:
    """(K,) training images of each class."""
    index, usable = dataset.index, dataset.usable
    labels = index.labels[usable][index.splits[usable] == "train"]
    return np.bincount(labels, minlength=len(dataset.class_names))


def _histogram(dataset: DataSet) -> Figure:
    counts = _counts(dataset)
    order = np.argsort(-counts, kind="stable")
    figure, (axes,) = new_figure(1, 1, panel_inches=(6.4, 7.0))
    places = np.arange(len(order))
    axes.barh(places, counts[order], height=0.7, color=COLOURS[5], zorder=2)
    axes.set_yticks(places, [_readable(dataset.class_names[number]) for number in order])
    axes.invert_yaxis()
    axes.margins(y=0.01)
    finish(axes, "", "training images", "")
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(visible=False, axis="y")
    return figure


def _samples(dataset: DataSet) -> Figure:
    """The middle training image of each class, where the light is neither the first nor the last track's."""
    index, usable = dataset.index, dataset.usable
    trained = usable[index.splits[usable] == "train"]
    images = []
    for number in range(len(dataset.class_names)):
        of_class = trained[index.labels[trained] == number]
        images.append(dataset.image(int(of_class[len(of_class) // 2])))
    return image_grid(images, columns=11, titles=[str(number) for number in range(len(images))], inches=0.55)


def new_images(dataset: DataSet) -> list[NewImage]:
    """The images of the folder `new` beside the data, filled up to ten with official test images."""
    found = _elsewhere(dataset)[:NEW]
    for number in range(len(dataset.class_names)):
        if len(found) >= NEW:
            break
        name = dataset.class_names[number]
        for row in photos_of(dataset, name, 1):
            found.append(NewImage(dataset.image(row), name, str(dataset.index.paths[row]), False))
    return found


def _elsewhere(dataset: DataSet) -> list[NewImage]:
    if dataset.source is None:
        return []
    listed = sorted(dataset.source.list_files().paths, key=lambda path: path.rpartition("/")[2])
    images = []
    for path in listed:
        folder, _, rest = path.partition("/")
        class_name = _readable(rest.partition("/")[0])
        if folder == "new" and class_name in dataset.class_names:
            stem = path.rpartition("/")[2].partition(".")[0]
            truth = None if stem in NO_CLASS else class_name
            images.append(NewImage(decode(dataset.source.read(path), path), truth, path, True))
    return images


# ---- training and answers ----------------------------------------------------------------------------------


def _train(context: Context) -> Run:
    """Validation gets a twelfth of the training images, as whole tracks."""
    settings = {"batch_size": QUICK_BATCH} if context.quick else {}
    return train(
        context,
        "gtsrb-cnn",
        data="gtsrb",
        settings=settings,
        quick_epochs=QUICK_EPOCHS,
        quick_images=QUICK_IMAGES,
    )


def _score_rows(
    context: Context, dataset: DataSet, run: Run, images: list[NewImage], answers: Predictions
) -> list[Row]:
    end, scores = run.history()[-1], run.evaluate().scores["test"]
    splits = run.load_splits()
    validated = [row for row in splits if row.split == "val"]
    tracks = len({row.group for row in validated})
    elsewhere = [(image, answer) for image, answer in zip(images, answers, strict=True) if image.is_elsewhere]
    hits = [answer.label == image.truth for image, answer in elsewhere if image.truth is not None]
    rows = [
        context.row("parameters", parameters(run)),
        context.row("validation images", len(validated), note=f"{tracks} whole tracks"),
        context.row("training accuracy", end["train_accuracy"], note="last epoch, as it learned"),
        context.row("validation accuracy", end["val_accuracy"], note="last epoch"),
        score_row(context, "test accuracy", run),
    ]
    for pair in scores.confused_pairs(3):
        name = f"most confused: {_readable(pair.truth)} taken for {_readable(pair.predicted)}"
        rows.append(context.row(name, pair.count, note=f"{pair.share:.1%} of its test images"))
    if hits:
        left_out = len(elsewhere) - len(hits)
        note = f"{left_out} others show signs of no class" if left_out else ""
        rows.append(from_measured("accuracy on images from elsewhere", proportion("", hits), note=note))
    rows += [_new_row(context, answers, number, image) for number, image in enumerate(images)]
    return rows


def _new_row(context: Context, answers: Predictions, number: int, image: NewImage) -> Row:
    """What the softmax says of one new image; number from 0."""
    answer = answers[number]
    first = f"first is {_readable(answer.label or '')} with {answer.top[0][1]:.3f}"
    if image.truth is None:
        note = f"{image.sign}, which is no class; {first}"
        return context.row(f"image {number + 1}: greatest probability", answer.top[0][1], note=note)
    own = float(answers.probs[number, answers.class_names.index(image.truth)])
    note = f"{image.sign}, place {_place(answers, number, image.truth)}; {first}"
    return context.row(f"image {number + 1}: probability of its class", own, note=note)


def _place(answers: Predictions, number: int, truth: str) -> int:
    probs = answers.probs[number]
    return int((probs > probs[answers.class_names.index(truth)]).sum()) + 1


def _in_a_row(images: list[NewImage]) -> Figure:
    titles = [str(number) for number in range(1, len(images) + 1)]
    return image_grid([image.pixels for image in images], columns=len(images), titles=titles, inches=0.75)


def _answers(images: list[NewImage], answers: Predictions) -> Figure:
    return answer_figure(
        [
            Answer(
                image.pixels,
                [_readable(name) for name, _ in answer.top],
                [prob for _, prob in answer.top],
                truth=None if image.truth is None else _readable(image.truth),
                title=f"{number}: {image.sign}",
            )
            for number, (image, answer) in enumerate(zip(images, answers, strict=True), 1)
        ]
    )


def _sentences(run: Run, images: list[NewImage], answers: Predictions) -> tuple[str, ...]:
    tested, end = score(run), run.history()[-1]
    asked = list(zip(range(1, len(images) + 1), images, answers, strict=True))
    known = [each for each in asked if each[1].truth is not None]
    right = [answer.top[0][1] for _, image, answer in known if answer.label == image.truth]
    sure = f", with a mean probability of {np.mean(right):.2f}" if right else ""
    told = [f"{len(right)} of {len(known)} new images whose sign has a class are right{sure}"]
    told += [
        f"image {number} ({image.sign}) is taken for {_called(answer)}"
        for number, image, answer in known
        if answer.label != image.truth
    ]
    said = (
        f"After {end['epoch']} epochs the network reaches {tested.value:.4f} on {tested.n:,} test images; on "
        f"whole tracks that it never saw, validation said {end['val_accuracy']:.4f}.",
        f"{'; '.join(told)}.",
    )
    nameless = [
        f"image {number} ({image.sign}) is called {_called(answer)}"
        for number, image, answer in asked
        if image.truth is None
    ]
    if not nameless:
        return said
    return (*said, f"A softmax has to name a class, even where none fits: {'; '.join(nameless)}.")


def _called(answer: Prediction) -> str:
    return f"{_readable(answer.label or '')} with {answer.top[0][1]:.2f}"


def _notes(context: Context, run: Run, images: list[NewImage]) -> tuple[str, ...]:
    elsewhere = sum(image.is_elsewhere for image in images)
    others = "" if elsewhere == len(images) else f", {len(images) - elsewhere} from the official test images"
    return (
        f"{run.manifest.data['counts']['train']:,} images are learned from; validation gets whole tracks (30 "
        "frames of one sign): frames of one track in both parts would leak.",
        f"New images: {elsewhere} photographed in another country{others}.",
        *context.shortened(
            f"{QUICK_IMAGES:,} training images, {QUICK_EPOCHS} epochs, batches of {QUICK_BATCH}."
        ),
    )


def _readable(class_name: str) -> str:
    """A class by its meaning, where the data has only its number."""
    is_number = class_name.isdigit() and int(class_name) < len(CLASS_NAMES)
    return CLASS_NAMES[int(class_name)] if is_number else class_name
