"""Whether what was measured of privacy is possible: a leak above what a privacy account allows proves an error.

An account bounds what anybody can find out who sees what its observer sees. So the cheapest test of a whole chain, from
the noise over its price to the attack and its measure, is to print the bound beside the measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.trust.remark import Remark, make_remark
from robustfl.privacy.bounds import area_bound, example_curve, membership_bound

if TYPE_CHECKING:
    from robustfl.evaluation.suite.plan import Cell

Curve = Sequence[tuple[float, float]]

ERRORS = 3.0
"""A measurement is beyond a bound if it is so many of its standard errors above it: about one in a thousand by chance,
and only where an attack reaches the bound, which none does."""

RARE = math.log(1000)
"""What is less likely than one in e to this power is no chance."""

BOUNDS: dict[str, Callable[[Curve], float]] = {
    "mia_tpr_1": lambda curve: float(membership_bound(0.01, curve)),
    "mia_tpr_5": lambda curve: float(membership_bound(0.05, curve)),
    "mia_tpr_01": lambda curve: float(membership_bound(0.001, curve)),
    "mia_auc": area_bound,
}
"""Measure of an attack on membership -> the most that it can be."""


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """A measured leak above its bound.

    Attributes
    ----------
    world, defense, attack, f : the cell
    spy, observer : the label of the attack on privacy, and as whom it watched
    measure, value, error, bound : what was measured, its standard error over targets, and what the account allows
    """

    world: str
    defense: str
    attack: str
    f: int
    spy: str
    observer: str
    measure: str
    value: float
    error: float
    bound: float


def allowed(record: Record) -> dict[str, float]:
    """The most that each measure of membership can be in a trial, by its account; empty where nothing bounds it.

    The bound is for the observer that watched, and for one example of one client.
    """
    curve = _curve(record)
    return {} if curve is None else {name: bound(curve) for name, bound in BOUNDS.items()}


def recognisable(record: Record) -> dict[str, float]:
    """The most that `identified` can be in a trial by its account, for each attack; empty where nothing bounds it.

    Formula: with κ, the share that somebody who sees nothing would identify at most (`identified_prior_by`), the event
    that a sample is identified has at most the probability ``min(e^ε κ + δ, 1 - e^-ε (1 - δ - κ))``, for every point
    (δ, ε) of the account's curve: without the sample, what is handed in does not depend on it. That is also true of the
    mean over samples, since the bound is concave in κ.

    Nothing follows for attacks that are told the truth in part, nor for clients that change their samples, as the
    changed ones are no training samples like all others.
    """
    curve, more = _curve(record), more_of(record)
    federation = record.get("scenario", {}).get("federation") or {}
    if curve is None or federation.get("augment") or federation.get("adversarial_training"):
        return {}
    oracles = more.get("privacy_oracles") or ()
    priors = {spy: prior for spy, prior in (more.get("identified_prior_by") or {}).items() if spy not in oracles}
    return {spy: float(membership_bound(prior, curve)) for spy, prior in priors.items() if prior is not None}


def _curve(record: Record) -> Curve | None:
    """The points (δ, ε) that hold for one example, against the observer that watched; None where none do."""
    account = record.get("account")
    privacy = record.get("scenario", {}).get("privacy")
    if not account or not privacy or account["voids"]:
        return None
    points = account["curve"].get(privacy["observer"])
    return None if points is None else example_curve(points, account["unit"], account["relation"])


def unlikely(share: float, sightings: float, bound: float) -> bool:
    """Whether the mean of so many shares is that far above the bound of their expectations by chance only rarely.

    Formula: ``k KL(share || bound) > ln 1000``. By the inequality of Chernoff and Hoeffding, the mean of k independent
    numbers in [0, 1] is so large with a probability below one in a thousand. A few sightings that all were identified
    have no standard error, and need not prove anything.

    >>> unlikely(1.0, 2, 0.3), unlikely(1.0, 10, 0.3), unlikely(0.2, 1000, 0.3)
    (False, True, False)
    """
    if share <= bound or bound >= 1:
        return False
    if bound <= 0:
        return True
    rest = (1 - share) * math.log((1 - share) / (1 - bound)) if share < 1 else 0.0
    return sightings * (share * math.log(share / bound) + rest) > RARE


def beyond_bounds(cells: Iterable[Cell], records: Mapping[str, Record]) -> tuple[Beyond, ...]:
    """The measurements that are above their bounds beyond their standard error, in the order of cells.

    A measurement without a standard error, from a single target or sighting, proves nothing.
    """
    found: dict[tuple[str, str, str], Beyond] = {}
    for cell in cells:
        record = None if cell.trial is None else records.get(cell.trial.id)
        if record is None:
            continue
        for spy, measure, value, error, bound in _above(record):
            found.setdefault(
                (str(record["trial"]), spy, measure),
                Beyond(
                    world=cell.world,
                    defense=cell.defense,
                    attack=cell.attack,
                    f=cell.f,
                    spy=spy,
                    observer=record["scenario"]["privacy"]["observer"],
                    measure=measure,
                    value=value,
                    error=error,
                    bound=bound,
                ),
            )
    return tuple(found.values())


def _above(record: Record) -> Iterator[tuple[str, str, float, float, float]]:
    """(attack, measure, value, standard error, bound) of what is above its bound in a trial."""
    more = more_of(record)
    for measure, bound in allowed(record).items():
        errors = more.get(f"{measure}_error_by") or {}
        for spy, value in (more.get(f"{measure}_by") or {}).items():
            error = errors.get(spy)
            if error is not None and value - ERRORS * error > bound:
                yield spy, measure, value, error, bound
    for spy, bound in recognisable(record).items():
        value, error = ((more.get(f"identified{part}_by") or {}).get(spy) for part in ("", "_error"))
        sightings = (more.get("identified_messages_by") or {}).get(spy, 0.0)
        if value is None or error is None or value - ERRORS * error <= bound:
            continue
        if unlikely(value, sightings, bound):
            yield spy, "identified", value, error, bound


def leak_remarks(found: Iterable[Beyond]) -> Iterator[Remark]:
    """One remark for each defense and world, on the measurement that is farthest above its bound in standard errors."""
    places: dict[tuple[str, str], list[Beyond]] = {}
    for one in found:
        places.setdefault((one.world, one.defense), []).append(one)
    for own in places.values():
        worst = max(own, key=lambda one: (one.value - one.bound) / one.error if one.error else float("inf"))
        message = (
            f"{worst.spy} reaches {worst.measure} = {worst.value:.3f} ± {worst.error:.3f} against {worst.defense}, as "
            f"the observer `{worst.observer}`. The privacy account allows at most {worst.bound:.3f} to anybody. So the "
            f"mechanism does not do what it says, its account is wrong, or the measurement is. None of its privacy "
            "numbers can be used until that is found."
        )
        yield make_remark(
            "PRIVACY_BOUND_BROKEN",
            "error",
            message,
            world=worst.world,
            defense=worst.defense,
            attack=worst.attack,
            f=worst.f,
        )
