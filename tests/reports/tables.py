"""Reading the tables of reports: the text of a file for spreadsheets, and the words of a table cell by cell."""

from __future__ import annotations

from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Spreadsheets
from robustfl.reports.sections.content import Block, Content, Detailed, Row, Run, Table, World


def spreadsheet(results: RunResults, file: str = "scores.csv") -> str:
    """The text of a table for spreadsheets; empty where there is no such file."""
    return Spreadsheets().files(results)[file]


def first_world(results: RunResults) -> World:
    """The first world of some results."""
    return Run(results=results).worlds[0]


def tables(content: Content) -> list[Table]:
    """The tables of a section, also those that stand in place of figures."""
    return [block for block in flat(content.blocks) if isinstance(block, Table)]


def words(table: Table, row: Row) -> dict[str, str]:
    """The texts of a row by the keys of their columns, a value beneath another one as it is told there."""
    return {
        column.key: column.text(row.cell(column), beneath=bool(column.beneath))
        for column in table.columns
        if column.key in row.cells
    }


def flat(blocks: tuple[Block, ...]) -> list[object]:
    """The blocks of a section, with what is shown only where there is room."""
    return [
        inner
        for block in blocks
        for inner in ((*block.full, *block.brief) if isinstance(block, Detailed) else (block,))
    ]
