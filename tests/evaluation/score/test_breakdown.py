"""The search for the breakdown point: its order, its cache, its fallback, and its verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.evaluation.score.breakdown import breakdown_of_curve, breakdown_point, minority


def search(pattern: str, grid: list[int] | None = None) -> tuple[int, str, list[int]]:
    """f, verdict and the evaluations made, for a pattern such as TTF."""
    counts = list(range(len(pattern))) if grid is None else grid
    asked: list[int] = []

    def passes(f: int) -> bool:
        asked.append(f)
        return pattern[counts.index(f)] == "T"

    result = breakdown_point(passes, counts)
    assert list(result.evaluations) == asked
    assert len(set(asked)) == len(asked), "a number was evaluated twice"
    return result.f, result.verdict, asked


def test_the_order_of_evaluations() -> None:
    assert search("TTTTFFFF") == (3, "exact", [0, 7, 3, 5, 4, 1])
    assert breakdown_point(lambda f: f <= 3, minority(15)).beta(15) == pytest.approx(0.2)


def test_a_failing_probe_makes_it_try_every_number() -> None:
    assert search("TFTTFFFF") == (0, "exact", [0, 7, 3, 5, 4, 1])


def test_a_probed_half_moves_on_to_the_smallest_untested() -> None:
    # With f* = 2 the half, 1, is tested on the way; 0 too: nothing is left to probe.
    assert search("TTTF") == (2, "exact", [0, 3, 1, 2])
    # With f* = 5 the half, 2, is untested.
    assert search("TTTTTTF") == (5, "exact", [0, 6, 3, 4, 5, 2])
    # With f* = 6 of 0..7 the half, 3, is tested: the smallest untested, 1, is next.
    assert search("TTTTTTTF") == (6, "exact", [0, 7, 3, 5, 6, 1])


def test_broken_without_attack() -> None:
    f, verdict, _ = search("FFFF")
    assert (f, verdict) == (-1, "none")
    assert breakdown_point(lambda f: False, range(4)).beta(9) is None


def test_everything_passes() -> None:
    assert search("TTTTTTTT") == (7, "at_least", [0, 7, 3])
    assert search("T") == (0, "at_least", [0])


def test_a_hole_below_a_passing_end_is_found_by_the_probe() -> None:
    assert search("TTTFTTTT") == (2, "exact", [0, 7, 3, 1, 2])


def test_a_sparse_grid_is_searched_by_position() -> None:
    assert search("TTFF", [0, 3, 6, 9]) == (3, "exact", [0, 9, 3, 6])
    assert search("TF", [2, 5]) == (2, "exact", [2, 5])


@given(st.integers(1, 200).flatmap(lambda size: st.tuples(st.just(size), st.integers(-1, size - 1))))
def test_monotone_patterns_are_solved_in_few_evaluations(case: tuple[int, int]) -> None:
    size, limit = case
    f, verdict, asked = search("".join("T" if f <= limit else "F" for f in range(size)))
    assert f == limit
    assert verdict == ("none" if limit < 0 else "at_least" if limit == size - 1 else "exact")
    assert len(asked) <= 3 + size.bit_length()


@given(st.text(alphabet="TF", min_size=1, max_size=30))
def test_the_result_passes_and_its_successor_fails(pattern: str) -> None:
    f, verdict, _ = search(pattern)
    assert f == -1 or pattern[f] == "T"
    if verdict == "at_least":
        assert f == len(pattern) - 1
    else:
        assert pattern[f + 1] == "F"


@pytest.mark.parametrize(("clients", "last"), [(1, 0), (2, 0), (3, 1), (10, 4), (15, 7)])
def test_minority_leaves_an_honest_majority(clients: int, last: int) -> None:
    assert list(minority(clients)) == list(range(last + 1))


@pytest.mark.parametrize("grid", [[], [-1, 2]])
def test_a_grid_without_numbers_is_refused(grid: list[int]) -> None:
    with pytest.raises(ParameterError, match="`grid` should hold"):
        breakdown_point(lambda f: True, grid)


def test_a_federation_without_clients_is_refused() -> None:
    with pytest.raises(ParameterError, match="clients >= 1"):
        minority(0)
    with pytest.raises(ParameterError, match="clients >= 1"):
        breakdown_point(lambda f: True, [0]).beta(0)


def test_the_report_is_json() -> None:
    report = breakdown_point(lambda f: f < 2, [0, 1, 2]).report(10)
    assert report == {"f": 1, "beta": 0.1, "verdict": "exact", "evaluated": [0, 2, 1], "grid": [0, 1, 2]}


def curve(*points: tuple[int, float | None, list[str]]) -> list[dict[str, Any]]:
    return [{"f": f, "W": w, "incomplete": incomplete} for f, w, incomplete in points]


def test_a_curve_passes_at_the_threshold_itself() -> None:
    result = breakdown_of_curve(curve((0, 1.0, []), (2, 0.5, []), (4, 0.49, [])), 0.5)
    assert result is not None
    assert (result.f, result.verdict, result.grid) == (2, "exact", (0, 2, 4))


def test_an_incomplete_point_ends_the_search_unless_it_fails_anyway() -> None:
    open_end = breakdown_of_curve(curve((0, 1.0, []), (2, 0.9, []), (4, 0.8, ["alie"]), (6, 0.1, [])), 0.5)
    failing = breakdown_of_curve(curve((0, 1.0, []), (2, 0.9, []), (4, 0.2, ["alie"]), (6, None, ["alie"])), 0.5)
    assert open_end is not None
    assert failing is not None
    assert (open_end.f, open_end.verdict, open_end.grid) == (2, "at_least", (0, 2))
    assert (failing.f, failing.verdict, failing.grid) == (2, "exact", (0, 2, 4))


def test_nothing_is_said_when_the_first_point_is_open() -> None:
    assert breakdown_of_curve(curve((0, None, ["none"]), (2, 0.1, [])), 0.5) is None
    assert breakdown_of_curve([], 0.5) is None
