"""Write the stored results of the course and the decks' errors as Markdown, for the chapters to include.

python docs/course_results.py FOLDER      (docs/conf.py does it for each build)

docs/course/results holds them as `photopic course run ID --out docs/course/results` leaves them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from photopic.lab.course.catalog import experiments
from photopic.lab.course.page import (
    COLUMNS,
    error_rows,
    markdown_body,
    markdown_not_measured,
    markdown_table,
    not_measured_row,
    report_rows,
)
from photopic.lab.course.store import load_results

RESULTS = Path(__file__).parent / "course" / "results"


def write(folder: Path, results: Path = RESULTS) -> None:
    """One file for each experiment, stored or not; the table of all of them; the table of the errors."""
    folder.mkdir(parents=True, exist_ok=True)
    found, rows = load_results(results), []
    texts = {}
    for experiment in experiments():
        result = found.get(experiment.id)
        if result is None:
            texts[experiment.id] = markdown_not_measured(experiment)
            rows.append(not_measured_row(experiment))
        else:
            # the pictures' places as seen from docs/course/*.md, which include the text
            texts[experiment.id] = markdown_body(result, f"results/{result.folder}/")
            rows += report_rows({result.id: result})
    texts["table"] = markdown_table(("", "run", *COLUMNS), rows)
    texts["errors"] = markdown_table(("", "experiments", "what is wrong"), error_rows(experiments()))
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
