"""One HTML file that holds everything: no network, no other files, useful without JavaScript, light and dark."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from robustfl.evaluation.results.reporting import ReportFormat, RunResults

from .page import page_view
from .wording import named, pieces, well_formed

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class HTML(ReportFormat):
    """The results as one self-contained web page: the answer, the ranking, heat maps, curves and every trial behind.

    Each string of the results is escaped, and a content security policy that knows the page's own style and script by
    their hashes keeps a browser from running or loading anything else.
    """

    filename: ClassVar[str] = "report.html"

    def render(self, results: RunResults) -> str:
        """The page; equal results give equal bytes."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(named=named, pieces=pieces)
        style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
        script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
        policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
        template = environment.get_template("report.html.j2")
        # The two files are the package's own; nothing that comes from the results is ever marked as safe.
        return well_formed(
            template.render(page_view(results), style=Markup(style), script=Markup(script), policy=policy) + "\n"
        )


def _digest(text: str) -> str:
    """The hash by which a content security policy knows an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
