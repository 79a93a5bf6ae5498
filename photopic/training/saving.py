"""What is written at the end of each epoch: weights that the recipe wants kept, and the newest checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from photopic.config import GradientRecipe, cycle_ends
from photopic.errors import UserError
from photopic.training.checkpoint import save_checkpoint
from photopic.training.job import Job
from photopic.training.loop import TrainingState


class Saver:
    """Called with the state at the end of each epoch.

    A file that cannot be written does not end the training: a full disk may be cleared before the end, and
    hours of work are worth it.
    """

    def __init__(self, job: Job, recipe: GradientRecipe) -> None:
        self._job = job
        self._recipe = recipe
        self._last = time.monotonic()
        self._newest: Path | None = None

    def __call__(self, state: TrainingState) -> None:
        """Keep weights first: what a checkpoint stands behind must be on the disk before it."""
        try:
            self._keep(state)
            self._checkpoint(state)
        except (UserError, OSError) as error:
            self._job.report({"event": "unsaved", "epoch": state.epoch, "reason": str(error)})

    def _keep(self, state: TrainingState) -> None:
        if self._job.keep is not None:
            for name in kept_names(self._recipe, state):
                self._job.keep(name, state.scored_model.state_dict())

    def _checkpoint(self, state: TrainingState) -> None:
        """Not more often than the job wants."""
        if self._job.checkpoints is None or time.monotonic() - self._last < self._job.checkpoint_every_s:
            return
        self._last = time.monotonic()
        self._newest = save_checkpoint(self._job.checkpoints, state, self._newest)


def kept_names(recipe: GradientRecipe, state: TrainingState) -> Iterator[str]:
    """Files of the run that take the weights as they are at the end of the epoch before `state.epoch`."""
    if recipe.checkpoint_name is not None and state.best is not None and state.best.epoch == state.epoch - 1:
        scores = vars(state.history[-1])
        yield f"checkpoints/{recipe.checkpoint_name.format(epoch=state.epoch, **scores)}.safetensors"
    ends = cycle_ends(recipe.schedule, recipe.total_epochs)
    if recipe.snapshots and state.epoch in ends[-recipe.snapshots :]:
        yield f"snapshots/cycle-{ends.index(state.epoch) + 1}.safetensors"
