"""The commands as a user types them: what they print, their exit codes, and no traceback ever."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photopic import files
from photopic.cli import run
from photopic.cli.output import names_in
from photopic.files import lock

SMALL = [
    "--recipe=small-images",
    "--set=preprocess.size=16",
    "--set=model.widths=[8,16]",
    "--set=total_epochs=2",
    "--set=batch_size=32",
]


def make_folder(place: Path, seed: int = 0) -> Path:
    """Two classes of 30 small images: dark and bright."""
    random = np.random.default_rng(seed)
    for label, level in (("dark", 60), ("bright", 190)):
        (place / label).mkdir(parents=True)
        for number in range(30):
            pixels = random.normal(level, 30, (20, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / label / f"{number}.png")
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on such a folder, made once; tests get copies."""
    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOPIC_CACHE", str(place / "cache"))
        data = make_folder(place / "data")
        assert run(["train", str(data), *SMALL, "--out", str(place / "run"), "--json"]) == 0
    return place / "run"


@pytest.fixture
def trained(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run of this test's own."""
    shutil.copytree(finished, tmp_path / "run")
    capsys.readouterr()
    return tmp_path / "run"


def test_train_says_what_it_found_chose_and_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "dark" / "broken.png").write_bytes(b"")
    assert run(["train", str(folder), *SMALL, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    for words in ("60 images in 2 classes", "broken.png", "split: 4", "estimate", "epoch   2"):
        assert words in printed.err
    assert "accuracy" in printed.out
    assert str(tmp_path / "run") in printed.out.replace("\n", "")


def test_json_is_one_document_and_nothing_else(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(folder), *SMALL, "--out", str(tmp_path / "run"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["status"] == "complete"
    assert printed.err == ""


def test_every_reading_command_speaks_json(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(next(folder.rglob("*.png")))
    documents: dict[str, Any] = {}
    for command in (
        ["data", "show", str(folder)],
        ["evaluate", str(trained)],
        ["predict", str(trained), image],
        ["runs", str(trained.parent)],
        ["recipes"],
        ["recipes", "small-images"],
        ["recipes", "list"],
    ):
        assert run([*command, "--json"]) == 0
        documents[" ".join(command[:2])] = json.loads(capsys.readouterr().out)
    assert documents["data show"]["images"] == 60
    assert documents[f"predict {trained}"][0]["path"] == image
    assert documents["recipes list"] == documents["recipes"]
    assert documents[f"runs {trained.parent}"][0]["path"] == str(trained)


def test_predict_keeps_the_order_and_lists_the_unreadable(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a photo")
    paths = [str(folder / "dark" / "3.png"), str(broken), str(folder / "bright" / "1.png")]
    assert run(["predict", str(trained), *paths, "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", *paths]
    assert lines[2].split(",")[1] == ""
    assert lines[2].split(",")[-1]
    assert run(["predict", str(trained), *paths]) == 0
    assert "1 of 3 files could not be read" in capsys.readouterr().out


def test_predict_of_unreadable_files_alone_fails(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_text("not a photo")
    assert run(["predict", str(trained), str(tmp_path / "broken.jpg"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["error"]


def test_data_show_draws_a_sheet(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", str(folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 100
    assert "RGB 60" in capsys.readouterr().out


def test_data_show_says_how_to_go_on_with_these_very_images(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "dark" / "empty.png").write_bytes(b"")
    assert run(["data", "show", str(folder), "--group-pattern", "([0-9])[.]png$"]) == 0
    shown = capsys.readouterr().out
    assert "left out: 1 file that cannot be used" in shown
    assert f"photopic train {folder} --group-pattern '([0-9])[.]png$'" in shown


def test_evaluate_lists_what_it_left_out_and_says_where_the_roc_is(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = make_folder(tmp_path / "new", seed=1)
    (new / "dark" / "empty.png").write_bytes(b"")
    assert run(["evaluate", str(trained), str(new)]) == 0
    shown = capsys.readouterr().out
    assert "left out: 1 file that cannot be used" in shown
    assert "dark/empty.png: " in shown
    assert run(["evaluate", str(trained), "--roc", str(tmp_path / "roc.png")]) == 0
    assert f"drawn: {tmp_path / 'roc.png'}" in capsys.readouterr().out
    assert (tmp_path / "roc.png").stat().st_size > 1000


def test_looking_at_data_fetches_it_on_the_users_word_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import photopic

    def refuse(name: str, *arguments: Any) -> None:
        raise photopic.OfflineError(f"{name} was asked for")

    monkeypatch.delenv("PHOTOPIC_DATA", raising=False)
    monkeypatch.setattr("photopic.data.downloads.download_catalog", refuse)
    with pytest.raises(photopic.OfflineError, match="not on this machine"):
        photopic.open_dataset("mnist")
    with pytest.raises(photopic.OfflineError, match="mnist was asked for"):
        photopic.open_dataset("mnist", allow_download=True)
    assert run(["data", "show", "mnist", "--allow-download"]) == 2
    assert "mnist was asked for" in capsys.readouterr().err


def test_split_takes_the_options_of_train(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import photopic

    options = {"split_seed": 3, "val_fraction": 0.2, "test_fraction": 0.1, "train_images": 10}
    rows = photopic.split(folder, classes=("dark", "bright"), **options)
    assert [sum(row.split == name for row in rows) for name in ("train", "val", "test")] == [10, 12, 6]
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert run(["data", "split", str(folder), "--classes=dark,bright", *given]) == 0
    printed = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [tuple(cells) for cells in printed] == [
        (row.path, row.label, row.split, row.group) for row in rows
    ]


def test_data_split_is_a_manifest_that_train_takes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = folder / "split.csv"
    assert run(["data", "split", str(folder), "--out", str(manifest)]) == 0
    out = tmp_path / "run"
    assert run(["train", str(manifest), *SMALL, "--out", str(out), "--json"]) == 0
    rows = {line.split(",")[0]: line.split(",")[2] for line in manifest.read_text().splitlines()[1:]}
    from photopic import open_run

    assert {row.path: row.split for row in open_run(out).load_splits()} == rows


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "{tmp}/nowhere"], "nowhere"),
        (["train", "{tmp}/empty"], "empty"),
        (["train", "{data}", "--recipe", "small-image"], 'Did you mean "small-images"'),
        (["train", "{data}", "--set", "total_epoch=3", *SMALL], 'Did you mean "total_epochs"'),
        (["train", "{data}", "--set", "total_epochs"], "key=value"),
        (["train", "{data}", "--time-limit", "soon"], "soon"),
        (["train", "{data}", "--device", "gpu"], "gpu"),
        (["train", "{data}", "--seed", "x"], "x"),
        (["train", "{data}", "--val-fraction", "0.9"], "val_fraction"),
        (["train", "{data}", "--group-pattern", "("], "("),
        (["train", "{data}", "--out", "{data}"], "not empty"),
        (["train", "{data}", "--weights", "x.pth", *SMALL], "trains from scratch"),
        (["runs", "{tmp}/nowhere"], "no such folder"),
        (["train", "{data}", "--recip", "x"], "--recip"),
        (["trian", "{data}"], "trian"),
        (["resume", "{tmp}/nowhere"], "nowhere"),
        (["evaluate", "{tmp}/nowhere"], "nowhere"),
        (["predict", "{tmp}/nowhere", "{data}"], "nowhere"),
        (["predict", "{run}", "{tmp}/absent.jpg"], "absent.jpg"),
        (["predict", "{run}", "{data}", "--json", "--csv"], "exclude each other"),
        (["predict", "{run}", "{data}", "--top-k", "0"], "top_k"),
        (["resume", "{run}"], "nothing to resume"),
        (["recipes", "unknown"], "unknown"),
        (["models", "resnett18"], 'Did you mean "resnet18"'),
    ],
)
def test_a_mistake_is_one_message_with_exit_code_2(
    command: list[str],
    words: str,
    folder: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [part.format(tmp=tmp_path, data=folder, run=trained) for part in command]
    assert run(filled) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "option", [["--recipe", "no-such"], ["--recipe=small-images", "--set=total_epoch=3"], ["--out", "{data}"]]
)
def test_a_mistake_is_found_before_the_images_are_read(
    option: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(folder), *[part.format(data=folder) for part in option]]) == 2
    assert "images" not in capsys.readouterr().err.splitlines()[0].split("photopic:")[0]


def test_a_mistake_found_before_the_first_step_leaves_no_run(folder: Path, tmp_path: Path) -> None:
    options = ["--recipe", "photos-frozen", "--weights", "absent.pth", "--out", str(tmp_path / "run")]
    assert run(["train", str(folder), *options]) == 2
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_with_a_message_and_the_way_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_file = files._new_file

    def full(path: Path) -> tuple[int, str]:
        if path.name == "weights.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return new_file(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_new_file", full)
        assert run(["train", str(folder), *SMALL, "--out", str(tmp_path / "a run")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'a run' / 'weights.safetensors'}: the disk is full" in said
    assert f"`photopic resume '{tmp_path / 'a run'}'` goes on" in said
    assert run(["resume", str(tmp_path / "a run")]) == 0


def test_too_little_memory_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def take_a_petabyte(*arguments: Any, **options: Any) -> None:
        import torch

        torch.empty(2**50, dtype=torch.uint8)

    monkeypatch.setattr("photopic.api.train", take_a_petabyte)
    assert run(["train", "digits"]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_other_runtime_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("photopic.api.train", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        run(["train", "digits"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat, dog ,", ("cat", "dog")),
        ('"salt, pepper",cat', ("salt, pepper", "cat")),
        ('" cat" , dog', (" cat", "dog")),
        ('"the ""best""",5" screen', ('the "best"', '5" screen')),
        ("", ()),
        (None, None),
    ],
)
def test_every_class_can_be_named(text: str | None, names: tuple[str, ...] | None) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize("command", [["data", "show"], ["predict"]])
def test_every_name_can_be_printed(command: list[str], trained: Path, tmp_path: Path) -> None:
    """Into a pipe whose encoding is the system's, as on Windows, and with names that are no text."""
    data = make_folder(tmp_path / "猫")
    (data / "dark").rename(data / "Größe 猫")
    strange = os.fsdecode(os.fsencode(str(data)) + b"/\xff.png")
    try:
        shutil.copy(data / "bright" / "1.png", strange)
    except OSError:
        strange = str(data / "bright" / "1.png")  # a file system whose names are always text
    arguments = [str(trained), strange, str(data)] if command == ["predict"] else [str(data)]
    program = "import sys; from photopic.cli import main; sys.stdout.reconfigure(encoding='cp1252'); main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command, *arguments], capture_output=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "猫" in done.stdout.decode("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="no pipes to head, and no device that is always full")
@pytest.mark.parametrize(
    ("command", "end", "code", "words"),
    [
        ("['recipes', '--json']", "| head -n 1", 0, ""),
        ("['models']", "| head -n 1", 0, ""),
        ("['recipes', '--json']", "> /dev/full", 1, "No space left on device"),
        ("['recipes']", "> /dev/full", 1, "No space left on device"),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(command: str, end: str, code: int, words: str) -> None:
    program = f"import sys; from photopic.cli import main; main({command})"
    line = f'"{sys.executable}" -c "{program}" {end}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_run_that_does_not_say_what_it_was_trained_on_is_listed_and_not_resumed(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((trained / "run.json").read_text("utf-8"))
    changed = document | {"data": {}, "options": {}, "status": "interrupted"}
    (trained / "run.json").write_text(json.dumps(changed), "utf-8")
    assert run(["runs", str(trained.parent)]) == 0
    assert run(["resume", str(trained)]) == 2
    assert "does not say what it was trained on" in capsys.readouterr().err


def test_runs_fit_a_narrow_terminal(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["runs", str(trained.parent)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" run ")][1:]
    assert line.split()[1:4] == ["data", "small-images", "complete"]


def test_runs_show_the_accuracy_that_chooses_beside_that_which_reports(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((trained / "run.json").read_text("utf-8"))["results"]
    for split, value in (("val", 0.75), ("test", 0.625)):
        assert results[split]["measured"][0]["name"] == "accuracy"
        results[split]["measured"][0]["value"] = value
    document = json.loads((trained / "run.json").read_text("utf-8")) | {"results": results}
    (trained / "run.json").write_text(json.dumps(document), "utf-8")
    assert run(["runs", str(trained.parent)]) == 0
    header, line = [row for row in capsys.readouterr().out.splitlines() if row.startswith(" run ")]
    assert header.split()[-2:] == ["val", "test"]
    assert line.split()[-2:] == ["0.7500", "0.6250"]


@pytest.mark.parametrize("command", [["models", "list", "mobilenetv4"], ["models", "mobilenetv4"]])
def test_a_pipe_gets_whole_names(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run(command) == 0
    assert "mobilenetv4_hybrid_large_075 " in capsys.readouterr().out


def test_a_split_written_elsewhere_finds_its_images(folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "tables" / "split.csv"
    assert run(["data", "split", str(folder), "--out", str(manifest)]) == 0
    assert manifest.read_text().splitlines()[1].startswith("../data/")
    assert run(["data", "show", str(manifest), "--strict"]) == 0


def test_data_that_moved_is_said_with_the_option_that_helps(
    folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((trained / "run.json").read_text("utf-8"))
    document["options"]["data"] = str(folder / "elsewhere")
    (trained / "run.json").write_text(json.dumps(document | {"status": "interrupted"}), "utf-8")
    assert run(["resume", str(trained)]) == 2
    assert "--data PATH" in capsys.readouterr().err


def test_snapshots_can_be_asked_about_data_that_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from photopic import RunError

    def found(*arguments: Any, data: str | None, snapshots: bool, **options: Any) -> None:
        raise RunError(f"data={data}, snapshots={snapshots}")

    assert run(["ensemble", "--train", "digits", "--data", "x"]) == 2
    assert "leave out RUN…, --snapshots and --data" in capsys.readouterr().err
    monkeypatch.setattr("photopic.api.ensemble", found)
    assert run(["ensemble", str(tmp_path), "--snapshots", "--data", "elsewhere"]) == 2
    assert "data=elsewhere, snapshots=True" in capsys.readouterr().err


def test_an_altered_run_is_refused(trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = trained / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    assert run(["predict", str(trained), str(folder)]) == 2
    assert "altered" in capsys.readouterr().err


def test_a_read_only_run_still_predicts_but_does_not_hide_a_look(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("photopic.files._new_file", refuse)
    assert run(["predict", str(trained), str(next(folder.rglob("*.png")))]) == 0
    assert run(["evaluate", str(trained)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(trained), str(folder)]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_help_answers_without_the_heavy_libraries() -> None:
    program = "import sys; from photopic.cli import run; run(['--help']); print(sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "train" in result.stdout
    modules = result.stdout.splitlines()[-1]
    for heavy in ("'torch'", "'timm'", "'scipy'", "'sklearn'", "'numpy'"):
        assert heavy not in modules


def test_runs_tells_a_killed_training_from_one_at_work(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = trained / "run.json"
    manifest.write_text(manifest.read_text().replace('"status": "complete"', '"status": "running"'))
    assert run(["runs", str(trained.parent)]) == 0
    assert "killed" in capsys.readouterr().out
    with lock(trained / ".lock"):
        assert run(["runs", str(trained.parent)]) == 0
    assert "running" in capsys.readouterr().out


@pytest.mark.slow  # about 15 s on two quiet cores
@pytest.mark.timeout(900)
def test_the_demo_trains_scores_and_predicts(tmp_path: Path) -> None:
    program = "from photopic.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "demo"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for data, accuracy in (("digits", 0.95), ("signs", 0.95)):
        document = json.loads((tmp_path / "runs" / f"demo-{data}" / "run.json").read_text("utf-8"))
        assert document["status"] == "complete"
        (measured,) = [row for row in document["results"]["test"]["measured"] if row["name"] == "accuracy"]
        assert measured["value"] > accuracy
        assert f"{data}, test split: {document['data']['counts']['test']} images" in done.stdout
        assert f"{measured['value']:.4f}" in done.stdout
    assert done.stdout.count("is taken for") == 2
    assert "try next:" in done.stdout


def test_ctrl_c_in_the_demo_leaves_a_run_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: Any, record: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("photopic.cli.display.TrainingDisplay._on_epoch", stop)
    assert run(["demo", "--out", str(tmp_path)]) == 130
    assert f"go on with:  photopic resume {tmp_path / 'demo-digits'}" in capsys.readouterr().out
    assert not (tmp_path / "demo-signs").exists()
