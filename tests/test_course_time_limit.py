"""Experiments cut to a time: where the result stands, who takes a limit, what becomes of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from photopic.cli import run as photopic
from photopic.errors import ConfigError
from photopic.lab.course import page, runner
from photopic.lab.course.catalog import choose, experiments
from photopic.lab.course.context import Context
from photopic.lab.course.store import Result, load_results, save_result


def result(**changes: object) -> Result:
    values: dict[str, object] = {
        "id": "C16",
        "title": "t",
        "quick": False,
        "seed": 0,
        "date": "2026-01-01",
        "seconds": 1,
        "outcome": {"rows": [], "sentences": ["s"]},
    }
    return Result.model_validate(values | changes)


def test_full_results_come_before_shortened_and_shortened_before_quick(tmp_path: Path) -> None:
    kinds = [result(quick=True), result(time_limit_s=60), result()]
    for each, folder in zip(kinds, ("C16/quick", "C16/shortened", "C16"), strict=True):
        save_result(each, "page", {}, tmp_path)
        assert (tmp_path / folder / "outcome.json").is_file()
        assert load_results(tmp_path)["C16"] == each
    assert [each.mode for each in kinds] == ["quick", "shortened", "full"]
    assert "shortened run of 2026-01-01" in page.provenance(kinds[1])


def test_a_page_ends_with_the_command_that_made_it() -> None:
    assert page.command(result()) == "photopic course run C16"
    assert (
        page.command(result(time_limit_s=300, seed=3)) == "photopic course run C16 --time-limit 5m --seed 3"
    )
    assert page.command(result(quick=True)) == "photopic course run C16 --quick"
    text = page.markdown_body(result(time_limit_s=300, machine={"device": "cpu", "threads": 1}))
    assert text.splitlines()[-1].startswith("*`photopic course run C16 --time-limit 5m`: shortened run of")
    assert "cpu, 1 thread, photopic" in text


def test_a_result_in_bfloat16_says_so() -> None:
    machine = {"device": "cpu", "threads": 2, "precision": "bfloat16"}
    made = result(time_limit_s=300, machine=machine)
    assert page.command(made) == "photopic course run C16 --time-limit 5m --precision bfloat16"
    assert "2 threads in bfloat16, photopic" in page.provenance(made)
    assert page.command(result(machine=machine | {"device": "cuda:0"})) == "photopic course run C16"


def test_a_precision_is_refused_where_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    batch = runner.run(["C31"], out=tmp_path, device="cpu", precision="bfloat16")
    assert "no effect on C31, which trains nothing" in str(batch.failures["C31"])


def test_a_precision_reaches_the_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    data = (images, np.arange(60) % 2)
    settings = {"preprocess.size": 8, "preprocess.channels": 1, "total_epochs": 1}
    runs = [
        Context(choose(["C16"])[0], tmp_path, device="cpu", precision=precision).train(
            "digits", data, settings=settings
        )
        for precision in ("auto", "bfloat16")
    ]
    assert [run.manifest.machine["precision"] for run in runs] == ["float32", "bfloat16"]
    assert runs[0].path != runs[1].path


def test_a_limit_is_refused_where_it_has_no_effect() -> None:
    with pytest.raises(ConfigError, match=r"no effect on C31. It has one on C16, C17"):
        runner.run(["C31"], time_limit="10m")
    with pytest.raises(ConfigError, match="exclude each other"):
        runner.run(["C16"], time_limit=60, quick=True)
    with pytest.raises(ConfigError, match="is not a time above 0"):
        runner.run(["C16"], time_limit="soon")


def test_the_command_takes_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert photopic(["course", "run", "C31", "--time-limit", "10m"]) == 2
    assert "no effect on C31" in capsys.readouterr().err


def test_the_experiments_of_days_take_a_limit() -> None:
    of_days = [item.id for item in experiments() if item.group == "cifar10"]
    assert [item.id for item in experiments() if item.shortens] == [*of_days, "C41"]
