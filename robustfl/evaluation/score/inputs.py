"""What a score is made from: the outcome of every cell, the worlds that share a scale, and the settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.labels import NO_ATTACK, NOT_APPLICABLE
from robustfl.evaluation.results.training import TrainingReport
from robustfl.evaluation.trust.remarks import INFORMATIVE_GAP

STATUSES = ("ok", "diverged", "failed", "invalid", "missing", NOT_APPLICABLE)


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """One outcome of the suite: a defense in a world under an attack by f of the clients, with one seed.

    `accuracy` is the chosen measure over the end of the training; it is read when `status` is "ok". A "diverged"
    outcome counts as chance. A "failed" or "missing" outcome leaves its cell incomplete. An "invalid" outcome (the
    defense's own precondition on f does not hold) makes the worst case at this f zero. A "not applicable" outcome (the
    attack is made for other defenses, or for other messages than clients send) is never run and does not count. Several
    outcomes may share one `trial`.
    """

    world: str
    defense: str
    attack: str
    f: int
    seed: int
    trial: str
    accuracy: float | None
    test_size: int
    chance: float
    status: str
    reason: str = ""

    def __post_init__(self) -> None:
        where = f"{self.defense} under {self.attack!r} in {self.world!r} (f={self.f}, seed {self.seed})"
        if self.status not in STATUSES:
            raise DataError(f"{where}: `status` should be one of {', '.join(STATUSES)}. Found {self.status!r}.")
        if self.f < 0 or (self.f == 0 and self.attack != NO_ATTACK):
            raise DataError(
                f"{where}: f should be >= 0, and without malicious clients the only attack is {NO_ATTACK!r}."
            )
        if self.status == "ok" and not _is_share(self.accuracy):
            raise DataError(
                f"{where}: `accuracy` of a finished run should lie in [0, 1]. Found {self.accuracy}. "
                "A run whose model is not finite has the status 'diverged'."
            )


@dataclass(frozen=True, kw_only=True)
class ScoredWorld:
    """A task and its federation, which all defenses and attacks that are compared in this world share.

    `baseline` is the accuracy of the plain mean without an attack for each of `seeds`, in their order. If one of them
    is missing or None, the world cannot be scored yet. `chance` is what guessing reaches in the chosen measure, and
    `effective_test_size` the number of test samples that its sampling error stands for; all of them when not given.
    `training` says how the trials of the baseline went.
    """

    label: str
    clients: int
    baseline: tuple[float | None, ...]
    chance: float
    test_size: int
    seeds: tuple[int, ...]
    effective_test_size: float | None = None
    training: TrainingReport | None = None

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or self.clients < 1 or self.test_size < 1:
            raise DataError(
                f"World {self.label!r} should have distinct seeds, clients and test samples. "
                f"Found seeds={self.seeds}, clients={self.clients}, test_size={self.test_size}."
            )
        known = [accuracy for accuracy in self.baseline if accuracy is not None]
        if len(self.baseline) > len(self.seeds) or not all(map(_is_share, (*known, self.chance))):
            raise DataError(
                f"World {self.label!r}: `baseline` should hold one accuracy in [0, 1] for each of {len(self.seeds)} "
                f"seeds, and `chance` lie in [0, 1]. Found baseline={self.baseline}, chance={self.chance}."
            )

    @property
    def level(self) -> float | None:
        """The mean baseline; None while one of its runs is missing."""
        known = [accuracy for accuracy in self.baseline if accuracy is not None]
        return float(np.mean(known)) if len(known) == len(self.seeds) else None

    @property
    def informative(self) -> bool:
        """Whether learning without an attack is far enough above guessing for utilities to be meaningful."""
        # The tolerance makes sure that a gap of exactly the limit is informative, however it is rounded.
        return self.level is not None and self.level - self.chance >= INFORMATIVE_GAP - 1e-12


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """How outcomes become a score.

    `accuracy` is the measure of records from which utilities are made. `threshold` is the smallest W that passes for
    the breakdown point. Differences in utility up to `margin` do not matter for ranks. `alpha` is the level of the
    tests behind the ranks, and intervals cover 1 - alpha.
    """

    accuracy: str = "balanced_accuracy"
    threshold: float = 0.5
    margin: float = 0.01
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 <= self.margin < math.inf and 0 < self.alpha < 1):
            raise ParameterError(
                f"ScoreSettings should satisfy 0 < threshold <= 1, margin >= 0 and 0 < alpha < 1. Found {self}."
            )


def _is_share(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1
