"""`photopic rate`: the learning-rate finder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from photopic.cli.display import TrainingDisplay
from photopic.cli.output import plural, print_json, say
from photopic.cli.plot import line_plot
from photopic.errors import ConfigError
from photopic.run import quoted

if TYPE_CHECKING:
    from photopic.training.rate_finder import RateCurve


def rate(
    data: str,
    /,
    *,
    recipe: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name=["--set", "-s"], negative="")] = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    out: Path | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    group_pattern: str | None = None,
    weights: Path | None = None,
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    precision: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Find a learning rate: the loss of some training steps at growing rates, and a suggestion.

    Takes the network, augmentation and images that `photopic train` would take, and stores nothing. The
    suggestion is a tenth of the rate at which the loss is lowest.

    Parameters
    ----------
    data
        A data set, as for `photopic train`.
    recipe
        A named recipe (`photopic recipes`) or a YAML file; left out: chosen for the data.
    set_
        A recipe option as key=value, such as optimizer=adam or batch_size=64; repeatable.
    low
        The first learning rate.
    high
        The last learning rate; the search ends before it where the loss diverges.
    steps
        Number of training steps, at least 10.
    out
        PNG file to draw the curve into.
    seed
        Seed of weights, order and augmentation.
    data_dir
        Folder with catalog data sets; also PHOTOPIC_DATA.
    group_pattern
        Regular expression on the path; images with the same first group are never separated.
    weights
        File with the backbone's pretrained weights (.safetensors, .pth, .bin).
    allow_download
        Let catalog data and pretrained weights be fetched.
    strict
        Stop at the first image that cannot be used, instead of leaving it out.
    device
        auto, cpu, cuda, cuda:1 or mps.
    precision
        Of convolutions and matrix products: float32, bfloat16 (on a processor that has it, up to three times
        as fast), or auto: bfloat16 on a GPU that has it, else float32.
    json
        Print the curve as JSON.
    """
    from photopic import api
    from photopic.training.recipes import parse_setting

    if out is not None and out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: the curve is drawn as PNG; give the file a name that ends in .png.")
    with TrainingDisplay(quiet=json) as display:
        curve = api.find_rate(
            data,
            recipe=recipe,
            settings=dict(parse_setting(text) for text in set_ or []),
            low=low,
            high=high,
            steps=steps,
            weights=weights,
            report=display,
            seed=seed,
            data_dir=data_dir,
            group_pattern=group_pattern,
            allow_download=allow_download,
            strict=strict,
            device=device,
            precision=precision,
        )
    if out is not None:
        _draw(curve, out)
    if json:
        print_json(asdict(curve))
    else:
        _say(curve, out)
        options = {"recipe": recipe, "data-dir": data_dir, "group-pattern": group_pattern, "weights": weights}
        given = [f"--{name} {quoted(value)}" for name, value in options.items() if value is not None]
        changes = [*(set_ or []), *(f"{key}={value:g}" for key, value in curve.settings.items())]
        settings = [f"--set {quoted(change)}" for change in changes]
        say(f"try next:    {' '.join(['photopic train', quoted(data), *given, *settings])}")


def _say(curve: RateCurve, out: Path | None) -> None:
    say(
        line_plot(
            curve.rates,
            curve.smoothed,
            x_label="learning rate",
            y_label=f"training loss of {curve.recipe}, smoothed",
            log_x=True,
            mark=max(curve.suggestion, curve.rates[0]),
        )
    )
    done, last = plural(len(curve.rates), "step"), curve.rates[-1]
    end = f"it diverges at {last:.2g}" if curve.diverged else f"it does not diverge up to {last:.2g}"
    say(f"{done}: the loss is lowest at {curve.lowest:.2g}; {end}")
    say(f"suggestion: {' '.join(f'--set {key}={value:g}' for key, value in curve.settings.items())}")
    if out is not None:
        say(f"drawn: {out}")


def _draw(curve: RateCurve, path: Path) -> None:
    from photopic.report.figures import Line, line_chart, save_png

    step = min(range(len(curve.rates)), key=lambda number: abs(curve.rates[number] - curve.suggestion))
    top = 2 * curve.losses[0]
    figure = line_chart(
        [
            Line("each step", curve.rates, [min(loss, top) for loss in curve.losses], points=False),
            Line("smoothed", curve.rates, curve.smoothed, points=False),
        ],
        title=f"Learning-rate finder: {curve.recipe}",
        x_label="learning rate",
        y_label="training loss",
        log_x=True,
        marks=[(curve.rates[step], curve.smoothed[step], f"suggestion {curve.suggestion:.2g}")],
    )
    save_png(figure, path)
