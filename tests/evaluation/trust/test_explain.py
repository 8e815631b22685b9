"""The pages behind statuses and remarks: every code has one, every page a code, and people get to them."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from robustfl.errors import UnknownNameError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.trust import explain as explaining
from robustfl.evaluation.trust.checks import DOUBTS
from robustfl.evaluation.trust.status import STATUSES
from robustfl.reports import HTML
from tests.reports.synthetic import run

MACHINE = Path(explaining.__file__).parent.parent


def raised() -> set[str]:
    """The codes of all remarks that the source makes: first arguments of `make_remark(...)` and `place.remark(...)`."""
    found = set()
    for path in MACHINE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                code = node.args[0]
                if name in ("make_remark", "remark") and isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found.add(code.value)
    return found


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert set(explaining.codes()) == raised() | set(STATUSES)
    assert raised() >= DOUBTS


@pytest.mark.parametrize("code", explaining.codes())
def test_a_page_says_when_what_and_what_to_do(code: str) -> None:
    page = explaining.page(code)
    assert page.title == code
    assert tuple(heading for heading, _ in page.sections) == explaining.SECTIONS
    assert page.summary.endswith(".")
    assert len(page.summary) < 110
    assert all(paragraphs and all(len(text) > 40 for text in paragraphs) for _, paragraphs in page.sections)
    lines = page.text.splitlines()
    assert 8 <= len([line for line in lines if line]) <= 20
    assert max(map(len, lines)) <= 120
    assert page.text.count("`") % 2 == 0


@pytest.mark.parametrize("code", explaining.codes())
def test_a_page_names_only_codes_that_exist(code: str) -> None:
    spoken = {word.strip("`.,;:()") for word in explaining.page(code).text.split()}
    assert {word for word in spoken if word.isupper() and "_" in word} <= set(explaining.codes())


@pytest.mark.parametrize("text", ["weak_white_box", "WEAK_WHITE_BOX", "weak-white box", " Weak white box "])
def test_codes_are_found_however_they_are_typed(text: str) -> None:
    assert explaining.page(text).title == "WEAK_WHITE_BOX"


@pytest.mark.parametrize("text", ["weak_whitebox", "../flags", "", "PAGES/../PAGES/SUSPECT"])
def test_nothing_else_is_a_page(text: str) -> None:
    with pytest.raises(UnknownNameError, match="no status or remark"):
        explaining.page(text)


def test_the_command_explains(inside: Callable[..., Any], tmp_path: Path) -> None:
    page = explaining.page("FEW_SEEDS")
    assert inside("explain", "few-seeds", cwd=tmp_path).stdout == page.text
    assert json.loads(inside("explain", "few-seeds", "--json", cwd=tmp_path).stdout) == page.report()
    listed = json.loads(inside("explain", "--json", cwd=tmp_path).stdout)
    assert listed == {code: explaining.page(code).summary for code in (*explaining.GUIDES, *explaining.codes())}
    unknown = inside("explain", "few_seed", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "Did you mean 'few_seeds'" in unknown.stderr


def test_the_html_report_unfolds_the_page_of_each_remark_and_status() -> None:
    found = run(worlds=("w",))
    for row in found.summary["scores"]["ranking"]:
        row |= {"status": "UPPER_BOUND", "why": ["no white-box search for inner"]}
    codes = {flag["code"] for flag in found.summary["scores"]["flags"]}
    found.summary["scores"]["flags"].append({**found.summary["scores"]["flags"][0], "code": "OF_ANOTHER_VERSION"})
    text = HTML().render(RunResults(summary=found.summary, records=found.records))
    for code in codes | {"UPPER_BOUND"}:
        for heading, paragraphs in explaining.page(code).sections:
            assert f"<strong>{heading}.</strong> {escape(paragraphs[0].split('`')[0])}" in text
    assert "<code>standard: standard-v2</code>" in text


def test_pages_are_part_of_the_package() -> None:
    assert files("robustfl.evaluation.trust").joinpath("pages", "ADAPTIVE.md").is_file()
