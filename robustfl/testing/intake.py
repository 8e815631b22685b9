"""Checks of the input: a rule accepts any layout and type, changes nothing, and answers in the type of the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Floats, is_tensor
from robustfl.testing.catalogue import not_own, promise
from robustfl.testing.compare import ROUNDING, close, difference, extent
from robustfl.testing.questions import Questions
from robustfl.testing.subject import Subject, array, numeric, trusted_update
from robustfl.testing.violation import Violation

HALF = {"numpy": ("float16",), "torch": ("bfloat16", "float16")}


@promise("the input is never changed")
def mutation(subject: Subject, ask: Questions) -> None:
    kind, number = ask.choose(subject.accepts), ask.choose(subject.numbers)
    x = ask.rows(subject)
    question = subject.made(x, kind, number)
    before = numeric(question).copy()
    subject.call(question, **subject.parts(x))
    if not np.array_equal(numeric(question), before):
        asked = array(before, kind, number)
        raise Violation("the rows were changed", call="rule(x); x", found=question, expected=asked, x=asked)


@promise(
    "rows in read-only memory are accepted",
    unless=lambda s: None if "numpy" in s.accepts else "only arrays of numpy can be read-only",
)
def read_only(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    question = subject.made(x, "numpy", ask.choose(subject.numbers))
    question.flags.writeable = False
    try:
        subject.call(question, **subject.parts(x))
    except Violation as violation:
        call = "x.flags.writeable = False; rule(x)"
        raise Violation(f"{violation.complaint}, for a read-only array", call=call, x=question) from violation


@promise("the answer is the caller's own: it shares no memory with the rows")
def aliasing(subject: Subject, ask: Questions) -> None:
    kind, x = ask.choose(subject.accepts), ask.rows(subject)
    question = subject.made(x, kind, ask.choose(subject.numbers))
    answer = subject.call(question, **subject.parts(x))
    if is_tensor(answer) and is_tensor(question):
        shared = answer.untyped_storage().data_ptr() == question.untyped_storage().data_ptr()
    else:
        shared = isinstance(answer, np.ndarray) and isinstance(question, np.ndarray)
        shared = shared and np.shares_memory(answer, question)
    if shared:
        call = "answer = rule(x); answer *= 2  # changes x"
        raise Violation("a change of the answer changes the rows that came in", call=call, x=question)


@promise("the answer has the rows' own kind of array, type of numbers and device, for 32 and 64 bits")
def dtype(subject: Subject, ask: Questions) -> None:
    kind = ask.choose(subject.accepts)
    keeps_type(subject, ask, kind, ask.choose(subject.numbers))


@promise("the answer to half precision is in the same half precision, and finite")
def half(subject: Subject, ask: Questions) -> None:
    kind = ask.choose(subject.accepts)
    keeps_type(subject, ask, kind, ask.choose(HALF[kind]))


def keeps_type(subject: Subject, ask: Questions, kind: str, number: str) -> None:
    """Ask in one type of numbers, possibly on an accelerator if there is one, and compare the type of the answer."""
    x = ask.rows(subject)
    question, parts = subject.made(x, kind, number, ask.choose(devices(kind))), subject.parts(x)
    answer = subject.call(question, **parts)
    subject.read(answer, question, **parts)
    found, expected = kind_of(answer), kind_of(question)
    if found != expected:
        raise Violation(f"the answer is {found} for rows that are {expected}", x=question)


def devices(kind: str) -> tuple[str, ...]:
    """The devices of this machine that can hold arrays of a kind."""
    if kind == "numpy":
        return ("cpu",)
    import torch

    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def kind_of(value: Any) -> str:
    """The kind of array, type of numbers and device in words, such as `torch.float32 on cpu`."""
    if is_tensor(value):
        return f"{value.dtype} on {value.device.type}"
    return f"numpy.{value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


@promise("the layout in memory does not matter: rows in Fortran order, with strides or reversed give the same answer")
def layout(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject)
    kind = ask.choose(subject.accepts)
    make, code = ask.choose(VIEWS[kind])

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        view = make(array(rows, kind, "float64"))
        return subject.read(subject.call(view), view), subject.ask(rows), ROUNDING * extent(rows)

    if differing := difference(pair, x):
        found, expected = differing
        complaint = "equal rows in another memory layout give another answer than rule(x)"
        raise Violation(complaint, call=f"rule({code})", found=found, expected=expected, x=array(x, kind, "float64"))


def _torch_fortran(x: Any) -> Any:
    return x.t().contiguous().t()


def _torch_strided(x: Any) -> Any:
    return x.repeat_interleave(2, dim=1)[:, ::2]


VIEWS: dict[str, tuple[tuple[Any, str], ...]] = {
    "numpy": (
        (np.asfortranarray, "np.asfortranarray(x)"),
        (lambda x: np.repeat(x, 2, axis=1)[:, ::2], "np.repeat(x, 2, axis=1)[:, ::2]"),
        (lambda x: np.array(x[::-1])[::-1], "np.array(x[::-1])[::-1]"),
    ),
    "torch": (
        (_torch_fortran, "x.t().contiguous().t()"),
        (_torch_strided, "x.repeat_interleave(2, dim=1)[:, ::2]"),
    ),
}


@promise(
    "lists of rows, state dicts, mappings and tensors give the answer of the matrix in their own form", unless=not_own
)
def forms(subject: Subject, ask: Questions) -> None:
    x = ask.rows(subject, columns=4)
    form = ask.choose(tuple(FORMS))
    make, code, back = FORMS[form]

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        answer = subject.call(make(rows), **_trusted_in_form(subject, make, rows))
        answers = [back(part) for part in answer] if subject.maps_rows else back(answer)
        return np.array(answers, dtype=np.float64), subject.ask(rows), ROUNDING * extent(rows)

    try:
        differing = difference(pair, x)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise Violation(f"the answer to a {form} is not in its form ({error})", call=f"rule({code})", x=x) from error
    if differing:
        found, expected = differing
        raise Violation(f"a {form} gives another answer", call=f"rule({code})", found=found, expected=expected, x=x)


def _trusted_in_form(subject: Subject, make: Any, rows: Floats) -> dict[str, Any]:
    """A trusted update in the form of a client's update, for rules that want one."""
    if not getattr(subject.rule, "wants_trusted", False):
        return {}
    formed = make(np.concatenate([rows, [trusted_update(rows)]]))
    return {"trusted": list(formed.values())[-1] if isinstance(formed, dict) else formed[-1]}


def _split(row: Floats) -> dict[str, Floats]:
    return {"weight": row[:-1].reshape(1, -1), "bias": row[-1:]}


def _joined(answer: dict[str, Floats]) -> Floats:
    return np.concatenate([answer["weight"].reshape(-1), answer["bias"]])


def _tensor(x: Floats) -> Any:
    import torch

    return torch.tensor(x)


FORMS: dict[str, tuple[Any, str, Any]] = {
    "list of arrays": (list, "list(x)", np.asarray),
    "list of lists": (lambda x: x.tolist(), "x.tolist()", np.asarray),
    "mapping of clients": (
        lambda x: {f"client {i}": row for i, row in enumerate(x)},
        "{f'client {i}': row for i, row in enumerate(x)}",
        np.asarray,
    ),
    "list of layers": (
        lambda x: [[row[:-1], row[-1:]] for row in x],
        "[[row[:-1], row[-1:]] for row in x]",
        lambda answer: np.concatenate(answer),
    ),
    "list of state dicts": (
        lambda x: [_split(row) for row in x],
        "[{'weight': row[:-1].reshape(1, -1), 'bias': row[-1:]} for row in x]",
        _joined,
    ),
    "tensor": (_tensor, "torch.tensor(x)", lambda answer: answer.numpy()),
}


@promise("a large part that all float32 rows share costs no accuracy: the answer is that of float64 rows")
def centring(subject: Subject, ask: Questions) -> None:
    n = subject.least + ask.integer(0, 3)
    d = ask.integer(1, 3)
    x = ask.integers(n * d).reshape(n, d)
    offset = ask.choose((1e4, 1e3, 1e5, 1e6))
    kind = ask.choose(subject.accepts)
    # float32 represents whole numbers below 2**24 exactly, so both questions are the same
    tolerance = 1e-3 + 16 * float(np.finfo(np.float32).eps) * offset

    def pair(rows: Floats) -> tuple[Floats, Floats, float]:
        single = array(rows + offset, kind, "float32")
        exact = array(numeric(single), kind, "float64")
        return subject.read(subject.call(single), single), subject.read(subject.call(exact), exact), tolerance

    found, expected, _ = pair(x)
    if close(found, expected, tolerance) or any(close(*pair(x + move)) for move in _whole_moves(x)):
        return
    call = "rule((x + offset).astype(np.float32))" if kind == "numpy" else "rule(torch.tensor(x + offset).float())"
    complaint = "float32 rows do not give rule(x + offset), though they are the same numbers"
    raise Violation(complaint, call=call, found=found, expected=expected, x=x, offset=offset)


def _whole_moves(x: Floats) -> list[Floats]:
    """Random moves that break ties, and after which the numbers are still exact in float32."""
    return [np.random.default_rng(number).integers(-2, 3, size=x.shape).astype(np.float64) for number in range(3)]
