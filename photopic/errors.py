"""All exceptions that photopic raises on purpose.

    PhotopicError
    ├── UserError            the user can mend it; the command line exits with code 2
    │   ├── ConfigError      an option, a recipe or a value
    │   ├── DataError        a data set, a manifest or an image
    │   ├── RunError         a run folder: missing, altered, of an unknown version
    │   ├── ModelError       a model or its weights
    │   └── OfflineError     the network would be needed and was not allowed
    └── TrainingError        training cannot go on (a loss that is not finite); exit code 1

Each message says what was expected, what came, and what to do, in the user's words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PhotopicError(Exception):
    """Base of all errors raised by photopic."""

    exit_code = 1


class UserError(PhotopicError):
    """Something the user can mend: a path, a value, a file."""

    exit_code = 2


class ConfigError(UserError):
    """An unknown, impossible or ineffective option or value."""


class DataError(UserError):
    """A data set, manifest or image that cannot be used as it is."""


class RunError(UserError):
    """A run folder that is missing, incomplete, altered or of an unknown version."""


class ModelError(UserError):
    """An unknown model, or weights that do not fit it."""


class OfflineError(UserError):
    """Something that is not on this machine, and no download was allowed."""


class TrainingError(PhotopicError):
    """Training cannot go on. The message names the step and the last good checkpoint."""


def first_line(error: Exception) -> str:
    """What a library says of its error, short enough for a sentence; its name when it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of the known names, or lists them if they are few.

    Starts with a space, so that it can be appended to a message; empty when it would not help.
    """
    choices = [str(choice) for choice in known]
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f' Did you mean "{near[0]}"?'
    if 0 < len(choices) <= 12:
        return f" Known: {', '.join(choices)}."
    return ""
