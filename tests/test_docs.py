"""The documentation covers the code, and what it shows exists."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cyclopts
import pytest

import photopic
from photopic.cli import app
from photopic.training.recipes import named_recipes

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
    if not {"_build", "generated"} & set(path.parts)
)


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def load_generate() -> ModuleType:
    """docs/generate.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(
    node: cyclopts.App = app, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], cyclopts.App]]:
    """Every command with its path, groups of commands included."""
    for name in node:
        if not name.startswith("-"):
            child = node[name]
            yield (*path, name), child
            yield from commands(child, (*path, name))


def shown_commands() -> Iterator[tuple[str, str]]:
    """Each `photopic …` line of the shell examples, with the name of its page."""
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                if line.strip().startswith("photopic "):
                    yield page_id(page), line.strip()


# ---- completeness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "command"),
    list(commands()),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_command_says_what_it_does_and_what_each_option_means(
    path: tuple[str, ...], command: cyclopts.App
) -> None:
    assert command.help, f"photopic {' '.join(path)} has no help"
    if command.default_command is not None:
        for argument in command.assemble_argument_collection(parse_docstring=True):
            assert argument.parameter.help, f"photopic {' '.join(path)}: {argument.name} has no help"


def test_the_command_reference_has_every_command() -> None:
    text = load_generate().commands()
    for path, _ in commands():
        assert f"photopic {' '.join(path)}" in text


def test_the_configuration_reference_has_every_field_with_its_meaning() -> None:
    generate = load_generate()
    text = generate.configuration()
    for kind in generate.configuration_types():
        section = re.search(rf"^## {kind.__name__}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        assert section is not None, kind
        for name in kind.model_fields:
            row = re.search(rf"^\| `{name}` \|.*$", section.group(1), re.MULTILINE)
            assert row is not None, f"{kind.__name__}.{name} is missing"
            meaning = re.split(r"(?<!\\)\|", row.group())[4]
            assert meaning.strip(), f"{kind.__name__}.{name} has no meaning"


def test_the_recipe_reference_has_every_recipe_and_what_a_benchmark_has_measured(tmp_path: Path) -> None:
    run = {"recipe": "digits", "process_s": 65.0, "test": {"accuracy": {"value": 0.75}}}
    results = {"accuracy-digits": {"photopic": run}, "startup": {"rows": []}}
    for name, result in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"benchmark": name} | result), "utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` (\|.*)$", load_generate().recipes(tmp_path), re.MULTILINE))
    assert rows.keys() == named_recipes().keys()
    measured = {name for name, row in rows.items() if not row.endswith("|  |")}
    assert measured == {"digits"}
    assert rows["digits"].endswith("| 75.00% on digits in 1 min 5 s |")


@pytest.mark.parametrize("name", [name for name in photopic.__all__ if not name.startswith("__")])
def test_every_public_name_is_in_the_python_reference(name: str) -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    assert re.search(rf"^\.\. auto\w+:: photopic\.{name}$", text, re.MULTILINE), (
        f"photopic.{name} is not documented"
    )
    assert inspect.getdoc(getattr(photopic, name)), f"photopic.{name} has no docstring"


def test_every_environment_variable_is_documented() -> None:
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "photopic").rglob("*.py"))
    text = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
    for name in sorted(set(re.findall(r"\bPHOTOPIC_[A-Z_]+\b", source))):
        assert f"`{name}`" in text, f"{name} is not documented"


# ---- what is shown exists -------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "line"), list(shown_commands()))
def test_every_shown_command_is_accepted(page: str, line: str) -> None:
    tokens = shlex.split(line.split(" > ")[0], comments=True)[1:]
    if tokens != ["--help"]:
        app.parse_args(tokens, exit_on_error=False, print_error=False)


def test_every_shown_recipe_exists() -> None:
    for page, line in shown_commands():
        for name in re.findall(r"--recipe (\S+)", line):
            assert name in named_recipes() or name.endswith(".yaml"), f"{page}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("folder", ["howto", "reference", "design"])
def test_an_index_that_is_read_without_sphinx_has_links_to_all_its_pages(folder: str) -> None:
    text = (ROOT / "docs" / folder / "index.md").read_text("utf-8")
    links, _, tree = text.partition("```{toctree}\n:hidden:\n")
    pages = {path.stem for path in (ROOT / "docs" / folder).glob("*.md")} - {"index"}
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", links)) == pages
    assert set(tree.removesuffix("```\n").split()) == pages


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_examples_use_names_that_exist(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        compile(block, str(page), "exec")
        for name in re.findall(r"\bphotopic\.(\w+)\(", block):
            assert hasattr(photopic, name), name


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(example.read_text("utf-8"), str(example), "exec"), scope)
