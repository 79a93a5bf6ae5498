"""`photopic train` and `photopic resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from photopic.cli.display import TrainingDisplay, duration
from photopic.cli.output import names_in, print_json, print_scores, say
from photopic.run import quoted

if TYPE_CHECKING:
    from photopic.api import Run


def train(
    data: str,
    /,
    *,
    recipe: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name=["--set", "-s"], negative="")] = None,
    time_limit: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    classes: str | None = None,
    train_images: int | None = None,
    out: Path | None = None,
    data_dir: Path | None = None,
    group_pattern: str | None = None,
    weights: Path | None = None,
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    precision: str = "auto",
    tensorboard: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a classifier on a data set; leaves a run folder.

    Indexes the images, splits them three ways, chooses a recipe that suits, trains, keeps the best by
    validation and scores the untouched test split once. Ctrl-C keeps the best so far; `photopic resume` goes
    on.

    Parameters
    ----------
    data
        Class folders, train/val/test folders, a zip of either, a .csv or .jsonl manifest, an .npz with images
        and labels, or a catalog name (digits, signs, mnist, fashion-mnist, cifar10, cifar100, gtsrb,
        cats-dogs).
    recipe
        A named recipe (`photopic recipes`) or a YAML file; left out: chosen for the data.
    set_
        A recipe option as key=value, such as total_epochs=20 or optimizer.learning_rate=0.1; repeatable.
    time_limit
        Time for the training, such as 90s, 10m or 1h30m, held to about a tenth: as many epochs are
        planned as fit, and the last one ends early if it must.
    seed
        Seed of weights, order and augmentation; the way frozen ends the same with every seed.
    split_seed
        Seed of the split; leave it alone to compare runs on the same test images.
    val_fraction
        Share for validation, where the data set has no such split.
    test_fraction
        Share for the test, where the data set has no such split.
    classes
        Names of the classes to learn, as cat,dog, or in quotes: "salt, pepper",cat; others are as if absent.
    train_images
        Train on so many images, of each class its share; validation and test stay whole.
    out
        The run folder, new or empty; left out: a new one below ./runs.
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
    tensorboard
        Write curves and the network's graph for TensorBoard into the run; needs photopic[tensorboard].
    json
        Print the result as JSON.
    """
    from photopic import api
    from photopic.training.recipes import parse_setting

    with TrainingDisplay(quiet=json) as display:
        run = api.train(
            data,
            recipe=recipe,
            settings=dict(parse_setting(text) for text in set_ or []),
            time_limit=time_limit,
            out=out,
            weights=weights,
            report=display,
            seed=seed,
            split_seed=split_seed,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            classes=names_in(classes),
            train_images=train_images,
            data_dir=data_dir,
            group_pattern=group_pattern,
            allow_download=allow_download,
            strict=strict,
            device=device,
            precision=precision,
            tensorboard=tensorboard,
        )
    return show_result(run, json=json)


def resume(
    run: Path,
    /,
    *,
    data: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Go on with a training that was stopped; it ends as if it had never been.

    Parameters
    ----------
    run
        The run folder.
    data
        Where the data set is now, if it moved.
    device
        Another device than the run began on: auto, cpu, cuda, cuda:1 or mps. Its rounding may differ.
    precision
        Another precision than the run began in: auto, float32 or bfloat16.
    json
        Print the result as JSON.
    """
    from photopic import api

    with TrainingDisplay(quiet=json) as display:
        resumed = api.resume(run, data=data, device=device, precision=precision, report=display)
    return show_result(resumed, json=json)


def show_result(run: Run, *, json: bool) -> int:
    """Print what a training came to; the exit code is 130 when it was stopped."""
    from photopic.evaluation.evaluate import Scores

    manifest = run.manifest
    if json:
        print_json({"path": str(run.path)} | manifest.model_dump(mode="json"))
    else:
        split = "test" if "test" in manifest.results else "val"
        if split in manifest.results:
            title = {"test": "test", "val": "validation (it selected; no test score yet)"}[split]
            print_scores(Scores.from_json(manifest.results[split]), title)
        if manifest.weights_source:
            source = manifest.weights_source
            say(f"pretrained weights: {source['name']} ({source['license']})")
        say(f"{manifest.status} after {duration(manifest.seconds)}: {run.path}")
        _say_next(run)
    return 130 if manifest.status == "interrupted" else 0


def _say_next(run: Run) -> None:
    path = quoted(run.path)
    if run.manifest.status == "interrupted":
        say(f"go on with:  photopic resume {path}")
    else:
        say(f"try next:    photopic predict {path} IMAGE…")
        say(f"             photopic evaluate {path}")
