"""Write the stored results of the course as Markdown, for the chapters to include.

python docs/course_results.py FOLDER      (docs/conf.py does it for each build)

docs/course/results holds them as `photopic course run ID --out docs/course/results` leaves them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from photopic.lab.course.page import COLUMNS, markdown_body, markdown_table, report_rows
from photopic.lab.course.store import load_results

RESULTS = Path(__file__).parent / "course" / "results"


def write(folder: Path, results: Path = RESULTS) -> None:
    """One file for each experiment, and one with the table of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = load_results(results)
    for result in found.values():
        # the pictures' places as seen from docs/course/*.md, which include the text
        place = f"results/{result.folder}/"
        (folder / f"{result.id}.md").write_text(markdown_body(result, place) + "\n", encoding="utf-8")
    table = markdown_table(("", "run", *COLUMNS), report_rows(found))
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
