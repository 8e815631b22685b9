"""The kit on rules for rankings: registered ones keep their promises, and faults are found, named and shown small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.aggregation.votes.contract import MaskTraining, RankAggregator
from robustfl.aggregation.votes.counting import Counts
from robustfl.defenses import FRL, Mean
from robustfl.errors import ParameterError
from robustfl.testing import aggregator_checks, check_aggregator, properties
from tests.testing.finding import fault, pasted

REGISTERED = [cls.__name__ for cls in registry.find("defense").values() if issubclass(cls, RankAggregator)]
VARIANTS = ("FRL(sparse=0.5)", "FRL(sparse=0.1, keep=0.2, criterion='abs')")


def positions(x: Any) -> Any:
    """The place of every edge on every ranking."""
    return np.argsort(x, axis=1)


def vote(x: Any) -> Any:
    """A sound rule that has no contract."""
    if not np.array_equal(np.sort(x, axis=1), np.tile(np.arange(x.shape[1]), (len(x), 1))):
        raise ValueError("not all of these are rankings")
    return np.argsort(positions(x).sum(axis=0), kind="stable").astype(x.dtype)


# ------------------------------------------------------------------------------------------------- sound rules


@pytest.mark.parametrize("name", [*REGISTERED, *VARIANTS])
def test_a_registered_rule_keeps_its_promises(name: str) -> None:
    report = check_aggregator(registry.build("defense", name), max_examples=20)
    assert report.named("held") == tuple(properties("rankings"))
    assert "FRL" in REGISTERED


def test_a_sound_callable_keeps_what_applies_to_one() -> None:
    report = check_aggregator(vote, channel="rankings", f=1, max_examples=20)
    assert set(report.named("not applicable")) == {"layers", "bounds", "pickling", "text"}
    assert check_aggregator(vote, channel="rankings", max_examples=2)["influence"].status == "not applicable"


def test_the_checks_come_one_by_one() -> None:
    checks = dict(aggregator_checks(FRL(), skip=["ties"], max_examples=3))
    assert list(checks) == [name for name in properties("rankings") if name != "ties"]
    checks["unanimity"]()


# ------------------------------------------------------------------------------------------------- faults


def places_for_edges(x: Any) -> Any:
    return np.argsort(x.sum(axis=0), kind="stable")


def unstable(x: Any) -> Any:
    return np.argsort(positions(x).sum(axis=0), kind="heapsort")  # the same on every processor, unlike quicksort


def credulous(x: Any) -> Any:
    return np.argsort(positions(x).sum(axis=0), kind="stable")


def partial_to_the_first(x: Any) -> Any:
    weights = np.where(np.arange(len(x)) == 0, 9, 1)
    return np.argsort(weights @ positions(x), kind="stable")


def overwrites(x: Any) -> Any:
    answer = credulous(x)
    x.sort(axis=1)
    return answer


FAULTS: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any], str]] = {
    "edges taken for places": (places_for_edges, "unanimity", {}, "equal rankings do not come back"),
    "edges taken for places, seen from outside": (places_for_edges, "relabelling", {}, "renamed edges"),
    "a sort that is not stable": (unstable, "ties", {}, "edges with equal support change their places"),
    "an edge counts twice": (credulous, "hostile", {}, "an edge twice counts"),
    "one vote counts nine times": (partial_to_the_first, "influence", {"f": 1}, "the first 1 of 5 clients put edge"),
    "the order of the clients": (partial_to_the_first, "permutation", {}, "in another order"),
    "rankings are sorted in place": (overwrites, "mutation", {}, "the rows were changed"),
    "a view of a client's ranking": (lambda x: x[0], "aliasing", {}, "changes the rows that came in"),
    "int32 becomes int64": (credulous, "dtype", {}, "numpy.int64 for rows that are numpy.int32"),
    "a constant": (lambda x: np.arange(x.shape[1]), "unanimity", {}, "do not come back"),
    "scores in place of a ranking": (lambda x: positions(x).sum(axis=0), "permutation", {}, "is no ranking of the"),
    "nothing": (lambda x: None, "permutation", {}, "is no ranking of the"),
    "an error": (lambda x: x[0] / x["d"], "permutation", {}, "the rule raised IndexError"),
}


@pytest.mark.parametrize("label", FAULTS)
def test_a_fault_is_found_named_and_shown_small(label: str) -> None:
    rule, name, options, words = FAULTS[label]
    finding = fault(rule, name, channel="rankings", **options)
    assert words in finding.reason
    x = np.array(pasted(finding)["x"])
    assert len(x) <= 2 * options.get("f", 0) + 6
    assert x.shape[1] <= (10 if name == "ties" else 6)


@dataclass(frozen=True, kw_only=True)
class Downwards(RankAggregator):
    """Ranks from the most to the least important."""

    @property
    def training(self) -> MaskTraining:
        return FRL().training

    def elect(self, sums: Counts) -> Counts:
        return np.argsort(-sums, kind="stable")


class Grudging(Downwards):
    """Remembers how many layers it has ranked."""

    ranked: list[int] = []  # noqa: RUF012 - the fault

    def elect(self, sums: Counts) -> Counts:
        self.ranked.append(1)
        return np.roll(np.argsort(sums, kind="stable"), len(self.ranked))


@dataclass(frozen=True, kw_only=True)
class Demanding(Downwards):
    """Asks for three rows more than needed, without saying so."""

    def infeasible(self, n: int, f: int | None = None) -> str | None:
        return "too few" if n < 4 else None


@pytest.mark.parametrize(
    ("rule", "name", "words"),
    [
        (Downwards(), "unanimity", "equal rankings do not come back"),
        (Grudging(), "layers", "is ranked in another way when it is not alone"),
        (Demanding(), "bounds", "does not name n=3 and f"),
    ],
    ids=repr,
)
def test_a_fault_of_a_subclass_is_found(rule: RankAggregator, name: str, words: str) -> None:
    assert words in fault(rule, name).reason


# ------------------------------------------------------------------------------------------------- refusals


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ParameterError, match=r"should be 'rankings' for FRL\(.*\)\. Found channel='dense'"):
        check_aggregator(FRL(), channel="dense")
    with pytest.raises(ParameterError, match=r"should be 'dense' for Mean\(\)"):
        check_aggregator(Mean(), channel="rankings")
    with pytest.raises(ParameterError, match="should be 'dense' or 'rankings'"):
        check_aggregator(vote, channel="signs")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="names no property 'translation'"):
        check_aggregator(FRL(), skip=["translation"])
