"""`photopic data show` and `photopic data split`."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from photopic.cli.output import names_in, print_excluded, print_json, print_table, say
from photopic.errors import ConfigError
from photopic.files import write_with
from photopic.run import quoted

if TYPE_CHECKING:
    from photopic.data.dataset import DataSet
    from photopic.data.show import Summary


def show(
    data: str,
    /,
    *,
    sheet: Path | None = None,
    per_class: int = 10,
    classes: str | None = None,
    augment: Annotated[bool, Parameter(negative="")] = False,
    recipe: str | None = None,
    out: Path | None = None,
    data_dir: Path | None = None,
    group_pattern: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    allow_download: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Counts, sizes, colour modes and bad files of a data set, and a contact sheet.

    Parameters
    ----------
    data
        A data set, in any form that `photopic train` takes.
    sheet
        Write a picture with some images of each class to this PNG file.
    per_class
        Images of each class on the contact sheet.
    classes
        Names of the classes to look at, as cat,dog, or in quotes: "salt, pepper",cat; others are as if
        absent.
    augment
        Write a picture of one image under each augmentation, at low, middle and high strength. DATA may also
        be a single image file.
    recipe
        With --augment: also draw some images under the augmentation of this recipe, a name or a YAML file.
    out
        With --augment: the PNG file, else augment.png.
    data_dir
        Folder with catalog data sets; also PHOTOPIC_DATA.
    group_pattern
        Regular expression on the path whose first group names the image's group.
    strict
        Stop at the first image that cannot be used.
    allow_download
        Let catalog data be fetched.
    json
        Print JSON.
    """
    from photopic import api
    from photopic.augment.samples import is_image_file
    from photopic.data.subset import select_classes

    if not augment and (recipe is not None or out is not None):
        raise ConfigError("--recipe and --out have no effect without --augment.")
    if augment and is_image_file(data):
        if sheet is not None:
            raise ConfigError(f"--sheet has no effect with a single image ({data}).")
        path = _write_augment_sheet(data, recipe, out)
        if json:
            print_json({"augment": str(path)})
        else:
            say(f"augmentation sheet: {path}")
        return
    dataset = api.open_dataset(
        data, data_dir=data_dir, group_pattern=group_pattern, strict=strict, allow_download=allow_download
    )
    if classes is not None:
        dataset = select_classes(dataset, names_in(classes) or ())
    summary = api.summarise(dataset)
    if sheet is not None:
        picture = api.contact_sheet(dataset, per_class=per_class)
        write_with(sheet, lambda file: picture.save(file, format="PNG"))
    written = _write_augment_sheet(dataset, recipe, out) if augment else None
    if json:
        pictures = {"sheet": sheet, "augment": written}
        print_json(summary.to_json() | {name: path and str(path) for name, path in pictures.items()})
        return
    _print_summary(summary)
    if sheet is not None:
        say(f"contact sheet: {sheet}")
    if written is not None:
        say(f"augmentation sheet: {written}")
    options = {"data-dir": data_dir, "group-pattern": group_pattern, "classes": classes}
    given = [f"--{name} {quoted(value)}" for name, value in options.items() if value is not None]
    again = " ".join([quoted(data), *given])
    if sheet is None:
        say(f"try next:    photopic data show {again} --sheet sheet.png")
        say(f"             photopic train {again}")
    else:
        say(f"try next:    photopic train {again}")


def _write_augment_sheet(data: str | DataSet, recipe: str | None, out: Path | None) -> Path:
    from photopic import api

    picture = api.augment_sheet(data, recipe=recipe)
    path = out or Path("augment.png")
    write_with(path, lambda file: picture.save(file, format="PNG"))
    return path


def _print_summary(summary: Summary) -> None:
    rows: list[list[Any]] = [[name, *counts.values()] for name, counts in summary.classes.items()]
    total = [sum(counts[part] for counts in summary.classes.values()) for part in summary.parts]
    columns = ["class", *[f">{part}" for part in summary.parts]]
    print_table(columns, [*rows, ["total", *total]], title=f"{summary.name}: {summary.images:,} images")
    (low_w, mid_w, high_w), (low_h, mid_h, high_h) = summary.sizes.width, summary.sizes.height
    say(
        f"width {low_w} … {mid_w} … {high_w} px, height {low_h} … {mid_h} … {high_h} px (least, middle, most)"
    )
    say("colour modes: " + ", ".join(f"{mode} {count:,}" for mode, count in summary.modes.items()))
    if summary.groups:
        say(f"groups that are never separated: {summary.groups:,}")
    if summary.duplicates:
        say(f"images that are byte for byte the same as another: {summary.duplicates:,}")
    if summary.ignored:
        say(f"other files, ignored: {summary.ignored:,}")
    if summary.excluded:
        print_excluded(summary.excluded)


def split(
    data: str,
    /,
    *,
    split_seed: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    classes: str | None = None,
    train_images: int | None = None,
    out: Path | None = None,
    data_dir: Path | None = None,
    group_pattern: str | None = None,
) -> None:
    """How `photopic train` would split a data set, as a CSV manifest that it takes as DATA.

    Parameters
    ----------
    data
        A data set, in any form that `photopic train` takes.
    split_seed
        Seed of the split.
    val_fraction
        Share for validation, where the data set has no such split.
    test_fraction
        Share for the test, where the data set has no such split.
    classes
        Names of the classes to take, as cat,dog, or in quotes: "salt, pepper",cat; others are as if absent.
    train_images
        Take so many training images, of each class its share; validation and test stay whole.
    out
        Write the CSV here, with the paths of a folder's images as seen from there. Left out: standard output,
        with the paths within the data set.
    data_dir
        Folder with catalog data sets; also PHOTOPIC_DATA.
    group_pattern
        Regular expression on the path whose first group names the image's group.
    """
    import io

    from photopic import api
    from photopic.data.source import FolderSource

    dataset = api.open_dataset(data, data_dir=data_dir, group_pattern=group_pattern)
    rows = api.split(
        dataset,
        split_seed=split_seed,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        classes=names_in(classes),
        train_images=train_images,
    )
    source = dataset.source
    prefix = _way(out.parent, source.location) if out and isinstance(source, FolderSource) else ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split", "group"])
    writer.writerows((prefix + row.path, row.label, row.split, row.group) for row in rows)
    if out is None:
        sys.stdout.write(text.getvalue())
    else:
        write_with(out, lambda file: file.write(text.getvalue().encode("utf-8")))
        say(f"split: {out}")


def _way(start: Path, folder: Path) -> str:
    """What leads from one folder to another, to be put before a path: "", "photos/", "../photos/"."""
    try:
        way = Path(os.path.relpath(folder.absolute(), start.absolute()))
    except ValueError:  # another drive
        way = folder.absolute()
    return "" if way == Path() else f"{way.as_posix()}/"
