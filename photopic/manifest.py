"""The content of run.json: what was trained, on what, with which result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from photopic.config import Frozen, Recipe

SCHEMA_VERSION = 1
Status = Literal["running", "interrupted", "failed", "complete"]
WeightsBy = Literal["equal", "validation"]


class Member(Frozen):
    """A run in an ensemble."""

    name: str
    """The run's name; with that of its snapshot."""
    path: str
    """Where the run was when it was joined."""
    sha256: str
    """Of its weights."""
    weight: float = Field(ge=0, le=1)
    """Its share in the mean."""
    folder: str
    """Its copy in the ensemble, a run folder with recipe and weights."""


class Joined(Frozen):
    """How an ensemble answers."""

    how: Literal["mean", "vote"]
    """mean: of the members' probabilities, by weight; vote: the class that most members name."""
    weights_by: WeightsBy
    """Why the weights are as they are."""
    members: tuple[Member, ...]
    """At least two, in the order given."""
    sizes: tuple[dict[str, Any], ...] = ()
    """Test accuracy of the first 1, 2 … members, by mean with equal weights and by vote."""


class Manifest(Frozen):
    """The content of run.json."""

    schema_version: int = SCHEMA_VERSION
    """Version of this format."""
    kind: Literal["run", "ensemble"] = "run"
    """ensemble: several runs that answer together; recipe is then the first member's."""
    joined: Joined | None = None
    """The members of an ensemble."""
    status: Status = "running"
    """running: at work or killed; interrupted: stopped by the user; failed; complete."""
    created: str
    """Start, ISO 8601, UTC."""
    finished: str | None = None
    """End, ISO 8601, UTC."""
    seconds: float = 0.0
    """Working time so far, all sittings together."""
    recipe: Recipe
    """The resolved training configuration, preprocessing with its statistics included."""
    planned: bool = False
    """Whether the recipe's automatic values (statistics, epochs within the time limit) are filled in."""
    recipe_reason: str = ""
    """Why this recipe, when it was chosen automatically."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What else was asked for: data path, seed, time limit, device."""
    class_names: tuple[str, ...]
    """Classes in the order of the network's outputs."""
    data: dict[str, Any] = Field(default_factory=dict)
    """Name, fingerprint, counts and exclusions of the data set."""
    split_hashes: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the sorted content hashes in each split."""
    weights_source: dict[str, Any] = Field(default_factory=dict)
    """Origin, licence and SHA-256 of pretrained weights."""
    selected: dict[str, Any] = Field(default_factory=dict)
    """What validation chose: the epoch, or the head's penalty."""
    results: dict[str, Any] = Field(default_factory=dict)
    """Scores by split."""
    test_looks: tuple[dict[str, Any], ...] = ()
    """Every time the test set was scored: when, and by what."""
    machine: dict[str, Any] = Field(default_factory=dict)
    """Device, precision, threads, platform, of the last sitting."""
    earlier_machines: tuple[dict[str, Any], ...] = ()
    """The same of earlier sittings, where it was another; oldest first."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of photopic and of the libraries that decide the numbers."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the files beside run.json."""
    error: str | None = None
    """Why the run failed."""
