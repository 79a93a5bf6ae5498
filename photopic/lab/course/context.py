"""What an experiment is given: data, a seed, a place for figures, trainings that others can reuse."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.Image import Dither, Image, Quantize
from PIL.Image import open as open_image

import photopic
from photopic import api
from photopic.config import AnyRecipe, override
from photopic.data.subset import select_classes
from photopic.lab.course.experiment import Drawing, Experiment, Row, Value, median_and_range, plain
from photopic.lab.course.store import Training
from photopic.training.job import Report, ignore
from photopic.training.recipes import load_recipe, named_recipes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Data, Run
    from photopic.data.dataset import DataSet


SMALL_BYTES = 60_000
"""A figure that is larger gets fewer colours."""


@dataclass
class Context:
    """One run of one experiment."""

    experiment: Experiment
    out: Path
    """Folder of the course: results and trainings of all experiments."""
    quick: bool = False
    """Whether to take a part of the data or fewer epochs; what was shortened belongs into the notes."""
    seed: int = 0
    data_dir: str | Path | None = None
    """Folder with catalog data sets."""
    device: str = "auto"
    precision: str = "auto"
    report: Report = ignore
    """Takes the records of trainings."""
    allow_download: bool = False
    """Whether data and weights that are not here may be fetched."""
    weights: Path | None = None
    """File with the pretrained weights of the experiment's architecture; None: a stand-in is taken."""
    time_limit_s: float | None = None
    """About how long the experiment's trainings may take together; None: as long as they take."""
    pictures: dict[str, bytes] = field(default_factory=dict, init=False)
    """File name → PNG, written with the outcome."""
    trainings: list[Training] = field(default_factory=list, init=False)
    _datasets: dict[str, DataSet] = field(default_factory=dict, init=False)

    def row(
        self,
        name: str,
        measured: float | str | np.ndarray | None,
        *,
        interval: tuple[float, float] | None = None,
        n: int | None = None,
        note: str = "",
        reported: Value = None,
    ) -> Row:
        """A row beside what the decks reported under the same name."""
        told = self.experiment.reported_value(name)
        low, high = interval or (None, None)
        return Row(
            name=name,
            reported=told if reported is None else reported,
            measured=plain(measured),
            low=low,
            high=high,
            n=n,
            note=note,
        )

    def draws_row(self, name: str, values: Sequence[float] | np.ndarray) -> Row:
        """The row of a number measured for many random draws: their median, and the range of most."""
        middle, low, high = median_and_range(values)
        note = "median, and the middle 90 % of draws"
        return self.row(name, middle, interval=(low, high), n=len(values), note=note)

    def shortened(self, *texts: str) -> tuple[str, ...]:
        """The notes on what a quick run leaves out; none for a full one."""
        return tuple(f"Shortened by --quick: {text}" for text in texts) if self.quick else ()

    def draw(self, file: str, title: str, figure: Figure | Image) -> Drawing:
        """Keep a figure, to be stored as `file` (a .png name) beside the outcome; title: its caption."""
        buffer = io.BytesIO()
        if isinstance(figure, Image):
            figure.save(buffer, format="png")
        else:
            figure.savefig(buffer, format="png", metadata={"Software": None})
        self.pictures[file] = _small_png(buffer)
        return Drawing(title=title, file=file)

    def dataset(self, name: str) -> DataSet:
        """A catalog data set. Raises OfflineError, saying where it was looked for, if it is not here."""
        if name not in self._datasets:
            self._datasets[name] = api.open_dataset(
                name, data_dir=self.data_dir, allow_download=self.allow_download
            )
        return self._datasets[name]

    def recipe(self, recipe: str | AnyRecipe) -> AnyRecipe:
        """The recipe of this name: the course's own first, then photopic's; or a .yaml file's."""
        return find_recipe(recipe)

    def train(
        self,
        recipe: str | AnyRecipe,
        data: Data,
        *,
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> Run:
        """Train as `photopic.train` does, once: the same recipe, data and options give the run that is there.

        recipe: the name of a file of lab/course/recipes/ or of a named recipe, a .yaml file, or a recipe.
        options: as of `photopic.train`; a training that was stopped is resumed.
        Raises KeyboardInterrupt when the user stops the training.
        """
        named = self.recipe(recipe)
        chosen = override(named, settings or {})
        arguments: dict[str, Any] = {"seed": self.seed if seed is None else seed, "device": self.device}
        if self.precision != "auto":
            arguments["precision"] = self.precision
        arguments |= options
        if self.allow_download:
            arguments["allow_download"] = True
        if self.data_dir is not None:
            arguments["data_dir"] = str(self.data_dir)
        path = self._run_folder(f"{chosen.name}-{_key(chosen, data, arguments)}", data, options)
        run = _existing(path, data, self.report)
        reused = run is not None
        if run is None:
            run = api.train(data, recipe=named, settings=settings, out=path, report=self.report, **arguments)
        if run.manifest.status != "complete":
            raise KeyboardInterrupt
        self.trainings.append(_training(run, chosen.name, self.out, reused=reused))
        return run

    def _run_folder(self, name: str, data: Data, options: Mapping[str, Any]) -> Path:
        """Where a training lies; beside it if a run on other images, under the same name, has that place."""
        path = self.out / "runs" / name
        if isinstance(data, tuple) or not (path / "run.json").is_file():
            return path
        dataset = self.dataset(str(data))
        if options.get("classes") is not None:
            dataset = select_classes(dataset, options["classes"])
        if api.open_run(path).manifest.data.get("fingerprint") == dataset.fingerprint:
            return path
        return path.with_name(f"{name}-{dataset.fingerprint[:6]}")


def _small_png(buffer: io.BytesIO) -> bytes:
    """The same picture with a palette: a third of the bytes, since results are kept in the repository."""
    with open_image(buffer) as image:
        pixels = image.convert("RGB")
    for colours in (256, 128, 64):
        small = io.BytesIO()
        pixels.quantize(colours, Quantize.MEDIANCUT, dither=Dither.NONE).save(small, "png", optimize=True)
        if small.tell() <= SMALL_BYTES:
            break
    return small.getvalue()


def find_recipe(recipe: str | AnyRecipe) -> AnyRecipe:
    """The recipe of this name: the course's own first, then photopic's."""
    if not isinstance(recipe, str):
        return recipe
    own = resources.files("photopic.lab.course") / "recipes" / f"{recipe}.yaml"
    if own.is_file():
        with resources.as_file(own) as file:
            return load_recipe(str(file))
    return named_recipes()[recipe] if recipe in named_recipes() else load_recipe(recipe)


def _key(recipe: AnyRecipe, data: Data, options: Mapping[str, Any]) -> str:
    """Ten letters that differ with anything that changes the training's result but the images of a name."""
    where = {
        key: value for key, value in options.items() if key not in ("data_dir", "device", "allow_download")
    }
    parts = [photopic.__version__, recipe.model_dump(mode="json"), _identity(data), where]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _identity(data: Data) -> str:
    if not isinstance(data, tuple):
        return str(data)
    sha256 = hashlib.sha256()
    for array in data:
        sha256.update(f"{array.shape}{array.dtype}".encode())
        sha256.update(np.ascontiguousarray(array).tobytes())
    return sha256.hexdigest()


def _existing(path: Path, data: Data, report: Report) -> Run | None:
    """The complete run in this folder, after going on with it if it was stopped; None: there is none."""
    if not (path / "run.json").is_file():
        return None
    run = api.open_run(path)
    if run.manifest.status == "complete":
        return run
    if run.manifest.status == "failed":  # the cause may have been mended since
        run.remove()
        return None
    return api.resume(run, data=data if isinstance(data, tuple) else None, report=report)


def _training(run: Run, name: str, out: Path, *, reused: bool) -> Training:
    path = run.path.relative_to(out) if run.path.is_relative_to(out) else run.path
    return Training(name=name, path=path.as_posix(), seconds=run.manifest.seconds, reused=reused)
