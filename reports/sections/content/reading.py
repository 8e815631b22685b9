"""The results as sections read them: the whole run, and each of its worlds.

Only this file reads the keys of ``summary.json`` that more than one section needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.score.peers import BaselineRow, baselines, contestants

from .wording import distinct, short_names, telling_digits

Values = Mapping[str, Any]
"""An object of the results."""
Records = Mapping[str, Record]
"""The records by the id of their trial."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes
    ----------
    results : its summary and records
    covered : names of the declared measures that are the subject of a section of the report
    """

    results: RunResults
    covered: frozenset[str] = frozenset()

    @property
    def summary(self) -> Values:
        """What ``summary.json`` holds."""
        return self.results.summary

    @property
    def scores(self) -> Values:
        """The scores, which the summary holds."""
        found: Values = self.summary["scores"]
        return found

    @property
    def ranking(self) -> Sequence[Values]:
        """One row per defense, the best first."""
        found: Sequence[Values] = self.scores["ranking"]
        return found

    @property
    def contestants(self) -> Sequence[Values]:
        """The rows of the ranking without that of a rule by which peers hear nobody, which is a baseline."""
        return contestants(self.results.summary["scores"])

    @property
    def baselines(self) -> Sequence[BaselineRow]:
        """What peers without a server reach alone in each world."""
        return baselines(self.results.summary["scores"])

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of the suite."""
        found: Sequence[int] = self.summary["suite"]["seeds"]
        return found

    @property
    def limit(self) -> float:
        """The utility below which a defense counts as broken."""
        return float(self.scores["settings"].get("threshold", 0.5))

    @cached_property
    def records(self) -> Records:
        """The records by the id of their trial."""
        return {record["trial"]: record for record in self.results.records}

    @cached_property
    def order(self) -> Mapping[str, int]:
        """The place of each defense in the ranking."""
        names = dict.fromkeys(row["defense"] for row in self.ranking)
        return {name: place for place, name in enumerate(names)}

    @cached_property
    def worlds(self) -> tuple[World, ...]:
        """The worlds in the order of the suite."""
        return tuple(World(run=self, key=f"w{number}", scored=own) for number, own in enumerate(self.scores["worlds"]))

    @cached_property
    def short_attacks(self) -> Mapping[str, str]:
        """The labels of all attacks without their settings, for tables with a legend."""
        return short_names(self.attacks)

    @cached_property
    def trial_digits(self) -> int:
        """How many of the first digits of a trial's id tell all trials of the run apart."""
        return telling_digits(trial for trial in self.records)

    @cached_property
    def short_worlds(self) -> Mapping[str, str]:
        """The labels of the worlds without the parts that all share."""
        labels = [world.label for world in self.worlds]
        return dict(zip(labels, distinct(labels), strict=True))

    @property
    def attacks(self) -> frozenset[str]:
        """The labels of all attacks that were tried."""
        tried = {attack for world in self.worlds for own in world.defenses for attack in attacks_on(own)}
        return frozenset(tried - {"none"})

    def each(self, axis: str) -> Iterator[tuple[str, Values]]:
        """The label of each world, with the values of each defense there on an axis other than the score."""
        for world in self.summary.get(axis, ()):
            for defense in world["defenses"]:
                yield world["world"], defense

    def ranked(self, defenses: Iterable[Values]) -> list[Values]:
        """Objects with a `defense`, in the order of the ranking; defenses that are not in it follow by name."""
        return sorted(defenses, key=lambda own: (self.order.get(own["defense"], len(self.order)), own["defense"]))


@dataclass(frozen=True, kw_only=True)
class World:
    """One world of a run, which all cells of its tables share; the keys of everything about it begin with `key`."""

    run: Run
    key: str
    scored: Values

    @property
    def label(self) -> str:
        """The name of the world."""
        return str(self.scored["world"])

    @property
    def short(self) -> str:
        """What tells the world from the others of the run."""
        return self.run.short_worlds[self.label]

    @property
    def clients(self) -> int:
        """The number of clients."""
        return int(self.scored["clients"])

    @cached_property
    def defenses(self) -> list[Values]:
        """The scores of each defense, in the order of the ranking."""
        return self.run.ranked(self.scored["defenses"])

    @cached_property
    def grid(self) -> list[int]:
        """The numbers of malicious clients that were tried with any defense."""
        return sorted({point["f"] for own in self.defenses for point in own["curve"]})

    def axis(self, name: str) -> list[Values]:
        """The values of each defense on an axis other than the score, such as `faults`, in the order of the ranking."""
        found = next((own for own in self.run.summary.get(name, ()) if own["world"] == self.label), None)
        return [] if found is None else self.run.ranked(found["defenses"])


def attacks_on(defense: Values) -> list[str]:
    """The labels of the attacks that a defense met, in the order in which they were first played."""
    return list(dict.fromkeys(attack for point in defense["curve"] for attack in point["attacks"]))
