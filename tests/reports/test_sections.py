"""Sections: one list decides on every page, formats show whatever a section says, and nothing in it breaks out."""

from __future__ import annotations

import csv
import io
import re
from importlib import import_module
from pkgutil import iter_modules
from typing import get_args

import pytest

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import HTML, Markdown, Spreadsheets, sections
from robustfl.reports.sections import document
from robustfl.reports.sections.content import (
    BAR,
    CODE,
    INTERVAL,
    LABEL,
    LOSS,
    NUMBER,
    UTILITY,
    Behind,
    Block,
    Box,
    Bullets,
    Card,
    Cards,
    Cell,
    Circle,
    Code,
    ColourKey,
    Column,
    Content,
    Definitions,
    Detailed,
    Drawing,
    Facts,
    Figure,
    Finding,
    Findings,
    Fold,
    Gallery,
    Group,
    Note,
    Path,
    Preformatted,
    Rich,
    Row,
    Run,
    Section,
    Sheet,
    Span,
    Strong,
    Tab,
    Table,
    Tabs,
    Words,
    World,
)
from tests.reports.hostile import SCRIPT
from tests.reports.synthetic import run
from tests.reports.test_html import Outline

SMALL = run(worlds=("w", "v"), defenses=2, attacks=2, f_grid=(0, 3), seeds=(0,))

COLUMNS = (
    Column(key="name", heading="Name", form=LABEL),
    Column(key="kept", heading="Kept", form=NUMBER, strong=True),
    Column(key="spread", heading="Interval", form=INTERVAL, beneath="kept"),
    Column(key="lost", heading="Lost", form=LOSS, beneath="kept", extra=True),
    Column(key="bar", heading="", form=BAR, scale=("0", "1")),
    Column(key="code", heading="Code", form=CODE),
)
ROWS = (
    Row(cells={"name": "A", "kept": 0.834, "spread": (0.8, 0.9), "lost": -0.05, "bar": Span(value=0.8), "code": "x"}),
    Row(cells={"name": "A", "kept": Cell("not tried", to="here"), "bar": None, "code": None}),
    Row(cells={"name": "B"}, instead="cannot be used"),
)


def every_block(text: str) -> tuple[Block, ...]:
    """A block of every kind, with a text in every place where one can stand."""
    line = (text, Code(text), Strong(text))
    table = Table(
        columns=(
            Column(key="name", heading=text, form=LABEL),
            Column(key="heat", heading=text, form=UTILITY, label=True),
            Column(key="more", heading=text, beneath="heat"),
        ),
        rows=(
            Row(cells={"name": text, "heat": Cell(0.5, note=text, to=text), "more": text}),
            Row(cells={"name": text, "heat": text}),
            Row(cells={"name": text}, instead=text),
        ),
        caption=text,
    )
    shapes = (
        Path(d="M0 0h1", title=text, colour=text),
        Circle(x=1, y=1, r=1, title=text),
        Box(x=0, y=0, width=1, height=1),
        Words(x=0, y=0, text=text),
        Group(title=text, shapes=(Words(x=0, y=0, text=text),), meaning="bad"),
    )
    figure = Figure(
        drawings=(Drawing(width=9, height=9, words=text, shapes=shapes),), title=text, lines=(text, text), caption=text
    )
    plain: tuple[Block, ...] = (
        Note(line=line),
        Facts(entries=((text, text),), extra=((text, text),)),
        Bullets(entries=((line, (text,)),)),
        Findings(entries=(Finding(kind=text, title=text, lines=(line,) * 5, more=(Note(line=text),)),)),
        Fold(summary=line, blocks=(Preformatted(text=text, label=text),)),
        Preformatted(text=text),
        table,
    )
    full: tuple[Rich, ...] = (
        *plain,
        Definitions(entries={text: line}),
        Cards(title=text, entries=(Card(title=text, stages=text, summary=text, facts=(text,)),)),
        Tabs(
            group="g", purpose=text, question=text, chosen="k",
            tabs=(Tab(key="k", label=text, title=text, blocks=(table,)),),
        ),
        Behind(key="k", values={text: [text]}),
        ColourKey(low=text, high=text),
        *(Gallery(figures=(figure,), layout=layout) for layout in ("multiples", "loose", "wide", "beside")),
    )  # fmt: skip
    return (Detailed(full=full, brief=plain),)


def only(monkeypatch: pytest.MonkeyPatch, *own: Section) -> None:
    monkeypatch.setattr(sections, "SECTIONS", own)


def shown(key: str, content: Content) -> Section:
    return Section(key=key, of_run=lambda run: content)


def test_keys_are_unique_and_every_section_shows_something() -> None:
    keys = [section.key for section in sections.SECTIONS]
    assert len(keys) == len(set(keys))
    assert all((section.of_run is None) != (section.of_world is None) for section in sections.SECTIONS)


def test_every_section_of_the_folder_is_in_the_list() -> None:
    found = [import_module(info.name) for info in iter_modules(sections.__path__, f"{sections.__name__}.")]
    made = {value.key for module in found for value in vars(module).values() if isinstance(value, Section)}
    assert made - {section.key for section in sections.SECTIONS} == set(), "Give these a place in SECTIONS."


def test_a_section_is_on_every_page_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_world(world: World) -> Content | None:
        table = Table(columns=COLUMNS, rows=ROWS, grouped=True)
        return Content(title=f"New of {world.label}", introduction="Read it so.", blocks=(table,))

    def sheet(run: Run) -> Sheet:
        values = {"a": "=1", "b": [0.5, None], "c": True, "d": ["-", "x"], "e": -0.5}
        return Sheet(file="new.csv", columns=("a", "b", "c", "d", "e", "f"), rows=(values,))

    first, *others = sections.SECTIONS
    only(monkeypatch, first, Section(key="new", of_world=of_world, sheet=sheet), *others)
    page, markdown, files = HTML().render(SMALL), Markdown().render(SMALL), Spreadsheets().files(SMALL)
    assert page.index(">How to read this<") < page.index(">New of w<") < page.index(">New of v<")
    assert page.index(">New of v<") < page.index("<h2>Ranking<")
    assert '<th scope="row" rowspan="2">A</th>' in page
    assert "0.83<small>0.80 to 0.90</small><small>0.050 gained</small>" in page
    assert '<td class="soft" colspan="3">cannot be used</td>' in page
    assert "## w\n\n### New of w\n\nRead it so.\n\n| Name | Kept | Interval | Code |" in markdown
    assert "| A | 0.83 | 0.80 to 0.90 | x |\n| A | not tried | – | – |\n| B | – | – | cannot be used |" in markdown
    assert files["new.csv"] == "a,b,c,d,e,f\n'=1,0.5 None,1,'- x,-0.5,\n"
    assert files["scores.csv"]


def test_a_section_that_does_not_apply_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Section(key="absent", of_run=lambda run: None, sheet=lambda run: Sheet(file="x.csv", columns=(), rows=()))
    only(monkeypatch, absent)
    assert document(SMALL).parts == ()
    assert "absent" not in HTML().render(SMALL)
    assert Spreadsheets().files(SMALL) == {"x.csv": ""}


def test_a_section_with_nothing_in_brief_is_left_out_of_a_short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, shown("full", Content(title="Only in full", blocks=(Detailed(full=(Note(line="long"),)),))))
    assert "Only in full" in HTML().render(SMALL)
    assert "Only in full" not in Markdown().render(SMALL)


def test_every_kind_of_block_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    (detailed,) = every_block("text")
    assert isinstance(detailed, Detailed)
    assert {type(block) for block in (detailed, *detailed.full)} == set(get_args(Rich))
    assert {type(block) for block in (detailed, *detailed.brief)} == set(get_args(Block))
    only(monkeypatch, shown("all", Content(title="All", blocks=(detailed,))))
    for page in (HTML().render(SMALL), Markdown().render(SMALL)):
        assert page.count("text") >= 20


def test_what_a_section_says_never_becomes_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(text: str) -> tuple[str, str]:
        content = Content(
            title=text, introduction=text, label=text, announcement=(text, text), blocks=every_block(text)
        )
        only(monkeypatch, shown("all", content))
        return HTML().render(SMALL), Markdown().render(SMALL)

    page, markdown = render(SCRIPT)
    harmless, _ = render("x" * len(SCRIPT))  # long notes have a line of their own
    tags, expected = (
        [(tag, sorted(attrs)) for tag, attrs in Outline(own).tags if tag != "wbr"] for own in (page, harmless)
    )
    assert tags == expected
    unfenced = re.sub(r"```+\n.*?\n```+|(`+) .*? \1", "", markdown, flags=re.DOTALL)
    assert "<script" not in unfenced
    assert "<img" not in unfenced


def test_formulas_and_seeds_keep_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ({"texts": ["=a", "b"], "numbers": [-0.5, 1.0], "none": None},)
    sheet = Sheet(file="x.csv", columns=("texts", "numbers", "none"), rows=rows)
    only(monkeypatch, Section(key="x", of_run=lambda run: None, sheet=lambda run: sheet))
    (row,) = csv.DictReader(io.StringIO(Spreadsheets().files(SMALL)["x.csv"]))
    assert row == {"texts": "'=a b", "numbers": "-0.5 1.0", "none": ""}


@pytest.mark.parametrize("results", [SMALL, RunResults(summary=SMALL.summary, records=())], ids=["records", "none"])
def test_parts_are_those_of_the_list_in_its_order(results: RunResults) -> None:
    keys = [section.key for section in sections.SECTIONS]
    parts = document(results).parts
    own = [part.key for part in parts if not part.parts]
    assert own == [key for key in keys if key in own]
    for world in (part for part in parts if part.parts):
        inner = [part.key.removeprefix(f"{world.key}-") for part in world.parts]
        assert inner == [key for key in keys if key in inner]
