"""Outcomes, worlds and settings that make no sense are refused before anything is scored."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.score.inputs import ScoreSettings
from robustfl.evaluation.score.score import score, worst_case
from tests.evaluation.outcomes import cell, suite, world


def test_outcomes_that_contradict_the_worlds_are_refused() -> None:
    outcomes = suite({0: 1.0})
    with pytest.raises(DataError, match="no known world and seed"):
        score(outcomes, [world(label="other")])
    with pytest.raises(DataError, match="no known world and seed"):
        score(outcomes, [world(2)])
    with pytest.raises(DataError, match="is there twice"):
        score([*outcomes, outcomes[0]], [world()])
    with pytest.raises(DataError, match="distinct labels"):
        score(outcomes, [world(), world()])
    with pytest.raises(DataError, match="one world, one defense and one f"):
        worst_case(suite({0: 1.0, 2: 0.5}), world())
    with pytest.raises(DataError, match="one world, one defense and one f"):
        worst_case([], world())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "done"}, r"`status` should be one of.*Found 'done'"),
        ({"f": -1}, "f should be >= 0"),
        ({"f": 0, "attack": "bad"}, "the only attack is 'none'"),
        ({"accuracy": math.nan}, "accuracy.*Found nan"),
        ({"accuracy": None}, "accuracy.*Found None"),
        ({"accuracy": 1.5}, "accuracy.*Found 1.5"),
    ],
)
def test_impossible_outcomes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(cell("bad", 2, (0.5,))[0], **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": ()},
        {"seeds": (1, 1, 2)},
        {"clients": 0},
        {"test_size": 0},
        {"baseline": (0.5,) * 4},
        {"baseline": (0.5, 0.5, math.nan)},
        {"chance": math.inf},
    ],
)
def test_impossible_worlds_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="World 'w'"):
        replace(world(), **changes)


@pytest.mark.parametrize("changes", [{"threshold": 0}, {"threshold": math.nan}, {"margin": -1}, {"alpha": 1.0}])
def test_impossible_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="ScoreSettings should satisfy"):
        ScoreSettings(**changes)
