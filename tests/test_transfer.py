"""From run A to run B: A's network without its last layer is B's backbone, and A stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import photopic
from photopic.cli import run as command
from photopic.config import BackboneConfig, FineTuneRecipe, ScratchRecipe, parse_recipe
from photopic.data.preprocess import Preprocess
from photopic.errors import ConfigError, ModelError, RunError
from photopic.files import sha256_file
from photopic.models.headless import without_head
from photopic.models.reuse import find_backbone, load_network
from photopic.models.zoo import build_model
from photopic.training.recipes import load_recipe
from photopic.training.transfer import built_on_run

FAMILIES: dict[str, dict[str, Any]] = {
    "fast": {"family": "fast", "widths": [8, 16], "dropout": 0.2},
    "layers": {
        "family": "layers",
        "layers": [
            {"conv": 8, "activation": "relu"},
            {"max-pool": 2},
            "batch-norm",
            "flatten",
            {"dense": 12, "activation": "relu"},
            {"dropout": 0.3},
        ],
    },
    "classic": {"family": "classic", "name": "softmax"},
    "timm": {"family": "timm", "name": "resnet10t"},
}


def stripes(kinds: int, n_per_class: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey 16 px stripes in `kinds` directions, noisy."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    images, labels = [], []
    for label in range(kinds):
        angle = np.pi * label / kinds
        for _ in range(n_per_class):
            phase = (x * np.cos(angle) + y * np.sin(angle)) * random.uniform(0.8, 1.2) + random.uniform(0, 6)
            images.append(np.clip(127 + 80 * np.sin(phase) + random.normal(0, 25, (16, 16)), 0, 255))
            labels.append(f"turn-{label}")
    return np.array(images, np.uint8), np.array(labels)


def recipe_a(model: dict[str, Any], **changes: Any) -> ScratchRecipe:
    values = {
        "way": "scratch",
        "name": "a",
        "preprocess": {"size": 16, "channels": 1, "scaling": "centre-max"},
        "model": model,
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "total_epochs": 2,
        "batch_size": 32,
        **changes,
    }
    recipe = parse_recipe(values)
    assert isinstance(recipe, ScratchRecipe)
    return recipe


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each family on four classes."""
    place = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOPIC_CACHE", str(place / "cache"))
        for name, model in FAMILIES.items():
            photopic.train(stripes(4, 25), recipe=recipe_a(model), out=place / name)
    return {name: place / name for name in FAMILIES}


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


TARGET = stripes(2, 30, seed=1)
FEW = {"total_epochs": 3, "frozen_epochs": 1, "batch_size": 16}


def transfer(weights: Path, out: Path, **changes: Any) -> photopic.Run:
    recipe = changes.pop("recipe", "transfer")
    settings = (FEW if recipe == "transfer" else {}) | changes.pop("settings", {})
    return photopic.train(TARGET, recipe=recipe, weights=weights, settings=settings, out=out, **changes)


# ---- the cut ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("loss", ["cross-entropy", "binary-cross-entropy"])
def test_last_layer_on_the_cut_network_gives_the_logits(family: str, loss: str) -> None:
    recipe = recipe_a(FAMILIES[family], loss={"name": loss})
    torch.manual_seed(0)
    model = build_model(recipe, 2).eval()
    images = torch.randn(3, 1, 16, 16)
    network = getattr(model, "network", model)
    last = network.head if family == "fast" else list(network.modules())[-1]
    if family == "timm":
        last = network.get_classifier()
    assert isinstance(last, torch.nn.Linear)
    with torch.inference_mode():
        wanted = model(images)
        features = without_head(model)(images)
        outputs = last(features) / (features.shape[1] if family == "fast" else 1)
    assert features.shape == (3, last.in_features)
    if loss == "binary-cross-entropy":
        outputs = torch.cat([torch.zeros_like(outputs), outputs], 1)
    torch.testing.assert_close(outputs, wanted)


def test_a_network_that_does_not_end_in_a_linear_layer_is_refused() -> None:
    with pytest.raises(ModelError, match="no last layer"):
        without_head(torch.nn.Flatten())


# ---- whole runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_b_is_built_on_a_clone_and_stands_alone(
    family: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "a"
    shutil.copytree(sources[family], source)
    before, a = hashes(source), photopic.open_run(source)
    b = transfer(source, tmp_path / "b", settings={"unfrozen_rate": 0.5})
    assert hashes(source) == before
    assert b.preprocess == a.preprocess
    assert b.recipe.backbone.network == a.recipe.model
    assert b.manifest.weights_source["sha256"] == a.manifest.files["weights.safetensors"]
    shutil.rmtree(source)
    again = photopic.predict(b.path, TARGET[0])
    stored = b.load_predictions("test")
    np.testing.assert_array_equal(
        [b.class_names.index(str(label)) for label in np.array(again.labels)[stored.index]],
        stored.logits.argmax(1),
    )


def test_frozen_b_has_a_head_on_the_features_of_a(sources: dict[str, Path], tmp_path: Path) -> None:
    b = transfer(sources["layers"], tmp_path / "b", recipe="photos-frozen")
    a = photopic.open_run(sources["layers"])
    ours, theirs = b.load_weights(), a.load_weights()
    for name, tensor in ours.items():
        if name.startswith("backbone."):
            assert torch.equal(tensor, theirs[name.removeprefix("backbone.")])
    assert {name for name in ours if not name.startswith("backbone.")} == {"head.weight", "head.bias"}
    backbone = without_head(load_network(a)).eval()
    stored = b.load_predictions("val")
    pixels = torch.from_numpy(np.stack([TARGET[0][int(b.load_splits()[row].path)] for row in stored.index]))
    with torch.inference_mode():
        features = backbone(Preprocess(a.preprocess).to_float(pixels[..., None]))
        logits = features @ ours["head.weight"].T + ours["head.bias"]
    np.testing.assert_allclose(stored.logits, logits.numpy(), rtol=1e-3, atol=1e-3)


def test_features_of_two_runs_are_not_mixed_up(sources: dict[str, Path], tmp_path: Path) -> None:
    other = photopic.train(
        stripes(4, 25), recipe=recipe_a(FAMILIES["layers"]), seed=1, out=tmp_path / "other"
    )
    first = transfer(sources["layers"], tmp_path / "one", recipe="photos-frozen")
    second = transfer(other.path, tmp_path / "two", recipe="photos-frozen")
    assert not np.allclose(first.load_predictions("val").logits, second.load_predictions("val").logits)


def test_a_chain_of_runs_keeps_the_first_architecture(sources: dict[str, Path], tmp_path: Path) -> None:
    b = transfer(sources["fast"], tmp_path / "b")
    c = transfer(b.path, tmp_path / "c")
    assert c.recipe.backbone.network == b.recipe.backbone.network
    assert c.manifest.weights_source["sha256"] == b.manifest.files["weights.safetensors"]
    ours = find_backbone(c.recipe.backbone).module.state_dict()
    for name, tensor in b.load_weights().items():
        if name.startswith("backbone."):
            assert torch.equal(ours[name.removeprefix("backbone.")], tensor)


def test_a_run_can_be_cut_below_its_last_layer(sources: dict[str, Path], tmp_path: Path) -> None:
    cut = {"backbone.until": "max_pool1"}
    b = transfer(sources["layers"], tmp_path / "b", settings=cut)
    weights = b.load_weights()
    assert weights["head.weight"].shape == (2, 8)  # channels of the only convolution, averaged over places
    assert not any("dense" in name for name in weights)
    again = photopic.predict(b, TARGET[0])
    assert [again[int(b.load_splits()[row].path)].label for row in b.load_predictions("test").index]
    c = transfer(b.path, tmp_path / "c")
    assert c.load_weights().keys() == weights.keys()


def test_recipes_made_for_photos_take_a_run_too(sources: dict[str, Path], tmp_path: Path) -> None:
    settings = {"total_epochs": 1, "batch_size": 16, "backbone.weights": str(sources["fast"])}
    b = photopic.train(TARGET, recipe="photos-finetune", settings=settings, out=tmp_path / "b")
    assert isinstance(b.recipe, FineTuneRecipe)
    assert b.recipe.unfreeze_from == "all"
    assert b.preprocess.size == 16
    named = photopic.train(
        TARGET,
        recipe="photos-finetune",
        settings={**settings, "unfreeze_from": "blocks.1"},
        out=tmp_path / "c",
    )
    theirs = photopic.open_run(sources["fast"]).load_weights()
    for name, tensor in named.load_weights().items():
        if name.startswith("backbone.blocks.0"):
            assert torch.equal(tensor, theirs[name.removeprefix("backbone.")])


# ---- the freeze ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["random", "logistic"])
def test_the_backbone_rests_in_the_frozen_epochs_and_moves_afterwards(
    start: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    theirs = photopic.open_run(sources["layers"]).load_weights()
    settings = {
        "head_start": start,
        "select_by": "last",
        "batch_norm": "train",
        "total_epochs": 4,
        "frozen_epochs": 2,
    }
    seen: list[dict[str, Any]] = []

    def stop_after(epoch: int) -> Any:
        def report(record: dict[str, Any]) -> None:
            seen.append(record)
            if record["event"] == "epoch" and record["epoch"] == epoch:
                raise KeyboardInterrupt

        return report

    frozen = transfer(sources["layers"], tmp_path / "b", settings=settings, report=stop_after(1))
    assert _moved(frozen, theirs) == set()
    whole = transfer(sources["layers"], tmp_path / "c", settings=settings, report=stop_after(9))
    assert {"conv-1.weight", "batch-norm-1.running_mean"} <= _moved(whole, theirs) or len(
        _moved(whole, theirs)
    ) > 5
    rates = {record["epoch"]: record["learning_rate"] for record in seen if record["event"] == "step"}
    assert rates[0] == rates[1] == pytest.approx(0.001)
    assert rates[2] == rates[3] == pytest.approx(0.0001)


def _moved(run: photopic.Run, theirs: dict[str, torch.Tensor]) -> set[str]:
    ours = {name.removeprefix("backbone."): tensor for name, tensor in run.load_weights().items()}
    return {name for name in ours.keys() & theirs.keys() if not torch.equal(ours[name], theirs[name])}


@pytest.mark.parametrize(("family", "stop_at"), [("fast", 0), ("fast", 1), ("layers", 1), ("layers", 2)])
def test_a_stop_before_or_after_the_unfreezing_changes_nothing(
    family: str, stop_at: int, sources: dict[str, Path], tmp_path: Path
) -> None:
    settings = {
        "total_epochs": 4,
        "frozen_epochs": 2,
        "head_start": "random",
        "ema_decay": 0.9,
        "batch_norm": "train",
        "augment.width_shift_range": 0.1,
    }
    whole = transfer(sources[family], tmp_path / "whole", settings=settings, checkpoint_every_s=0.0)

    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["epoch"] == stop_at + 1:
            raise KeyboardInterrupt

    stopped = transfer(
        sources[family], tmp_path / "b", settings=settings, checkpoint_every_s=0.0, report=stop
    )
    assert stopped.manifest.status == "interrupted"
    resumed = photopic.resume(stopped.path, data=TARGET)
    ours, theirs = resumed.load_weights(), whole.load_weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [r["train_loss"] for r in resumed.records() if r["event"] == "epoch"] == [
        r["train_loss"] for r in whole.records() if r["event"] == "epoch"
    ]


@pytest.mark.parametrize(("start", "best"), [("logistic", -1), ("random", 0)])
def test_only_a_fitted_head_is_a_candidate_before_the_first_epoch(
    start: str, best: int, sources: dict[str, Path], tmp_path: Path
) -> None:
    still = {"head_start": start, "optimizer.learning_rate": 1e-30}
    b = transfer(sources["layers"], tmp_path / "b", settings=still)
    assert b.manifest.selected["epoch"] == best


def test_a_stopped_b_does_not_go_on_with_another_a(sources: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(sources["fast"], tmp_path / "a")

    def stop(record: dict[str, Any]) -> None:
        if record["event"] == "epoch":
            raise KeyboardInterrupt

    stopped = transfer(tmp_path / "a", tmp_path / "b", report=stop)
    a = photopic.open_run(tmp_path / "a")
    a.save_weights({name: tensor + 1 for name, tensor in a.load_weights().items()})
    with pytest.raises(RunError, match="not those that this run began with"):
        photopic.resume(stopped.path, data=TARGET)


def test_binary_cross_entropy_has_one_output_on_the_backbone(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    b = transfer(sources["layers"], tmp_path / "b", settings={"loss": "binary-cross-entropy"})
    weights = b.load_weights()
    assert weights["head.weight"].shape == (1, 12)
    assert (b.load_predictions("test").logits[:, 0] == 0).all()
    probs = photopic.predict(b, TARGET[0][:5]).probs
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)


def test_a_logistic_head_says_the_same_with_one_output_as_with_two(sources: dict[str, Path]) -> None:
    from photopic.training.unfreezing import prepare_finetune, set_head

    backbone = find_backbone(
        BackboneConfig(name="run", weights=str(sources["layers"]), network=FAMILIES["layers"])  # type: ignore[arg-type]
    )
    head, images = torch.nn.Linear(12, 2), torch.randn(4, 1, 16, 16)
    probs = []
    for loss in ("cross-entropy", "binary-cross-entropy"):
        recipe = load_recipe("transfer", {"loss": {"name": loss}})
        assert isinstance(recipe, FineTuneRecipe)
        model = prepare_finetune(recipe, backbone, 2).eval()
        set_head(model, head)
        probs.append(model(images).softmax(1))
    torch.testing.assert_close(probs[0], probs[1])


def test_a_time_limit_that_ends_before_the_unfreezing_is_refused(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from photopic.training import probe, time_limit

    monkeypatch.setattr(probe, "seconds_per_image", lambda *_: 0.01)
    monkeypatch.setattr(time_limit, "monotonic", lambda: 0.0)
    settings = {"total_epochs": 20, "frozen_epochs": 5}
    with pytest.raises(ConfigError, match=r"frozen_epochs=5 leaves none of total_epochs=\d "):
        transfer(sources["layers"], tmp_path / "b", settings=settings, time_limit=1.55)


# ---- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"preprocess.channels": 3}, "preprocess.channels=3 contradicts"),
        ({"preprocess.size": 32}, "preprocess.size=32 contradicts .* size=16"),
        ({"preprocess.scaling": "unit"}, "preprocess.scaling=unit contradicts"),
        ({"frozen_epochs": 3}, "frozen_epochs=3 leaves none of total_epochs=3"),
        ({"frozen_epochs": 0, "unfrozen_rate": 0.5}, "no effect with frozen_epochs=0"),
        ({"unfreeze_from": "blocks.7"}, 'no module "blocks.7"'),
    ],
)
def test_what_contradicts_the_run_or_itself_is_refused(
    settings: dict[str, Any], words: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, ModelError), match=words):
        transfer(sources["fast"], tmp_path / "b", settings=settings)
    assert not (tmp_path / "b").exists()


def test_a_recipe_for_runs_with_another_preprocessing_is_refused(sources: dict[str, Path]) -> None:
    values = {"way": "frozen", "name": "x", "backbone": {"name": "run", "weights": str(sources["fast"])}}
    plain = parse_recipe(values)
    assert built_on_run(plain, plain, {}).preprocess.size == 16
    wrong = parse_recipe(values | {"preprocess": {"size": 20}})
    with pytest.raises(ConfigError, match=r"preprocess\.size=20 contradicts"):
        built_on_run(wrong, wrong, {})


def test_a_run_that_is_none_or_not_named_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        transfer(tmp_path, tmp_path / "b")
    with pytest.raises(ConfigError, match="which run"):
        photopic.train(TARGET, recipe="transfer", out=tmp_path / "b")
    assert command(["train", "digits", "--recipe=transfer", "--out", str(tmp_path / "b")]) == 2
    assert "--weights runs/NAME" in capsys.readouterr().err


def test_a_run_whose_weights_were_altered_is_refused(sources: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(sources["fast"], tmp_path / "a")
    with (tmp_path / "a" / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match="was altered"):
        transfer(tmp_path / "a", tmp_path / "b")
