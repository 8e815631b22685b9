"""The accounts of a simulation: what was released of whom, and what it costs against each observer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from robustfl.aggregation import Protection
from robustfl.federation.mechanisms.planning import AIMS
from robustfl.privacy import Account, AccountReport, Entry, Relation, Release, Void, epsilon

EVERYBODY = -1
"""Stands for all clients, whose accounts are one: who takes part in a round is a secret, or everybody does."""


class Accounts:
    """One account for all clients, or one for each where it depends on the rounds in which a client takes part.

    Nothing is ever summed up while a training runs: entries are facts, and every price is computed from all of them.

    Parameters
    ----------
    protection : what the mechanism declares
    relation : the relation between neighbours; None for the strongest one that has a price
    """

    def __init__(self, protection: Protection, relation: Relation | None) -> None:
        self._protection = protection
        self._empty = Account(unit=protection.unit, relation=relation)
        self._of: dict[int, Account] = {}
        self._voids: list[Void] = []

    def release(self, entry: Entry, clients: Iterable[int] = (EVERYBODY,)) -> None:
        """Add a release of the record of each of these clients, or of everybody's.

        Clients with one account go on having one, so that a round costs what the different accounts of its clients do.
        """
        after: dict[int, tuple[Account, Account]] = {}  # by identity: the account before, which stays alive, and after
        for client in clients:
            before = self._of.get(client, self._empty)
            if id(before) not in after:
                after[id(before)] = before, before.with_entry(entry)
            self._of[client] = after[id(before)][1]

    def void(self, code: str, round: int, text: str) -> None:
        """Withdraw the claim, for the first reason of each kind."""
        if code not in {void.code for void in self._voids}:
            self._voids.append(Void(code=code, round=round, text=text))

    @property
    def voids(self) -> tuple[Void, ...]:
        """Why there is no claim; empty while there is one."""
        return tuple(self._voids)

    def allows(self, entry: Entry) -> bool:
        """Whether one more release of everybody stays within the budget."""
        budget = self._protection.max_epsilon
        if budget is None:
            return True
        budgets, delta = {AIMS[self._protection.place]: budget}, self._protection.delta
        return all(account.allows(entry, budgets, delta) for account in self._of.values())

    def account(self) -> Account:
        """The account of whoever has lost most, with the reasons why the claim does not hold."""
        found = max(self._of.values(), key=self._loss, default=self._empty)
        for void in self._voids:
            found = found.with_void(void.code, void.round, void.text)
        return found

    def prices(self, observer: str) -> list[float]:
        """ε of each account against an observer, in ascending order; nothing where a claim is void."""
        if self._voids:
            return []
        return sorted(_price(account, observer, self._protection.delta) for account in self._of.values())

    def report(self, opinions: bool = False) -> AccountReport:
        """The account of whoever has lost most, as plain JSON values."""
        return self.account().report(self._protection.delta, opinions)

    def told(self) -> dict[str, Any]:
        """The measures: ε against each observer that has a bound, for whoever has lost most, and the median."""
        account, delta = self.account(), self._protection.delta
        observers = sorted({name for entry in account.entries for name in entry.seen})
        prices = {name: account.epsilon(name, delta) for name in observers}
        bounded = {name: price for name, price in prices.items() if math.isfinite(price)}
        if not bounded:
            return {}
        told: dict[str, Any] = {"epsilon": bounded}
        told |= {f"epsilon_{name}": price for name, price in bounded.items() if name in NUMBERED}
        every = self.prices(AIMS[self._protection.place])
        if len(every) > 1:
            told["epsilon_median"] = _middle(every)
        return told

    def _loss(self, account: Account) -> float:
        return _price(account, AIMS[self._protection.place], self._protection.delta)


NUMBERED = ("participant", "public", "server", "sum")
"""The observers whose ε is a measure of its own, so that claims can name it."""


@lru_cache(maxsize=4096)
def _memo(releases: tuple[Release, ...], relation: Relation, delta: float) -> float:
    return epsilon(releases, delta, relation)


def _price(account: Account, observer: str, delta: float) -> float:
    """ε of an account; clients with equal records of releases are priced once."""
    counts: Counter[Release] = Counter()
    for release in account.releases(observer):
        counts[replace(release, rounds=1)] += release.rounds
    if not counts:
        return 0.0
    equal = tuple(sorted((replace(release, rounds=count) for release, count in counts.items()), key=repr))
    return _memo(equal, account.neighbours, delta)


def _middle(ascending: Iterable[float]) -> float:
    values = list(ascending)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
