from __future__ import annotations

import errno
import hashlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photopic import files
from photopic.errors import UserError


def test_write_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "a much longer first text")
    files.write_text(path, "short")
    assert path.read_text() == "short"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot write"), (errno.EIO, "cannot write")],
)
def test_a_failed_write_keeps_the_old_content_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=words) as caught:
        files.write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_json_with_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})


def test_sha256_is_that_of_hashlib(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"photopic" * 100_000)
    assert files.sha256_file(tmp_path / "x") == hashlib.sha256(b"photopic" * 100_000).hexdigest()


def test_cache_dir_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOPIC_CACHE", str(tmp_path / "here"))
    assert files.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("PHOTOPIC_CACHE")
    assert files.cache_dir().name == "photopic"


def test_a_held_lock_is_an_error_after_the_timeout(tmp_path: Path) -> None:
    with (
        files.lock(tmp_path / "lock"),
        pytest.raises(UserError, match="another photopic"),
        files.lock(tmp_path / "lock", timeout_s=0.1),
    ):
        pytest.fail("the lock was given twice")
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot tell whether a process has ended")
def test_the_lock_of_a_dead_process_is_broken(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (tmp_path / "lock").write_text(f"{dead.stdout.decode().strip()} {platform.node()}")
    assert not files.lock_is_held(tmp_path / "lock")
    with files.lock(tmp_path / "lock", timeout_s=0.5):
        assert (tmp_path / "lock").read_text().split()[0] == str(os.getpid())
        assert files.lock_is_held(tmp_path / "lock")


def test_a_lock_of_another_machine_is_held_for_a_day(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1 another-machine")
    assert files.lock_is_held(tmp_path / "lock")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / "lock", (two_days_ago, two_days_ago))
    assert not files.lock_is_held(tmp_path / "lock")
    (tmp_path / "own").write_text(f"{os.getpid()} {platform.node()}")
    os.utime(tmp_path / "own", (two_days_ago, two_days_ago))
    assert files.lock_is_held(tmp_path / "own") == (os.name != "nt")  # a long training keeps its lock


def test_a_folder_that_cannot_be_written_is_no_held_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="cannot write"), files.lock(tmp_path / "lock", timeout_s=60):
        pytest.fail("the lock was given")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_line_that_does_not_fit_names_the_file() -> None:
    with pytest.raises(UserError, match="/dev/full: the disk is full"):
        files.append_line(Path("/dev/full"), "a line")


def test_a_lock_that_a_full_disk_cut_short_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "getpid", full)
    with pytest.raises(UserError, match="disk is full"), files.lock(tmp_path / "lock"):
        pytest.fail("the lock was given")
    assert not (tmp_path / "lock").exists()


def test_a_lock_below_a_file_is_no_held_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), files.lock(tmp_path / "file" / "lock", timeout_s=60):
        pytest.fail("the lock was given")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_written_files_are_as_open_to_others_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
