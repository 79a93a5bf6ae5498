"""Predictions from a run folder: every form of input, every kind of bad file, order, and faithful output."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from photopic.config import FastModel, PreprocessConfig, ScratchRecipe
from photopic.errors import ConfigError, RunError, UserError
from photopic.inference.predictor import Predictor
from photopic.manifest import Manifest
from photopic.models.zoo import build_model
from photopic.run import Run, now

CLASSES = ("blue", "green", "red", "grey")
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "grey": (128, 128, 128)}
RECIPE = ScratchRecipe(
    name="colours",
    preprocess=PreprocessConfig(size=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    model=FastModel(widths=(8,), depth=1, whitening=False),
    test_views="flip",
)


class Colours(torch.nn.Module):
    """The network's stand-in for tests of input: the mean of blue, green, red, and a constant for grey."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red, green, blue = (images.mean((2, 3)) * 0.25 + 0.5).unbind(1)
        return 20 * torch.stack([blue, green, red, torch.full_like(red, 0.55)], 1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", Manifest(created=now(), recipe=RECIPE, class_names=CLASSES))
    torch.manual_seed(1)
    run.save_weights(build_model(RECIPE, len(CLASSES)).state_dict())
    return run


@pytest.fixture
def predictor(run: Run) -> Predictor:
    predictor = Predictor.load(run)
    predictor.model = Colours()
    return predictor


def save(path: Path, colour: str, size: tuple[int, int] = (20, 16), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path, **options)
    return path


def jpeg(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 16), COLOURS[colour]).save(stream, "JPEG")
    return stream.getvalue()


# ---- the run -----------------------------------------------------------------------------------------------


def test_a_run_answers_as_its_network_does(run, tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    image.save(tmp_path / "x.png")
    model = build_model(RECIPE, 4)
    model.load_state_dict(run.load_weights())
    pixels = (torch.tensor(np.asarray(image) / 255.0).permute(2, 0, 1)[None].float() - 0.5) / 0.25
    with torch.no_grad():
        logits = (model.eval()(pixels) + model(pixels.flip(3))) / 2
    expected = softmax(logits.numpy().astype(np.float64), axis=1)
    for given in (run, run.path, str(run.path)):
        predictions = Predictor.load(given).predict(tmp_path / "x.png")
        np.testing.assert_allclose(predictions.probs, expected, rtol=1e-4)
    best = int(expected.argmax())
    assert predictions[0].label == CLASSES[best]
    assert predictions[0].top[0] == (CLASSES[best], pytest.approx(expected.max(), rel=1e-4))


def test_loading_draws_nothing_from_the_callers_generator(run):
    before = torch.get_rng_state()
    Predictor.load(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_altered_missing_or_unfitting_weights_are_refused(run):
    weights = run.path / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match="was altered"):
        Predictor.load(run)
    weights.unlink()
    with pytest.raises(RunError, match="is missing"):
        Predictor.load(run)
    run.save_weights({"head.weight": torch.zeros(3, 3)})
    with pytest.raises(RunError, match="do not fit its recipe"):
        Predictor.load(run)
    with pytest.raises(RunError, match="is not a run folder"):
        Predictor.load(run.path / "nothing")


# ---- forms and order of input ------------------------------------------------------------------------------


def test_files_are_answered_in_the_users_order(predictor, tmp_path):
    files = [save(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue", "green", "grey", "red")]
    predictions = predictor.predict(files)
    assert predictions.labels == ["red", "blue", "green", "grey", "red"]
    assert [item.path for item in predictions] == [str(file) for file in files]
    np.testing.assert_allclose(predictions.probs.sum(axis=1), 1, rtol=1e-6)


def test_order_holds_over_many_chunks_whatever_takes_long(predictor, tmp_path):
    rng = random.Random(0)
    files, truth = [], []
    for number in range(200):
        colour = rng.choice(list(COLOURS))
        size = (900, 700) if number % 37 == 0 else (20, 16)  # a slow one before fast ones
        files.append(save(tmp_path / f"{number}.jpg", colour, size))
        truth.append(colour)
    for number in (3, 64, 65, 199):
        files[number].write_bytes(b"")
        truth[number] = None
    predictions = predictor.predict(files)
    assert predictions.labels == truth
    assert [item.path for item in predictions] == [str(file) for file in files]
    assert np.flatnonzero(np.isnan(predictions.probs).any(axis=1)).tolist() == [3, 64, 65, 199]


def test_folders_are_searched_in_depth_sorted_and_without_hidden_files(predictor, tmp_path):
    folder = tmp_path / "photos"
    for name in ("b/2.png", "b/10.png", "a.png", "c/d/e.PNG", ".hidden/x.png", "b/.y.png"):
        save(folder / name, "red" if "1" in name else "green")
    (folder / "notes.txt").write_text("no picture")
    save(folder / "picture-without-suffix.png", "blue").rename(folder / "picture")
    predictions = predictor.predict(folder)
    names = ["a.png", "b/10.png", "b/2.png", "c/d/e.PNG", "picture"]
    assert [item.path for item in predictions] == [f"{folder}/{name}" for name in names]
    assert predictions.labels == ["green", "red", "green", "green", "blue"]


def test_zips_are_read_in_place_and_members_named(predictor, tmp_path):
    file = tmp_path / "photos.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/red.jpg", jpeg("red"))
        archive.writestr("a/blue.jpg", jpeg("blue"))
        archive.writestr("a/broken.jpg", jpeg("blue")[:100])
        archive.writestr("readme.txt", "no picture")
        archive.writestr("__MACOSX/._red.jpg", "litter")
    predictions = predictor.predict([file, save(tmp_path / "after.png", "green")])
    assert [item.path for item in predictions] == [
        f"{file}/a/blue.jpg",
        f"{file}/a/broken.jpg",
        f"{file}/b/red.jpg",
        str(tmp_path / "after.png"),
    ]
    assert predictions.labels == ["blue", None, "red", "green"]


def test_arrays_and_pillow_images_are_inputs_too(predictor, tmp_path):
    one = np.full((9, 12, 3), COLOURS["red"], np.uint8)
    several = np.stack([np.full((9, 12, 3), COLOURS[colour], np.uint8) for colour in ("green", "blue")])
    image = Image.new("RGB", (30, 10), COLOURS["red"])
    predictions = predictor.predict([one, several, image, save(tmp_path / "x.png", "grey")])
    assert predictions.labels == ["red", "green", "blue", "red", "grey"]
    assert [item.path for item in predictions][:4] == ["array[0]", "array[1]", "array[2]", "image[2]"]
    np.testing.assert_array_equal(predictor.predict(one / 255).probs, predictor.predict(one).probs)
    np.testing.assert_array_equal(predictor.predict(one[None]).probs, predictor.predict(one).probs)


def test_grey_arrays_come_with_two_or_three_axes(predictor):
    grey = np.full((5, 10, 10), 128, np.uint8)
    assert predictor.predict(grey).labels == ["grey"] * 5
    assert predictor.predict(grey[0]).labels == ["grey"]
    assert predictor.predict(grey[..., None]).labels == ["grey"] * 5


def test_transparent_images_show_the_background(predictor):
    clear = np.zeros((10, 10, 4), np.uint8)
    white = np.full((10, 10, 3), 255, np.uint8)
    expected = predictor.predict(white).probs
    np.testing.assert_array_equal(predictor.predict(Image.fromarray(clear)).probs, expected)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 4, 2), np.uint8), "2 channels, expected 1"),
        (np.zeros(4, np.uint8), "expected n×h×w"),
        (np.zeros((0, 4), np.uint8), "expected n×h×w"),
        (np.full((4, 4), 256), "integers from 256"),
        (np.full((4, 4), 200.0), "floats from 200 to 200, expected 0..1"),
        (np.full((4, 4), np.nan), "expected 0..1"),
    ],
)
def test_arrays_that_are_no_images_are_named(predictor, array, words):
    with pytest.raises(UserError, match=words):
        predictor.predict(array)


def test_an_input_of_another_type_is_named(predictor):
    with pytest.raises(UserError, match="input 1 is of type int"):
        predictor.predict([np.zeros((4, 4), np.uint8), 7])


def test_no_input_gives_no_predictions(predictor):
    predictions = predictor.predict([])
    assert len(predictions) == 0
    assert predictions.probs.shape == (0, 4)
    assert predictions.to_csv() == "path,label,prob,error\n"
    images = np.zeros((0, 8, 8, 3), np.uint8)
    assert len(predictor.predict(images)) == 0


# ---- bad input ---------------------------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    """A PNG of that size without pixels."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_unreadable_files_are_listed_in_their_places(predictor, tmp_path):
    good = save(tmp_path / "good.png", "red")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.jpg")
    bad = {
        "zero.jpg": b"",
        "text.jpg": b"this is no picture",
        "short.jpg": (tmp_path / "noise.jpg").read_bytes()[:2000],
        "huge.png": png_header(20_000, 20_000),
        "notes.txt": b"named on purpose, so listed",
    }
    files = [good]
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        files += [tmp_path / name, good]
    predictions = predictor.predict(files)
    assert predictions.labels == ["red"] + [None, "red"] * len(bad)
    assert [item.path for item in predictions.errors] == [str(tmp_path / name) for name in bad]
    reasons = [item.error for item in predictions.errors]
    assert reasons[0] == "the file is empty"
    assert "not an image" in reasons[1]
    assert "cannot be decoded" in reasons[2]
    assert "million" in reasons[3]
    assert np.isnan(predictions.probs[1::2]).all()
    assert not np.isnan(predictions.probs[::2]).any()
    assert repr(predictions) == "Predictions(11 images, 5 unreadable)"


def test_a_path_that_does_not_exist_is_a_users_mistake(predictor, tmp_path):
    good = save(tmp_path / "good.png", "red")
    for missing in (tmp_path / "gone.png", tmp_path / ("x" * 5000), "nul\0byte"):
        with pytest.raises(UserError, match="there is no such file") as caught:
            predictor.predict([good, missing])
        assert caught.value.exit_code == 2
        assert str(missing) in str(caught.value)


def test_folders_and_zips_without_images_are_named(predictor, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("empty", "texts", "empty.zip"):
        with pytest.raises(UserError, match=rf"{name}: there are no images in it"):
            predictor.predict(tmp_path / name)


def test_a_damaged_zip_is_listed_in_its_place(predictor, tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "good.png")
    asked = [tmp_path / "good.png", tmp_path / "broken.zip", tmp_path / "good.png"]
    answers = predictor.predict(asked)
    assert [answer.path for answer in answers] == [str(path) for path in asked]
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert answers[1].error.startswith("cannot be read as a zip file (")


def test_a_file_that_vanishes_is_listed(predictor, tmp_path, monkeypatch):
    from photopic.inference import predictor as module

    files = [save(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue")]
    load_all = module.load_all

    def lose_one_then_load(*arguments):
        files[0].unlink()
        return load_all(*arguments)

    monkeypatch.setattr(module, "load_all", lose_one_then_load)
    predictions = predictor.predict(files)
    assert predictions.labels == [None, "blue"]
    assert predictions[0].error == "the file is gone"


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_loops_pipes_and_dead_links_are_listed_and_block_nothing(predictor, tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a" / "x.png", "red")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "dead.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    save(folder / "z.png", "blue")
    predictions = predictor.predict(folder)
    assert [(Path(item.path).name, item.label) for item in predictions] == [
        ("loop", None),
        ("x.png", "red"),
        ("dead.png", None),
        ("pipe.png", None),
        ("z.png", "blue"),
    ]
    assert predictor.predict(folder / "pipe.png").errors
    assert predictor.predict(folder / "dead.png")[0].error == "the file is gone"


def test_all_kinds_of_images_come_out_upright_and_in_colour(predictor, tmp_path):
    red = Image.new("RGB", (24, 16), COLOURS["red"])
    red.convert("CMYK").save(tmp_path / "cmyk.jpg")
    red.quantize(4).save(tmp_path / "palette.png")
    Image.fromarray(np.full((16, 24), 128 * 257, np.uint16)).save(tmp_path / "grey16.png")
    red.save(
        tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (24, 16), COLOURS["blue"])]
    )
    Image.new("RGBA", (24, 16), (*COLOURS["red"], 255)).save(tmp_path / "alpha.png")
    red.resize((1, 1)).save(tmp_path / "one.png")
    names = ["cmyk.jpg", "palette.png", "grey16.png", "moving.gif", "alpha.png", "one.png"]
    predictions = predictor.predict([tmp_path / name for name in names])
    assert predictions.labels == ["red", "red", "grey", "red", "red", "red"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_photos_are_upright(run, tmp_path, orientation):
    rng = np.random.default_rng(0)
    upright = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    stored = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    turned = upright
    for step in stored:
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "turned.png", exif=exif)
    predictor = Predictor.load(run)
    predictor.test_views = "none"
    expected = predictor.predict(upright).probs
    np.testing.assert_allclose(predictor.predict(tmp_path / "turned.png").probs, expected, rtol=1e-5)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_allclose(predictor.predict(opened).probs, expected, rtol=1e-5)


# ---- output ------------------------------------------------------------------------------------------------


def test_top_k_lists_the_most_probable_first(predictor, tmp_path):
    file = save(tmp_path / "red.png", "red")
    probs = predictor.predict(file).probs[0]
    for top_k in (1, 3, 4, 99):
        top = predictor.predict(file, top_k=top_k)[0].top
        order = sorted(range(4), key=lambda number: -probs[number])[:top_k]
        assert [name for name, _ in top] == [CLASSES[number] for number in order]
        assert [prob for _, prob in top] == pytest.approx([probs[number] for number in order])
    with pytest.raises(ConfigError, match="top_k=0 must be at least 1"):
        predictor.predict(file, top_k=0)


def test_csv_and_json_keep_awkward_names_faithfully(predictor, tmp_path):
    names = ["=1+1.png", "+x.png", "-y.png", "@z.png", "comma, quote ' and ü 猫.png", "l" * 200 + ".png"]
    if sys.platform != "win32":
        names += ['say "hi".png', "two\nlines.png"]
    files = [save(tmp_path / name, "red") for name in names]
    (tmp_path / "bad.png").write_bytes(b"")
    predictions = predictor.predict([*files, tmp_path / "bad.png"], top_k=2)
    rows = list(csv.DictReader(io.StringIO(predictions.to_csv(), newline="")))
    assert list(rows[0]) == ["path", "label", "prob", "label_2", "prob_2", "error"]
    assert [row["path"] for row in rows] == [str(file) for file in [*files, tmp_path / "bad.png"]]
    assert [row["label"] for row in rows] == ["red"] * len(files) + [""]
    assert float(rows[0]["prob"]) == pytest.approx(predictions[0].top[0][1], abs=1e-6)
    assert rows[-1]["error"] == "the file is empty"
    again = json.loads(json.dumps(predictions.to_json(), allow_nan=False))
    assert [entry["path"] for entry in again] == [row["path"] for row in rows]
    assert again[0]["top"][0] == {"class": "red", "prob": predictions[0].top[0][1]}
    assert again[-1] == {
        "path": str(tmp_path / "bad.png"),
        "label": None,
        "top": [],
        "error": "the file is empty",
    }


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs file names that are no UTF-8")
def test_file_names_that_are_no_unicode_can_be_written(predictor, tmp_path):
    file = save(tmp_path / "x.png", "red").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    predictions = predictor.predict(file)
    assert predictions.labels == ["red"]
    predictions.to_csv().encode("utf-8")
    assert predictions.to_json()[0]["path"].endswith("\\xff.png")


def test_progress_is_told(predictor, tmp_path):
    calls = []
    predictor.predict(np.zeros((70, 4, 4, 3), np.uint8), progress=lambda *call: calls.append(call))
    assert calls == [(64, 70, "predicting"), (70, 70, "predicting")]


def test_predictions_are_a_sequence(predictor):
    predictions = predictor.predict(np.zeros((3, 4, 4, 3), np.uint8))
    assert len(predictions) == 3
    assert [item.path for item in predictions[1:]] == ["array[1]", "array[2]"]
    assert predictions[-1] in predictions


# ---- after a real training --------------------------------------------------------------------------------


def test_a_trained_run_answers_its_test_images_as_it_was_scored(tmp_path):
    import photopic

    rng = np.random.default_rng(0)
    for number in range(120):
        colour = ("red", "green", "blue")[number % 3]
        pixels = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 60, (12, 10, 3)), 0, 255).astype(np.uint8)
        path = tmp_path / "data" / colour / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    settings = {
        "preprocess.size": 8,
        "model.widths": (8, 16),
        "model.depth": 1,
        "batch_size": 20,
        "total_epochs": 4,
        "test_views": "flip+shift",
    }
    trained = photopic.train(
        tmp_path / "data", recipe="small-images", settings=settings, out=tmp_path / "out"
    )
    stored, rows = trained.load_predictions("test"), trained.load_splits()
    files = [tmp_path / "data" / rows[row].path for row in stored.index]
    predictions = Predictor.load(tmp_path / "out").predict(files)
    # the network is rewritten for inference, so sums come in another order
    np.testing.assert_allclose(predictions.probs, softmax(stored.logits, axis=1), atol=1e-5)
    assert predictions.labels == [trained.class_names[row] for row in stored.logits.argmax(axis=1)]
