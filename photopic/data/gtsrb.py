"""The German traffic signs as their publisher packs them: folders of PPM files and a table of test labels.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel: Man vs. computer, Neural Networks 32 (2012). The boxes around
the signs that the tables give are not applied: images are taken whole.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from photopic.data.formats import Entries, FileData
from photopic.data.index import NOT_AN_IMAGE
from photopic.data.source import Excluded, FolderSource
from photopic.errors import DataError

_TRAIN = re.compile(r"(?:^|/)(?:Training|Final_Training/Images)/(\d{5})/(\d{5})_\d{5}\.ppm$")
_TEST = re.compile(r"(?:^|/)Final_Test/Images/(\d{5}\.ppm)$")
_TEST_LABELS = "GT-final_test.csv"

CLASS_NAMES = (
    *("speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70"),
    *("speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing"),
    *("no passing for trucks", "right of way at next crossing", "priority road", "yield", "stop"),
    *("no vehicles", "no trucks", "no entry", "general caution", "dangerous curve left"),
    *("dangerous curve right", "double curve", "bumpy road", "slippery road", "road narrows right"),
    *("road work", "traffic signals", "pedestrians", "children crossing", "bicycles crossing"),
    *("ice or snow", "wild animals", "end of all limits", "turn right ahead", "turn left ahead"),
    *("ahead only", "straight or right", "straight or left", "keep right", "keep left"),
    *("roundabout", "end of no passing", "end of no passing for trucks"),
)
"""In the order of the published class numbers 0 to 42."""


def read_gtsrb(folder: Path) -> FileData | None:
    """The unpacked published archives, at any depth in the folder; None: they are not there.

    Training images are grouped by class and track (30 frames of one sign). Raises DataError if the test
    images are there, but not the table of their labels.
    """
    if not folder.is_dir() or not any(_folders_of(folder)):
        return None
    source = FolderSource(folder)
    listing = source.list_files()
    entries = Entries(problems=list(listing.problems), class_order=CLASS_NAMES)
    labels = _test_labels(source, listing.paths)
    for path, size, stamp in zip(listing.paths, listing.sizes, listing.stamps, strict=True):
        if (match := _TRAIN.search(path)) and int(match[1]) < len(CLASS_NAMES):
            number, track = match.groups()
            entries.add(path, size, stamp, CLASS_NAMES[int(number)], "train", f"{number}/{track}")
        elif match := _TEST.search(path):
            if match[1] not in labels:
                entries.problems.append(Excluded(path, f"not in {_TEST_LABELS}"))
            else:
                entries.add(path, size, stamp, CLASS_NAMES[labels[match[1]]], "test")
        else:
            entries.problems.append(Excluded(path, NOT_AN_IMAGE))
    return FileData(source, entries, folder) if entries.paths else None


def _folders_of(folder: Path) -> list[Path]:
    places = ("Training", "Final_Training/Images")
    return [
        folder / top / place for top in ("", "GTSRB") for place in places if (folder / top / place).is_dir()
    ]


def _test_labels(source: FolderSource, paths: list[str]) -> dict[str, int]:
    """Test file → class number. The table among the test images, which has no numbers, is passed over."""
    tables = [path for path in paths if path.rpartition("/")[2] == _TEST_LABELS]
    for table in tables:
        text = source.read(table).decode("utf-8", "replace")
        try:
            return {
                row["Filename"]: int(row["ClassId"])
                for row in csv.DictReader(io.StringIO(text), delimiter=";")
            }
        except (KeyError, TypeError, ValueError):
            continue
    if any(_TEST.search(path) for path in paths):
        raise DataError(
            f"{source.location}: the test images are there, but not {_TEST_LABELS} with their labels (in "
            "GTSRB_Final_Test_GT.zip). Unpack it beside them."
        )
    return {}
