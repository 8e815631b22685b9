"""Coordinates and words: inside the frame, with gaps where nothing is known, and never a wrong sign."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.reports.sections.content.figures import Frame, radius, thinned, ticks
from robustfl.reports.sections.content.wording import (
    breakdown,
    interval,
    listed,
    number,
    percent,
    pieces,
    seconds,
    size,
)
from robustfl.wording import counted

FRAME = Frame(width=100, height=60, low=0, high=10, left=10, right=10, top=5, bottom=15)
VALUE = st.none() | st.floats(-2, 2)


def test_corners_of_the_frame() -> None:
    assert FRAME.line([(0, 0.0), (10, 1.0)]) == "M10 45L90 5"


def test_a_gap_interrupts_the_line_and_the_band() -> None:
    assert FRAME.line([(0, 1.0), (5, None), (10, 1.0)]) == "M10 5M90 5"
    assert FRAME.band([(0, (0.0, 1.0)), (5, None)]) == "M10 5L10 45Z"


def test_a_single_x_lies_in_the_middle() -> None:
    assert Frame(width=100, height=60, low=3, high=3, left=10, right=10).x(3) == 50


@given(st.lists(st.tuples(st.floats(0, 10), VALUE), max_size=20))
def test_every_point_lies_inside_the_frame(points: list[tuple[float, float | None]]) -> None:
    numbers = [float(text) for text in re.findall(r"[\d.]+", FRAME.line(points))]
    assert len(numbers) == 2 * sum(y is not None for _, y in points)
    assert all(10 <= x <= 90 for x in numbers[::2])
    assert all(5 <= y <= 45 for y in numbers[1::2])


@given(st.lists(st.integers(), max_size=500), st.integers(2, 80))
def test_thinning_keeps_the_ends_and_the_limit(values: list[int], limit: int) -> None:
    points: list[tuple[float, float | None]] = [(float(i), float(value)) for i, value in enumerate(values)]
    kept = thinned(points, limit)
    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]
    assert len(kept) <= limit + 1
    assert kept == sorted(set(kept), key=lambda point: point[0])


@given(st.sets(st.integers(0, 1000), max_size=200))
def test_ticks_keep_the_ends_and_stay_few(values: set[int]) -> None:
    grid = sorted(values)
    kept = ticks(grid)
    assert kept[:1] == grid[:1]
    assert kept[-1:] == grid[-1:]
    assert len(kept) <= 8
    assert kept == sorted(set(kept))


def test_the_area_of_a_dot_is_in_proportion() -> None:
    assert radius(25, 100, 8) == 4
    assert radius(0, 0, 8) == radius(0, 5, 8) == 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (number(0.835), "0.83"),
        (number(-0.001), "0.00"),
        (number(-0.06), "−0.06"),
        (number(None), "–"),
        (interval([0.1, 0.25]), "0.10 to 0.25"),
        (interval(None), "–"),
        (listed([]), ""),
        (listed(["A"]), "A"),
        (listed(["A", "B", "C"]), "A, B and C"),
        (counted(1, "trial"), "1 trial"),
        (counted(0, "trial"), "0 trials"),
        (seconds(0.0052), "5.2 ms"),
        (seconds(0.25), "250 ms"),
        (seconds(93.1), "1 min 33 s"),
        (seconds(7500), "2 h 05 min"),
        (percent(None), "–"),
        (percent(0.0), "0 %"),
        (percent(0.001), "< 1 %"),
        (percent(0.934), "93 %"),
        (percent(0.999), "99 %"),
        (percent(1.0), "100 %"),
        (size(7240), "7.24 kB"),
        (size(2e15), "2000 TB"),
        (breakdown(None, 9), "not determined"),
        (breakdown({"f": -1, "verdict": "none"}, 9), "fails without any"),
        (breakdown({"f": 4, "verdict": "at_least"}, 9), "4 or more of 9"),
        (breakdown({"f": 3, "verdict": "exact"}, 9), "3 of 9"),
        (pieces("CenteredClipping(radius=10.0)"), ["Centered", "Clipping", "(radius=", "10.0)"]),
    ],
)
def test_words(found: object, expected: object) -> None:
    assert found == expected
