"""The command line: one short function per command, loaded when it is called."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App, CycloptsError

import photopic
from photopic.errors import PhotopicError
from photopic.parallel import wait_briefly

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = App(
    name="photopic",
    version=photopic.__version__,
    help="From a folder of labelled images to a classifier that you can trust.",
    help_format="markdown",
)
data_app = App(name="data", help="Look at a data set before training: show, split.")
app.command(data_app)

COMMANDS = {
    "demo": ("photopic.cli.demo:demo", "The whole main job on embedded data, in under a minute."),
    "train": ("photopic.cli.train:train", "Train a classifier on a data set; leaves a run folder."),
    "resume": ("photopic.cli.train:resume", "Go on with a training that was stopped."),
    "evaluate": ("photopic.cli.evaluate:evaluate", "Numbers with intervals, from a run."),
    "predict": ("photopic.cli.predict:predict", "Name the images in files, folders and zips."),
    "ensemble": ("photopic.cli.ensemble:ensemble", "Join runs into one that answers by their mean or vote."),
    "history": ("photopic.cli.history:history", "A training, epoch by epoch."),
    "runs": ("photopic.cli.listings:runs", "List the runs in a folder."),
    "models": ("photopic.cli.models:models_app", "List the networks that a recipe can name, show one."),
    "recipes": ("photopic.cli.recipes:recipes_app", "List the named recipes, print one, draw its schedule."),
    "rate": ("photopic.cli.rate:rate", "Find a learning rate: the loss of some steps at growing rates."),
}
for name, (target, summary) in COMMANDS.items():
    app.command(target, name=name, help=summary)
app.command(
    "photopic.cli.course:course_app",
    name="course",
    help="The course's experiments: list them, run them, join their results.",
)
data_app.command(
    "photopic.cli.data:show", name="show", help="Counts, sizes, modes, bad files, a contact sheet."
)
data_app.command("photopic.cli.data:split", name="split", help="Write how a data set would be split, as CSV.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 all went well, 2 a user's mistake, 1 a failure, 130 Ctrl-C."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code. Errors are one message on standard error, without a traceback."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    _print_all_names()
    wait_briefly()
    try:
        result = app(
            list(arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
            verbose=False,
        )
        sys.stdout.flush()  # a reader that is gone, or a full disk, is noticed here and not at exit
    except CycloptsError as error:
        return _complain(str(error).strip(), 2)
    except PhotopicError as error:
        return _complain(" ".join([str(error), *getattr(error, "__notes__", ())]), error.exit_code)
    except KeyboardInterrupt:
        return _complain("stopped.", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _complain(f"{error.filename or 'output'}: {error.strerror or error}.", 1)
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        return _complain("there is not enough memory: --set batch_size=32, or a smaller preprocess.size.", 1)
    return result if isinstance(result, int) else 0


def _is_lack_of_memory(error: MemoryError | RuntimeError) -> bool:
    """torch reports it as a RuntimeError, of the CPU's memory and of a GPU's."""
    words = ("DefaultCPUAllocator", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _print_all_names() -> None:
    """Let no file or class have a name that cannot be printed.

    A file or another program gets UTF-8, a terminal its own encoding; what that lacks is written as \\xNN.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        own = sys.stdout.isatty() or "PYTHONIOENCODING" in os.environ
        sys.stdout.reconfigure(encoding=None if own else "utf-8", errors="backslashreplace")


def _complain(message: str, code: int) -> int:
    print(f"photopic: {message}", file=sys.stderr)  # noqa: T201
    return code


def _drop_output() -> None:
    """Send what cannot be written to nowhere, so that the end of the process does not fail on it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """Treat a polite request to end (SIGTERM) like Ctrl-C: the run is saved."""
    raise KeyboardInterrupt
