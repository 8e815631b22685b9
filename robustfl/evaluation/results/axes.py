"""The axes of a summary that stand beside the score: attacks with an aim, and faults.

These declarations type the code, and summaries are checked against them, as those of
:mod:`~robustfl.evaluation.results.summaries` are.
"""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from annotated_types import Len

Interval = Annotated[list[float], Len(2, 2)] | None
"""[low, high]; None where there are too few seeds: those of means need two, those of minima three."""


class TargetedCell(TypedDict):
    """One attack with an aim at one f."""

    attack: str
    aim: str
    f: int
    success: float | None
    natural: float | None
    accuracy: float | None
    kept: float | None
    kept_per_seed: NotRequired[list[float | None]]
    durability: float | None
    outlasts: bool
    informative: bool
    effectiveness: float | None


class TargetedDefense(TypedDict):
    """The targeted axis of one defense."""

    defense: str
    T: float | None
    T_ci: Interval
    worst_attack: str | None
    f: int | None
    invalid: str | None
    incomplete: NotRequired[list[str]]
    attacks: list[TargetedCell]


class TargetedWorld(TypedDict):
    """The targeted axis in one world."""

    world: str
    defenses: list[TargetedDefense]


class BorneFault(TypedDict):
    """How a defense withstands one fault."""

    u: list[float | None]
    U: float | None
    ci: Interval
    accuracy: list[float | None]
    recovery: float | None
    recovered: float | None
    lost_rows: float | None
    held_rounds: float | None
    honest_ignored: float | None
    trials: list[str | None]
    status: list[str]


class FaultsDefense(TypedDict):
    """The fault axis of one defense."""

    defense: str
    told: int
    F: float | None
    worst: str | None
    invalid: str | None
    faults: dict[str, BorneFault]


class FaultsWorld(TypedDict):
    """The fault axis in one world."""

    world: str
    defenses: list[FaultsDefense]
