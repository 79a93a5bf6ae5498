"""Sphinx configuration. `scripts/docs` builds the pages; the reference is made from the code first."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import course_map  # noqa: E402
import course_results  # noqa: E402
import generate  # noqa: E402

import photopic  # noqa: E402

project = "photopic"
author = "The photopic authors"
copyright = "2026, the photopic authors"  # noqa: A001
release = version = photopic.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
napoleon_use_ivar = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build", "reference/generated", "course/generated", "course/results"]
html_theme = "furo"
html_title = f"photopic {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
nitpicky = False


def plain_text_to_rst(app, what, name, obj, options, lines):
    """Docstrings are plain text with `code` and indented examples: say so in reStructuredText."""
    text = "\n".join(lines)
    text = re.sub(r"(?<!`)`([^`\n]+)`(?!`)", r"``\1``", text)
    pieces = re.split(r"(``[^`]*``)", text)
    pieces[::2] = [re.sub(r"([*|]|_(?=\W|$))", r"\\\1", piece) for piece in pieces[::2]]
    lines[:] = "".join(pieces).splitlines()


def setup(app):
    app.connect("autodoc-process-docstring", plain_text_to_rst, priority=400)  # before napoleon
    generate.write(HERE / "reference" / "generated")
    course_results.write(HERE / "course" / "generated")
    course_map.write(HERE / "course" / "generated")
