"""The ROC curves of a run's classes, from its stored answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from photopic.errors import RunError
from photopic.evaluation.metrics import softmax
from photopic.evaluation.roc import area_under_roc, roc_curve
from photopic.report.figures import Line, roc
from photopic.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = 8
"""Curves in one picture; of more classes those with the smallest areas are drawn."""


def roc_figure(run: Run, split: str = "test") -> Figure:
    """Sensitivity over 1 − specificity for each class against all others, over all thresholds.

    Of two classes the second is drawn: the first's curve is its mirror image. split: "test" or "val".
    Raises RunError when the run has no stored answers for it, or only one class occurs in it.
    """
    answers = run.load_predictions(split)
    probs = softmax(answers.logits)
    present = np.unique(answers.labels).tolist()
    if len(present) < 2:
        raise RunError(f"{run.path}: the {split} images are all of one class: there is no ROC curve.")
    names = run.class_names
    shown = [1] if len(names) == 2 else present
    areas = {number: area_under_roc(probs[:, number], answers.labels == number) for number in shown}
    lines = []
    for number in sorted(shown, key=areas.__getitem__)[:CURVES]:
        curve = roc_curve(probs[:, number], answers.labels == number)
        lines.append(
            Line(f"{names[number]}: {areas[number]:.4f}", curve.fall_out, curve.recall, points=False)
        )
    few = f", the {CURVES} classes with the smallest areas" if len(shown) > CURVES else ""
    return roc(lines, title=f"{split}: each class against the others (area){few}")
