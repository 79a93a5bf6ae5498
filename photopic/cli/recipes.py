"""`photopic recipes`: list the named recipes, print one, draw the course of its learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from photopic.cli.output import plural, print_json, print_table, say
from photopic.cli.plot import line_plot
from photopic.errors import ConfigError

if TYPE_CHECKING:
    from photopic.config import AnyRecipe, GradientRecipe

STEPS_PER_EPOCH = 100
"""How finely a schedule is drawn while the number of images is unknown."""

recipes_app = App(name="recipes")


@recipes_app.default
def recipes(name: str | None = None, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the named recipes, or print one as the YAML file that it is.

    Parameters
    ----------
    name
        The recipe to print; left out: list all.
    json
        Print JSON.
    """
    from photopic import api
    from photopic.training.recipes import load_recipe, to_yaml

    if name is not None:
        recipe = load_recipe(name)
        if json:
            print_json(recipe.model_dump(mode="json"))
        else:
            say(to_yaml(recipe).rstrip())
        return
    found = api.list_recipes().values()
    if json:
        print_json([recipe.model_dump(mode="json") for recipe in found])
    else:
        print_table(
            ["name", "way", "good for"], [(recipe.name, recipe.way, recipe.summary) for recipe in found]
        )


recipes_app.command(recipes, name="list")  # the same, for those who say so


@recipes_app.command
def show(
    name: str,
    /,
    *,
    set_: Annotated[list[str] | None, Parameter(name=["--set", "-s"], negative="")] = None,
    images: int | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw a recipe's learning rate from the first to the last epoch.

    Parameters
    ----------
    name
        A named recipe or a YAML file.
    set_
        A recipe option as key=value, such as schedule=cosine or total_epochs=20; repeatable.
    images
        Number of training images; needed by schedules that count in steps.
    json
        Print JSON, with the points as [epochs done, learning rate].
    """
    from photopic.config import FrozenRecipe
    from photopic.training.recipes import load_recipe, parse_setting
    from photopic.training.schedules import schedule_points

    recipe = load_recipe(name, dict(parse_setting(text) for text in set_ or []))
    if isinstance(recipe, FrozenRecipe):
        if json:
            print_json(_summary(recipe) | {"points": []})
        else:
            say(f"{recipe.name} ({recipe.way}): {recipe.summary}")
            say("It fits a logistic head to its optimum: there is no learning rate, and nothing to draw.")
        return
    points = schedule_points(recipe, _steps_per_epoch(recipe, images))
    if json:
        print_json(_summary(recipe) | {"points": points})
    else:
        say(f"{recipe.name} ({recipe.way}): {recipe.summary}")
        _say_plan(recipe)
        epochs, rates = zip(*points, strict=True)
        say()
        say(line_plot(epochs, rates, x_label="epochs", y_label="learning rate"))


def _steps_per_epoch(recipe: GradientRecipe, images: int | None) -> int:
    if images is not None:
        if images < 1:
            raise ConfigError(f"--images {images} must be at least 1.")
        return math.ceil(images / recipe.batch_size)
    if getattr(recipe.schedule, "unit", None) == "steps":
        raise ConfigError(
            f"the schedule {recipe.schedule.name} counts in steps: say how many training images there are, "
            "as in --images 60000."
        )
    return STEPS_PER_EPOCH


def _say_plan(recipe: GradientRecipe) -> None:
    for what, options in (("optimizer", recipe.optimizer), ("schedule", recipe.schedule)):
        values = options.model_dump(exclude={"name"}, exclude_none=True)
        named = ", ".join(f"{name} {_plain(value)}" for name, value in values.items())
        say(f"{what}: {options.name}{' (' if named else ''}{named}{')' if named else ''}")
    say(f"{plural(recipe.total_epochs, 'epoch')} in batches of {recipe.batch_size:,}")
    if recipe.schedule.name == "performance":
        say("drawn for a validation loss that never becomes better after the first epoch")


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return (
        f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()
    )


def _summary(recipe: AnyRecipe) -> dict[str, Any]:
    wanted = {"name", "way", "summary", "optimizer", "schedule", "total_epochs", "batch_size"}
    return recipe.model_dump(mode="json", include=wanted)
