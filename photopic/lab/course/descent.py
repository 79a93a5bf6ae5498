"""C36: gradient descent on curves: rates, a local minimum, a saddle, a plateau, momentum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from photopic.config import SGD
from photopic.lab.course.context import Context
from photopic.lab.course.experiment import Outcome
from photopic.report.figures import Line, Panel, line_panels
from photopic.training.optimizers import build_optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Callable[[Tensor], Tensor]
START, MINIMUM, DENT = -2.5, 2.0, -1.0
STEPS = {"0.5": 30, "10": 4, "0.001": 2500, "0.01": 240}
"""Of each rate on the curve with the dent."""


def bowl_with_dent(x: Tensor) -> Tensor:
    """(x − 2)²/4 with a narrow dent at −1, 0.1 wide: a local minimum on the way to the global one at 2."""
    return (x - MINIMUM) ** 2 / 4 - 0.3 * torch.exp(-((x - DENT) ** 2) / (2 * 0.1**2))


def saddle(point: Tensor) -> Tensor:
    """x² − y² + y⁴/4: a saddle at (0, 0), minima of −1 at (0, ±√2). point: (..., 2)."""
    x, y = point.unbind(-1)
    return x**2 - y**2 + y**4 / 4


def plateau(x: Tensor) -> Tensor:
    """1 − exp(−x²/2): nearly flat far from its minimum of 0 at 0."""
    return 1 - torch.exp(-(x**2) / 2)


@dataclass(frozen=True, eq=False)
class Path:
    """Places (steps + 1, …) of a descent and the loss at each."""

    places: np.ndarray
    losses: np.ndarray


def descend(
    curve: Curve, start: float | tuple[float, ...], rate: float, steps: int, *, momentum: float = 0.0
) -> Path:
    """Follow the negative slope from `start` with photopic's SGD, as a training does."""
    point = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = build_optimizer(
        SGD(learning_rate=rate, momentum=momentum, nesterov=False if momentum else None),
        [{"params": [point]}],
    )
    places, losses = [], []
    for _ in range(steps + 1):
        loss = curve(point).sum()
        places.append(point.detach().numpy().copy())
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return Path(np.array(places), np.array(losses))


def c36(context: Context) -> Outcome:
    """Paths at four rates, the last with momentum too, then a saddle and a plateau with and without it."""
    paths = {
        f"rate {rate}": descend(bowl_with_dent, START, float(rate), steps) for rate, steps in STEPS.items()
    }
    paths["rate 0.01, momentum 0.9"] = descend(bowl_with_dent, START, 0.01, STEPS["0.01"], momentum=0.9)
    pairs = {
        "saddle": _both_ways(saddle, (1.0, 1e-4), 0.05, 150),
        "plateau": _both_ways(plateau, 3.5, 0.1, 400),
    }
    rows = [
        context.row(f"{name}: place after {len(path.places) - 1:,} steps", float(path.places[-1]))
        for name, path in paths.items()
    ]
    levels = {"saddle": -0.5, "plateau": 0.5}
    first = {
        name: {way: _first_below(path, levels[name]) for way, path in pair.items()}
        for name, pair in pairs.items()
    }
    rows += [
        context.row(f"{name}, {way}: steps until the loss is below {levels[name]}", count)
        for name, ways in first.items()
        for way, count in ways.items()
    ]
    return Outcome(
        rows=tuple(rows),
        figures=(
            context.draw("paths.png", "Descent on a curve with a local minimum", _path_chart(paths)),
            context.draw("momentum.png", "A saddle and a plateau, both ways", _pair_chart(pairs)),
        ),
        sentences=(
            " ".join(f"At {name} it ends {_where(path)}." for name, path in paths.items()),
            " ".join(
                f"The {name} is left {_text(ways['momentum 0.9'])} with momentum, "
                f"{_text(ways['plain'])} without."
                for name, ways in first.items()
            ),
        ),
    )


def _both_ways(curve: Curve, start: float | tuple[float, ...], rate: float, steps: int) -> dict[str, Path]:
    return {
        "plain": descend(curve, start, rate, steps),
        "momentum 0.9": descend(curve, start, rate, steps, momentum=0.9),
    }


def _where(path: Path) -> str:
    """Where a descent of the bowl with the dent has come to, in words."""
    end, steps = float(path.places[-1]), len(path.places) - 1
    if abs(end - MINIMUM) < 0.05:
        return f"at the minimum ({end:.3f} after {steps:,} steps)"
    if abs(end - DENT) < 0.2:
        return f"in the local minimum ({end:.3f} after {steps:,} steps)"
    if abs(end - MINIMUM) > abs(path.places[0] - MINIMUM):
        return f"farther off than it began ({end:,.0f} after {steps:,} steps: it overshoots)"
    return f"on the way ({end:.3f} after {steps:,} steps)"


def _first_below(path: Path, level: float) -> float | None:
    """The first step with a loss below the level; None: there is none."""
    below = np.flatnonzero(path.losses < level)
    return float(below[0]) if len(below) else None


def _text(count: float | None) -> str:
    return "not at all in the steps drawn" if count is None else f"after {count:.0f} steps"


def _path_chart(paths: dict[str, Path]) -> Figure:
    panels = []
    for name, path in paths.items():
        reach = max(3.5, float(np.abs(path.places).max()) * 1.1) if np.abs(path.places).max() > 5 else 5.0
        x = np.linspace(-3.2 if reach == 5 else -reach, reach, 1200)
        curve = Line("loss", x, bowl_with_dent(torch.from_numpy(x)).numpy(), points=False)
        shown = path.places if len(path.places) < 60 else path.places[:: len(path.places) // 60]
        heights = bowl_with_dent(torch.from_numpy(shown)).numpy()
        steps = Line("descent", shown, heights, points=True)
        panels.append(
            Panel(
                [curve, steps],
                name,
                "weight",
                "loss",
                marks=[(float(path.places[-1]), float(path.losses[-1]), "end")],
            )
        )
    return line_panels(panels)


def _pair_chart(pairs: dict[str, dict[str, Path]]) -> Figure:
    return line_panels(
        [
            Panel(
                [
                    Line(way, np.arange(len(path.losses)), path.losses, points=False)
                    for way, path in pair.items()
                ],
                name,
                "step",
                "loss",
            )
            for name, pair in pairs.items()
        ]
    )
