"""One HTML file that holds everything: it needs no network and no other files, in light or dark.

Without JavaScript it shows all tables and figures; a script adds the runs behind each cell, which are stored packed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar
from zlib import compress

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from robustfl.evaluation.results.reporting import ReportPage, RunResults

from .html_drawings import svg
from .html_tables import table
from .sections import document
from .sections.content import Behind, Code, Line, Strong
from .sections.content.wording import well_formed


def _template(name: str) -> str:
    """The text of a file of the page, which may be in an archive."""
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class HTML(ReportPage):
    """The results as one self-contained web page: the answer, the ranking, heat maps, curves and every trial.

    Each string of the results is escaped, and a content security policy that knows the page's own style and script by
    their hashes keeps a browser from running or loading anything else.
    """

    filename: ClassVar[str] = "report.html"

    def render(self, results: RunResults) -> str:
        """The page; equal results give equal bytes."""
        style = _template("report.css")
        script = _template("report.js")
        policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
        shown = document(results)
        worlds = [part for part in shown.parts if part.parts]
        behind: dict[str, Any] = {}
        template = _environment(behind).get_template("report.html.j2")
        # The two files are the package's own; nothing that comes from the results is ever marked as safe.
        own = {"style": Markup(style), "script": Markup(script), "policy": policy, "packed": lambda: packed(behind)}
        page = template.render(document=shown, worlds=worlds if len(worlds) > 1 else [], **own)
        return well_formed(page + "\n")


def packed(values: Any) -> str:
    """JSON values, compressed, in letters that mean nothing in a page; empty if there are none.

    Browsers unpack this themselves (``DecompressionStream``), so a page of 16 000 cells stays below two megabytes.
    """
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return base64.b64encode(compress(text.encode(), 9)).decode() if values else ""


def _environment(behind: dict[str, Any]) -> Environment:
    """The templates; the macro in `blocks.html.j2` that has the name of a block shows it.

    What lies behind the cells of tables is put into `behind`, by the keys of the tables.
    """
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def show(block: Any) -> Any:
        if isinstance(block, Behind):
            behind[block.key] = block.values
        return getattr(macros, type(block).__name__.lower())(block)

    environment.filters.update(line=_line, show=show, drawn=svg, laid_out=table)
    macros: Any = environment.get_template("blocks.html.j2").module
    return environment


def _line(line: Line) -> Markup:
    """A text with its parts; some of them are code or emphasised."""
    marks = {Code: Markup("<code>{}</code>"), Strong: Markup("<strong>{}</strong>")}
    parts = (line,) if isinstance(line, str) else line
    shown = (escape(part) if isinstance(part, str) else marks[type(part)].format(part.text) for part in parts)
    return Markup("").join(shown)


def _digest(text: str) -> str:
    """The hash by which a content security policy recognises an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
