"""The language of measures: what can be said, and that nothing else gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.evaluation.claims.language import (
    DEEPEST,
    FUNCTIONS,
    LONGEST,
    Expression,
    MeasureError,
    Number,
    Operation,
    Reading,
)


def problem(text: str) -> str:
    with pytest.raises(MeasureError) as caught:
        Expression.read(text)
    return str(caught.value)


def marked(text: str) -> str:
    """The part of the measure that an error points at."""
    *_, measure, marks = problem(text).splitlines()
    return "".join(letter for letter, mark in zip(measure, marks, strict=False) if mark == "^")


def test_readings_keep_their_arguments_as_they_are_written() -> None:
    measure = Expression.read(
        "U(nnm >> trimmed_mean,\n  attack=ipm(epsilon=0.5), f=4) - more(rffl, 'fair', world=\"a, b\")"
    )
    first, second = measure.readings()
    assert (first.function, first.text) == ("U", "U(nnm >> trimmed_mean, attack=ipm(epsilon=0.5), f=4)")
    assert {name: argument.text for name, argument in first.arguments.items()} == {
        "defense": "nnm >> trimmed_mean",
        "attack": "ipm(epsilon=0.5)",
        "f": "4",
    }
    assert [second.get(name) for name in ("defense", "name", "world", "item")] == ["rffl", "fair", "a, b", None]


def test_arithmetic_has_its_usual_order() -> None:
    measure = Expression.read("1 - 2 * R(mean) / -4")
    reading = next(measure.readings())
    assert measure.root == Operation(
        "-",
        (
            Number(1.0),
            Operation("/", (Operation("*", (Number(2.0), reading)), Operation("*", (Number(-1.0), Number(4.0))))),
        ),
    )
    assert Expression.read("min(1, +2.5, 1e-3)").root == Operation("min", (Number(1.0), Number(2.5), Number(0.001)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_can_be_read_with_and_without_names(name: str) -> None:
    needs = FUNCTIONS[name].needs
    values = {"defense": "mean", "f": "3", "name": "fairness", "phase": "total"}
    by_place = Expression.read(f"{name}({', '.join(values[key] for key in needs)})").root
    by_name = Expression.read(f"{name}({', '.join(f'{key}={values[key]}' for key in needs)}, world=w)").root
    assert isinstance(by_place, Reading)
    assert isinstance(by_name, Reading)
    assert [by_place.get(key) for key in needs] == [by_name.get(key) for key in needs]


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("V(mean)", "There is no function 'V' in measures. Known: M, R", "V"),
        ("acuracy(mean)", "Did you mean 'accuracy'?", "acuracy"),
        ("mean", "'mean' alone is no number. Write what of it, such as W(mean, f=1).", "mean"),
        ("R()", "`R` needs `defense`.", "R()"),
        ("1 + W(mean)", "`W` needs `f`.", "W(mean)"),
        ("W(mean, f=3, g=1)", "`W` has no argument 'g'.", "1"),
        ("W(mean, atack=ipm, f=3)", "`W` has no argument 'atack'.", "ipm"),
        ("U(mean, attac=ipm, f=3)", "Did you mean 'attack'?", "ipm"),
        ("W(mean, 3, f=4)", "`W` is given `f` twice.", "4"),
        ("U(mean, ipm)", "`U` takes `attack`, `f`, `world`, `fault` by name, as in attack=...", "ipm"),
        ("W(mean, **{'f': 1})", "`W` has no argument '**'.", "{'f': 1}"),
        ("W(mean, f=1.0)", "`f` is a number of malicious clients", "1.0"),
        ("W(mean, f=True)", "`f` is a number of malicious clients", "True"),
        ("W(mean, f=-1)", "`f` is a number of malicious clients", "-1"),
        ("min(1)", "`min` takes two numbers or more.", "min(1)"),
        ("abs(1, 2)", "`abs` takes one number.", "abs(1, 2)"),
        ("max(1, 2, key=3)", "`max` takes two numbers or more.", "max(1, 2, key=3)"),
        ("'text'", "Only numbers stand alone", "'text'"),
        ("True", "Only numbers stand alone", "True"),
        ("1j", "Only numbers stand alone", "1j"),
        ("1e999", "This number is too large.", "1e999"),
        ("R(mean) > 0", "A measure has numbers, + - * /", "R(mean) > 0"),
        ("2 ** 3", "A measure has numbers, + - * /", "2 ** 3"),
        ("R(mean) if 1 else 2", "A measure has numbers", "R(mean) if 1 else 2"),
        ("[1]", "A measure has numbers", "[1]"),
        ("(lambda: 1)()", "A measure has numbers", "(lambda: 1)()"),
        ("__import__('os').system('exit 1')", "A measure has numbers", "__import__('os').system('exit 1')"),
        ("R(mean", "This is no arithmetic expression: '(' was never closed.", "("),
        ("", "This is no arithmetic expression", ""),
        ("R(mean) +", "This is no arithmetic expression", ""),
        ("1 + \x1b[2J", "A measure is one line of printable text", "'1 + \\x1b[2J'"),
        ("1\0", "A measure is one line of printable text", "'1\\x00'"),
    ],
)
def test_whatever_else_is_refused_at_its_place(text: str, message: str, place: str) -> None:
    assert message in problem(text)
    assert marked(text) == place


def test_places_count_characters_and_not_bytes() -> None:
    assert marked("R('ünïcödé 😀') + V(mean)") == "V"


def test_measures_have_a_limited_size() -> None:
    assert "at most" in problem("1 +" * LONGEST + "1")
    assert len(problem("1 +" * 100_000)) < 200
    assert f"nested at most {DEEPEST} levels deep" in problem("-" * (DEEPEST + 1) + "1")
    assert "no arithmetic expression" in problem("(" * 249 + "1" + ")" * 249)
    assert "too large" in problem("9" * 400)
    assert Expression.read("-" * (DEEPEST - 1) + "1").text


@given(st.one_of(st.text(max_size=40), st.text("RWUM(mean,f=1)+-*/ '\"", max_size=40)))
def test_any_text_is_a_measure_or_is_refused(text: str) -> None:
    try:
        measure = Expression.read(text)
    except MeasureError:
        assert len(problem(text).splitlines()) == 3
        return
    assert Expression.read(measure.text) == measure
