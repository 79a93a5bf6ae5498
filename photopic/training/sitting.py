"""One stretch of work on a run: train, store what came out, score the test split once, close.

Who begins one holds the run's lock (run.LOCK).

Everything that happens is reported as records, plain dictionaries with an "event": `catalog`, `index`,
`data`, `split`, `recipe`, `decode`, `features`, `estimate`, `step`, `epoch`, `stopped`, `excluded`,
`resumed`, `restarted`, `moved`, `unsaved`, `undrawn`, `interrupted`, `scored`, `done`. Progress displays, log
files and pages read them; nothing else tells them anything. The records `step` and `epoch` are also kept in
records.jsonl.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

import photopic
from photopic.config import AnyRecipe, FineTuneRecipe, FrozenRecipe, ScratchRecipe, TrainOptions
from photopic.data.dataset import DataSet
from photopic.data.split import SPLITS
from photopic.errors import RunError, TrainingError, UserError
from photopic.evaluation.evaluate import codes_of_group_names, score
from photopic.manifest import Manifest
from photopic.run import Run, SplitRow, now, quoted
from photopic.runtime import Runtime
from photopic.training.checkpoint import remove_checkpoints
from photopic.training.choose import Choice
from photopic.training.finetune import train_finetune
from photopic.training.frozen import train_frozen
from photopic.training.job import Job, Report
from photopic.training.meter import Record
from photopic.training.outcome import Fitted
from photopic.training.scratch import train_scratch
from photopic.training.tensorboard import TensorBoard

KEPT_EVENTS = ("step", "epoch")
LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy", "scipy", "scikit-learn")
WAYS: dict[type, Callable[[Job], Fitted]] = {
    ScratchRecipe: train_scratch,
    FrozenRecipe: train_frozen,
    FineTuneRecipe: train_finetune,
}


@dataclass
class Sitting:
    """From the start of a run, or from its newest checkpoint, to its end or the next stop."""

    run: Run
    dataset: DataSet
    rows: Mapping[str, np.ndarray]
    """Index rows of train, val and test."""
    options: TrainOptions
    runtime: Runtime
    report: Report
    started: float
    """time.perf_counter() when the user asked."""
    _recorded: bool = field(default=False, init=False)
    """Whether this sitting has written a record yet."""
    _unsaved: bool = field(default=False, init=False)
    """Whether it was reported that a record could not be written."""
    _board: TensorBoard | None = field(default=None, init=False)

    def work(self) -> Run:
        """Train, store, score; whatever happens, leave a run that says what happened."""
        self._begin()
        try:
            if self.options.tensorboard:
                self._board = TensorBoard(self.run.path / "tensorboard")
            job = self._job()
            fitted = WAYS[type(self.run.recipe)](job)
            self._store(fitted, job)
            if fitted.stopped_by is not None:
                raise fitted.stopped_by
            self._score_test(fitted)
        except KeyboardInterrupt:
            self._close("interrupted")
        except BaseException as error:
            with suppress(UserError):  # what went wrong first is what the user must read
                self._close("failed", error=str(error) or type(error).__name__)
            if isinstance(error, UserError) and self.run.manifest.planned:
                path = quoted(self.run.path)
                error.add_note(f"Then `photopic resume {path}` goes on from the last checkpoint.")
            raise
        else:
            self._close("complete")
            remove_checkpoints(self.run.path / "resume")
        return self.run

    def _begin(self) -> None:
        """Take over the run, now that nobody else trains it."""
        self.run.reload()
        if self.run.manifest.status == "complete":
            raise RunError(f"{self.run.path}: another photopic has completed it in the meantime.")
        self._note_machine()
        self.run.update(status="running", error=None)

    def _note_machine(self) -> None:
        """Keep what the run was trained on before; report where other numbers follow from the new one."""
        before, now_on = self.run.manifest.machine, self.runtime.describe()
        if {**before, "reason": ""} == {**now_on, "reason": ""}:
            return
        self.run.update(machine=now_on, earlier_machines=(*self.run.manifest.earlier_machines, before))
        was, becomes = (f"{of.get('device')} in {of.get('precision')}" for of in (before, now_on))
        if self.run.manifest.planned and was != becomes:
            self.report({"event": "moved", "reason": f"the training was on {was}, and goes on on {becomes}"})

    def _job(self) -> Job:
        return Job(
            recipe=self.run.recipe,
            dataset=self.dataset,
            rows=self.rows,
            seed=self.options.seed,
            runtime=self.runtime,
            report=self._record,
            resolved=self._plan,
            checkpoints=self.run.path / "resume",
            checkpoint_every_s=self.options.checkpoint_every_s,
            # a resumed training keeps the epochs that were planned in its first sitting
            time_limit_s=None if self.run.manifest.planned else self.options.time_limit_s,
            keep=lambda name, weights: self.run.save_weights(weights, name),
            allow_download=self.options.allow_download,
            strict=self.options.strict,
            weights_seed=self.options.weights_seed,
        )

    def _plan(self, recipe: AnyRecipe, weights_source: dict[str, Any]) -> None:
        begun_with = self.run.manifest.weights_source.get("sha256")
        if self.run.manifest.planned and begun_with != weights_source.get("sha256"):
            raise RunError(
                f"{self.run.path}: the weights of {weights_source.get('name')} are not those that this run "
                "began with. Put them back, or start a new run."
            )
        self.run.update(recipe=recipe, weights_source=weights_source, planned=True)

    def _record(self, record: Record) -> None:
        try:
            if record["event"] in KEPT_EVENTS:
                self._keep(record)
            if self._board is not None:
                self._board(record)
        except (UserError, OSError) as error:  # a full disk may be cleared before the end: once is enough
            if not self._unsaved:
                self._unsaved = True
                self.report({"event": "unsaved", "reason": str(error)})
        self.report(record)

    def _keep(self, record: Record) -> None:
        if not self._recorded:  # an earlier sitting may have come further than its last checkpoint
            self.run.rewind_records(record["epoch"])
            self._recorded = True
        self.run.append_record(record)

    def _store(self, fitted: Fitted, job: Job) -> None:
        """Weights, validation answers and score: what a usable run needs.

        Nothing when the loss stopped being finite before any epoch was validated.
        """
        failed = isinstance(fitted.stopped_by, TrainingError)
        if failed and "epoch" not in fitted.selected:
            return
        self.run.save_weights(fitted.model.state_dict())
        data = self.run.manifest.data | {"excluded": _excluded(self.dataset, job)}
        self.run.update(selected=fitted.selected, data=data)
        self._draw(fitted)
        if not failed:
            self._score(fitted, "val")

    def _draw(self, fitted: Fitted) -> None:
        """The network's graph for TensorBoard; one that cannot be drawn is no reason to lose the training."""
        if self._board is None:
            return
        preprocess = fitted.recipe.preprocess
        try:
            self._board.draw(fitted.model, preprocess.channels, preprocess.size)
        except RuntimeError as error:
            self.report({"event": "undrawn", "reason": str(error).partition("\n")[0]})

    def _score_test(self, fitted: Fitted) -> None:
        if len(self.rows["test"]):
            self.run.note_test_look("the end of the training")
            self._score(fitted, "test")

    def _score(self, fitted: Fitted, split: str) -> None:
        answers = fitted.answer(split)
        self.run.save_predictions(split, answers.rows, answers.labels, answers.logits)
        groups = codes_of_group_names(self.dataset.index.groups[answers.rows])
        scores = score(answers.logits, answers.labels, self.run.class_names, groups=groups)
        self.run.update(results=self.run.manifest.results | {split: scores.to_json()})
        self._record({"event": "scored", "split": split, "scores": scores})

    def _close(self, status: str, error: str | None = None) -> None:
        if self._board is not None:
            with suppress(OSError):
                self._board.close()
        seconds = self.run.manifest.seconds + time.perf_counter() - self.started
        self.run.update(status=status, error=error, finished=now(), seconds=round(seconds, 3))
        self.report({"event": "done", "status": status, "seconds": seconds, "path": str(self.run.path)})


def new_manifest(
    dataset: DataSet,
    rows: Mapping[str, np.ndarray],
    choice: Choice,
    options: Mapping[str, Any],
    runtime: Runtime,
) -> Manifest:
    """The content of run.json when a training begins."""
    return Manifest(
        created=now(),
        recipe=choice.recipe,
        recipe_reason=choice.reason,
        options=dict(options),
        class_names=dataset.class_names,
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "counts": {name: len(rows[name]) for name in SPLITS},
            "excluded": [asdict(item) for item in dataset.excluded],
        },
        split_hashes={name: _content_hash(dataset, rows[name]) for name in SPLITS},
        machine=runtime.describe(),
        versions={"photopic": photopic.__version__} | {name: version(name) for name in LIBRARIES},
    )


def split_rows(dataset: DataSet, splits: np.ndarray) -> Iterator[SplitRow]:
    """One row per image of the index, for splits.csv.gz; label and split are empty where there is none."""
    index, names = dataset.index, (*dataset.class_names, "")  # label -1 is the last one
    labels = [names[label] for label in index.labels.tolist()]
    columns = (index.paths.tolist(), index.hex_digests(), labels, index.groups.tolist(), splits.tolist())
    return map(SplitRow._make, zip(*columns, strict=True))


def _content_hash(dataset: DataSet, rows: np.ndarray) -> str:
    """SHA-256 over the sorted content hashes of some images: the same set gives the same hash."""
    return hashlib.sha256("\n".join(sorted(dataset.index.hex_digests(rows))).encode()).hexdigest()


def _excluded(dataset: DataSet, job: Job) -> list[dict[str, Any]]:
    return [asdict(item) for item in [*dataset.excluded, *job.excluded]]
