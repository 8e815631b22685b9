"""A Markdown page for issues, pull requests and terminals: every section in brief."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, assert_never

from robustfl.evaluation.results.reporting import ReportPage, RunResults

from .markup import coded, escaped, fenced, table
from .sections import Part, document
from .sections.content import (
    Block,
    Bullets,
    Code,
    Column,
    Detailed,
    Facts,
    Findings,
    Fold,
    Line,
    Note,
    Preformatted,
    Row,
    Strong,
    Table,
)
from .sections.content.wording import MISSING, well_formed


@dataclass(frozen=True, kw_only=True)
class Markdown(ReportPage):
    """The results as GitHub-flavoured Markdown tables; each string of the results is escaped."""

    filename: ClassVar[str] = "report.md"

    def render(self, results: RunResults) -> str:
        """The page; equal results give equal bytes."""
        shown = document(results)
        top = (f"# {escaped(shown.title)}", escaped(shown.description), escaped(" ".join(shown.answer)))
        return page([*top, *(text for part in shown.parts for text in told(part, "##"))])


def page(texts: Iterable[str]) -> str:
    """Texts as the paragraphs of a page; empty texts are left out."""
    return well_formed("\n\n".join(text for text in texts if text) + "\n")


def told(part: Part, mark: str) -> list[str]:
    """A section with its heading, then the sections inside it; nothing if only larger pages show its content."""
    content = part.content
    own = written(content.blocks)
    inner = [text for inside in part.parts for text in told(inside, f"{mark}#")]
    return [f"{mark} {escaped(content.title)}", escaped(content.introduction), *own, *inner] if own or inner else []


def written(blocks: Iterable[Block]) -> list[str]:
    """Blocks as Markdown; empty blocks are left out."""
    return [text for block in blocks for text in _texts(block) if text]


def _texts(block: Block) -> Iterator[str]:
    match block:
        case Note():
            yield _line(block.line)
        case Table():
            yield escaped(block.caption)
            yield _table(block)
        case Facts():
            yield table(("", ""), block.entries, "ll")
        case Bullets():
            yield "\n".join(
                "\n".join([f"- {_line(line)}", *(f"  - {escaped(below)}" for below in lines)])
                for line, lines in block.entries
            )
        case Findings():
            yield "\n".join(
                f"- **{escaped(entry.kind)}**: {_line(line)}" for entry in block.entries for line in entry.lines
            )
        case Fold():
            yield f"{_line(block.summary)}:"
            yield from written(block.blocks)
        case Preformatted():
            yield fenced(block.text)
        case Detailed():
            yield from written(block.brief)
        case _:
            assert_never(block)


def _line(line: Line) -> str:
    """A text on one line; the spaces between its parts are kept."""
    if isinstance(line, str):
        return escaped(line)
    texts = []
    for part in line:
        match part:
            case Code():
                texts.append(coded(part.text))
            case Strong():
                texts.append(f"**{escaped(part.text)}**")
            case _:
                before, after = (" " if edge.isspace() else "" for edge in (part[:1], part[-1:]))
                texts.append(f"{before}{escaped(part)}{after}")
    return "".join(texts)


def _table(shown: Table) -> str:
    if not shown.rows:
        return shown.empty
    columns = [column for column in shown.columns if not column.extra and column.form.look != "bar"]
    return table(
        [column.heading for column in columns],
        [_texts_of(row, columns) for row in shown.rows],
        "".join("r" if column.form.right else "l" for column in columns),
    )


def _texts_of(row: Row, columns: Sequence[Column]) -> list[str]:
    """The texts of the cells of a row; a text that replaces some of them is in the last of these cells."""
    missing = [column.key for column in columns if column.key not in row.cells] if row.instead else []
    texts = {key: row.instead if key == missing[-1] else MISSING for key in missing}
    return [texts[column.key] if column.key in texts else column.text(row.cell(column)) for column in columns]
