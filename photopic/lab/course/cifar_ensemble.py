"""C23: networks that saw the same batches from other initial weights, joined by vote and by mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photopic.evaluation.joining import SizeScore, accuracy_by_size, join, member_probs
from photopic.inference.members import aligned, candidates_of_runs, check_fit
from photopic.lab.course.cifar10 import NORM
from photopic.lab.course.cifar_training import notes, plan_for, train
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome, Row, from_measured
from photopic.lab.course.held_out import points
from photopic.report.figures import Line, Panel, line_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from photopic.api import Run

MEMBERS, QUICK_MEMBERS = 5, 3
BATCH = 128
"""Test images of a batch of the decks."""


def c23(context: Context) -> Outcome:
    """One to five members on all test images; and what the deck's index made of them."""
    runs = members(context)
    candidates = candidates_of_runs(runs)
    check_fit(candidates, "mean", "equal")
    logits, labels = aligned(candidates, "test"), candidates[0].answers["test"].labels
    scores = accuracy_by_size(logits, labels)
    batches = by_the_decks_index(logits, labels)
    rows: list[Row] = []
    for each in scores:
        name = f"accuracy of {each.size}"
        told = context.experiment.reported_value(name)
        rows.append(from_measured(name, each.mean, reported=told, note="mean of the softmax outputs"))
    rows += [
        from_measured(f"accuracy of {each.size}, majority vote", each.vote)
        for each in scores
        if each.size > 1
    ]
    rows += [
        context.row(f"the deck's index: test batch {number}", value, n=BATCH, note="mean over all sizes")
        for number, value in enumerate(batches, 1)
    ]
    figure = context.draw(
        "ensemble.png",
        "Accuracy on all test images by the number of members, with 95 % intervals",
        _chart(scores),
    )
    return Outcome(
        rows=tuple(rows),
        figures=(figure,),
        sentences=_what_joining_does(scores, batches),
        notes=(
            *notes(context, runs[0]),
            f"{len(runs)} members: the same images in the same batches, the same dropout, other initial "
            "weights.",
            *context.shortened(f"{QUICK_MEMBERS} members."),
        ),
    )


def members(context: Context) -> list[Run]:
    """The runs: one seed for the batches, one for each member's initial weights.

    The first member is C20's network.
    """
    plan = plan_for(context, NORM, MEMBERS)
    first = context.seed
    others = range(first + 1, first + (QUICK_MEMBERS if context.quick else MEMBERS))
    return [
        train(context, NORM, plan, seed=first),
        *(train(context, NORM, plan, seed=first, weights_seed=number) for number in others),
    ]


def by_the_decks_index(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """Number k as the deck has it: the accuracy on the k-th 128 images, averaged over ensembles of 1 … M.

    logits (M, N, K), labels (N,). So it says nothing of ensembles of k. The images come in a random order, as
    those of a class may stand together.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    probs, labels = member_probs(logits)[:, order], labels[order]
    right = np.stack([join(probs[:size], "mean").argmax(1) == labels for size in range(1, len(probs) + 1)])
    return [float(right[:, k * BATCH : (k + 1) * BATCH].mean()) for k in range(len(probs))]


def _what_joining_does(scores: list[SizeScore], batches: list[float]) -> tuple[str, ...]:
    one, all_of_them = scores[0].mean.value, scores[-1]
    gain, votes = all_of_them.mean.value - one, all_of_them.vote.value
    better = "the mean" if all_of_them.mean.value > votes else "the vote"
    by_how = (
        f"{better} is {100 * abs(all_of_them.mean.value - votes):.2f} points ahead of the other way"
        if all_of_them.mean.value != votes
        else "mean and vote are equally good"
    )
    return (
        f"{all_of_them.size} members together have {all_of_them.mean.value:.4f} on all test images, the "
        f"first alone {one:.4f}: {points(gain)}; of {all_of_them.size}, {by_how}.",
        f"The deck's index would have printed {', '.join(f'{value:.3f}' for value in batches)}: a spread of "
        f"{100 * (max(batches) - min(batches)):.1f} points that is chance and no effect of the number of "
        f"members, for {BATCH} images have a standard error of {100 * np.sqrt(one * (1 - one) / BATCH):.1f} "
        "points.",
    )


def _chart(scores: list[SizeScore]) -> Figure:
    sizes = [each.size for each in scores]
    lines = []
    for name, measured in (
        ("mean of softmax outputs", [each.mean for each in scores]),
        ("majority vote", [each.vote for each in scores]),
    ):
        intervals = [each.interval for each in measured]
        lines.append(
            Line(
                name,
                sizes,
                [each.value for each in measured],
                low=[each.low for each in intervals if each is not None],
                high=[each.high for each in intervals if each is not None],
            )
        )
    panel = Panel(lines, "C23: ensembles of 1 to 5", "members", "accuracy on the test images")
    return line_panels([panel])
