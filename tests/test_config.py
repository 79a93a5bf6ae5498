from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from photopic.config import (
    SGD,
    Adam,
    AnyRecipe,
    AugmentConfig,
    EarlyStopping,
    FastModel,
    FineTuneRecipe,
    FrozenRecipe,
    LayersModel,
    Lion,
    Nadam,
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
        (SCRATCH, {"total_epochs": 0}, "must be at least 1 (got 0)"),
        (SCRATCH, {"optimizer.learning_rate": float("nan")}, "learning_rate"),
        (SCRATCH, {"augment.zoom_range": [1.2, 0.8]}, "lower bound 1.2 is above"),
        (SCRATCH, {"augment.cval": 3}, "no effect unless fill_mode"),
        (SCRATCH, {"augment.fill_mode": "wrap"}, "nothing moves"),
        (SCRATCH, {"augment.width_shift_range": 1}, "Write 2 or [-1, 0, 1]"),
        (SCRATCH, {"augment.width_shift_range": [-0.1, 0.1]}, "a list holds pixels"),
        (SCRATCH, {"augment.width_shift_range": []}, "at least one number"),
        (SCRATCH, {"augment.height_shift_range": -0.1}, "must be at least 0"),
        (SCRATCH, {"augment.height_shift_range": "some"}, "expected a number, or a list of pixels"),
        (SCRATCH, {"augment.zoom_range": 1.5}, "must be in [0, 1)"),
        (SCRATCH, {"augment.hue_range": [-0.6, 0]}, "within [-0.5, 0.5]"),
        (SCRATCH, {"augment.hue_range": [0.2, 0.1]}, "lower bound 0.2 is above"),
        (SCRATCH, {"augment.noise.std_range": [9, 3], "augment.noise.probability": 1}, "lower bound 9"),
        (SCRATCH, {"augment.blur.sigma_range": [1, 2]}, "while probability=0"),
        (SCRATCH, {"augment.erasing.probability": 1.5}, "must be between 0 and 1"),
        (SCRATCH, {"augment.perspective.distortion": 0.9}, "augment.perspective.distortion: must be"),
        (SCRATCH, {"augment.perspectiv": 0.9}, 'Did you mean "augment.perspective"'),
        (SCRATCH, {"augment.rand_augment.magnitude": 5}, "no effect while ops=0"),
        (SCRATCH, {"augment.rand_augment.ops": 2, "augment.trivial_augment": True}, "exclude each other"),
        (SCRATCH, {"augment.grey": 0.1, "preprocess.channels": 1}, "grey has no effect on grey images"),
        (SCRATCH, {"augment.hue_range": [-0.1, 0.1], "preprocess.channels": 1}, "hue_range has no effect"),
        (SCRATCH, {"augment.cutout_size": 65}, "hides whole images"),
        (SCRATCH, {"augment.mixup": 0.2, "batch_size": 1}, "no effect with batch_size=1"),
        (FROZEN, {"augment.cutmix": 1.0, "views": 2}, "mix labels"),
        (SCRATCH, {"preprocess.mean": [0.5]}, "mean has 1 values"),
        (SCRATCH, {"preprocess.std": [0.5, 0.5, 0]}, "std must be above 0"),
        (SCRATCH, {"model.family": "timm"}, "model.name"),
        (SCRATCH, {"views": 3}, "not known in the way scratch. It belongs to the way frozen"),
        (SCRATCH, {"total_epochs": None}, "total_epochs: must be a whole number (got null)"),
        (SCRATCH, {"total_epochs": 2.5}, "must be a whole number (got 2.5)"),
        (SCRATCH, {"optimizer.learning_rate": -1}, "optimizer.learning_rate: must be above 0 (got -1)"),
        (SCRATCH, {"optimizer.momentum": 1}, "must be at least 0 and below 1 (got 1)"),
        (SCRATCH, {"augment.rotation_range": 270}, "must be between 0 and 180 (got 270)"),
        (SCRATCH, {"model.depth": 9}, "model.depth: must be between 1 and 8 or a list (got 9)"),
        (SCRATCH, {"model.depth": [2, "x", 2]}, "model.depth.1: must be a whole number"),
        (SCRATCH, {"model.whitening": "maybe"}, 'must be true or false (got "maybe")'),
        (SCRATCH, {"preprocess.resize": "corp"}, '"corp" is not known. Did you mean "crop"'),
        (SCRATCH, {"optimizer": "adan"}, 'optimizer.name: "adan" is not known. Did you mean "adam"'),
        (SCRATCH, {"optimizer.name": "nadm"}, 'Did you mean "nadam"'),
        (SCRATCH, {"schedule": "cosin"}, 'schedule.name: "cosin" is not known. Did you mean "cosine"'),
        (SCRATCH, {"model": "fats"}, 'model: "fats" is not known. Did you mean "fast"'),
        (SCRATCH, {"model.family": "lenet"}, 'model: "lenet" is not known. Did you mean "lenet5"'),
        (SCRATCH, {"model": "resnet18d"}, "timm is family=timm with name=resnet18d"),
        (SCRATCH, {"way": "frozn"}, 'way: "frozn" is not known. Did you mean "frozen"'),
        (SCRATCH, {"optimizer": 5}, "optimizer: must be options as in {name: value} (got 5)"),
        (SCRATCH, {"optimizer.beta_1": 0.5}, "not known with sgd. It belongs to adam"),
        (SCRATCH, {"loss": "focal", "loss.gama": 2}, 'Did you mean "loss.gamma"'),
        (SCRATCH, {"total_epochs.unit": 3}, 'option "total_epochs.unit" is not known'),
        (SCRATCH, {"model.widths.7": 3}, 'has no "7"; its 3 items have the numbers 0 to 2'),
        (SCRATCH, {"class_weights.cat": -2}, "class_weights.cat: must be at least 0 (got -2)"),
        (SCRATCH, {"optimizer.clip_norm": 1, "optimizer.clip_value": 1}, "exclude each other"),
        (FROZEN, {"total_epochs": 3}, "not known in the way frozen"),
        (FROZEN, {"augment.rotation_range": 10}, "no effect with views=0"),
        (FROZEN, {"views": 2}, "no effect while augment changes nothing"),
        (FROZEN, {"inverse_l2": [0.1, -1]}, "inverse_l2.1: must be above 0 (got -1)"),
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer": "adam"}, {"optimizer": Adam()}),
        ({"model": "fast"}, {"model": FastModel()}),
        ({"optimizer": {"name": "lion", "beta_1": 0.8}}, {"optimizer": Lion(beta_1=0.8)}),
        (
            {"optimizer.learning_rate": 0.5, "optimizer.name": "nadam"},
            {"optimizer": Nadam(learning_rate=0.5)},
        ),
        ({"optimizer.learning_rate": 0.5, "optimizer": "nadam"}, {"optimizer": Nadam(learning_rate=0.5)}),
        ({"optimizer.clip_norm": 1}, {"optimizer": SGD(clip_norm=1)}),
        ({"optimizer.clip_norm": None}, {"optimizer": SGD()}),
        ({"model.widths.0": 7}, {"model": FastModel(widths=(7, 128, 256))}),
        ({"early_stopping.patience": 3}, {"early_stopping": EarlyStopping(patience=3)}),
        ({"class_weights.cat": 2}, {"class_weights": {"cat": 2.0}}),
    ],
)
def test_options_inside_of_choices_lists_and_absent_groups(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert override(SCRATCH, changes) == SCRATCH.model_copy(update=expected)


def test_a_layer_is_reached_by_its_number() -> None:
    layers = {"layers": [{"conv": 8}, "flatten", {"dropout": 0.3}]}
    recipe = parse_recipe({"name": "test", "way": "scratch", "preprocess": {"size": 8}, "model": layers})
    changed = override(recipe, {"model.layers.2.rate": 0.5, "model.layers.0.filters": 16})
    assert isinstance(changed, ScratchRecipe)
    assert isinstance(changed.model, LayersModel)
    first, _, last = changed.model.layers
    assert (first.filters, last.rate) == (16, 0.5)
    with pytest.raises(ConfigError, match=r"not known with dropout\. It belongs to conv"):
        override(recipe, {"model.layers.2.filters": 3})


def test_another_way_keeps_what_all_ways_have() -> None:
    changed = override(SCRATCH, {"way": "fine-tune", "total_epochs": 2})
    assert isinstance(changed, FineTuneRecipe)
    assert (changed.name, changed.preprocess, changed.total_epochs) == ("test", SCRATCH.preprocess, 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"way": "scratch"}, "preprocess: is needed"),
        ({"preprocess": {"size": 8}}, "way: is needed: one of scratch, fine-tune, frozen"),
        ({"way": "scratch", "preprocess": 3}, "must be options as in {name: value} (got 3)"),
        ({"way": "scratch", "preprocess": {"size": 8}, "total_epoch": 3}, 'Did you mean "total_epochs"'),
        ({"way": "scratch", "preprocess": {"size": 8}, "views": 3}, "It belongs to frozen"),
        (
            {"way": "scratch", "preprocess": {"size": 8}, "optimizer": {}},
            "optimizer.name: is needed: one of sgd",
        ),
        (
            {"way": "scratch", "preprocess": {"size": 8}, "optimizer": {"name": "adam", "nesterov": True}},
            'option "optimizer.nesterov" is not known here. It belongs to sgd',
        ),
    ],
)
def test_a_wrong_recipe_is_explained_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_recipe({"name": "test"} | values)
    assert words in str(caught.value)


PYDANTIC_WORDS = re.compile(
    r"Input should|valid (integer|number|boolean|string|dictionary)|Field required|extra"
)


@given(
    key=st.sampled_from(known_keys(SCRATCH)),
    value=st.sampled_from([None, -1, 0, 1.5, 10**9, "nonsense", [], [1], {}, {"x": 1}, True]),
)
def test_no_wrong_value_is_explained_in_pydantics_words(key: str, value: Any) -> None:
    message = ""
    try:
        override(SCRATCH, {key: value})
    except ConfigError as error:
        message = str(error)
    assert not PYDANTIC_WORDS.search(message)


def test_overriding_leaves_the_original_alone() -> None:
    before = SCRATCH.model_dump()
    override(SCRATCH, {"total_epochs": 99, "preprocess.size": 48})
    assert SCRATCH.model_dump() == before


def test_known_keys_are_those_with_an_effect() -> None:
    assert "optimizer.momentum" in known_keys(SCRATCH)
    assert "optimizer.beta_1" not in known_keys(SCRATCH)
    assert "total_epochs" not in known_keys(FROZEN)


def test_augmentation_takes_the_forms_of_imagedatagenerator() -> None:
    values = {
        "width_shift_range": [-2, 0, 2],
        "height_shift_range": 3,
        "zoom_range": 0.2,
        "horizontal_flip": True,
        "erasing": 0.25,
    }
    config = AugmentConfig.model_validate(values)
    assert config.width_shift_range == (-2.0, 0.0, 2.0)
    assert isinstance(config.height_shift_range, int)
    assert config.zoom_range == (0.8, 1.2)
    assert config.horizontal_flip == "random"
    assert AugmentConfig(horizontal_flip=False).horizontal_flip == "none"
    assert config.erasing.probability == 0.25


@given(shift=st.one_of(st.integers(2, 9), st.floats(0, 9), st.lists(st.floats(1, 9), min_size=1)))
def test_a_shift_means_the_same_after_being_written_and_read(shift: Any) -> None:
    """2 is whole pixels and 2.0 any number of them, also from JSON and YAML."""
    config = AugmentConfig(width_shift_range=shift)
    as_json = AugmentConfig.model_validate_json(config.model_dump_json())
    as_yaml = AugmentConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
    for read in (as_json, as_yaml):
        assert read == config
        assert type(read.width_shift_range) is type(config.width_shift_range)


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
