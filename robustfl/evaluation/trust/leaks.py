"""Whether what was measured of privacy is possible: a leak above what a privacy account allows proves an error.

An account bounds what anybody can find out who sees what its observer sees. So the cheapest test of a whole chain, from
the noise over its price to the attack and its measure, is to print the bound beside the measurement.
"""

from __future__ import annotations

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
    account = record.get("account")
    privacy = record.get("scenario", {}).get("privacy")
    if not account or not privacy or account["voids"]:
        return {}
    points = account["curve"].get(privacy["observer"])
    curve = None if points is None else example_curve(points, account["unit"], account["relation"])
    return {} if curve is None else {name: bound(curve) for name, bound in BOUNDS.items()}


def beyond_bounds(cells: Iterable[Cell], records: Mapping[str, Record]) -> tuple[Beyond, ...]:
    """The measurements of membership that are above their bounds beyond their standard error, in the order of cells.

    A measurement without a standard error, from a single target, proves nothing.
    """
    found: dict[tuple[str, str, str], Beyond] = {}
    for cell in cells:
        record = None if cell.trial is None else records.get(cell.trial.id)
        if record is None:
            continue
        more = more_of(record)
        for measure, bound in allowed(record).items():
            errors = more.get(f"{measure}_error_by") or {}
            for spy, value in (more.get(f"{measure}_by") or {}).items():
                error = errors.get(spy)
                if error is not None and value - ERRORS * error > bound:
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
