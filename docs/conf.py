"""The settings of Sphinx; `make docs` builds the site into build/docs."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the generator of pages, which is not installed

from docs.component_pages import write  # noqa: E402 - the path comes first
from robustfl import __version__  # noqa: E402

project = "robustfl"
author = "the robustfl authors"
version = release = __version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser"]
INCLUDED = ("choosing_tables", "leaderboard", "leaderboard_table", "privacy_guide")
exclude_patterns = [f"generated/{name}.md" for name in INCLUDED]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
html_theme = "furo"
html_title = f"robustfl {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"sidebar_hide_name": False}

SECTIONS = {"Parameters", "Attributes", "Raises"}
"""The sections of docstrings in which names have meanings, and no types."""


def initials_kept(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Escape the initials of authors at the start of a line, which would begin a list with letters."""
    lines[:] = [re.sub(r"^(\s*)([A-Z])\. (?=[A-Z])", r"\1\\\2. ", line) for line in lines]


def meanings_apart(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Give what stands behind the name of a parameter a line of its own, or numpydoc takes it for a type."""
    section = ""
    found: list[str] = []
    for line, following in pairwise([*lines, ""]):
        if re.fullmatch(r"-{3,}", following.strip()):
            section = line.strip()
        meaning = re.match(r"(\*{0,2}\w[\w, *]*) : (.+)", line) if section in SECTIONS else None
        found += [meaning[1], f"    {meaning[2]}"] if meaning else [line]
    lines[:] = found


def setup(app: Sphinx) -> None:
    """Write the generated pages before the sources are read."""
    app.connect("builder-inited", lambda app: write(HERE / "generated"))
    app.connect("autodoc-process-docstring", meanings_apart, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", initials_kept, priority=900)  # after numpydoc
