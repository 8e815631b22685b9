"""What a test of resilience asks, and its answer: the suite, played with this rule alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from robustfl.errors import ParameterError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.given import given_defense
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.testing.resilience.memory import Memory


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a test asks.

    Attributes
    ----------
    scenario : the path of a YAML file, or a name of the catalogue
    rule : the defense that takes the place of those of the scenario: a text, a class that is told f, or an instance
    seeds : the number of seeds, where it is not that of the scenario
    set : further changes of the scenario, texts ``key.path=value``
    min_score : the smallest resilience that passes, or None
    delta : the largest drop of utility, from 0 (guessing) to 1 (as without an attack), that does not matter
    """

    scenario: str
    rule: Any
    seeds: int | None = None
    set: tuple[str, ...] = ()
    min_score: float | None = None
    delta: float = 0.02

    def __post_init__(self) -> None:
        if self.seeds is not None and (isinstance(self.seeds, bool) or not isinstance(self.seeds, int)):
            raise ParameterError(f"`seeds` should be a whole number. Found seeds={self.seeds!r}.")
        if isinstance(self.set, str) or not all(isinstance(change, str) for change in self.set):
            raise ParameterError(f"`set` should be several texts key.path=value. Found set={self.set!r}.")

    @cached_property
    def defense(self) -> DefenseTemplate:
        """The rule as a defense of the scenario."""
        return given_defense(self.rule)

    @property
    def changes(self) -> tuple[str, ...]:
        """All changes of the scenario."""
        return (*self.set, *(() if self.seeds is None else (f"seeds={self.seeds}",)))

    @cached_property
    def experiment(self) -> Experiment:
        """The scenario with the rule in it."""
        return read_experiment(self.scenario, self.changes, defenses=[self.defense])

    def against(self, defense: DefenseTemplate) -> Request:
        """The same about another defense, which has the label of this one."""
        other = replace(self)
        vars(other)["defense"] = defense
        return other


@dataclass(frozen=True, kw_only=True)
class Played:
    """The answer to a request: the summary of the run, the trials that were played for it, and those that were kept."""

    summary: Summary
    label: str
    played: int
    remembered: int
    failed: tuple[Record, ...]

    @property
    def trials(self) -> int:
        """The number of all trials."""
        return self.played + self.remembered

    @property
    def refused(self) -> str:
        """Why the rule cannot be used with any number of malicious clients, in any world; empty where it can."""
        reasons = [
            point["invalid"]
            for world in self.summary["scores"]["worlds"]
            for defense in world["defenses"]
            if defense["defense"] == self.label
            for point in defense["curve"]
            if point["f"] > 0
        ]
        return (reasons[0] or "") if reasons and all(reasons) else ""

    @property
    def score(self) -> float | None:
        """The smallest resilience of the rule over the worlds; None where there is none, as trials are missing."""
        found = [
            defense["R_unt"]
            for world in self.summary["scores"]["worlds"]
            for defense in world["defenses"]
            if defense["defense"] == self.label
        ]
        known = [score for score in found if score is not None]
        return min(known) if known and len(known) == len(found) else None


def play(request: Request, memory: Memory) -> Played:
    """Play all trials of a request that the memory does not hold.

    Raises
    ------
    ScenarioError : the scenario is not valid
    """
    before = len(memory.played), memory.remembered
    with TemporaryDirectory(prefix="resilience-") as folder:
        options = RunOptions(out=Path(folder), workers=0, ledgers="none", checks=NO_CHECKS, executor=memory)
        summary = run_experiment(request.experiment, options)
    records = memory.played[before[0] :]
    return Played(
        summary=summary,
        label=request.defense.label,
        played=len(records),
        remembered=memory.remembered - before[1],
        failed=tuple(record for record in records if record["status"] == "failed"),
    )
