"""From a run folder to answers: which class, how probable, for any files, folders, zips or arrays."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from photopic.config import AnyRecipe, FrozenRecipe, PreprocessConfig
from photopic.data.dataset import DataSet, Excluded
from photopic.data.index import Progress
from photopic.data.preprocess import Preprocess
from photopic.data.store import open_pixel_store
from photopic.errors import ConfigError, DataError
from photopic.evaluation.metrics import softmax
from photopic.inference.inputs import Inputs, Item, expand, load_all
from photopic.models.folding import for_inference
from photopic.models.forward import predict_logits, views
from photopic.models.reuse import load_network
from photopic.run import WEIGHTS, Run
from photopic.runtime import Runtime, choose_runtime

_CHUNK = 64
"""Images that are held decoded at once; the forward pass cuts them smaller where they are large."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one image, or why there is none."""

    path: str
    """File, zip/member, or place in an array, as in the input."""
    label: str | None
    """Most probable class; None if the image could not be read."""
    top: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities, highest first; empty if it could not be read."""
    error: str | None = None
    """Why the image could not be read."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        top = [{"class": name, "prob": prob} for name, prob in self.top]
        return {"path": _writable(self.path), "label": self.label, "top": top, "error": self.error}


class Predictions(Sequence[Prediction]):
    """Answers in the order of the input, one for each image; unreadable ones in their places."""

    def __init__(
        self, items: Sequence[Prediction], probs: npt.NDArray[np.float32], class_names: Sequence[str]
    ):
        self._items = tuple(items)
        self.probs = probs
        """(N, K) probabilities in the order of class_names; NaN rows for unreadable images."""
        self.class_names = tuple(class_names)

    @classmethod
    def of_probs(
        cls,
        names: Sequence[str],
        probs: npt.NDArray[np.float32],
        errors: Sequence[str | None],
        class_names: Sequence[str],
        top_k: int,
    ) -> Predictions:
        """From probabilities (N, K), and the reason where an image has none."""
        items = []
        for name, row, error in zip(names, probs, errors, strict=True):
            order = np.argsort(-row, kind="stable")[: top_k if error is None else 0]
            top = tuple((class_names[number], float(row[number])) for number in order)
            items.append(Prediction(name, top[0][0] if top else None, top, error))
        return cls(items, probs, class_names)

    @overload
    def __getitem__(self, place: int) -> Prediction: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Prediction]: ...
    def __getitem__(self, place: int | slice) -> Prediction | Sequence[Prediction]:
        return self._items[place]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        images = "1 image" if len(self) == 1 else f"{len(self)} images"
        return f"Predictions({images}, {len(self.errors)} unreadable)"

    def __str__(self) -> str:
        return "\n".join(f"{item.path}: {_answer(item)}" for item in self)

    @property
    def labels(self) -> list[str | None]:
        """Most probable class of each image; None where it could not be read."""
        return [item.label for item in self]

    @property
    def errors(self) -> list[Prediction]:
        """The images that could not be read."""
        return [item for item in self if item.error is not None]

    def to_json(self) -> list[dict[str, Any]]:
        """One dictionary of plain values for each image."""
        return [item.to_json() for item in self]

    def to_csv(self) -> str:
        """CSV text: path, label, prob, then label_2, prob_2 … for the next classes, and error.

        Paths are written as they are, also those that begin with = + - or @, which a spreadsheet may take
        for a formula: read the column as text.
        """
        ranks = max((len(item.top) for item in self), default=1)
        extra = [f"{column}_{rank}" for rank in range(2, ranks + 1) for column in ("label", "prob")]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "label", "prob", *extra, "error"])
        for item in self:
            cells = [cell for name, prob in item.top for cell in (name, f"{prob:.6f}")]
            cells += [""] * (2 * ranks - len(cells))
            writer.writerow([_writable(item.path), *cells, item.error or ""])
        return text.getvalue()


class Predictor:
    """A trained network with everything it takes to answer; nothing about it is asked again."""

    def __init__(
        self,
        model: nn.Module,
        preprocess: PreprocessConfig,
        class_names: Sequence[str],
        *,
        runtime: Runtime,
        test_views: str = "none",
    ) -> None:
        self.model = model.to(runtime.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.preprocess = Preprocess(preprocess)
        self.class_names = tuple(class_names)
        self.runtime = runtime
        views(test_views)  # complains about an unknown name
        self.test_views = test_views

    @classmethod
    def load(
        cls,
        run: Run | str | Path,
        *,
        device: str = "auto",
        test_views: str | None = None,
        weights_name: str = WEIGHTS,
    ) -> Predictor:
        """The predictor of a run folder; weights are checked against the SHA-256 in run.json.

        test_views: None: those of the recipe. weights_name: the selected weights, or others that were kept.
        Raises RunError for an ensemble (`open_predictor` takes both), and when the run has no weights, or
        they are missing, altered or do not fit; ConfigError for unknown views.
        """
        run = run if isinstance(run, Run) else Run.open(run)
        model = load_network(run, weights_name)
        return cls.of_model(model, run.recipe, run.class_names, device=device, test_views=test_views)

    @classmethod
    def of_model(
        cls,
        model: nn.Module,
        recipe: AnyRecipe,
        class_names: Sequence[str],
        *,
        device: str = "auto",
        test_views: str | None = None,
    ) -> Predictor:
        """The predictor of a network that was trained by a resolved recipe, with its views or others."""
        return cls(
            model,
            recipe.preprocess,
            class_names,
            runtime=choose_runtime(device),
            test_views=own_views(recipe) if test_views is None else test_views,
        )

    @cached_property
    def _forward(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network as fast as it can be made; `model` must not change afterwards."""
        return for_inference(self.model, self.runtime.device)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_forward"}

    def predict(self, inputs: Inputs, *, top_k: int = 5, progress: Progress | None = None) -> Predictions:
        """Answers for files, folders, zips, arrays or Pillow images, or a sequence of them, in their order.

        top_k: classes listed for each image, at least 1; more than there are means all. A file that cannot be
        read is answered with its error. Memory holds a few dozen images at a time.
        Raises UserError for a path that does not exist and for a folder or zip without images.
        """
        if top_k < 1:
            raise ConfigError(f"top_k={top_k} must be at least 1")
        with expand(inputs) as items:
            return self.answer(items, top_k=top_k, progress=progress)

    def answer(
        self, items: Sequence[Item], *, top_k: int = 5, progress: Progress | None = None
    ) -> Predictions:
        """Answers for items of `inputs.expand`, in their order."""
        probs = np.full((len(items), len(self.class_names)), np.nan, dtype=np.float32)
        errors: list[str | None] = []
        pixels = load_all(items, self.preprocess)
        for start, chunk in _chunks(pixels):
            readable = [row for row, image in enumerate(chunk, start) if not isinstance(image, DataError)]
            images = [image for image in chunk if not isinstance(image, DataError)]
            if images:
                probs[readable] = softmax(self.logits(np.stack(images)))
            errors += [
                getattr(image, "reason", str(image)) if isinstance(image, DataError) else None
                for image in chunk
            ]
            if progress is not None:
                progress(len(errors), len(items), "predicting")
        return Predictions.of_probs([item.name for item in items], probs, errors, self.class_names, top_k)

    def logits(self, images_u8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits (N, K) of stored pixels (N, S, S, C), with the recipe's test views."""
        return predict_logits(
            self._forward, images_u8, self.preprocess, runtime=self.runtime, test_views=self.test_views
        )

    def answer_rows(self, dataset: DataSet, rows: npt.NDArray[np.int64]) -> RowAnswers:
        """Logits of images of a data set; those that cannot be read are left out and listed."""
        store = open_pixel_store(dataset, rows, self.preprocess)
        return RowAnswers(store.rows, self.logits(store.images_u8), tuple(store.failed))


def own_views(recipe: AnyRecipe) -> str:
    """The test views that a recipe's network answers with."""
    return "none" if isinstance(recipe, FrozenRecipe) else recipe.test_views


@dataclass(frozen=True)
class RowAnswers:
    """A network's answers for images of a data set."""

    rows: npt.NDArray[np.int64]
    """(N,) of the data set's index."""
    logits: npt.NDArray[np.float32]
    """(N, K)."""
    failed: tuple[Excluded, ...]
    """Images that could not be read, with the reason."""


def _answer(item: Prediction) -> str:
    return item.error or "  ".join(f"{name} {prob:.3f}" for name, prob in item.top)


def _chunks(
    pixels: Iterator[npt.NDArray[np.uint8] | DataError],
) -> Iterator[tuple[int, list[npt.NDArray[np.uint8] | DataError]]]:
    """(number of the first, up to _CHUNK of them)."""
    start = 0
    while chunk := list(islice(pixels, _CHUNK)):
        yield start, chunk
        start += len(chunk)


def _writable(path: str) -> str:
    """The path as text that can be encoded: bytes of a file name that are no UTF-8 as \\xNN."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
