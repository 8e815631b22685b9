"""The language of measures: arithmetic with numbers that a run reports. It is read here, and never run as Python.

    R(flag) - R(bulyan)
    U(nnm >> trimmed_mean, attack=ipm(epsilon=0.5), f=4)
    bytes_up(frl) / bytes_up(mean)

A defense or an attack is written as in a suite, or as its label in quotes. Readings can be combined with numbers, `+`,
`-`, `*`, `/`, brackets, `min`, `max` and `abs`; :data:`FUNCTIONS` lists what can be read.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from robustfl.errors import ScenarioError, did_you_mean

LONGEST = 500  # characters
DEEPEST = 20  # levels of brackets and operators


class MeasureError(ScenarioError):
    """A measure cannot be read, or names something that the suite does not have; the text marks the place in it."""

    def __init__(self, problem: str, measure: str, start: int = 0, end: int | None = None) -> None:
        marks = " " * start + "^" * max(1, (len(measure) if end is None else end) - start)
        super().__init__(f"{problem}\n      {measure}\n      {marks}")
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Function:
    """A quantity that can be read from the results: the arguments that it needs, in order, and the optional ones."""

    summary: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ("world",)


_CELL = ("attack", "f", "world", "fault")

FUNCTIONS: Mapping[str, Function] = {
    "R": Function(summary="resilience of a defense", needs=("defense",)),
    "W": Function(summary="worst-case utility with f malicious clients", needs=("defense", "f")),
    "M": Function(summary="mean utility over the attacks with f malicious clients", needs=("defense", "f")),
    "U": Function(summary="utility under one attack or one fault", needs=("defense",), takes=_CELL),
    "accuracy": Function(summary="test accuracy", needs=("defense",), takes=_CELL),
    "malicious_weight": Function(
        summary="share of the aggregation weights that malicious clients got", needs=("defense",), takes=_CELL
    ),
    "rejected_rows": Function(summary="rows that the defense refused in a trial", needs=("defense",), takes=_CELL),
    "bytes_up": Function(summary="bytes that a client sends in a round", needs=("defense",), takes=_CELL),
    "bytes_down": Function(summary="bytes that a client gets in a round", needs=("defense",), takes=_CELL),
    "seconds": Function(summary="seconds of a phase: total, aggregate, ...", needs=("defense", "phase"), takes=_CELL),
    "more": Function(
        summary="a measure (robustfl list measures); `item`: a key, a place, or the mean, min, max or last of several",
        needs=("defense", "name"),
        takes=("item", *_CELL),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Argument:
    """The text of an argument, and its start and end in the measure."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Number:
    """A number that is written in the measure."""

    value: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One question to the results: a function of :data:`FUNCTIONS` with its arguments."""

    function: str
    arguments: Mapping[str, Argument]
    text: str

    def get(self, name: str) -> str | None:
        """The text of an argument, or None if it is left out."""
        return self.arguments[name].text if name in self.arguments else None


@dataclass(frozen=True)
class Operation:
    """`+`, `-`, `*`, `/`, `min`, `max` or `abs` of its operands."""

    symbol: str
    operands: tuple[Node, ...]


Node = Number | Reading | Operation


@dataclass(frozen=True)
class Expression:
    """A measure after reading: its text and its tree."""

    text: str
    root: Node

    @classmethod
    def read(cls, text: str) -> Expression:
        """Read a measure; raises :class:`MeasureError` for the first element that the language does not have."""
        measure = " ".join(text.split())
        if len(measure) > LONGEST:
            raise MeasureError(f"A measure has at most {LONGEST} characters.", measure[:60] + "...", 0, 0)
        if not measure.isprintable():
            raise MeasureError("A measure is one line of printable text.", ascii(measure))
        try:
            tree = ast.parse(measure, mode="eval")
        except SyntaxError as error:
            start = min(error.offset - 1, len(measure)) if error.offset else len(measure)  # None: ends early
            raise MeasureError(f"This is no arithmetic expression: {error.msg}.", measure, start, start + 1) from None
        except (ValueError, RecursionError, MemoryError):
            raise MeasureError("This is no arithmetic expression.", measure) from None
        return cls(measure, _Reader(measure).node(tree.body, DEEPEST))

    def readings(self) -> Iterator[Reading]:
        """All questions to the results, from left to right."""
        yield from _readings(self.root)

    def error(self, problem: str, argument: Argument) -> MeasureError:
        """An error that points to an argument."""
        return MeasureError(problem, self.text, argument.start, argument.end)


def _readings(node: Node) -> Iterator[Reading]:
    if isinstance(node, Reading):
        yield node
    elif isinstance(node, Operation):
        for operand in node.operands:
            yield from _readings(operand)


_SYMBOLS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_CHOICES = {"min": 2, "max": 2, "abs": 1}
"""Functions of numbers, with the smallest number of operands that they need."""


class _Reader:
    """Converts Python's syntax tree into that of measures, and refuses everything that has no place in a measure."""

    def __init__(self, measure: str) -> None:
        self.measure = measure
        self.bytes = measure.encode()  # the syntax tree counts bytes

    def node(self, found: ast.expr, depth: int) -> Node:
        if depth == 0:
            raise self.error(f"A measure is nested at most {DEEPEST} levels deep.", found)
        if isinstance(found, ast.Constant):
            return Number(self._number(found))
        if isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.USub | ast.UAdd):
            operand = self.node(found.operand, depth - 1)
            return operand if isinstance(found.op, ast.UAdd) else Operation("*", (Number(-1.0), operand))
        if isinstance(found, ast.BinOp) and type(found.op) in _SYMBOLS:
            pair = self.node(found.left, depth - 1), self.node(found.right, depth - 1)
            return Operation(_SYMBOLS[type(found.op)], pair)
        if isinstance(found, ast.Call) and isinstance(found.func, ast.Name):
            return self._call(found, found.func.id, depth)
        if isinstance(found, ast.Name):
            raise self.error(f"{found.id!r} alone is no number. Write what of it, such as W({found.id}, f=1).", found)
        raise self.error("A measure has numbers, + - * /, brackets, min, max, abs and readings like R(mean).", found)

    def _number(self, found: ast.Constant) -> float:
        if isinstance(found.value, bool) or not isinstance(found.value, int | float):
            raise self.error("Only numbers stand alone in a measure.", found)
        try:
            value = float(found.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.error("This number is too large.", found)
        return value

    def _call(self, found: ast.Call, name: str, depth: int) -> Node:
        if name in _CHOICES:
            if found.keywords or len(found.args) < _CHOICES[name] or (name == "abs" and len(found.args) > 1):
                raise self.error(f"`{name}` takes {'one number' if name == 'abs' else 'two numbers or more'}.", found)
            return Operation(name, tuple(self.node(operand, depth - 1) for operand in found.args))
        if name not in FUNCTIONS:
            known = [*FUNCTIONS, *_CHOICES]
            raise self.error(f"There is no function {name!r} in measures. {did_you_mean(name, known)}", found.func)
        needs, takes = FUNCTIONS[name].needs, FUNCTIONS[name].takes
        if len(found.args) > len(needs):
            extra = found.args[len(needs)]
            raise self.error(f"`{name}` takes {_listed(takes)} by name, as in {takes[0]}=...", extra)
        arguments: dict[str, Argument] = {}
        given = [*zip(needs, found.args, strict=False), *((keyword.arg, keyword.value) for keyword in found.keywords)]
        for key, value in given:
            if key is None or key not in (*needs, *takes):
                problem = f"`{name}` has no argument {key or '**'!r}. {did_you_mean(key or '', (*needs, *takes))}"
                raise self.error(problem, value)
            if key in arguments:
                raise self.error(f"`{name}` is given `{key}` twice.", value)
            arguments[key] = _ARGUMENTS.get(key, _Reader.text)(self, value)
        missing = [key for key in needs if key not in arguments]
        if missing:
            raise self.error(f"`{name}` needs {_listed(missing)}.", found)
        return Reading(function=name, arguments=arguments, text=self.measure[slice(*self.span(found))])

    def text(self, found: ast.expr) -> Argument:
        """A text with or without quotes: a component as in a suite, a name, or a label."""
        start, end = self.span(found)
        quoted = isinstance(found, ast.Constant) and isinstance(found.value, str)
        text = found.value if quoted and isinstance(found, ast.Constant) else self.measure[start:end]
        return Argument(text=str(text), start=start, end=end)

    def count(self, found: ast.expr) -> Argument:
        """A number of clients."""
        if not isinstance(found, ast.Constant) or type(found.value) is not int:
            raise self.error("`f` is a number of malicious clients, such as f=3.", found)
        return self.text(found)

    def span(self, found: ast.expr) -> tuple[int, int]:
        first, last = found.col_offset, found.end_col_offset or found.col_offset
        return len(self.bytes[:first].decode()), len(self.bytes[:last].decode())

    def error(self, problem: str, found: ast.expr) -> MeasureError:
        return MeasureError(problem.strip(), self.measure, *self.span(found))


_ARGUMENTS: dict[str, Callable[[_Reader, ast.expr], Argument]] = {"f": _Reader.count}
"""How arguments are read that are not texts."""


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
