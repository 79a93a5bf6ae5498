"""`photopic evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from photopic.cli.output import print_excluded, print_json, print_scores, say
from photopic.errors import ConfigError


def evaluate(
    run: Path,
    data: str | None = None,
    /,
    *,
    data_dir: Path | None = None,
    group_pattern: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    test_views: str | None = None,
    device: str = "auto",
    roc: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Numbers with intervals, from a run.

    Without DATA: the run's own test and validation scores, from its stored predictions. With DATA: the
    network is asked about its images; those that it was trained or selected on are left out and counted.

    Parameters
    ----------
    run
        The run folder.
    data
        A labelled data set, in any form that `photopic train` takes.
    data_dir
        Folder with catalog data sets; also PHOTOPIC_DATA.
    group_pattern
        Regular expression on the path whose first group names the image's group.
    strict
        Stop at the first image that cannot be used, instead of leaving it out.
    test_views
        Other views than the run's own: none, flip, shift or flip+shift. Without DATA they are tried on the
        run's validation images.
    device
        auto, cpu, cuda, cuda:1 or mps.
    roc
        Also draw the ROC curves of the run's test images (or, without a test split, of its validation
        images) as this PNG file; without DATA.
    json
        Print JSON.
    """
    from photopic import api

    options = {"data_dir": data_dir, "group_pattern": group_pattern, "strict": strict, "device": device}
    options["test_views"] = test_views
    given = {name: value for name, value in options.items() if value not in (None, False, "auto")}
    if roc is not None and given.keys() | ({"DATA"} if data else set()):
        raise ConfigError("--roc draws the run's own stored answers: leave DATA and other options out.")
    evaluation = api.evaluate(run, data, **given)
    if roc is not None:
        _draw_roc(run, roc)
    if json:
        print_json(evaluation.to_json())
        return
    for split, scores in evaluation.scores.items():
        print_scores(scores, split, classes=not split.startswith("validation"))
    if evaluation.excluded:
        print_excluded(evaluation.excluded)
    for note in evaluation.notes:
        say(note)
    if roc is not None:
        say(f"drawn: {roc}")


def _draw_roc(run: Path, path: Path) -> None:
    from photopic import api
    from photopic.report.figures import save_png
    from photopic.report.roc import roc_figure

    opened = api.open_run(run)
    split = "test" if "predictions/test.npz" in opened.manifest.files else "val"
    save_png(roc_figure(opened, split), path)
