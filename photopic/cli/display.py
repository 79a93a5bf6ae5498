"""What a training shows while it works: a live bar on a terminal, plain lines elsewhere. Goes to stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from photopic.cli.output import plural

if TYPE_CHECKING:
    from photopic.training.meter import Record

SHOWN_EXCLUSIONS = 5
PLAIN_EVERY_S = 5.0
"""Least time between two plain lines about the same long step."""


class TrainingDisplay:
    """Reads the records of a training and shows them. A context manager; call it with each record."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_plain = time.monotonic()
        self._epochs = 0
        self._left = ""
        self._first: tuple[float, int] | None = None  # time and number of the first step seen

    def __enter__(self) -> TrainingDisplay:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, record: Record) -> None:
        """Show one record; events without a view are passed over."""
        view = getattr(self, f"_on_{record['event']}", None)
        if view is not None:
            view(record)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _advance(self, key: str, description: str, done: int, total: int, note: str = "") -> None:
        if self._live:
            if key not in self._tasks:
                self._tasks[key] = self._bar.add_task(description, total=total, note=note)
            self._bar.update(
                self._tasks[key],
                description=description,
                completed=done,
                total=total,
                note=note,
                visible=done < total,
            )
        elif time.monotonic() - self._last_plain > PLAIN_EVERY_S and done < total:
            self._last_plain = time.monotonic()
            self._say(f"  {description} {done}/{total} {note}".rstrip())

    def _on_catalog(self, record: Record) -> None:
        name = record["name"]
        self._say(f'"{name}" is the data set of the catalog; for what is here under that name, say ./{name}')

    def _on_index(self, record: Record) -> None:
        self._advance("index", record["what"], record["done"], record["total"])

    def _on_decode(self, record: Record) -> None:
        self._advance(
            "decode " + record["split"], f"decoding {record['split']}", record["done"], record["total"]
        )

    def _on_features(self, record: Record) -> None:
        description = f"features of {record['split']}"
        self._advance(description, description, record["done"], record["total"])

    def _on_data(self, record: Record) -> None:
        summary = record["summary"]
        counts = [sum(parts.values()) for parts in summary.classes.values()]
        per_class = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} … {max(counts):,}"
        classes = plural(len(counts), "class", "classes")
        self._say(f"{summary.name}: {plural(summary.images, 'image')} in {classes} of {per_class}")
        modes = ", ".join(f"{mode} {count:,}" for mode, count in summary.modes.items())
        (_, width, _), (_, height, _) = summary.sizes.width, summary.sizes.height
        self._say(f"  median size {width}×{height} px; colour modes: {modes}")
        if summary.excluded:
            files = plural(len(summary.excluded), "file is", "files are")
            self._say(f"  {files} left out:")
            for item in summary.excluded[:SHOWN_EXCLUSIONS]:
                self._say(f"    {item.path}: {item.reason}")
            if len(summary.excluded) > SHOWN_EXCLUSIONS:
                self._say(f"    … and {len(summary.excluded) - SHOWN_EXCLUSIONS} more (`photopic data show`)")

    def _on_excluded(self, record: Record) -> None:
        self._say(f"  left out: {record['path']}: {record['reason']}")

    def _on_split(self, record: Record) -> None:
        counts = record["counts"]
        self._say("split: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))

    def _on_recipe(self, record: Record) -> None:
        recipe, runtime = record["recipe"], record["runtime"]
        self._first, self._left = None, ""  # one display may show several trainings, each at its own pace
        self._say(f"recipe: {recipe.name} ({recipe.way}); {record['reason']}")
        how = f"{runtime.reason}, {plural(runtime.threads, 'thread')}, {runtime.precision_name}"
        self._say(f"device: {runtime.device} ({how})")
        self._say(f"run: {record['path']}")

    def _on_estimate(self, record: Record) -> None:
        self._epochs = record.get("epochs", 0)
        epochs = f" for {plural(self._epochs, 'epoch')}" if self._epochs else ""
        limited = ""
        if record.get("recipe_epochs", 0) > self._epochs:
            limited = f"; the recipe's {record['recipe_epochs']} epochs do not fit the time limit"
        self._say(f"estimate: {duration(record['seconds'])}{epochs} ({record['how']}){limited}")

    def _on_resumed(self, record: Record) -> None:
        self._say(f"going on after epoch {record['epoch']}")

    def _on_restarted(self, record: Record) -> None:
        self._say("there is no whole checkpoint: it begins again")

    def _on_moved(self, record: Record) -> None:
        self._say(f"{record['reason']}, whose rounding differs: it ends in other weights")

    def _on_unsaved(self, record: Record) -> None:
        self._say(f"not saved: {record['reason']} The training goes on.")

    def _on_undrawn(self, record: Record) -> None:
        self._say(f"the graph for TensorBoard could not be drawn ({record['reason']})")

    def _on_step(self, record: Record) -> None:
        self._left = self._time_left(record["step"], record["total_steps"])
        note = f"loss {record['train_loss']:.3f}, {record['images_per_second']:,.0f} images/s"
        if not self._live:
            note += self._left
        description = f"epoch {record['epoch'] + 1}/{self._epochs or '?'}"
        self._advance("train", description, record["step"], record["total_steps"], note)

    def _on_epoch(self, record: Record) -> None:
        best = " (best so far)" if record["best_epoch"] == record["epoch"] else ""
        self._say(
            f"epoch {record['epoch'] + 1:>3}: loss {record['train_loss']:.4f}, validation accuracy "
            f"{record['val_accuracy']:.4f}, loss {record['val_loss']:.4f}, "
            f"{record['images_per_second']:,.0f} images/s{self._left}{best}"
        )

    def _time_left(self, step: int, total_steps: int) -> str:
        """A guess from the pace since the first step that was shown; empty until there is one."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, step)
        elapsed, steps = now - self._first[0], step - self._first[1]
        if not steps or step == total_steps:
            return ""
        return f", {duration(elapsed / steps * (total_steps - step))} left"

    def _on_stopped(self, record: Record) -> None:
        self._say(f"stopped after epoch {record['epoch'] + 1}: {record['reason']}")

    def _on_interrupted(self, record: Record) -> None:
        self._say("stopping; the best weights so far are kept")


def duration(seconds: float) -> str:
    """A time as people say it: 0.4 s, 12 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
