"""`photopic course`: the course's experiments, listed, run and joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from photopic.cli.display import TrainingDisplay, duration
from photopic.cli.output import plural, print_json, print_table, say

if TYPE_CHECKING:
    from photopic.errors import PhotopicError
    from photopic.lab.course.store import Result

OUT = Path("runs/course")
Switch = Annotated[bool, Parameter(negative="")]

course_app = App(name="course", help="The course's experiments: list them, run them, join their results.")


@course_app.default
def list_experiments(*, out: Path = OUT, json: Switch = False) -> None:
    """List the experiments of the course with data, estimated time on this machine and what was run.

    Parameters
    ----------
    out
        Folder of the results.
    json
        Print JSON.
    """
    from photopic.lab.course.catalog import experiments
    from photopic.lab.course.speed import measure_gflops, scaled_to
    from photopic.lab.course.store import load_results

    results, gflops = load_results(out), measure_gflops()
    listed = [(item, scaled_to(item.estimate_s, gflops), results.get(item.id)) for item in experiments()]
    if json:
        print_json(
            [
                item.model_dump(mode="json") | {"time_s": time_s, "status": _status(result)}
                for item, time_s, result in listed
            ]
        )
        return
    rows = [
        (item.id, item.title, item.data, f"≈ {duration(time_s)}", _status(result))
        for item, time_s, result in listed
    ]
    print_table(["", "experiment", "data", ">time", "status"], rows)
    say(
        f"{plural(len(rows), 'experiment')}. Times: full runs on two cores, scaled to this machine's "
        f"{gflops:.0f} GFLOP/s now. `photopic course run C31` runs one, "
        "`photopic course run all --quick` all of them in short."
    )


course_app.command(list_experiments, name="list")  # the same, for those who say so


def _status(result: Result | None) -> str:
    return "not run" if result is None else f"{result.mode} {result.date[:10]}"


@course_app.command
def run(
    experiments: list[str],
    /,
    *,
    quick: Switch = False,
    time_limit: str | None = None,
    out: Path = OUT,
    seed: int = 0,
    data_dir: Path | None = None,
    weights: Path | None = None,
    allow_download: Switch = False,
    device: str = "auto",
    precision: str = "auto",
    json: Switch = False,
) -> int:
    """Run experiments as the decks describe them: reported against measured, with the decks' figures.

    One that cannot be run, for instance because its data is not here, is named, and the others go on. What
    was trained for one experiment is reused by others in the same folder; Ctrl-C stops, and the same command
    goes on.

    Parameters
    ----------
    experiments
        Ids such as C31 C33, or all.
    quick
        Take a part of the data or fewer epochs; each outcome says which.
    time_limit
        About how long the trainings of an experiment may take together, such as 10m or 2h; they get fewer
        images and epochs, and the outcome says how many. Of use where a full run takes days: C16 to C23.
        Those of C41 stay whole, and the longest are left out.
    out
        Folder of results and trainings.
    seed
        Seed of everything random.
    data_dir
        Folder with catalog data sets; also PHOTOPIC_DATA.
    weights
        File with the pretrained weights of the network that C15, C25 or C27 is about (.safetensors, .pth);
        without it the bundled network stands in.
    allow_download
        Let data and weights that are not here be fetched.
    device
        auto, cpu, cuda, cuda:1 or mps.
    precision
        Of convolutions and matrix products: float32, bfloat16 (on a processor that has it, up to three times
        as fast), or auto: bfloat16 on a GPU that has it, else float32.
    json
        Print the results as JSON.
    """
    from photopic.errors import UserError
    from photopic.lab.course.runner import run as run_experiments

    with TrainingDisplay(quiet=json) as display:

        def report(record: dict[str, Any]) -> None:
            if json or not _show(record, out):
                display(record)

        batch = run_experiments(
            experiments,
            quick=quick,
            time_limit=time_limit,
            out=out,
            seed=seed,
            data_dir=data_dir,
            device=device,
            precision=precision,
            report=report,
            weights=weights,
            allow_download=allow_download,
        )
    if json:
        failed = [{"id": name, "error": str(error)} for name, error in batch.failures.items()]
        print_json({"results": [item.model_dump(mode="json") for item in batch.results], "failed": failed})
    if not batch.failures:
        return 0
    complain(batch.failures)
    user_errors = all(isinstance(error, UserError) for error in batch.failures.values())
    return 2 if user_errors and not batch.results else 1


def complain(failures: dict[str, PhotopicError]) -> None:
    """Say on standard error which experiments could not be run, and why."""
    import sys

    for name, error in failures.items():
        print(f"photopic: {name}: {error}", file=sys.stderr)  # noqa: T201


def _show(record: dict[str, Any], out: Path) -> bool:
    """Print what the runner tells; False: the record is a training's."""
    if record["event"] == "experiment":
        item = record["experiment"]
        say(f"\n{item.id} ({record['position']}/{record['of']}): {item.title}")
    elif record["event"] == "outcome":
        print_outcome(record["result"], out)
    return record["event"] in ("experiment", "outcome", "experiment_failed")


def print_outcome(result: Result, out: Path) -> None:
    """One result for people."""
    from photopic.lab.course.page import COLUMNS, row_cells

    cells = [row_cells(row) for row in result.outcome.rows]
    kept = [number for number in range(len(COLUMNS)) if any(row[number] for row in cells)]
    print_table([COLUMNS[number] for number in kept], [[row[number] for number in kept] for row in cells])
    for sentence in result.outcome.sentences:
        say(sentence)
    for note in result.outcome.notes:
        say(f"note: {note}")
    for number, text in result.errors.items():
        say(f"{number}: {text}")
    folder = out / result.folder
    figures = plural(len(result.outcome.figures), "figure")
    say(f"{result.mode} run in {duration(result.seconds)}; table and {figures}: {folder}")


@course_app.command
def report(*, out: Path = OUT, json: Switch = False) -> None:
    """Join all stored results into one table: here, and as report.md, report.html and report.json.

    Parameters
    ----------
    out
        Folder of the results; the report is written into it.
    json
        Print JSON instead of the table.
    """
    from photopic.errors import RunError
    from photopic.files import write_json, write_text
    from photopic.lab.course import page
    from photopic.lab.course.store import load_results

    results = load_results(out)
    if not results:
        raise RunError(f"{out}: no results here yet. `photopic course run all --quick` makes them in short.")
    write_text(out / "report.md", page.report_markdown(results))
    write_text(out / "report.html", page.report_html(results))
    write_json(out / "report.json", page.report_json(results))
    if json:
        print_json(page.report_json(results))
        return
    columns = ["", "run", *page.COLUMNS[:4]]
    print_table(columns, [row[: len(columns)] for row in page.report_rows(results)])
    say(f"{plural(len(results), 'experiment')}; also written: {out / 'report.md'}, .html and .json")
