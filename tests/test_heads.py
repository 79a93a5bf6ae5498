"""The logistic head against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from photopic.errors import DataError
from photopic.training.heads import fit_head


def _digits(classes: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    keep = labels < classes
    return images[keep].astype(np.float32), labels[keep].astype(np.int64)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("inverse_l2", [0.01, 1.0])
def test_head_agrees_with_scikit_learn(classes: int, inverse_l2: float) -> None:
    features, labels = _digits(classes)
    scaler = StandardScaler().fit(features)
    theirs = LogisticRegression(C=inverse_l2, max_iter=5000, tol=1e-8)
    theirs.fit(scaler.transform(features).astype(np.float64), labels)
    head = fit_head(features, labels, features, labels, classes, inverse_l2=[inverse_l2])
    ours = torch.from_numpy(head.logits(features)).softmax(1).numpy()
    expected = theirs.predict_proba(scaler.transform(features).astype(np.float64))
    np.testing.assert_allclose(ours, expected, atol=2e-4)  # both stop at a finite gradient


def test_head_is_chosen_by_validation_log_loss() -> None:
    features, labels = _digits(10)
    train, val = slice(0, 200), slice(200, 1000)
    candidates = [1e-4, 1e-2, 1.0, 100.0]
    head = fit_head(features[train], labels[train], features[val], labels[val], 10, inverse_l2=candidates)
    losses = []
    for candidate in candidates:
        scaler = StandardScaler().fit(features[train])
        model = LogisticRegression(C=candidate, max_iter=5000)
        model.fit(scaler.transform(features[train]), labels[train])
        probs = model.predict_proba(scaler.transform(features[val]))
        losses.append(-np.log(probs[np.arange(800), labels[val]]).mean())
    np.testing.assert_allclose([trial.val_log_loss for trial in head.trials], losses, rtol=2e-2)
    assert head.inverse_l2 == candidates[int(np.argmin(losses))]


def test_weighted_rows_count_as_repeated_rows() -> None:
    features, labels = _digits(3)
    twice = np.concatenate([features, features])
    halved = fit_head(
        twice, np.concatenate([labels, labels]), features, labels, 3,
        inverse_l2=[0.1], train_weights=np.full(len(twice), 0.5),
    )  # fmt: skip
    plain = fit_head(features, labels, features, labels, 3, inverse_l2=[0.1])
    np.testing.assert_allclose(halved.logits(features), plain.logits(features), atol=1e-3)


def test_unlabelled_rows_change_nothing() -> None:
    features, labels = _digits(3)
    extra = np.concatenate([features, features[:50] + 100])
    unlabelled = np.concatenate([labels, np.full(50, -1)])
    plain = fit_head(features, labels, features, labels, 3, inverse_l2=[1.0])
    with_extra = fit_head(extra, unlabelled, extra, unlabelled, 3, inverse_l2=[1.0])
    np.testing.assert_array_equal(plain.logits(features), with_extra.logits(features))
    assert plain.trials == with_extra.trials


def test_class_without_training_images_is_never_predicted_and_order_is_kept() -> None:
    features, labels = _digits(3)
    shifted = np.where(labels >= 1, labels + 1, 0)  # classes 0, 2, 3 of 5
    head = fit_head(features, shifted, features, shifted, 5, inverse_l2=[1.0])
    logits = head.logits(features)
    assert logits.shape == (len(features), 5)
    assert set(logits.argmax(1)) == {0, 2, 3}
    assert (logits.argmax(1) == shifted).mean() > 0.99
    assert np.isfinite(logits).all()


def test_constant_feature_is_harmless() -> None:
    features, labels = _digits(3)
    constant = np.concatenate([features, np.full((len(features), 1), 7.0, np.float32)], axis=1)
    plain = fit_head(features, labels, features, labels, 3, inverse_l2=[1.0])
    head = fit_head(constant, labels, constant, labels, 3, inverse_l2=[1.0])
    np.testing.assert_allclose(head.logits(constant), plain.logits(features), atol=1e-3)


def test_one_class_is_refused() -> None:
    features, labels = _digits(3)
    with pytest.raises(DataError, match="at least 2 classes, found 1"):
        fit_head(features, labels * 0, features, labels * 0, 3, inverse_l2=[1.0])


def test_several_candidates_need_validation_rows() -> None:
    features, labels = _digits(3)
    none = np.full(len(labels), -1)
    with pytest.raises(ValueError, match="validation rows"):
        fit_head(features, labels, features, none, 3, inverse_l2=[0.1, 1.0])
    assert fit_head(features, labels, features, none, 3, inverse_l2=[0.1]).trials == ()
