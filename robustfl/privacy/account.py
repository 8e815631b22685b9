"""The privacy account: what was released to whom, and what all of it costs against each observer.

Noise that a server adds does not protect from that server, and sampling does not protect from those who know who took
part. So there is no such thing as the ε of a training run: there is one for each observer.

An account is a list of facts, and every price is computed from them anew. Asking for it changes nothing.

>>> from robustfl.privacy import Poisson, Release
>>> noisy_sum = Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2))
>>> account = Account(unit="client").with_entry(Entry(rounds=(1, 50), release=noisy_sum, seen=seen_by("server")))
>>> round(account.epsilon("public", delta=1e-3), 4)
2.3555
>>> account.epsilon("server", delta=1e-3)
inf
>>> account.allows(Entry(rounds=(51, 51), release=noisy_sum, seen=seen_by("server")), {"public": 2.36}, delta=1e-3)
False
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal, TypedDict

from robustfl.errors import ParameterError, did_you_mean
from robustfl.privacy import accountant
from robustfl.privacy.opinion import comparable, second_opinion
from robustfl.privacy.releases import Relation, Release, common_relation

Unit = Literal["client", "example"]
"""Whose privacy it is: what one record of a neighbouring data set stands for."""

OBSERVERS = ("server", "sum", "active", "wire", "participant", "public")
"""A server that sees every message; one behind secure aggregation that sees their sum; one that also chooses the model
of each client; somebody on the wire; a client that sees the model of every round; everybody, who sees the last one."""


class Sight(StrEnum):
    """What an observer sees of a release."""

    NOTHING = "nothing"
    NOISED = "noised"
    """The value with its noise, and not who took part."""
    NOISED_AND_WHO = "noised, and who took part"
    """The value with its noise, and who took part: sampling hides nobody."""
    RAW = "before the noise"


def seen_by(noise: Literal["server", "clients", "shares"], unit: Unit = "client") -> dict[str, Sight]:
    """What each of the usual observers sees, by where the noise is added.

    `server`: the server adds it, so that it, and whoever reads the messages, sees the values before. `clients`: each
    client adds all of it to its own message. `shares`: each client adds a share to its message, which is enough only
    in the sum. Whoever gets messages knows which clients took part. Which examples of a client took part in a step
    (`unit="example"`) only this client knows.
    """
    who = Sight.NOISED if unit == "example" else Sight.NOISED_AND_WHO
    inside = {"server": Sight.RAW, "clients": who, "shares": Sight.RAW}
    if noise not in inside:
        raise ParameterError(f"`noise` should say who adds it. Found noise={noise!r}. {did_you_mean(noise, inside)}")
    behind = who if noise == "shares" else inside[noise]
    near = dict.fromkeys(("server", "active", "wire"), inside[noise])
    return {**near, "sum": behind, "participant": Sight.NOISED, "public": Sight.NOISED}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Equal releases in consecutive rounds.

    `release` is a single one; each round has `steps` of them. For the privacy of clients a round is one release, no
    matter how many local steps it has; for that of examples every step is one. `participations` is a public bound of
    the rounds in which one client takes part. `rule`, `formula` and `value` say where the sensitivity comes from.
    """

    rounds: tuple[int, int]
    release: Release
    seen: Mapping[str, Sight]
    steps: int = 1
    participations: int | None = None
    clip: float | None = None
    denominator: float | None = None
    rule: str = "sum"
    formula: str = "C"
    value: float | None = None
    released: tuple[str, ...] = ("aggregate",)

    def __post_init__(self) -> None:
        first, last = self.rounds
        if not first <= last:
            raise ParameterError(f"Entry: `rounds` should be (first, last) with first <= last. Found {self.rounds}.")
        if self.release.rounds != 1:
            raise ParameterError(
                "Entry: `release` should be a single one, since `rounds` and `steps` count them. "
                f"Found release.rounds={self.release.rounds}."
            )
        if self.steps < 1:
            raise ParameterError(f"Entry: `steps` should satisfy steps >= 1. Found steps={self.steps}.")

    def seen_releases(self, observer: str) -> Release | None:
        """What this observer sees, all rounds together; a release without noise where it sees the value before."""
        if observer not in self.seen:
            raise ParameterError(
                f"Nobody has said what the observer {observer!r} sees. {did_you_mean(observer, self.seen)}"
            )
        first, last = self.rounds
        every = replace(self.release, rounds=(last - first + 1) * self.steps)
        most = None if self.participations is None else self.participations * self.steps
        match self.seen[observer]:
            case Sight.NOTHING:
                return None
            case Sight.NOISED:
                return every
            case Sight.NOISED_AND_WHO:
                return every.with_known_cohort(most)
            case Sight.RAW:
                return replace(every, noise_multiplier=0.0)

    def followed_by(self, other: Entry) -> Entry | None:
        """Both as one entry, when the other one is the same in the rounds that come next; else None."""
        (first, last), (start, end) = self.rounds, other.rounds
        same = start == last + 1 and _but_rounds(self) == _but_rounds(other)
        return replace(self, rounds=(first, end)) if same else None

    def again(self, round: int) -> Entry:
        """The same in one other round."""
        return replace(self, rounds=(round, round))


_but_rounds = attrgetter(*(part.name for part in fields(Entry) if part.name != "rounds"))


@dataclass(frozen=True, kw_only=True)
class Void:
    """Why the claim does not hold: a stable code, the round, and a sentence."""

    code: str
    round: int
    text: str


class Price(TypedDict):
    """ε against one observer: None without a finite bound, and `why` says the reason."""

    pld: float | None
    rdp: float | None
    prv: float | None
    why: str


class AccountReport(TypedDict):
    """The account as plain JSON values."""

    unit: Unit
    relation: Relation
    delta: float
    events: list[dict[str, Any]]
    epsilon: dict[str, Price]
    curve: dict[str, list[list[float]]]
    voids: list[dict[str, Any]]
    tuning: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """What was released, in order. It is a value: `with_entry` and `with_void` give a new account.

    `relation` is the one of the strongest claim that all releases have a price for, unless it is given.
    """

    unit: Unit
    relation: Relation | None = None
    entries: tuple[Entry, ...] = ()
    voids: tuple[Void, ...] = ()

    def with_entry(self, entry: Entry) -> Account:
        """The account after one more release, which joins the last entry where it is the same in the next round."""
        joined = self.entries[-1].followed_by(entry) if self.entries else None
        return replace(self, entries=(*self.entries[:-1], joined) if joined else (*self.entries, entry))

    def with_void(self, code: str, round: int, text: str) -> Account:
        """The account with a reason why its claim does not hold: no ε is given from now on."""
        return replace(self, voids=(*self.voids, Void(code=code, round=round, text=text)))

    @property
    def neighbours(self) -> Relation:
        """The relation of every price of this account: the same against all observers."""
        return self.relation or common_relation(entry.release for entry in self.entries)

    def releases(self, observer: str) -> list[Release]:
        """Everything that this observer has seen."""
        seen = [entry.seen_releases(observer) for entry in self.entries]
        return [release for release in seen if release is not None]

    def epsilon(self, observer: str, delta: float) -> float:
        """ε against this observer; infinity where nothing bounds what it learns, or where the claim is void."""
        if self.voids:
            return math.inf
        return accountant.epsilon(self.releases(observer), delta, self.neighbours)

    def allows(self, entry: Entry, budgets: Mapping[str, float], delta: float) -> bool:
        """Whether one more release stays within the budget against every observer that has one; asked before it."""
        after = self.with_entry(entry)
        return all(after.epsilon(observer, delta) <= budget for observer, budget in budgets.items())

    def report(self, delta: float, opinions: bool = False) -> AccountReport:
        """The whole account as plain JSON values; with `opinions`, Opacus computes each ε as well and has to agree."""
        observers = sorted({observer for entry in self.entries for observer in entry.seen})
        prices = {observer: self._price(observer, delta, opinions) for observer in observers}
        bounded = [observer for observer in observers if prices[observer]["pld"] is not None]
        return {
            "unit": self.unit,
            "relation": self.neighbours,
            "delta": delta,
            "events": [_event(entry) for entry in self.entries],
            "epsilon": prices,
            "curve": {observer: self._curve(observer) for observer in bounded},
            "voids": [asdict(void) for void in self.voids],
            "tuning": "not accounted",
        }

    def _curve(self, observer: str) -> list[list[float]]:
        return [list(point) for point in accountant.curve(self.releases(observer), relation=self.neighbours)]

    def _price(self, observer: str, delta: float, opinions: bool) -> Price:
        if self.voids:
            codes = ", ".join(sorted({void.code for void in self.voids}))
            return {"pld": None, "rdp": None, "prv": None, "why": f"The claim is void: {codes}."}
        releases = self.releases(observer)
        if any(release.rounds and release.noise_multiplier == 0 for release in releases):
            raw = any(entry.seen[observer] is Sight.RAW for entry in self.entries)
            why = "This observer sees the values before the noise." if raw else "Nothing was noised."
            return {"pld": None, "rdp": None, "prv": None, "why": why}
        price: Price = {
            "pld": accountant.epsilon(releases, delta, self.neighbours),
            "rdp": None,
            "prv": None,
            "why": "",
        }
        if opinions and comparable(releases, self.neighbours) is not None:
            opinion = second_opinion(releases, delta, self.neighbours)
            price.update({"rdp": opinion.rdp, "prv": opinion.prv})
        return price


def _event(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON values."""
    sampling = entry.release.sampling
    return {
        "rounds": list(entry.rounds),
        "steps": entry.steps,
        "kind": {"Everyone": "full", "Poisson": "poisson", "FixedCohort": "fixed"}[type(sampling).__name__],
        **asdict(sampling),
        "sigma": entry.release.noise_multiplier,
        "joining": entry.release.joining,
        "replacing": entry.release.replacing,
        "sensitivity": {"rule": entry.rule, "formula": entry.formula, "value": entry.value},
        "clip": entry.clip,
        "denominator": entry.denominator,
        "participations": entry.participations,
        "released": list(entry.released),
        "seen": {observer: str(sight) for observer, sight in sorted(entry.seen.items())},
    }


def merged(accounts: Sequence[Account], observer: str, delta: float) -> tuple[float, float]:
    """The largest and the median ε of several accounts, one for each client whose examples are protected."""
    prices = sorted(account.epsilon(observer, delta) for account in accounts)
    if not prices:
        raise ParameterError("`accounts` should hold at least one account. Found none.")
    middle = len(prices) // 2
    return prices[-1], prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) / 2
