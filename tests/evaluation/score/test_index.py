"""The combined index, against hand-computed values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.errors import ParameterError
from robustfl.evaluation.score.index import AXES, combined_index

shares = st.floats(0.01, 1.0)


def test_the_worked_example() -> None:
    whole = combined_index({"U": 0.6, "T": 0.9, "F": 0.8, "P": 0.5})
    assert (whole.value, whole.label, whole.weakest) == (pytest.approx(0.66846493, abs=5e-9), "RI[UTFP]", "P")
    without = combined_index({"U": 0.6, "T": 0.9, "F": 0.8, "P": None})
    assert (without.value, without.label, without.weakest) == (pytest.approx(0.71879622, abs=5e-9), "RI[UTF]", "U")


def test_weights_sum_to_one() -> None:
    assert math.fsum(AXES.values()) == 1.0


@given(st.dictionaries(st.sampled_from(sorted(AXES)), shares, min_size=1))
def test_the_index_lies_between_the_weakest_axis_and_the_strongest(axes: dict[str, float]) -> None:
    found = combined_index(axes)
    assert min(axes.values()) - 1e-12 <= found.value <= max(axes.values()) + 1e-12
    assert axes[found.weakest] == min(axes.values())


@given(st.sampled_from(sorted(AXES)), shares)
def test_nothing_makes_up_for_an_axis_that_is_zero(axis: str, other: float) -> None:
    assert combined_index({**dict.fromkeys(AXES, other), axis: 0.0}).value == 0.0


@pytest.mark.parametrize("axes", [{}, {"U": None}, {"U": 1.2}, {"T": -0.1}, {"U": math.nan}, {"X": 0.5}])
def test_what_is_no_axis_is_refused(axes: dict[str, float | None]) -> None:
    with pytest.raises(ParameterError, match=r"U, T, F, P to values in \[0, 1\]"):
        combined_index(axes)
