"""Wrong options of losses, classes, regularisers and stopping: each is named, with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from photopic.config import (
    AnyRecipe,
    FineTuneRecipe,
    FocalLoss,
    FrozenRecipe,
    PreprocessConfig,
    ScratchRecipe,
    known_keys,
    override,
    parse_recipe,
)
from photopic.errors import ConfigError

SCRATCH = ScratchRecipe(name="test", preprocess=PreprocessConfig(size=32))
FINE_TUNE = FineTuneRecipe(name="test", preprocess=PreprocessConfig(size=224))
FROZEN = FrozenRecipe(name="test", preprocess=PreprocessConfig(size=224))


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        (SCRATCH, {"loss": "focl"}, 'loss.name: "focl" is not known. Did you mean "focal"?'),
        (SCRATCH, {"loss": "hinge"}, "Known: cross-entropy, binary-cross-entropy, focal, mse."),
        (SCRATCH, {"loss.gamma": 2}, "It belongs to focal"),
        (SCRATCH, {"loss": "focal", "loss.gamma": -1}, "loss.gamma: must be at least 0 (got -1)"),
        (SCRATCH, {"loss": "focal", "loss.alpha": 1}, "loss.alpha: must be above 0 and below 1"),
        (SCRATCH, {"loss": "mse", "label_smoothing": 0.1}, "label_smoothing has no effect with loss=mse"),
        (SCRATCH, {"regularizer.l3": 1}, 'Did you mean "regularizer.l'),
        (SCRATCH, {"regularizer.l2": -1}, "regularizer.l2: must be at least 0"),
        (SCRATCH, {"regularizer.biases": True}, "biases has no effect while l1 and l2 are 0"),
        (SCRATCH, {"max_norm": 0}, "max_norm: must be above 0"),
        (SCRATCH, {"class_weights": "balance"}, 'Did you mean "balanced"?'),
        (SCRATCH, {"class_weights": 3}, "expected none, balanced or {class name: weight}"),
        (SCRATCH, {"class_weights.cat": -1}, "class_weights.cat: must be at least 0"),
        (SCRATCH, {"sampling": "balancd"}, 'Did you mean "balanced"?'),
        (SCRATCH, {"sampling": "balanced", "class_weights": "balanced"}, "choose one of them"),
        (SCRATCH, {"early_stopping.patience": 0}, "early_stopping.patience: must be at least 1"),
        (SCRATCH, {"early_stopping.patience": 10}, "patience=10 has no effect in 10 epochs"),
        (SCRATCH, {"early_stopping.monitor": "val_los"}, 'Did you mean "val_loss"?'),
        (SCRATCH, {"stop_at.value": 99}, "99 % is 0.99"),
        (SCRATCH, {"stop_at.monitor": "val_loss"}, "stop_at.value: is needed"),
        (SCRATCH, {"stop_at.value": 0.9, "total_epochs": 1}, "stop_at has no effect in total_epochs=1"),
        (SCRATCH, {"select_by": "best"}, 'select_by: "best" is not known'),
        (SCRATCH, {"checkpoint_name": "x-{epoc}"}, 'no number of an epoch. Did you mean "epoch"?'),
        (SCRATCH, {"checkpoint_name": "x-{epoch.real}"}, "no number of an epoch"),
        (SCRATCH, {"checkpoint_name": "x-{}"}, "Known: epoch, val_loss"),
        (SCRATCH, {"checkpoint_name": "x-{epoch"}, "cannot be filled in: expected '}'"),
        (SCRATCH, {"checkpoint_name": "x-{epoch:q}"}, "cannot be filled in: Unknown format code"),
        (SCRATCH, {"checkpoint_name": "../x-{epoch}"}, "must have no path"),
        (SCRATCH, {"checkpoint_name": ""}, "must have no path"),
        (SCRATCH, {"snapshots": 3}, "schedule.cycles=3"),
        (SCRATCH, {"snapshots": 3, "schedule": "cosine", "schedule.cycles": 2}, "schedule.cycles=3"),
        (FROZEN, {"loss": "focal"}, "It belongs to the way scratch and fine-tune"),
        (FROZEN, {"sampling": "balanced"}, "It belongs to the way scratch and fine-tune"),
        (FROZEN, {"early_stopping.patience": 3}, "It belongs to the way scratch and fine-tune"),
        (FROZEN, {"max_norm": 3}, "It belongs to the way scratch and fine-tune"),
    ],
)
def test_a_wrong_option_is_named_with_the_way_out(
    recipe: AnyRecipe, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        override(recipe, changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("recipe", [SCRATCH, FINE_TUNE], ids=lambda recipe: recipe.way)
def test_options_survive_being_written_and_read(recipe: AnyRecipe) -> None:
    changed = override(
        recipe,
        {
            "loss": "focal",
            "loss.gamma": 1.5,
            "class_weights.cat": 2,
            "sampling": "balanced",
            "regularizer": {"l1": 0.01, "l2": 0.01},
            "early_stopping.patience": 3,
            "stop_at.value": 0.99,
            "select_by": "val_loss",
            "checkpoint_name": "mnist-{epoch:02d}-{val_loss:.4f}",
            "schedule": "cosine",
            "schedule.cycles": 2,
            "snapshots": 2,
        },
    )
    assert isinstance(changed, ScratchRecipe | FineTuneRecipe)
    assert changed.loss == FocalLoss(gamma=1.5)
    assert changed.class_weights == {"cat": 2.0}
    assert changed.early_stopping is not None
    assert changed.early_stopping.monitor == "val_loss"
    assert parse_recipe(changed.model_dump(mode="json")) == changed
    assert "loss.gamma" in known_keys(changed)


def test_choosing_another_loss_drops_the_options_of_the_old_one() -> None:
    focal = override(SCRATCH, {"loss": {"name": "focal", "gamma": 1}})
    assert override(focal, {"loss.name": "cross-entropy"}) == SCRATCH


def test_class_weights_are_known_in_the_way_frozen_too() -> None:
    assert override(FROZEN, {"class_weights": "balanced"}).class_weights == "balanced"
