from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photopic.config import (
    AnyRecipe,
    AugmentConfig,
    FrozenRecipe,
    PreprocessConfig,
    ScratchRecipe,
    known_keys,
    override,
    parse_options,
    parse_recipe,
)
from photopic.errors import ConfigError

SCRATCH = ScratchRecipe(name="test", preprocess=PreprocessConfig(size=32))
FROZEN = FrozenRecipe(name="test", preprocess=PreprocessConfig(size=224))


def test_a_recipe_survives_being_written_and_read() -> None:
    for recipe in (SCRATCH, FROZEN):
        assert parse_recipe(recipe.model_dump(mode="json")) == recipe


@given(
    epochs=st.integers(1, 1000),
    rate=st.floats(1e-6, 10),
    optimizer=st.sampled_from(["sgd", "adam", "adamw", "muon"]),
    schedule=st.sampled_from(["constant", "one-cycle", "cosine"]),
)
def test_overrides_reach_their_fields(epochs: int, rate: float, optimizer: str, schedule: str) -> None:
    changes = {
        "total_epochs": epochs,
        "optimizer.name": optimizer,
        "optimizer.learning_rate": rate,
        "schedule.name": schedule,
    }
    changed = override(SCRATCH, changes)
    assert isinstance(changed, ScratchRecipe)
    assert (changed.total_epochs, changed.optimizer.name, changed.schedule.name) == (
        epochs,
        optimizer,
        schedule,
    )
    assert changed.optimizer.learning_rate == rate
    assert parse_recipe(changed.model_dump(mode="json")) == changed


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        (SCRATCH, {"optimizer.learning_rat": 0.1}, 'Did you mean "optimizer.learning_rate"'),
        (SCRATCH, {"epochs": 3}, 'Did you mean "total_epochs"'),
        (SCRATCH, {"total_epochs": "many"}, "total_epochs"),
        (SCRATCH, {"total_epochs": 0}, "greater than or equal to 1"),
        (SCRATCH, {"optimizer.learning_rate": float("nan")}, "learning_rate"),
        (SCRATCH, {"augment.zoom_range": [1.2, 0.8]}, "lower bound 1.2 is above"),
        (SCRATCH, {"augment.cval": 3}, "no effect unless fill_mode"),
        (SCRATCH, {"preprocess.mean": [0.5]}, "mean has 1 values"),
        (SCRATCH, {"preprocess.std": [0.5, 0.5, 0]}, "std must be above 0"),
        (SCRATCH, {"model.family": "timm"}, "model.name"),
        (SCRATCH, {"views": 3}, "not known in the way scratch"),
        (FROZEN, {"total_epochs": 3}, "not known in the way frozen"),
        (FROZEN, {"augment.rotation_range": 10}, "no effect with views=0"),
        (FROZEN, {"views": 2}, "no effect while augment changes nothing"),
        (FROZEN, {"inverse_l2": [0.1, -1]}, "greater than 0"),
    ],
)
def test_a_wrong_option_is_named_with_the_way_out(
    recipe: AnyRecipe, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        override(recipe, changes)
    assert words in str(caught.value)


def test_an_option_of_another_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="nesterov"):
        override(SCRATCH, {"optimizer.name": "adam", "optimizer.nesterov": True})


def test_overriding_leaves_the_original_alone() -> None:
    before = SCRATCH.model_dump()
    override(SCRATCH, {"total_epochs": 99, "preprocess.size": 48})
    assert SCRATCH.model_dump() == before


def test_known_keys_are_those_with_an_effect() -> None:
    assert "optimizer.momentum" in known_keys(SCRATCH)
    assert "optimizer.beta_1" not in known_keys(SCRATCH)
    assert "total_epochs" not in known_keys(FROZEN)


def test_augmentation_knows_when_it_changes_nothing() -> None:
    assert AugmentConfig(width_shift_range=0, zoom_range=0, horizontal_flip=False).is_identity
    assert not AugmentConfig(rotation_range=1).is_identity


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "stay below 1"),
        ({"seed": -1}, "seed"),
        ({"time_limit_s": 0}, "time_limit_s"),
        ({"sed": 1}, 'Did you mean "seed"'),
    ],
)
def test_wrong_training_options_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options(values)
    assert words in str(caught.value)
