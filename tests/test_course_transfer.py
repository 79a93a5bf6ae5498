"""C26: the same steps from fewer images, A's layers taken over, A left alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import photopic
from photopic.files import sha256_file
from photopic.inference.predictor import Predictor
from photopic.lab.course import transfer
from photopic.lab.course.catalog import choose
from photopic.lab.course.context import Context
from photopic.training.opening import reopen


def test_fewer_images_get_the_epochs_that_make_as_many_steps() -> None:
    for labelled in (20, 32, 33, 50, 200):
        steps = -(-labelled // 32)
        assert transfer.epochs_for(labelled, 20) * steps == pytest.approx(20 * 7, abs=steps)
    assert transfer.epochs_for(200, 20) == 20
    assert transfer.epochs_for(200, 4) == 4


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([(0.5, 0.4, 0.38), (0.5, 0.4, 0.38)], "its training loss fell by 5.0% in the last epoch"),
        ([(0.5, 0.1, 0.1), (0.5, 0.1, 0.2)], "its training loss has stopped falling"),
    ],
)
def test_only_a_loss_that_falls_is_called_unfinished(losses: list[tuple[float, ...]], words: str) -> None:
    runs: list[Any] = [
        SimpleNamespace(history=lambda of_run=of_run: [{"train_loss": loss} for loss in of_run])
        for of_run in losses
    ]
    assert transfer._still_learning(runs).endswith(words)


@pytest.mark.slow
def test_b_is_built_on_a_clone_of_a(tmp_path: Path, data_dir: Path) -> None:
    context = Context(choose(["C26"])[0], tmp_path, quick=True, data_dir=data_dir)
    outcome = transfer.c26(context)
    rows = {row.name: row for row in outcome.rows}
    assert rows["A's weights after all of B"].measured == "unchanged"
    assert float(rows["accuracy, task A"].measured or 0) > 0.75
    (eight,) = (photopic.open_run(path) for path in (tmp_path / "runs").glob("fashion-eight-*"))
    pairs = [photopic.open_run(path) for path in (tmp_path / "runs").glob("fashion-pair-on-eight-*")]
    assert len(eight.class_names) == 8
    assert not {"sandal", "shirt"} & set(eight.class_names)
    assert all(pair.class_names == ("sandal", "shirt") for pair in pairs)
    assert {pair.manifest.data["counts"]["train"] for pair in pairs} == {50, 200}
    assert len({pair.manifest.split_hashes["train"] for pair in pairs}) == len(pairs)  # other labelled images

    before = sha256_file(eight.path / "weights.safetensors")
    pair = pairs[0]
    shared = transfer.accuracy_with_layers_of(eight, pair)
    assert sha256_file(eight.path / "weights.safetensors") == before
    weights, theirs = eight.load_weights(), pair.load_weights()
    dataset, split_rows = reopen(eight)
    x = np.stack([dataset.image(int(row)) for row in split_rows["test"]]).reshape(8000, 784) / 255
    for number in range(1, 6):  # the network by hand: SELU layers of B, A's output
        x = selu(
            x @ theirs[f"backbone.dense{number}.weight"].numpy().T
            + theirs[f"backbone.dense{number}.bias"].numpy()
        )
    logits = x @ weights["output.weight"].numpy().T + weights["output.bias"].numpy()
    labels = dataset.index.labels[split_rows["test"]]
    assert shared == pytest.approx((logits.argmax(1) == labels).mean(), abs=0.001)
    assert Predictor.load(eight).answer_rows(dataset, split_rows["test"][:10]).logits.shape == (10, 8)


def selu(x: np.ndarray) -> np.ndarray:
    """Klambauer et al. 2017, arXiv:1706.02515, section 2."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
