"""Tables as values: what their columns mean and how values become words, independent of any format.

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
    """How the values of a column become words.

    `show` makes the text of a value, which may be None. `told` makes the text of a value that is shown beneath another
    one, without a heading nearby. A value may look like code, a bar, or a number on a colour.
    """

    show: Callable[[Any], str]
    told: Callable[[Any], str] | None = None
    right: bool = True
    look: Literal["", "code", "bar", "heat"] = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The value of a bar: its length in [0, 1], and the ends of its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


def _change(lost: float | None) -> str:
    """A loss in words: `0.187 lost`, `0.005 gained` or `the same`."""
    if lost is None:
        return ""
    amount = number(abs(lost), 3)
    return "the same" if float(amount) == 0 else f"{amount} {'lost' if lost > 0 else 'gained'}"


def _text(value: str | None) -> str:
    return MISSING if value is None else value


LABEL = Form(show=_text, right=False)
"""The form of a name: that of the defense, attack or other thing that a row is about."""
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
"""The form of a loss compared with something else; a negative loss is a gain."""
UTILITY = Form(show=number, look="heat")
BAR = Form(show=lambda span: "", right=False, look="bar")


@dataclass(frozen=True)
class Cell:
    """A value in a table. A text in a column of numbers says why there is no number.

    `note` follows the value; `to` is the key of the article or section to which the cell leads.
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
    key : the name under which rows hold their cells of this column
    heading : the text above the values
    form : how the values become words
    label : whether the heading is a label of the results, which may be long
    beneath : the key of the column in whose cells these values are shown, if cells can have two lines
    extra : whether the column is left out if there is little room
    strong : whether it is the main column of the table
    scale : the texts above the beginning, middle and end of bars
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
        """The words of a cell, which is shown alone or beneath another one."""
        if isinstance(cell.value, str):
            return cell.value + cell.note
        show = self.form.told if beneath and self.form.told is not None else self.form.show
        return show(cell.value) + cell.note


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cells of a row by the keys of their columns; `instead` replaces the cells that it does not have.

    A value that needs no note, link or emphasis may be given in place of its cell.
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
    columns, rows : the content of the table
    caption : a line above the table
    empty : the text that replaces a table without rows
    grouped : whether consecutive rows with the same name may share one cell for it
    stacks : whether each row becomes a block of its own on a narrow screen
    behind : the key of what lies behind its cells, if a reader can select them
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    empty: str = ""
    grouped: bool = False
    stacks: bool = False
    behind: str = ""


def labels(names: Iterable[str], form: Form, short: Mapping[str, str] | None = None) -> tuple[Column, ...]:
    """One column per label of the results, in the order of the labels; headings are the `short` names of labels."""
    return tuple(
        Column(key=f"label {name}", heading=named((short or {}).get(name, name)), form=form, label=True)
        for name in names
    )


def labelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of the columns that :func:`labels` makes."""
    return {f"label {name}": value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table for spreadsheets and data frames: a file, the names of its columns, and rows of values by these names.

    Values are numbers in full precision, texts, booleans and lists of these; a value that a row leaves out is empty.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


def ends(name: str, pair: Sequence[float] | None) -> dict[str, float | None]:
    """The values of an interval in two columns: `{name}_low` and `{name}_high`."""
    low, high = pair or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
