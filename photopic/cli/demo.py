"""`photopic demo`: the whole main job on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from photopic.cli.display import TrainingDisplay, duration
from photopic.cli.output import print_json, print_scores, print_table, say
from photopic.cli.train import show_result

if TYPE_CHECKING:
    from photopic.api import Run

SHOWN = 6
PARTS = {
    "digits": "1,797 real handwritten digits of 8×8 pixels (scikit-learn's): a small network, from scratch",
    "signs": "traffic-sign shapes that photopic draws itself: a head on a pretrained backbone, as for photos",
}


def demo(*, out: Path = Path("runs"), json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """The whole main job on embedded data: train, score, predict. No network, under a minute.

    Parameters
    ----------
    out
        Folder in which the two run folders are made.
    json
        Print the results as JSON.
    """
    import time

    from photopic import api
    from photopic.run import claim_run_path, quoted

    started = time.perf_counter()
    runs = []
    for data, what in PARTS.items():
        if not json:
            say(f"\n{data}: {what}")
        with TrainingDisplay(quiet=json) as display:
            run = api.train(data, out=claim_run_path(out, f"demo-{data}"), report=display)
        if run.manifest.status == "interrupted":
            return show_result(run, json=json)
        runs.append(run)
        if not json:
            print_scores(run.evaluate().scores["test"], f"{data}, test split", classes=False)
            _show_predictions(run, data)
    if json:
        print_json([{"path": str(run.path)} | run.manifest.model_dump(mode="json") for run in runs])
        return 0
    say(f"done in {duration(time.perf_counter() - started)}. Each run is a folder that holds everything.")
    say("try next:")
    say("  photopic data show FOLDER --sheet sheet.png     look at your own images, one folder per class")
    say("  photopic train FOLDER                           train on them")
    say(f"  photopic evaluate {quoted(runs[0].path)}")
    return 0


def _show_predictions(run: Run, data: str) -> None:
    """The first test images, what they are and what the run says."""
    import numpy as np

    from photopic import api

    dataset = api.open_dataset(data)
    stored = run.load_predictions("test")
    rows = stored.index[np.linspace(0, len(stored.index) - 1, SHOWN).astype(int)]
    table = []
    for row in rows:
        (answer,) = run.predict(dataset.image(int(row))[None], top_k=2)
        truth = dataset.class_names[dataset.index.labels[row]]
        table.append((truth, "  ".join(f"{name} {prob:.3f}" for name, prob in answer.top)))
    print_table(["a test image of", "is taken for"], table)
