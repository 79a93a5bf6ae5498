"""C33: a ROC curve by hand, from ten body mass indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome
from photopic.report.figures import Line, roc

BMI = np.array([25.8, 26.6, 28.1, 29.0, 30.5, 31.0, 33.6, 39.3, 43.3, 45.8])
DIABETIC = np.array([1, 0, 0, 1, 1, 1, 1, 0, 0, 1], bool)


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold: whoever lies above it is called positive."""

    threshold: float
    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN): the share of the positive that is found (recall)."""
        return self.true_positives / (self.true_positives + self.false_negatives)

    @property
    def fall_out(self) -> float:
        """FP / (FP + TN) = 1 − specificity: the share of the negative that is called positive."""
        return self.false_positives / (self.false_positives + self.true_negatives)


def thresholds_between(values: np.ndarray) -> np.ndarray:
    """Every threshold that makes a difference, ascending: below all values, between neighbours, above all."""
    unique = np.unique(values)
    return np.concatenate([[-np.inf], (unique[:-1] + unique[1:]) / 2, [np.inf]])


def confusion_at(threshold: float, values: np.ndarray, positive: np.ndarray) -> Confusion:
    """The confusion counts of "value > threshold"."""
    called = values > threshold
    return Confusion(
        float(threshold),
        int((called & positive).sum()),
        int((~called & positive).sum()),
        int((~called & ~positive).sum()),
        int((called & ~positive).sum()),
    )


def roc_points(values: np.ndarray, positive: np.ndarray) -> list[Confusion]:
    """One confusion table for each threshold, from the highest, all negative, to the lowest."""
    return [confusion_at(threshold, values, positive) for threshold in thresholds_between(values)[::-1]]


def area_under(points: list[Confusion]) -> float:
    """Area under sensitivity over 1 − specificity, by trapezoids: 1 perfect, 0.5 guessing."""
    x, y = [point.fall_out for point in points], [point.sensitivity for point in points]
    return float(np.trapezoid(y, x))


def c33(context: Context) -> Outcome:
    """All thresholds, their confusion tables, the curve and its area."""
    points = roc_points(BMI, DIABETIC)
    area = area_under(points)
    none, chosen = points[0], confusion_at(28.55, BMI, DIABETIC)
    counts = (none.true_positives, none.false_negatives, none.true_negatives, none.false_positives)
    rows = [
        context.row("all negative: TP, FN, TN, FP", ", ".join(map(str, counts))),
        context.row("sensitivity at 28.55", chosen.sensitivity),
        context.row("1 − specificity at 28.55", chosen.fall_out),
        context.row("AUC", area, note="trapezoids over all thresholds"),
    ]
    rows += [
        context.row(
            f"threshold {_name(point.threshold)}", _pair(point), note="TP of positives, FP of negatives"
        )
        for point in points
    ]
    best = max(points, key=lambda point: point.sensitivity - point.fall_out)
    curve = Line("", [point.fall_out for point in points], [point.sensitivity for point in points])
    figure = roc(
        [curve],
        title=f"Diabetic, judged by BMI: area {area:.2f}",
        marks=[(chosen.fall_out, chosen.sensitivity, "28.55")],
    )
    worth = "no better than guessing" if abs(area - 0.5) < 0.05 else f"{abs(area - 0.5):.2f} from guessing"
    return Outcome(
        rows=tuple(rows),
        figures=(context.draw("roc.png", "Sensitivity over 1 − specificity at every threshold", figure),),
        sentences=(
            f"{len(BMI)} people give {len(points)} thresholds that differ; the area under their curve is "
            f"{area:.2f}: the BMI alone is {worth} here.",
            f"Sensitivity exceeds 1 − specificity most at {_name(best.threshold)} "
            f"({best.sensitivity:.2f} against {best.fall_out:.2f}), a point that was chosen on these same "
            "people and says little about others.",
        ),
        notes=("Rows of a confusion table are the truth, columns the prediction.",),
    )


def _name(threshold: float) -> str:
    if np.isinf(threshold):
        return "above all" if threshold > 0 else "below all"
    return f"{threshold:.2f}"


def _pair(point: Confusion) -> str:
    positives = point.true_positives + point.false_negatives
    negatives = point.false_positives + point.true_negatives
    return f"{point.true_positives}/{positives}, {point.false_positives}/{negatives}"
