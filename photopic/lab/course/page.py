"""Results as pages: one experiment as Markdown, all of them as one table in Markdown, HTML and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from photopic.lab.course.experiment import Experiment, Row, show
from photopic.lab.course.store import Result

COLUMNS = ("quantity", "reported", "measured", "interval", "n", "note")
NOT_MEASURED = "not measured here yet"

_TITLE = "The course: reported and measured"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto }
body { padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.7rem 0.25rem 0; text-align: left }
th, td { vertical-align: top }
img { max-width: 100%; height: auto }
figure { margin: 1rem 0 }
figcaption, .small { color: #555; font-size: 0.85rem }
"""


def to_markdown(result: Result, experiment: Experiment) -> str:
    """One experiment as a page: what it is, the table, the figures, what it shows, what to know."""
    parts = [f"# {result.id} · {result.title}", _paragraph(experiment.description), markdown_body(result)]
    return "\n\n".join(parts) + "\n"


def markdown_body(result: Result, figures: str = "") -> str:
    """Table, figures, sentences and notes of a result. figures: path before the figures' file names."""
    parts = [markdown_table(COLUMNS, [row_cells(row) for row in result.outcome.rows])]
    parts += [f"![{drawing.title}]({figures}{drawing.file})" for drawing in result.outcome.figures]
    parts.append(_paragraph(" ".join(result.outcome.sentences)))
    notes = [_paragraph(note) for note in result.outcome.notes]
    notes += [f"{number}: {_paragraph(text)}" for number, text in result.errors.items()]
    if notes:
        parts.append(_list(notes))
    parts.append(f"*`{command(result)}`: {provenance(result)}*")
    return "\n\n".join(part for part in parts if part)


def command(result: Result) -> str:
    """The command that makes this result, with the time limit that it was given."""
    cut = "--quick" if result.quick else ""
    if result.time_limit_s is not None:
        cut = f"--time-limit {result.time_limit_s / 60:g}m"
    seed = f"--seed {result.seed}" if result.seed else ""
    asked = _is_reduced(result) and result.machine.get("device") == "cpu"  # on a GPU it is automatic
    precision = f"--precision {result.machine['precision']}" if asked else ""
    return " ".join(filter(None, ("photopic course run", result.id, cut, seed, precision)))


def _is_reduced(result: Result) -> bool:
    return bool(result.machine.get("precision", "float32") != "float32")


def provenance(result: Result) -> str:
    """When and how it was measured, in one line."""
    trained = sum(training.seconds for training in result.trainings)
    times = f"{result.seconds:.1f} s" + (f", trainings {trained:.0f} s" if result.trainings else "")
    threads = result.machine.get("threads", "?")
    device = f"{result.machine.get('device', '?')}, {threads} thread{'' if threads == 1 else 's'}"
    if _is_reduced(result):
        device += f" in {result.machine['precision']}"
    return (
        f"{result.mode} run of {result.date[:10]}, seed {result.seed}, {times}, {device}, "
        f"photopic {result.versions.get('photopic', '?')}, torch {result.versions.get('torch', '?')}"
    )


def row_cells(row: Row) -> tuple[str, ...]:
    """The texts of COLUMNS."""
    interval = "" if row.low is None or row.high is None else f"{show(row.low)} … {show(row.high)}"
    n = "" if row.n is None else f"{row.n:,}"
    reported = "" if row.reported is None else show(row.reported)
    return (row.name, reported, show(row.measured), interval, n, row.note)


def markdown_not_measured(experiment: Experiment) -> str:
    """What stands in place of `markdown_body` where no result is stored: what the decks reported."""
    rows = [Row(name=told.name, reported=told.value, note=told.note) for told in experiment.reported]
    parts = [markdown_table(COLUMNS, [row_cells(row) for row in rows])] if rows else []
    parts.append(f"*{NOT_MEASURED.capitalize()}.*")
    if experiment.errors:
        parts.append(_list(f"{number}: {_paragraph(text)}" for number, text in experiment.errors.items()))
    return "\n\n".join(parts)


# ---- all results in one table ------------------------------------------------------------------------------


def report_rows(results: Mapping[str, Result]) -> list[tuple[str, ...]]:
    """One tuple of texts for each figure of each experiment: id, mode, then COLUMNS."""
    return [
        (result.id, result.mode, *row_cells(row))
        for result in results.values()
        for row in result.outcome.rows
    ]


def report_json(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """The same as plain values, one document for each experiment."""
    return [result.model_dump(mode="json") for result in results.values()]


def report_markdown(results: Mapping[str, Result]) -> str:
    """All results in one table, and below it what each of them shows."""
    table = markdown_table(("", "run", *COLUMNS), report_rows(results))
    said = [
        f"**{result.id} · {result.title}.** {_paragraph(' '.join(result.outcome.sentences))}"
        for result in results.values()
    ]
    return "\n\n".join([f"# {_TITLE}", table, *said]) + "\n"


def report_html(results: Mapping[str, Result]) -> str:
    """One plain page with the table and all figures, which lie in folders beside it."""
    head = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{_TITLE}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    )
    table = html_table(("", "run", *COLUMNS), report_rows(results))
    sections = "\n".join(_html_section(result) for result in results.values())
    return f"{head}\n<h1>{_TITLE}</h1>\n{table}\n{sections}\n</html>\n"


def _html_section(result: Result) -> str:
    figures = "\n".join(
        f'<figure><img src="{escape(result.folder)}/{escape(drawing.file)}" alt="{escape(drawing.title)}">'
        f"<figcaption>{escape(drawing.title)}</figcaption></figure>"
        for drawing in result.outcome.figures
    )
    notes = [*result.outcome.notes, *(f"{number}: {text}" for number, text in result.errors.items())]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f'<h2 id="{result.id}">{result.id} · {escape(result.title)}</h2>\n'
        f"<p>{escape(' '.join(result.outcome.sentences))}</p>\n{figures}\n"
        f'<ul class="small">{items}</ul>\n<p class="small"><code>{escape(command(result))}</code>: '
        f"{escape(provenance(result))}</p>"
    )


def not_measured_row(experiment: Experiment) -> tuple[str, ...]:
    """The line of `report_rows` for an experiment without a result."""
    return (experiment.id, NOT_MEASURED, experiment.title, *("" for _ in COLUMNS[1:]))


# ---- the decks' errors -------------------------------------------------------------------------------------


def error_rows(experiments: Sequence[Experiment]) -> list[tuple[str, str, str]]:
    """One tuple of texts for each thing that is wrong in the decks: its number, where, and what is right."""
    where: dict[tuple[str, str], list[str]] = {}
    for experiment in experiments:
        for number, text in experiment.errors.items():
            where.setdefault((number, text), []).append(experiment.id)
    return [(number, ", ".join(ids), text) for (number, text), ids in sorted(where.items())]


# ---- tables ------------------------------------------------------------------------------------------------


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; empty columns are left out."""
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    lines = ["| " + " | ".join(_cell(row[number]) for number in kept) + " |" for row in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(kept), *lines[1:]])


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; the texts are escaped."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _cell(text: str) -> str:
    """A table cell may hold neither a bar nor a line break, and brackets are no links."""
    escaped = " ".join(text.split())
    for sign in "|[]*<_":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _paragraph(text: str) -> str:
    return _cell(text)
