"""`photopic models`: the networks that a recipe can name, and the layer table of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from photopic.cli.output import print_json, print_table, say
from photopic.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from photopic.models.summary import LayerRow, ModelSummary

Switch = Annotated[bool, Parameter(negative="")]

models_app = App(name="models", help="List the networks that a recipe can name, or show the layers of one.")


@models_app.default
def models(filter: str = "", /, *, json: Switch = False) -> None:  # noqa: A002
    """List the networks that a recipe can name.

    Parameters
    ----------
    filter
        Only names that contain this text.
    json
        Print JSON.
    """
    from dataclasses import asdict

    from photopic import api

    listed = api.list_models()
    found = [model for model in listed if filter.lower() in model.name]
    if not found:
        hint = did_you_mean(filter, (model.name for model in listed))
        raise ConfigError(f'no network has "{filter}" in its name.{hint}')
    if json:
        print_json([asdict(model) for model in found])
        return
    rows = [
        (model.name, model.family, model.parameters, "yes" if model.offline else "no", model.license)
        for model in found
    ]
    print_table(["name", "family", ">parameters", "offline", "licence of weights"], rows)
    if not filter:
        say(
            f"{len(found):,} networks; `photopic models resnet` lists those with that text in their name, "
            "`photopic models show NAME` the layers of one."
        )


models_app.command(models, name="list")  # the same, for those who say so


@models_app.command
def show(
    name: str | None = None,
    /,
    *,
    recipe: str | None = None,
    family: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    depth: int = 1,
    json: Switch = False,
) -> None:
    """Print the layers of a network: output shape, parameters, operations and receptive field.

    Parameters
    ----------
    name
        A network of `photopic models`.
    recipe
        Instead of a name: the network of a named recipe, or of a recipe in a .yaml file.
    family
        fast, classic, bundled or timm, where a name stands in two of them.
    size
        Side of the input, pixels; left out: what the network or the recipe was made for.
    channels
        1 or 3; left out: what the network or the recipe was made for.
    classes
        Number of classes; left out: those the network was published with, 10 for a recipe.
    depth
        1: the network's own parts; 2: their parts too; and so on.
    json
        Print JSON.
    """
    from dataclasses import asdict

    from photopic import api

    summary = api.model_summary(
        name, recipe=recipe, family=family, size=size, channels=channels, classes=classes, depth=depth
    )
    if json:
        print_json(asdict(summary) | {"parameters": summary.parameters})
    else:
        _print_summary(summary)


def _print_summary(summary: ModelSummary) -> None:
    columns = ["layer", "type", ">output", ">parameters", ">FLOPs", ">sees px"]
    title = f"{summary.name}, input {_shape(summary.input_shape)}"
    print_table(columns, [_row(layer) for layer in summary.layers], title=title)
    statistics = f", {summary.statistics:,} statistics" if summary.statistics else ""
    say(
        f"{summary.parameters:,} parameters: {summary.trainable:,} trainable, {summary.fixed:,} "
        f"fixed{statistics}. {_short(summary.flops)}FLOPs for one image, a multiplication with its addition "
        "counting 2."
    )


def _row(layer: LayerRow) -> tuple[str, str, str, int, str, str]:
    seen = "all" if layer.receptive_field is None else _field(layer.receptive_field)
    flops = _short(layer.flops).strip() if layer.flops else ""
    return layer.name, layer.type, _shape(layer.output_shape), layer.parameters, flops, seen


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _field(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else _shape(sides)


def _short(count: int) -> str:
    """A count with three digits and a unit, or all digits of a small one: `7.72 G`, `236 M`, `5,120 `."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count:,} "
