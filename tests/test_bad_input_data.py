"""Bad input: each kind gives a clear error, or is left out, counted and listed; with strict, an error."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photopic.data import source as source_module
from photopic.data.dataset import DataSet, open_dataset
from photopic.data.decode import ImageError
from photopic.data.split import split_dataset
from photopic.errors import DataError, UserError


def encoded(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (9, 7)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Five good images of each of two classes."""
    for number in range(10):
        file = tmp_path / "pets" / ("cat" if number < 5 else "dog") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(number))
    return tmp_path / "pets"


def assert_left_out(pets: Path, path: str, reason: str, good: int = 10) -> DataSet:
    """The file is listed with the reason, the good images are used, and strict refuses."""
    dataset = open_dataset(pets)
    assert [(row.path, bool(re.search(reason, row.reason))) for row in dataset.excluded] == [(path, True)]
    assert len(dataset.usable) == good
    with pytest.raises(DataError, match=re.escape(path)) as caught:
        open_dataset(pets, strict=True)
    assert "1 file cannot be used" in str(caught.value)
    assert re.search(reason, str(caught.value))
    return dataset


# ---- the whole data set ---------------------------------------------------------------------------------


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images found: it is empty"):
        open_dataset(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="it is empty"):
        open_dataset(tmp_path)


def test_an_empty_or_broken_zip_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    with pytest.raises(DataError, match=r"a\.zip: no images found: it is empty"):
        open_dataset(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match=r"b\.zip: cannot be read as a zip file"):
        open_dataset(tmp_path / "b.zip")


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="1 file: not an image"):
        open_dataset(tmp_path)


def test_images_without_class_folders_are_an_error_that_shows_the_form(pets: Path) -> None:
    with pytest.raises(
        DataError, match=r"not in class folders. Expected one folder per class, as in cat/cat/1.jpg"
    ):
        open_dataset(pets / "cat")


def test_a_missing_path_is_an_error_that_names_the_nearest_catalog_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'Did you mean "mnist"\?'):
        open_dataset("mnistt")
    with pytest.raises(DataError, match="there is no such file or folder"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "a.json").write_text("hello")
    with pytest.raises(DataError, match=r"a\.json: is no data set. Give a folder .* \(\.csv, \.jsonl\)"):
        open_dataset(tmp_path / "a.json")


def test_one_class_can_be_opened_but_not_split(pets: Path) -> None:
    for file in (pets / "dog").iterdir():
        file.unlink()
    dataset = open_dataset(pets)
    assert dataset.counts() == {"cat": 5}
    with pytest.raises(DataError, match='at least two classes; found "cat"'):
        split_dataset(dataset)


def test_a_class_with_one_image_cannot_be_split(pets: Path) -> None:
    (pets / "fox").mkdir()
    (pets / "fox" / "1.png").write_bytes(encoded(77))
    dataset = open_dataset(pets)
    assert dataset.counts() == {"cat": 5, "dog": 5, "fox": 1}
    with pytest.raises(DataError, match=r'"fox" \(1\); each class needs at least 3'):
        split_dataset(dataset)


def test_a_class_without_any_usable_image_is_named(pets: Path) -> None:
    (pets / "fox").mkdir()
    (pets / "fox" / "1.png").write_bytes(b"")
    dataset = open_dataset(pets)
    assert dataset.counts()["fox"] == 0
    with pytest.raises(DataError, match=r'"fox" \(0\)'):
        split_dataset(dataset)


def test_labels_that_differ_only_in_case_are_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:  # not every file system can hold both
        for name in ("Cat", "cat", "dog"):
            archive.writestr(f"{name}/1.png", encoded())
    with pytest.raises(DataError, match='"Cat" and "cat" differ only in upper and lower case'):
        open_dataset(tmp_path / "a.zip")


# ---- single files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zero.jpg", b"", "the file is empty"),
        ("text.jpg", b"I am a text, named like a photo.\n", "not an image in a format that photopic reads"),
        ("cut.jpg", encoded(1, "JPEG", (200, 200))[:9000], "cannot be decoded .*truncated"),
        ("cut.png", encoded(1, "PNG", (200, 200))[:9000], "cannot be decoded .*[Tt]runcated"),
        ("cut.bmp", encoded(1, "BMP", (200, 200))[:9000], "cannot be decoded .*truncated"),
        ("phone.heic", b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "photopic reads .JPEG, PNG, GIF"),
        ("head.jpg", b"\xff\xd8\xff\xe0\x00", "damaged|decoded"),
    ],
)
def test_unreadable_files_are_left_out(pets: Path, name: str, content: bytes, reason: str) -> None:
    (pets / "cat" / name).write_bytes(content)
    assert_left_out(pets, f"cat/{name}", reason)


def test_a_header_of_20000_by_20000_pixels_is_left_out_undecoded(pets: Path) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (pets / "cat" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + b"\0\0\0\x09IDAT")
    assert_left_out(pets, "cat/huge.png", "20000 × 20000 pixels are more than the 100 million")


def test_images_of_every_mode_are_used(pets: Path) -> None:
    rgb = Image.open(io.BytesIO(encoded(3)))
    files = {
        "cmyk.jpg": rgb.convert("CMYK"),
        "palette.png": rgb.quantize(16),
        "alpha.png": rgb.convert("RGBA"),
        "one.png": rgb.resize((1, 1)),
        "grey16.png": Image.fromarray(np.full((4, 4), 30000, np.uint16)),
        "grey16.tif": Image.fromarray(np.full((4, 4), 30000, np.uint16)),
    }
    for name, image in files.items():
        image.save(pets / "cat" / name)
    rgb.save(pets / "cat" / "moving.gif", save_all=True, append_images=[rgb.rotate(90)])
    dataset = open_dataset(pets, strict=True)
    assert len(dataset.usable) == 17
    modes = dict(zip(dataset.index.paths.tolist(), dataset.index.modes.tolist(), strict=True))
    assert [modes[f"cat/{name}"] for name in files] == ["CMYK", "P", "RGBA", "RGB", "I;16", "I;16"]
    for row in dataset.usable:
        assert dataset.image(int(row)).shape[2] == 3


def test_rotated_photos_are_upright_and_indexed_so(pets: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(pets / "cat" / "turned.jpg", exif=exif)
    dataset = open_dataset(pets)
    row = int(np.flatnonzero(dataset.index.paths == "cat/turned.jpg")[0])
    assert (dataset.index.widths[row], dataset.index.heights[row]) == (30, 40)
    assert dataset.image(row).shape == (40, 30, 3)


@pytest.mark.parametrize("name", ["ünï 犬 😀", "x" * 240, "a'b\"c%d$e;f", " spaces "])
def test_unusual_names_are_no_trouble(pets: Path, name: str) -> None:
    (pets / name).mkdir()
    for number in range(3):
        (pets / name / f"{number}{name[:200]}.png".strip()).write_bytes(encoded(50 + number))
    dataset = open_dataset(pets, strict=True)
    assert name in dataset.class_names
    assert dataset.counts()[name] == 3
    assert open_dataset(pets).fingerprint == dataset.fingerprint  # the second time from the cache


def test_a_name_that_is_no_text_is_left_out(pets: Path) -> None:
    try:
        with open(os.fsencode(pets / "cat") + b"/\xff.png", "wb") as file:  # noqa: PTH123
            file.write(encoded())
    except OSError:
        pytest.skip("this file system takes only names that are text")
    assert_left_out(pets, "cat/\\xff.png", "its name is not valid text")


def test_hidden_files_and_system_litter_are_skipped_silently(pets: Path) -> None:
    (pets / ".git").mkdir()
    (pets / "__MACOSX" / "cat").mkdir(parents=True)
    for name in (".git/1.png", "cat/.hidden.png", "cat/._0.png", "cat/Thumbs.db", "__MACOSX/cat/._0.png"):
        (pets / name).write_bytes(b"junk")
    dataset = open_dataset(pets, strict=True)
    assert len(dataset.index) == 10
    with zipfile.ZipFile(pets / "a.zip", "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, encoded())
        archive.writestr("__MACOSX/cat/._1.png", b"junk")
        archive.writestr("cat/.DS_Store", b"junk")
    assert len(open_dataset(pets / "a.zip", strict=True).index) == 2


def test_other_files_are_counted_and_ignored_even_if_strict(pets: Path) -> None:
    for name in ("README.md", "cat/notes.txt", "cat/model.bin", "labels.csv"):
        (pets / name).write_bytes(b"no image")
    dataset = open_dataset(pets, strict=True)
    assert sorted(row.path for row in dataset.ignored) == [
        "README.md",
        "cat/model.bin",
        "cat/notes.txt",
        "labels.csv",
    ]
    assert {row.reason for row in dataset.ignored} == {"not an image"}
    assert dataset.class_names == ("cat", "dog")


def test_an_image_without_or_with_a_strange_extension_is_an_image(pets: Path) -> None:
    (pets / "cat" / "plain").write_bytes(encoded(20))
    (pets / "cat" / "photo.xyz").write_bytes(encoded(21, "JPEG"))
    (pets / "cat" / "UPPER.PNG").write_bytes(encoded(22))
    assert len(open_dataset(pets, strict=True).usable) == 13


# ---- the file system ------------------------------------------------------------------------------------


def link(target: Path, at: Path, *, folder: bool = True) -> None:
    try:
        at.symlink_to(target, target_is_directory=folder)
    except OSError:
        pytest.skip("no symbolic links here")


def test_a_loop_of_links_ends(pets: Path) -> None:
    link(pets, pets / "cat" / "loop")
    assert_left_out(pets, "cat/loop", "a link to a folder that is already read")


def test_links_that_point_at_each_other_end(pets: Path) -> None:
    link(pets / "b", pets / "a")
    link(pets / "a", pets / "b")
    dataset = open_dataset(pets)
    assert len(dataset.usable) == 10
    assert [row.path for row in dataset.excluded] == ["a", "b"]


def test_links_to_other_folders_and_files_are_followed(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for number in range(3):
        (tmp_path / "elsewhere" / f"{number}.png").write_bytes(encoded(30 + number))
    link(tmp_path / "elsewhere", pets / "fox")
    link(tmp_path / "elsewhere" / "0.png", pets / "cat" / "linked.png", folder=False)
    dataset = open_dataset(pets, strict=True)
    assert dataset.counts() == {"cat": 6, "dog": 5, "fox": 3}


def test_a_link_to_nothing_is_left_out(pets: Path) -> None:
    link(pets / "missing.png", pets / "cat" / "dangling.png", folder=False)
    assert_left_out(pets, "cat/dangling.png", "a link to nothing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.timeout(20)
def test_a_pipe_never_blocks(pets: Path, tmp_path: Path) -> None:
    os.mkfifo(pets / "cat" / "pipe.png")
    dataset = assert_left_out(pets, "cat/pipe.png", "a pipe, socket or device")
    assert dataset.source is not None
    with pytest.raises(ImageError, match="not a file"):  # it took the place of a file after indexing
        dataset.source.read("cat/pipe.png")
    (tmp_path / "m.csv").write_text("path,label\npets/cat/0.png,a\npets/dog/5.png,b\npets/cat/pipe.png,a\n")
    assert [row.path for row in open_dataset(tmp_path / "m.csv").excluded] == ["pets/cat/pipe.png"]


def test_an_unreadable_folder_is_left_out(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "dog":  # stands for chmod 000, which does not stop an administrator
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(path)

    monkeypatch.setattr(source_module.os, "scandir", refuse)
    assert_left_out(pets, "dog", "the folder cannot be read .permission denied", good=5)


def test_a_data_set_that_may_not_be_read_is_an_error_that_says_so(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", refuse)  # as below a folder of mode 000
        with pytest.raises(DataError, match=r"pets: cannot be read \(Permission denied\)"):
            open_dataset(pets)
    with monkeypatch.context() as patch:
        patch.setattr(source_module.os, "scandir", refuse)
        with pytest.raises(DataError, match=r"nothing in it can be read .*permission denied"):
            open_dataset(pets)
    with zipfile.ZipFile(pets.parent / "pets.zip", "w") as archive:
        archive.write(pets / "cat" / "0.png", "cat/0.png")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"pets\.zip: cannot be read \(permission denied\)"):
        open_dataset(pets.parent / "pets.zip")


def test_an_unreadable_file_is_left_out_and_tried_again(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "3.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert_left_out(pets, "cat/3.png", "cannot be read .permission denied", good=9)
    assert len(open_dataset(pets, strict=True).usable) == 10


def test_files_that_vanish_while_indexing_are_left_out(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_files = source_module.FolderSource.list_files

    def list_then_remove(self: source_module.FolderSource) -> source_module.Listing:
        listing = list_files(self)
        (pets / "cat" / "3.png").unlink(missing_ok=True)
        return listing

    monkeypatch.setattr(source_module.FolderSource, "list_files", list_then_remove)
    dataset = open_dataset(pets)
    assert [(row.path, row.reason) for row in dataset.excluded] == [("cat/3.png", "the file is gone")]


def test_files_that_vanish_after_indexing_are_named(pets: Path) -> None:
    dataset = open_dataset(pets)
    (pets / "cat" / "0.png").unlink()
    with pytest.raises(ImageError, match=r"^cat/0\.png: the file is gone$"):
        dataset.image(0)


def test_a_file_of_many_megabytes_is_refused_unread(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "MAX_FILE_BYTES", 2**20)
    with (pets / "cat" / "large.png").open("wb") as file:
        file.truncate(3 * 2**20)
    assert_left_out(pets, "cat/large.png", "3 MB are more than the 1 MB that are read")


def test_a_zip_that_promises_less_than_it_holds_does_not_fill_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/bomb.png", bytes(50_000_000))
        archive.writestr("cat/1.png", encoded(1))
        archive.writestr("dog/1.png", encoded(2))
    data = file.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 1000))
    file.write_bytes(data)
    dataset = open_dataset(file)
    assert [row.path for row in dataset.excluded] == ["cat/bomb.png"]
    assert "checksum" in dataset.excluded[0].reason


def test_an_encrypted_member_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("cat/1.png", "dog/1.png", "dog/secret.png"):
            archive.writestr(name, encoded())
    data = bytearray(file.read_bytes())
    place = data.rindex(b"PK\x01\x02")  # the last entry of the directory; its flags are at byte 8
    data[place + 8] |= 1
    file.write_bytes(data)
    dataset = open_dataset(file)
    assert [(row.path, row.reason) for row in dataset.excluded] == [("dog/secret.png", "it is encrypted")]


# ---- manifests ------------------------------------------------------------------------------------------


def test_missing_files_and_repeated_rows_of_a_manifest_are_left_out(pets: Path) -> None:
    manifest = pets / "m.csv"
    manifest.write_text(
        "path,label\ncat/0.png,a\ncat/1.png,b\ncat/0.png,a\n./cat/0.png,a\nmissing.png,a\ncat/2.png,\n,b\n\ncat,a\n"
    )
    dataset = open_dataset(manifest)
    assert len(dataset.usable) == 2
    assert sorted((row.path, row.reason) for row in dataset.excluded) == [
        ("cat", "not a file (a pipe, socket or device)"),
        ("cat/0.png", "listed again on line 4 (first on line 2)"),
        ("cat/0.png", "listed again on line 5 (first on line 2)"),
        ("cat/2.png", "no label"),
        ("line 8", "no path"),
        ("missing.png", "the file is missing"),
    ]
    with pytest.raises(DataError, match="6 files cannot be used"):
        open_dataset(manifest, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,lable\ncat/0.png,a\n", 'column "lable" is not known. Did you mean "label"?'),
        ("path,label,weight\ncat/0.png,a,1\n", 'column "weight" is not known.'),
        ("path,split\ncat/0.png,train\n", 'the column "label" is missing'),
        ("path,label,label\ncat/0.png,a,b\n", "a column appears twice"),
        (
            "path,label,split\ncat/0.png,a,trian\n",
            'line 2: split "trian" is not known. Did you mean "train"?',
        ),
        ("path,label\ncat/0.png,a\ncat/0.png,b\n", 'cat/0.png has the label "b", but "a" on line 2'),
        ("path,label\ncat/0.png\n", "line 2: 1 values, but 2 columns"),
        ("path,label\na,b.png,cat\n", "line 2: 3 values, but 2 columns"),
        ("path,label\ncat/0.png,Cat\ncat/1.png,cat\n", '"Cat" and "cat" differ only'),
        ("path,label\n", "no rows"),
        ("", 'the column "path" is missing; found: none'),
        ("path,label\nmissing.png,a\n", "all files are missing, such as missing.png. Paths are taken from"),
        ("path,label\nbad\0name.png,a\n", "no image can be used|not CSV"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(pets: Path, content: str, message: str) -> None:
    (pets / "m.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        open_dataset(pets / "m.csv")
    assert any(part in str(caught.value) for part in message.split("|")), str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"path": "cat/0.png", "label": "a"}\n{"path": ', "line 2: not JSON"),
        ('["cat/0.png", "a"]\n', "line 1: expected an object"),
        ('{"path": "cat/0.png", "labl": "a"}\n', 'Did you mean "label"?'),
        ('{"path": "cat/0.png"}\n', 'the column "label" is missing'),
        ("", "no rows"),
    ],
)
def test_json_lines_that_are_wrong_say_where(pets: Path, content: str, message: str) -> None:
    (pets / "m.jsonl").write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        open_dataset(pets / "m.jsonl")


def test_a_manifest_that_is_not_utf_8_is_an_error(pets: Path) -> None:
    (pets / "m.csv").write_bytes("path,label\nü.png,a\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 text"):
        open_dataset(pets / "m.csv")


def test_all_of_these_are_mistakes_of_the_user(pets: Path) -> None:
    assert issubclass(DataError, UserError)
    assert UserError.exit_code == 2


def test_a_member_of_another_compression_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, encoded())
        archive.writestr("dog/lzma.png", encoded(), compress_type=zipfile.ZIP_LZMA)
    dataset = open_dataset(tmp_path / "a.zip")
    assert [row.path for row in dataset.excluded] == ["dog/lzma.png"]
    assert "neither stored nor deflate" in dataset.excluded[0].reason
