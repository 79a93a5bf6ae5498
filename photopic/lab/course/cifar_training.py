"""Trainings on CIFAR-10 as the decks did them: in full, cut to a time limit, or in small for a quick look.

Full, these are 300 epochs on 45,000 images: 5,000 of the 50,000 are held out, for the decks validate on the
test images. The test images, all 10,000, are scored once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photopic.config import AnyRecipe, parse_recipe
from photopic.lab.course.budget import Plan, Sizes, fit_plan, measured_seconds_per_image
from photopic.lab.course.experiment import Row
from photopic.lab.course.trainings import score, score_row
from photopic.runtime import choose_runtime

if TYPE_CHECKING:
    from photopic.api import Run
    from photopic.lab.course.context import Context

DATA = "cifar10"
EPOCHS = 300
FULL = Sizes(train=45_000, val=5_000, test=10_000)
CUT = Sizes(train=49_000, val=1_000, test=10_000)
"""With a time limit or quick: fewer images are validated after each epoch."""
QUICK = Plan(500, 2)
NARROWED = 8
"""A quick run's networks have an eighth of the filters."""


def plan_for(context: Context, recipe: str, trainings: int) -> Plan:
    """How much of a training is done, of `trainings` with networks of this size in the experiment.

    Raises ConfigError for a time limit that is too short.
    """
    if context.quick:
        return QUICK
    if context.time_limit_s is None:
        return Plan(None, EPOCHS)
    image_s = measured_seconds_per_image(
        context.recipe(recipe), choose_runtime(context.device, context.precision)
    )
    return fit_plan(context.time_limit_s / trainings, image_s, CUT, EPOCHS)


def train(
    context: Context,
    recipe: str,
    plan: Plan,
    *,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Run:
    """One training. options: as of `photopic.train`."""
    cut = context.quick or context.time_limit_s is not None
    sizes = CUT if cut else FULL
    changes = {"total_epochs": plan.epochs} | dict(settings or {})
    if plan.images is not None:
        options["train_images"] = plan.images
    return context.train(
        network(context, recipe),
        DATA,
        settings=changes,
        val_fraction=sizes.val / (sizes.train + sizes.val),
        **options,
    )


def network(context: Context, recipe: str) -> AnyRecipe:
    """The recipe; of a quick run with narrower layers."""
    chosen = context.recipe(recipe)
    return narrowed(chosen, NARROWED) if context.quick else chosen


def narrowed(recipe: AnyRecipe, factor: int) -> AnyRecipe:
    """The recipe with all filters and units divided by a factor."""
    values = recipe.model_dump(exclude_unset=True)
    for layer in values["model"]["layers"]:
        for count in ("filters", "units"):
            if count in layer:
                layer[count] //= factor
    return parse_recipe(values)


# ---- what came out -----------------------------------------------------------------------------------------


def score_rows(context: Context, run: Run, suffix: str = "") -> list[Row]:
    """Training and test accuracy and the losses, after the last epoch."""
    last, epochs = run.history()[-1], f"epoch {len(run.history())}"
    return [
        context.row(f"training accuracy{suffix}", last["train_accuracy"], note=f"{epochs}, as it learned"),
        score_row(context, f"accuracy{suffix}", run, note="all test images"),
        context.row(f"loss{suffix}", last["train_loss"], note=f"{epochs}, training images"),
        context.row(f"validation loss{suffix}", last["val_loss"], note=epochs),
    ]


def accuracy(run: Run) -> float:
    """On the test images."""
    return score(run).value


def notes(context: Context, run: Run) -> tuple[str, ...]:
    """What was measured how, and how much of the training was done."""
    counts = run.manifest.data["counts"]
    trained, held_out, tested = (counts[split] for split in ("train", "val", "test"))
    told = [
        f"{held_out:,} images are held out of the training images; {trained:,} are learned from in "
        f"{len(run.history())} epochs, in a new order in each; the {tested:,} test images are scored once, "
        "scaled with the training images' statistics."
    ]
    if context.quick:
        told.append(
            f"Shortened by --quick: an eighth of the filters, {trained:,} images, {QUICK.epochs} epochs."
        )
    elif context.time_limit_s is not None:
        told.append(
            f"Shortened to a time limit of {context.time_limit_s / 60:.0f} min: {trained:,} of "
            f"{CUT.train:,} training images and {len(run.history())} of {EPOCHS} epochs; the decks' figures "
            "are those of whole trainings."
        )
    if str(run.load_splits()[0].path).endswith((".jpg", ".jpeg")):
        told.append("The images are JPEG copies of CIFAR-10's, a little poorer than the originals.")
    return tuple(told)
