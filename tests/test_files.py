from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def test_a_file_that_is_read_at_the_moment_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refusals = Path.replace, [1, 2]

    def refuse_twice(self: Path, target: Path) -> Path:
        if refusals:
            raise PermissionError(refusals.pop(), "as Windows does")
        return replace(self, target)

    monkeypatch.setattr(files, "_READERS_S", 5.0)
    monkeypatch.setattr(Path, "replace", refuse_twice)
    files.write_text(tmp_path / "file.txt", "new")
    assert (tmp_path / "file.txt").read_text() == "new"


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


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from photopic.files import lock\n"
        "with lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert files.lock_is_held(path)
        with pytest.raises(UserError, match="another photopic"), files.lock(path, timeout_s=0.1):
            pytest.fail("the lock was given twice")
        holder.kill()
        holder.wait()
    assert path.exists()  # the file alone is no lock, however old or young it is
    assert not files.lock_is_held(path)
    with files.lock(path, timeout_s=0):
        assert files.lock_is_held(path)
    assert not path.exists()


def test_a_lock_that_many_want_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")

    def add_some() -> None:
        for _ in range(10):
            with files.lock(tmp_path / "lock", timeout_s=60):
                files.write_text(count, str(int(count.read_text()) + 1))

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(add_some) for _ in range(6)]:
            done.result()
    assert count.read_text() == "60"
    assert not (tmp_path / "lock").exists()


def test_a_lock_whose_file_was_deleted_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = tmp_path / "lock", files._try_lock

    def delete_first(handle: int, *, shared: bool = False) -> bool | None:
        monkeypatch.setattr(files, "_try_lock", taken)
        path.unlink()
        path.touch()  # a third process has made it again
        return taken(handle, shared=shared)

    monkeypatch.setattr(files, "_try_lock", delete_first)
    with files.lock(path, timeout_s=5):
        assert files.lock_is_held(path)


def test_without_locks_of_the_file_system_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_try_lock", lambda handle, shared=False: None)
    with files.lock(tmp_path / "lock", timeout_s=0):
        assert files.lock_is_held(tmp_path / "lock")
    assert not files.lock_is_held(tmp_path / "lock")


def test_a_folder_that_cannot_be_written_is_no_held_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match="cannot write"), files.lock(tmp_path / "lock", timeout_s=60):
        pytest.fail("the lock was given")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_line_that_does_not_fit_names_the_file() -> None:
    with pytest.raises(UserError, match="/dev/full: the disk is full"):
        files.append_line(Path("/dev/full"), "a line")


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


ADD_LINES = """
import sys
from pathlib import Path
from photopic.errors import UserError
from photopic.files import append_line
added = 0
try:
    while True:
        append_line(Path(sys.argv[1]), "x" * 999)
        added += 1
except UserError as error:
    print(added, error)
"""


def test_a_line_that_does_not_fit_leaves_no_part_of_itself(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits of file sizes")
    path = tmp_path / "records"
    done = subprocess.run(
        [sys.executable, "-c", ADD_LINES, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4500, 4500)),
    )
    assert done.stdout.startswith(f"4 {path}: cannot write")
    assert path.read_text() == 4 * ("x" * 999 + "\n")


def test_a_line_for_which_a_real_disk_has_no_room_leaves_no_part_of_itself(tmp_path: Path) -> None:
    commands = 'mount -t tmpfs -o size=64k none "$1" && "$2" -c "$3" "$1/records" && cat "$1/records"'
    arguments = ["unshare", "--map-root-user", "--mount", "sh", "-c", commands, "sh"]
    try:
        done = subprocess.run(
            [*arguments, str(tmp_path), sys.executable, ADD_LINES],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk may be mounted here ({error})")
    first, *lines = done.stdout.splitlines()
    assert f"{tmp_path / 'records'}: the disk is full" in first
    assert lines == int(first.split()[0]) * ["x" * 999]
