"""The remark about seeds that fall apart into good and bad ones."""

from __future__ import annotations

import pytest

from robustfl.evaluation.score.score import score
from tests.evaluation.outcomes import cell, codes, world


def told(values: tuple[float, ...], calm: int = 0) -> bool:
    """Whether the remark is made of one attack with these utilities beside some steady ones."""
    steady = tuple(0.5 + 0.01 * seed for seed in range(len(values)))
    outcomes = [o for name in ("none", *(f"a{n}" for n in range(calm))) for o in cell(name, 3, steady)]
    result = score([*outcomes, *cell("x", 3, values)], [world(len(values))])
    return "SEEDS_FALL_APART" in codes(result)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.9, 0.0, 0.85), True),
        ((0.9, 0.5, 0.1), False),  # far apart, but there is no gap
        ((0.6, 0.1, 0.58, 0.62, 0.59), False),  # a gap of less than half of the scale
        ((0.9, 0.0), False),  # two seeds have no interval that could mislead
        ((0.9, 0.0, 0.9, 0.0, 0.9, 0.0, 0.9, 0.0, 0.9, 0.0), False),  # enough seeds for intervals that cover
    ],
)
def test_seeds_that_are_either_good_or_bad_are_told(values: tuple[float, ...], expected: bool) -> None:
    assert told(values) == expected


def test_one_attack_of_many_is_no_reason() -> None:
    assert told((0.9, 0.0, 0.85), calm=8)
    assert not told((0.9, 0.0, 0.85), calm=19)
