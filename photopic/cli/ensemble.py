"""`photopic ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from photopic.cli.display import TrainingDisplay
from photopic.cli.output import number, print_json, print_table, say
from photopic.errors import ConfigError
from photopic.run import quoted

if TYPE_CHECKING:
    from photopic.api import Run

Setting = Annotated[list[str] | None, Parameter(name=["--set", "-s"], negative="")]


def ensemble(
    runs: list[Path] | None = None,
    /,
    *,
    out: Path | None = None,
    weights: Literal["equal", "validation"] = "equal",
    vote: Annotated[bool, Parameter(negative="")] = False,
    snapshots: Annotated[bool, Parameter(negative="")] = False,
    data: str | None = None,
    train: str | None = None,
    seeds: int = 5,
    recipe: str | None = None,
    set_: Setting = None,
    time_limit: str | None = None,
    data_dir: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Join runs into one that answers by the mean of their probabilities, or by vote.

    The members must have the same classes and the same test images. Their stored answers are joined and
    scored once; the ensemble's folder holds copies of their weights and is used like a run.

    Parameters
    ----------
    runs
        Run folders, two or more; with --snapshots one is enough.
    out
        The ensemble's folder, new or empty; left out: a new one below ./runs.
    weights
        equal; or validation: the weights of least log loss on the validation images.
    vote
        The class that most members name, instead of the mean of their probabilities.
    snapshots
        The members are the snapshots that the runs have kept, one for each cycle of their schedule.
    data
        With --snapshots: where the data set is now, if it moved.
    train
        Train the members on this data set first, one for each seed, and join them.
    seeds
        With --train: how many members.
    recipe
        With --train: a named recipe or a YAML file; left out: chosen for the data.
    set_
        With --train: a recipe option as key=value; repeatable.
    time_limit
        With --train: time for the training of each member, such as 10m.
    data_dir
        With --train: folder with catalog data sets; also PHOTOPIC_DATA.
    json
        Print JSON.
    """
    from photopic import api

    for_training = {"recipe": recipe, "set": set_, "time-limit": time_limit, "data-dir": data_dir}
    if train is None:
        given = [f"--{name}" for name, value in for_training.items() if value is not None]
        if given or seeds != 5:
            raise ConfigError(f"{', '.join(given) or '--seeds'}: has no effect without --train DATA.")
        built = api.ensemble(runs or [], out=out, weights=weights, vote=vote, snapshots=snapshots, data=data)
    elif runs or snapshots or data is not None:
        raise ConfigError("--train makes its own members: leave out RUN…, --snapshots and --data.")
    else:
        built = _trained(
            train, seeds, recipe, set_ or [], time_limit, data_dir, out, weights, vote, quiet=json
        )
    if json:
        print_json({"path": str(built.path)} | built.manifest.model_dump(mode="json"))
    else:
        _show(built)


def _trained(
    data: str,
    seeds: int,
    recipe: str | None,
    settings: list[str],
    time_limit: str | None,
    data_dir: Path | None,
    out: Path | None,
    weights: Literal["equal", "validation"],
    vote: bool,
    *,
    quiet: bool,
) -> Run:
    from photopic import api
    from photopic.training.recipes import parse_setting

    with TrainingDisplay(quiet=quiet) as display:
        return api.train_ensemble(
            data,
            seeds=seeds,
            out=out,
            join_weights=weights,
            vote=vote,
            recipe=recipe,
            settings=dict(parse_setting(text) for text in settings),
            time_limit=time_limit,
            data_dir=data_dir,
            report=display,
        )


def _show(run: Run) -> None:
    from photopic.api import open_run

    joined = run.manifest.joined
    assert joined is not None
    members = [open_run(run.path / member.folder).manifest.results for member in joined.members]
    rows = [
        [member.name, f"{member.weight:.3f}", *_numbers(results)]
        for member, results in zip(joined.members, members, strict=True)
    ]
    columns = ["", ">weight", ">validation", ">test", "95 % interval", ">log loss"]
    together = f"{joined.how} of {len(rows)}"
    title = "accuracy on validation and test images, log loss on test images"
    print_table(columns, [*rows, [together, "", *_numbers(run.manifest.results)]], title=title)
    if joined.sizes:
        table = [(row["size"], _measured(row["mean"]), _measured(row["vote"])) for row in joined.sizes]
        print_table(
            [">members", "mean, equal weights", "majority vote"], table, title="test accuracy by size"
        )
    say("All numbers are of the same images, so intervals that overlap do not say that two are equally good.")
    if joined.weights_by == "validation":
        say("Validation chose the weights, so its numbers flatter; defend the test's.")
    say(f"looks at the test set so far, the members' included: {len(run.manifest.test_looks)}")
    say(f"complete: {run.path}")
    say(f"try next:  photopic predict {quoted(run.path)} IMAGE…")


def _numbers(results: dict[str, Any]) -> list[str]:
    """Validation accuracy; test accuracy with its interval, and log loss."""
    val, test = (_by_name(results.get(split, {})) for split in ("val", "test"))
    accuracy = test.get("accuracy")
    interval = accuracy["interval"] if accuracy else None
    return [
        number(val["accuracy"]["value"]) if val else "–",
        number(accuracy["value"]) if accuracy else "–",
        f"{number(interval['low'])} … {number(interval['high'])}" if interval else "–",
        number(test["log_loss"]["value"]) if test else "–",
    ]


def _by_name(scores: dict[str, Any]) -> dict[str, Any]:
    return {measured["name"]: measured for measured in scores.get("measured", [])}


def _measured(measured: dict[str, Any]) -> str:
    interval = measured["interval"]
    around = f"  ({number(interval['low'])} … {number(interval['high'])})" if interval else ""
    return number(measured["value"]) + around
