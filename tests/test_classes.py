"""photopic.training.classes: weights against scikit-learn, options against the classes that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from photopic.config import AnyRecipe, FineTuneRecipe, FrozenRecipe, PreprocessConfig, ScratchRecipe
from photopic.data.dataset import open_dataset
from photopic.errors import ConfigError
from photopic.runtime import choose_runtime
from photopic.training.classes import check_classes, class_weights
from photopic.training.features import Features
from photopic.training.frozen import fit_recipe_head
from photopic.training.job import Job, ignore

NAMES = ("cat", "dog", "emu")
LABELS = np.array([0] * 70 + [1] * 20 + [2] * 10)


def scratch(**changes: Any) -> ScratchRecipe:
    return ScratchRecipe(name="test", preprocess=PreprocessConfig(size=4), **changes)


def test_balanced_weights_are_scikit_learn_s() -> None:
    weights = class_weights("balanced", LABELS, NAMES)
    assert weights is not None
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(weights, theirs)
    assert weights[LABELS].sum() == pytest.approx(len(LABELS))


def test_a_class_without_images_leaves_the_others_as_they_are() -> None:
    weights = class_weights("balanced", LABELS, (*NAMES, "fox"))
    assert weights is not None
    np.testing.assert_allclose(weights[:3], compute_class_weight("balanced", classes=np.arange(3), y=LABELS))
    assert weights[3] == 0


def test_weights_go_by_name_and_are_1_where_none_is_given() -> None:
    weights = class_weights({"emu": 4.0, "cat": 0.5}, LABELS, NAMES)
    assert weights is not None
    assert weights.tolist() == [0.5, 1.0, 4.0]
    assert class_weights("none", LABELS, NAMES) is None


def test_numbers_are_names_too() -> None:
    assert scratch(class_weights={7: 2, 8: 1}).class_weights == {"7": 2.0, "8": 1.0}


@pytest.mark.parametrize(
    ("options", "names", "words"),
    [
        ({"class_weights": {"catt": 2}}, NAMES, 'class_weights: "catt" is no class .* Did you mean "cat"'),
        ({"class_weights": {"xyzzy": 2}}, NAMES, "Known: cat, dog, emu"),
        ({"class_weights": {"cat": 0, "dog": 0, "emu": 0}}, NAMES, "nothing to learn"),
        (
            {"loss": "binary-cross-entropy"},
            NAMES,
            "there are 3. Take loss=cross-entropy",
        ),
        ({"loss": {"name": "focal", "alpha": 0.25}}, NAMES, "Take class_weights"),
    ],
)
def test_options_that_do_not_suit_the_classes_are_named(
    options: dict[str, Any], names: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_classes(scratch(**options), names)


@pytest.mark.parametrize(
    "recipe",
    [
        scratch(),
        scratch(class_weights={"cat": 0}),
        scratch(loss="binary-cross-entropy"),
        scratch(loss={"name": "focal", "alpha": 0.25}),
        FineTuneRecipe(name="test", preprocess=PreprocessConfig(size=4), class_weights="balanced"),
        FrozenRecipe(name="test", preprocess=PreprocessConfig(size=4), class_weights={"dog": 3}),
    ],
)
def test_options_that_suit_two_classes_pass(recipe: AnyRecipe) -> None:
    check_classes(recipe, ("cat", "dog"))


@pytest.mark.parametrize("views", [1, 3])
def test_a_frozen_head_with_balanced_classes_is_scikit_learn_s(views: int) -> None:
    random = np.random.default_rng(0)
    dataset = open_dataset((np.zeros((100, 4, 4), np.uint8), np.array(NAMES)[LABELS]))
    recipe = FrozenRecipe(
        name="test", preprocess=PreprocessConfig(size=4), class_weights="balanced", inverse_l2=(1.0,)
    )
    job = Job(recipe, dataset, {}, 0, choose_runtime("cpu"), ignore)
    plain = (random.normal(size=(100, 5)) + LABELS[:, None]).astype(np.float32)
    features = Features(np.arange(100), (plain,) * views, [])
    head = fit_recipe_head(job, recipe, features, Features(np.arange(100), (plain,), []))

    scaled = (plain - np.average(plain, axis=0, weights=weights_of(LABELS))) / spread(plain)
    theirs = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-8, max_iter=1000).fit(scaled, LABELS)
    ours = torch.from_numpy(head.logits(plain)).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(scaled), atol=2e-4)


def weights_of(labels: np.ndarray) -> np.ndarray:
    return compute_class_weight("balanced", classes=np.unique(labels), y=labels)[labels]


def spread(features: np.ndarray) -> np.ndarray:
    """The weighted standard deviation, by which heads scale features."""
    mean = np.average(features, axis=0, weights=weights_of(LABELS))
    return np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights_of(LABELS)))
