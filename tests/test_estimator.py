"""The scikit-learn estimator: scikit-learn's own checks, its tools around it, and each kind of input."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from photopic.errors import ConfigError, DataError
from photopic.estimator import PhotopicClassifier

TINY = {
    "preprocess.size": 8,
    "preprocess.channels": 1,
    "model.widths": (8, 16),
    "model.depth": 1,
    "batch_size": 50,
    "test_views": "none",
}
"""The recipe small-images, made so small that an epoch takes milliseconds."""


def tiny(**options) -> PhotopicClassifier:
    return PhotopicClassifier(
        "small-images", **{"settings": TINY, "max_epochs": 2, "random_state": 0} | options
    )


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(240, 8, 8) uint8 and names of four digits."""
    data = load_digits(n_class=4)
    images = np.rint(data.images * 255 / 16).astype(np.uint8)
    return images[:240], np.array(["null", "eins", "zwei", "drei"])[data.target[:240]]


@pytest.fixture(scope="module")
def fitted(digits, tmp_path_factory) -> PhotopicClassifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOPIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        return tiny(max_epochs=20).fit(digits[0][:180], digits[1][:180])


# ---- scikit-learn's checks -------------------------------------------------------------------------------

CHECKS = """
import json
from sklearn.utils.estimator_checks import check_estimator
from photopic.estimator import PhotopicClassifier
results = check_estimator(PhotopicClassifier(), on_skip=None, on_fail=None)
keys = ("check_name", "status", "expected_to_fail")
print(json.dumps([[*(result[key] for key in keys), repr(result["exception"])] for result in results]))
"""


def test_all_checks_of_scikit_learn_run_and_pass():
    # In a process of its own: SciPy reads SCIPY_ARRAY_API when it is imported.
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"}
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECKS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert outcome.returncode == 0, outcome.stderr
    results = json.loads(outcome.stdout)
    assert len(results) >= 50
    assert not any(expected_to_fail for _, _, expected_to_fail, _ in results)
    assert [result for result in results if result[1] != "passed"] == []


# ---- features --------------------------------------------------------------------------------------------


def test_features_get_scikit_learns_logistic_head():
    features, labels = load_iris(return_X_y=True)
    ours = PhotopicClassifier(settings={"inverse_l2": [1.0]}).fit(features, labels)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-8, max_iter=1000))
    theirs.fit(features, labels)
    # our features and weights are float32
    np.testing.assert_allclose(ours.predict_proba(features), theirs.predict_proba(features), atol=2e-4)
    assert ours.inverse_l2_ == 1.0
    assert ours.n_features_in_ == 4


def test_the_penalty_of_features_is_chosen_by_validation():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    noise = rng.normal(size=(200, 100))
    easy = np.concatenate([labels[:, None] * 10.0, noise[:, :1]], axis=1)
    assert PhotopicClassifier(random_state=0).fit(noise, labels).inverse_l2_ < 0.1
    assert PhotopicClassifier(random_state=0).fit(easy, labels).inverse_l2_ > 1


def test_decision_function_of_two_classes_is_one_column():
    features, labels = load_iris(return_X_y=True)
    two = labels < 2
    model = PhotopicClassifier(random_state=0).fit(features[two], np.array(["b", "a"])[labels[two]])
    decision = model.decision_function(features[two])
    assert decision.shape == (100,)
    np.testing.assert_array_equal(model.predict(features[two]), np.where(decision > 0, "b", "a"))
    np.testing.assert_allclose(model.predict_proba(features[two])[:, 1], 1 / (1 + np.exp(-decision)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "small-images"}, "recipe has no effect on features"),
        ({"max_epochs": 3}, "max_epochs has no effect on features"),
        ({"settings": {"inverse_l1": [1.0]}}, 'Did you mean "inverse_l2"'),
    ],
)
def test_options_without_effect_on_features_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        PhotopicClassifier(**options).fit(*load_iris(return_X_y=True))


# ---- scikit-learn's tools --------------------------------------------------------------------------------


def test_pipeline_search_and_cross_validation_work_on_features():
    features, labels = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), PhotopicClassifier(random_state=0))
    assert cross_val_score(model, features, labels, cv=3).mean() > 0.9
    grid = {"photopicclassifier__settings": [{"inverse_l2": [c]} for c in (1e-4, 1.0)]}
    search = GridSearchCV(model, grid, cv=3).fit(features, labels)
    assert search.best_params_["photopicclassifier__settings"] == {"inverse_l2": [1.0]}


def test_search_and_cross_validation_work_on_images(digits):
    images, names = digits
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(tiny(), images, names, cv=folds)
    assert len(scores) == 2
    search = GridSearchCV(tiny(), {"max_epochs": [1, 4]}, cv=folds).fit(images, names)
    assert search.best_estimator_.predict(images[:3]).dtype == names.dtype


def test_a_precision_reaches_the_training(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    with pytest.raises(ConfigError, match="bfloat16: this processor has no arithmetic for it"):
        tiny(device="cpu", precision="bfloat16").fit(images, np.arange(40) % 2)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    model = tiny(device="cpu", precision="bfloat16", random_state=0).fit(images, np.arange(40) % 2)
    single = tiny(device="cpu", random_state=0).fit(images, np.arange(40) % 2)
    assert not np.array_equal(model.predict_proba(images), single.predict_proba(images))


def test_clone_copies_all_options():
    model = tiny(val_fraction=0.2, device="cpu")
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()


# ---- images ----------------------------------------------------------------------------------------------


def test_images_are_learned_and_named_by_their_labels(digits, fitted):
    images, names = digits
    assert fitted.classes_.tolist() == ["drei", "eins", "null", "zwei"]
    probs = fitted.predict_proba(images[180:])
    assert probs.shape == (60, 4)
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(images[180:]), fitted.classes_[probs.argmax(axis=1)])
    assert fitted.score(images[180:], names[180:]) > 0.8  # chance: 0.25
    assert not hasattr(fitted, "n_features_in_")


def test_all_forms_of_the_same_images_get_the_same_answer(digits, fitted, tmp_path):
    images = digits[0][180:200]
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    expected = fitted.predict_proba(images)
    for form in (
        images / 255,
        images[..., None],
        list(images),
        images.tolist(),
        paths,
        [str(p) for p in paths],
    ):
        np.testing.assert_allclose(fitted.predict_proba(form), expected, atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(np.array(paths)), expected, atol=1e-6)


def test_the_same_seed_gives_the_same_network(digits):
    images, names = digits
    one, other = (tiny().fit(images, names).predict_proba(images) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(tiny(random_state=1).fit(images, names).predict_proba(images), one)


def test_paths_train_as_arrays_do(digits, tmp_path):
    images, names = digits
    paths = []
    for number, image in enumerate(images):
        paths.append(str(tmp_path / f"{number:03d}.png"))
        Image.fromarray(np.kron(image, np.ones((2, 2), np.uint8))).save(paths[-1])  # of another size
    model = tiny(max_epochs=8).fit(paths, names)
    assert model.score(paths, names) > 0.8
    assert model.classes_.tolist() == ["drei", "eins", "null", "zwei"]


def test_paths_are_looked_into_once_however_often_they_are_fitted(digits, tmp_path, monkeypatch):
    from photopic.data import index
    from photopic.files import cache_dir

    looked, examine = [], index._examine
    monkeypatch.setattr(
        index, "_examine", lambda source, path, size: looked.append(path) or examine(source, path, size)
    )
    paths = []
    for number, image in enumerate(digits[0][:60]):
        paths.append(tmp_path / f"{number:03d}.png")
        Image.fromarray(image).save(paths[-1])
    for _ in range(3):
        tiny(max_epochs=1).fit(paths, digits[1][:60])
    assert len(looked) == 60
    assert len(list((cache_dir() / "index").glob("*.sqlite"))) == 1


def test_a_trained_estimator_can_be_pickled(digits, fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(digits[0]), fitted.predict_proba(digits[0]))


def test_no_images_give_no_answers(fitted):
    assert fitted.predict(np.zeros((0, 8, 8), np.uint8)).shape == (0,)
    assert fitted.predict_proba(np.zeros((0, 8, 8), np.uint8)).shape == (0, 4)


# ---- mistakes --------------------------------------------------------------------------------------------


def test_an_unreadable_file_is_named(fitted, digits, tmp_path):
    paths = []
    for number, image in enumerate(digits[0]):
        paths.append(tmp_path / f"{number:03d}.png")
        Image.fromarray(image).save(paths[-1])
    paths[7].write_bytes(b"")
    with pytest.raises(DataError, match=r"007\.png: the file is empty"):
        fitted.predict(paths)
    with pytest.raises(DataError, match=r"007\.png"):
        tiny().fit(paths, digits[1])
    paths[7] = tmp_path
    with pytest.raises(DataError, match="expected paths of image files"):
        fitted.predict(paths)


def test_images_of_different_sizes_are_named(digits):
    images = [np.zeros((8, 8), np.uint8), np.zeros((9, 8), np.uint8)] * 5
    with pytest.raises(DataError, match="images of different sizes"):
        tiny().fit(images, [0, 1] * 5)


def test_a_path_with_two_labels_is_named(digits, tmp_path):
    Image.fromarray(digits[0][0]).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: is listed twice, with different labels"):
        tiny().fit([tmp_path / "x.png"] * 4, [0, 0, 1, 1])


def test_another_kind_of_input_than_in_training_is_named(digits, fitted):
    with pytest.raises(ValueError, match="was trained on images"):
        fitted.predict(np.zeros((3, 64)))
    model = PhotopicClassifier(random_state=0).fit(*load_iris(return_X_y=True))
    with pytest.raises(ValueError, match="was trained on features"):
        model.predict(digits[0])
    with pytest.raises(ValueError, match="was trained on features"):
        model.predict(["a.png"])


def test_one_class_missing_labels_and_unequal_lengths_are_named(digits):
    images, names = digits
    with pytest.raises(ValueError, match="at least 2 classes; the data have 1 class"):
        tiny().fit(images[:10], ["a"] * 10)
    with pytest.raises(ValueError, match="requires y to be passed"):
        tiny().fit(images, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tiny().fit(images, names[:-1])


def test_fitting_on_another_kind_of_input_forgets_the_first(digits):
    model = PhotopicClassifier("small-images", settings=TINY, max_epochs=1, random_state=0)
    model.fit(*digits)
    model.set_params(recipe=None, settings=None, max_epochs=None).fit(*load_iris(return_X_y=True))
    assert not hasattr(model, "predictor_")
    assert model.predict(load_iris().data).shape == (150,)
    model.set_params(recipe="small-images", settings=TINY, max_epochs=1).fit(*digits)
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "n_features_in_")


def test_importing_photopic_does_not_import_scikit_learn():
    code = "import sys, photopic; assert 'sklearn' not in sys.modules; photopic.PhotopicClassifier"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
