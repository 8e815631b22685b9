"""Tables as values: what their columns mean and in which form values are told, never a text of one format.

>>> column = Column(key="kept", heading="Kept", form=NUMBER)
>>> [column.text(cell) for cell in (Cell(0.834), Cell(None), Cell("not tested"), Cell(0.9, note=", lasts 5"))]
['0.83', '–', 'not tested', '0.90, lasts 5']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .wording import MISSING, interval, named, number, percent, seconds, size


@dataclass(frozen=True, kw_only=True)
class Form:
    """How the values of a column are told.

    `show` makes the text of a value, None included; `told` that of a value which stands beneath another one, with no
    heading near. The look of a value may be that of code, a bar, or a number on a colour.
    """

    show: Callable[[Any], str]
    told: Callable[[Any], str] | None = None
    right: bool = True
    look: Literal["", "code", "bar", "heat"] = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The value of a bar: how far it reaches in [0, 1], and the ends of its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


def _change(lost: float | None) -> str:
    """`0.187 lost`, `0.005 gained` or `the same`."""
    if lost is None:
        return ""
    amount = number(abs(lost), 3)
    return "the same" if float(amount) == 0 else f"{amount} {'lost' if lost > 0 else 'gained'}"


def _text(value: str | None) -> str:
    return MISSING if value is None else value


LABEL = Form(show=_text, right=False)
"""The name of what a row is about."""
TEXT = Form(show=_text, right=False)
CODE = Form(show=_text, right=False, look="code")
NUMBER = Form(show=number)
ACCURACY = Form(show=lambda value: number(value, 3))
COUNT = Form(show=lambda value: number(value, 0))
INTERVAL = Form(show=interval, told=lambda pair: "" if pair is None else interval(pair))
INTERVAL_OR_WORDS = Form(show=interval, told=lambda pair: "no interval" if pair is None else interval(pair))
PERCENT = Form(show=percent)
DURATION = Form(show=seconds)
SIZE = Form(show=size)
LOSS = Form(show=lambda value: number(value, 3), told=_change)
"""What is lost beside something else; less than nothing is a gain."""
UTILITY = Form(show=number, look="heat")
BAR = Form(show=lambda span: "", right=False, look="bar")


@dataclass(frozen=True)
class Cell:
    """A value in its place. A text in a column of numbers says why there is no number.

    `note` follows the value; `to` is the key of the article or section that the cell leads to.
    """

    value: Any = None
    note: str = ""
    to: str = ""
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """What the values of a column mean.

    Attributes
    ----------
    key : by which rows name their cells
    heading : what stands above the values
    form : how the values are told
    label : whether the heading is a label of the results, which may be long
    beneath : the key of a column in whose cells these values stand where cells can have two lines
    extra : whether the column is left out where there is little room
    strong : whether it is what the table is about
    scale : what stands above the beginning, middle and end of bars
    """

    key: str
    heading: str
    form: Form = TEXT
    label: bool = False
    beneath: str = ""
    extra: bool = False
    strong: bool = False
    scale: tuple[str, ...] = ()

    def text(self, cell: Cell, beneath: bool = False) -> str:
        """The words of a cell, whether it stands alone or beneath another one."""
        if isinstance(cell.value, str):
            return cell.value + cell.note
        show = self.form.told if beneath and self.form.told is not None else self.form.show
        return show(cell.value) + cell.note


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cells of a row by the keys of their columns; `instead` stands where it has none.

    A value that needs no note, link or emphasis stands for its cell.
    """

    cells: Mapping[str, Any]
    instead: str = ""
    first: bool = False

    def cell(self, column: Column) -> Cell:
        """The cell of a column."""
        found = self.cells.get(column.key)
        return found if isinstance(found, Cell) else Cell(found)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows below typed columns.

    Attributes
    ----------
    columns, rows : what it holds
    caption : a line above it
    empty : what is said in place of a table without rows
    grouped : whether consecutive rows of one name may share it
    stacks : whether each row becomes a block of its own on a narrow screen
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    empty: str = ""
    grouped: bool = False
    stacks: bool = False


def labels(names: Iterable[str], form: Form) -> tuple[Column, ...]:
    """A column for each label of the results, in their order."""
    return tuple(Column(key=f"label {name}", heading=named(name), form=form, label=True) for name in names)


def labelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of such columns."""
    return {f"label {name}": value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table for spreadsheets and data frames: a file, the names of its columns, and rows of values by these names.

    Values are numbers in full precision, texts, truths and lists of those; what a row leaves out is nothing.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


def ends(name: str, pair: Sequence[float] | None) -> dict[str, float | None]:
    """The columns of an interval: `{name}_low` and `{name}_high`."""
    low, high = pair or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
