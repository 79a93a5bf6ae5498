"""One figure of the course against one of photopic's: who is ahead and faster, in words and in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from photopic.lab.course.experiment import Drawing
from photopic.report.figures import bar_with_intervals

if TYPE_CHECKING:
    from photopic.lab.course.context import Context

Source = Literal["decks", "people", "here"]
FIGURES: dict[Source, str] = {
    "decks": "figures that the decks print",
    "people": "figures of people",
    "here": "figures of the decks' networks run here",
}
"""Where a figure to beat comes from, in words."""


@dataclass(frozen=True)
class Contest:
    """One data set: photopic's figure, the one to beat, and both times."""

    name: str
    value: float
    low: float
    high: float
    goal: float | None
    """The figure to beat; None: the decks printed none, and none was measured here."""
    seconds: float
    rival_s: float | None = None
    """Time of the course's network; None: it was not run here."""
    interval_kind: Literal["interval", "range"] = "interval"
    """What low and high are: the ends of a 95 % interval, or the least and the greatest of several seeds."""
    source: Source = "decks"
    """Whose the figure to beat is."""

    @property
    def wins(self) -> bool:
        """Whether photopic's figure is above it."""
        return self.goal is not None and self.value > self.goal

    @property
    def is_sure(self) -> bool:
        """Whether its whole 95 % interval is; a range of seeds says nothing of other test images."""
        return self.interval_kind == "interval" and self.goal is not None and self.low > self.goal

    @property
    def is_faster(self) -> bool:
        """Whether the course's network was run here and took longer."""
        return self.rival_s is not None and self.seconds < self.rival_s


def verdict(contest: Contest) -> str:
    """How photopic's figure stands to the one to beat, in words."""
    if contest.goal is None:
        return "nothing to compare with yet"
    if contest.is_sure:
        return f"above {contest.goal:.4f}, the whole interval too"
    if contest.wins and contest.interval_kind == "range":
        least = "the least of the seeds too" if contest.low > contest.goal else "but not for all seeds"
        return f"above {contest.goal:.4f}, {least}"
    if contest.wins:
        return f"above {contest.goal:.4f}, which lies inside the interval"
    return f"not above {contest.goal:.4f}"


# ---- words and pictures ------------------------------------------------------------------------------------


def what_was_beaten(contests: Sequence[Contest], left_out: Sequence[str]) -> tuple[str, ...]:
    """How many figures are beaten, by whom not, in what time, and what was not run."""
    compared = [contest for contest in contests if contest.goal is not None]
    sure = sum(contest.is_sure for contest in compared)
    beaten = []
    for source, figures in FIGURES.items():
        won = [contest.wins for contest in compared if contest.source == source]
        beaten += [f"{sum(won)} of {len(won)} {figures}"] if won else []
    said = ["There is no figure to beat yet."]
    if beaten:
        said = [
            f"photopic's recipes are above {', '.join(beaten)}; in {sure} of these {len(compared)} cases the "
            "whole 95 % interval is."
        ]
    missed = [
        f"{contest.name} ({contest.value:.4f}, not {contest.goal:.4f})"
        for contest in compared
        if not contest.wins
    ]
    if missed:
        said.append(f"Not beaten: {'; '.join(missed)}.")
    said += _what_it_took([contest for contest in contests if contest.rival_s is not None])
    if left_out:
        said.append(f"Not run: {'; '.join(left_out)}.")
    return tuple(said)


def _what_it_took(timed: Sequence[Contest]) -> list[str]:
    if not timed:
        return []
    faster = sum(contest.is_faster for contest in timed)
    shares = [contest.seconds / contest.rival_s for contest in timed if contest.rival_s]
    both = sum(contest.is_faster and contest.wins for contest in timed)
    return [
        f"In {faster} of the {len(timed)} cases where the course's network was trained on this machine too, "
        f"photopic took less time: from {min(shares):.2f} to {max(shares):.2f} of the course's seconds. "
        f"Better and faster at once: {both}."
    ]


def figures(context: Context, contests: Sequence[Contest]) -> tuple[Drawing, ...]:
    """Errors and seconds as shares of the course's, so that all data sets fit on one axis."""
    compared = [contest for contest in contests if contest.goal is not None and contest.goal < 1]
    timed = [contest for contest in contests if contest.rival_s]
    drawings = []
    if compared:
        shares = [_error_shares(contest) for contest in compared]
        chart = bar_with_intervals(
            [contest.name for contest in compared],
            [share for share, _ in shares],
            [ends for _, ends in shares],
            title="C41: photopic's errors, those of the figure to beat being 1",
            value_label="share of the errors on the test images",
            reference=[1.0] * len(compared),
            reference_name="the figure to beat",
            decimals=2,
        )
        caption = (
            "Errors of photopic's recipes as a share of those to beat; bars: intervals, or range of seeds"
        )
        drawings.append(context.draw("errors.png", caption, chart))
    if timed:
        chart = bar_with_intervals(
            [contest.name for contest in timed],
            [contest.seconds / (contest.rival_s or 1) for contest in timed],
            title="C41: photopic's training time, the course's being 1",
            value_label="share of the seconds of the course's network on this machine",
            reference=[1.0] * len(timed),
            reference_name="the course",
            decimals=2,
        )
        caption = "Training time as a share of that of the course's network on the same machine"
        drawings.append(context.draw("seconds.png", caption, chart))
    return tuple(drawings)


def _error_shares(contest: Contest) -> tuple[float, tuple[float, float]]:
    assert contest.goal is not None
    share, least, most = (
        (1 - value) / (1 - contest.goal) for value in (contest.value, contest.high, contest.low)
    )
    return share, (least, most)
