"""Which mechanism goes with which rule, channel and sampling: the table, cell by cell, and what may void a claim."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from robustfl.errors import ParameterError
from robustfl.privacy import Level, RuleFacts, Situation, noise_to_signal, standing
from robustfl.privacy.compatibility import CELLS, CODES, COLUMNS, MECHANISMS, Column, Drawn, Place, beats_geometry

MEAN = RuleFacts()
BOUNDED = RuleFacts(name="trimmed_mean", averages=False)
BUCKETS = RuleFacts(name="bucketing >> mean", averages=False, names=True)
PAIRS = RuleFacts(name="nnm >> mean", averages=False, geometric=True)
MEDIAN = RuleFacts(name="median", averages=False, bounded=False, why="median: one row is the tie-breaker")
KRUM = replace(MEDIAN, name="krum", geometric=True)

OK: tuple[str, ...] = ()
TABLE: list[tuple[Place, str, dict[str, Any], str, tuple[str, ...]]] = [
    ("server", "mean", {}, "ok", OK),
    ("server", "bounded, everyone", {"rule": BOUNDED}, "ok", OK),
    ("server", "bounded, fixed", {"rule": BOUNDED, "sampling": "fixed"}, "ok", OK),
    ("server", "bounded, poisson", {"rule": BOUNDED, "sampling": "poisson"}, "error", ("SECRET_NUMBER_OF_ROWS",)),
    ("server", "median", {"rule": MEDIAN}, "error", ("NO_SENSITIVITY",)),
    ("server", "secure sum, mean", {"secure_sum": True}, "ok", OK),
    ("server", "secure sum, rows", {"secure_sum": True, "rule": BOUNDED}, "error", ("NEEDS_ROWS",)),
    ("server", "secure sum, weights", {"secure_sum": True, "weights": "reported"}, "void", ("REPORTED_WEIGHTS",)),
    ("server", "rankings", {"channel": "rankings"}, "error", ("NO_SENSITIVITY_OF_CHANNEL",)),
    ("server", "poisson, mean", {"sampling": "poisson"}, "ok", OK),
    ("server", "fixed, mean", {"sampling": "fixed"}, "ok", OK),
    (
        "server",
        "fixed, one less",
        {"sampling": "fixed", "relation": "add_or_remove"},
        "error",
        ("RELATION_WITHOUT_PRICE",),
    ),
    ("server", "fixed, buckets", {"rule": BUCKETS, "sampling": "fixed"}, "error", ("NAMES_DECIDE",)),
    ("server", "everyone, buckets", {"rule": BUCKETS}, "ok", OK),
    ("steps", "mean", {}, "ok", OK),
    ("steps", "bounded", {"rule": BOUNDED}, "ok", OK),
    ("steps", "median", {"rule": MEDIAN}, "ok", OK),
    ("steps", "secure sum", {"secure_sum": True}, "ok", OK),
    ("steps", "rewards", {"channel": "rewards"}, "ok", OK),
    (
        "steps",
        "rankings of own",
        {"channel": "rankings", "noised_message": False},
        "error",
        ("MESSAGE_NOT_NOISED",),
    ),
    ("steps", "poisson", {"sampling": "poisson"}, "ok", OK),
    ("steps", "with replacement", {"sampling": "replacement"}, "void", ("DRAWN_WITH_REPLACEMENT",)),
    ("clients", "mean", {}, "ok", OK),
    ("clients", "bounded", {"rule": PAIRS, "noise_to_signal": 0.9}, "ok", OK),
    ("clients", "krum, little noise", {"rule": KRUM, "noise_to_signal": 1.0}, "ok", OK),
    ("clients", "krum, much noise", {"rule": KRUM, "noise_to_signal": 5.0}, "ok", ("NOISE_BEATS_GEOMETRY",)),
    ("clients", "median, much noise", {"rule": MEDIAN, "noise_to_signal": 5.0}, "ok", OK),
    ("clients", "secure sum", {"secure_sum": True}, "ok", OK),
    ("clients", "rankings", {"channel": "rankings"}, "error", ("NO_SENSITIVITY_OF_CHANNEL",)),
    ("clients", "poisson", {"sampling": "poisson"}, "ok", ("NO_AMPLIFICATION",)),
    ("clients", "fixed", {"sampling": "fixed"}, "ok", ("NO_AMPLIFICATION",)),
    ("shares", "mean", {}, "ok", OK),
    ("shares", "bounded", {"rule": BOUNDED}, "error", ("NEEDS_ROWS",)),
    ("shares", "median", {"rule": MEDIAN}, "error", ("NEEDS_ROWS",)),
    ("shares", "no secure sum", {"secure_sum": False}, "error", ("SHARES_NEED_A_SECURE_SUM",)),
    ("shares", "rewards", {"channel": "rewards"}, "error", ("NO_SENSITIVITY_OF_CHANNEL",)),
    ("shares", "poisson", {"sampling": "poisson"}, "ok", ("NO_AMPLIFICATION",)),
    ("shares", "fixed", {"sampling": "fixed"}, "ok", ("NO_AMPLIFICATION",)),
]


@pytest.mark.parametrize(
    ("place", "given", "level", "codes"),
    [pytest.param(place, given, level, codes, id=f"{place}: {what}") for place, what, given, level, codes in TABLE],
)
def test_every_cell_of_the_table(place: Place, given: dict[str, Any], level: str, codes: tuple[str, ...]) -> None:
    found = standing(Situation(place=place, **given))
    assert (str(found.level), tuple(reason.code for reason in found.reasons)) == (level, codes)
    assert not any("{" in reason.text for reason in found.reasons), "a template was not filled in"


@pytest.mark.parametrize("place", get_args(Place))
@pytest.mark.parametrize(
    ("given", "level", "code", "spares"),
    [
        ({"weights": "reported"}, "void", "REPORTED_WEIGHTS", "steps"),
        ({"weights": "public"}, "ok", None, ""),
        ({"denominator": "counted"}, "void", "COUNTED_DENOMINATOR", "clients"),
        ({"clip": "data"}, "void", "CLIP_FROM_DATA", ""),
        ({"clip": "noised"}, "ok", None, ""),
        ({"diverged": True}, "void", "DIVERGED", ""),
        ({"tuned": True}, "ok", "TUNED", ""),
        ({"sampling": "replacement"}, "void", "DRAWN_WITH_REPLACEMENT", ""),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_was_not_public_or_not_bounded_voids_a_claim(
    place: Place, given: dict[str, Any], level: str, code: str | None, spares: str
) -> None:
    found = standing(Situation(place=place, **given))
    expected = ("ok", []) if code is None or place == spares else (level, [code])
    assert (str(found.level), [reason.code for reason in found.reasons]) == expected


def test_the_gravest_reason_comes_first_and_none_is_lost() -> None:
    found = standing(Situation(place="server", rule=MEDIAN, sampling="poisson", clip="data", tuned=True))
    assert found.level is Level.ERROR
    assert [reason.code for reason in found.reasons] == [
        "NO_SENSITIVITY",
        "SECRET_NUMBER_OF_ROWS",
        "CLIP_FROM_DATA",
        "TUNED",
    ]
    assert [reason.code for reason in found.of(Level.VOID)] == ["CLIP_FROM_DATA"]
    assert "median: one row is the tie-breaker" in found.reasons[0].text


def test_the_table_is_complete_and_no_code_is_idle() -> None:
    columns, places = set(get_args(Column)), set(get_args(Place))
    assert set(COLUMNS) == columns
    assert set(CELLS) == set(MECHANISMS) == places
    assert all(set(row) == columns for row in CELLS.values())
    assert set(get_args(Drawn)) - {"everyone"} <= columns
    used = {code for row in CELLS.values() for cell in row.values() for code in cell}
    assert used == set(CODES)
    tested = {code for *_, codes in TABLE for code in codes}
    assert used - tested == {"COUNTED_DENOMINATOR", "CLIP_FROM_DATA", "DIVERGED", "TUNED"}, "see the second table"
    assert all(re.fullmatch("[A-Z_]+", code) for code in used)


def test_noise_of_a_message_against_its_clip() -> None:
    assert noise_to_signal(2.0, 1810) == pytest.approx(85.09, abs=0.01)
    assert not beats_geometry(noise_to_signal(0.1, 100))
    assert beats_geometry(noise_to_signal(0.11, 100))
    for values in ((-1.0, 3), (float("nan"), 3), (1.0, -3)):
        with pytest.raises(ParameterError, match="at least 0"):
            noise_to_signal(*values)


def test_a_situation_without_sense_is_an_error() -> None:
    with pytest.raises(ParameterError, match="place='cloud'"):
        Situation(place="cloud")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="nan"):
        Situation(place="server", noise_to_signal=float("nan"))
