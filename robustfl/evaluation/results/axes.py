"""The axes of a summary that stand beside the score: attacks with an aim, faults, and privacy.

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


class Leak(TypedDict):
    """What one attack on privacy finds out when nobody disturbs the training; means over the seeds.

    `measured` holds measures over all watched rounds, and `by_round` those of each. `leak` is the largest of what is
    reconstructed above the controls, of the labels above chance (counted half), and of the members found above false
    alarms. `kept_per_seed` is 1 minus that.
    """

    attack: str
    leak: float | None
    what: str | None
    kept_per_seed: list[float | None]
    measured: dict[str, float]
    by_round: dict[str, dict[str, float]]
    bounds: dict[str, float]


class PrivacyDefense(TypedDict):
    """The privacy axis of one defense, against the observer of the suite.

    `epsilon` is the privacy loss against each observer that the noise of a mechanism protects from, the largest of all
    seeds; `protected` says whether the observer of the suite is one of them. `voids` are the reasons why there is no
    such claim, and `notes` what else should be known of it.
    """

    defense: str
    P: float | None
    P_ci: Interval
    worst_attack: str | None
    invalid: str | None
    accuracy: float | None
    epsilon: dict[str, float]
    delta: float | None
    unit: str | None
    relation: str | None
    protected: bool
    voids: list[str]
    notes: list[str]
    stopped: str | None
    oracles: list[str]
    unfit: list[str]
    attacks: list[Leak]


class PrivacyWorld(TypedDict):
    """The privacy axis in one world."""

    world: str
    observer: str | None
    defenses: list[PrivacyDefense]


class ShownPair(TypedDict):
    """A sample and its reconstruction as hexadecimal bytes, row by row; the latter is None where there is none."""

    psnr: float
    original: str
    found: str | None


class Exhibited(TypedDict):
    """Samples of one trial beside what an attack on privacy made of them: the best, the middle and the worst pair."""

    world: str
    defense: str
    attack: str
    height: int
    width: int
    channels: int
    pairs: list[ShownPair]
