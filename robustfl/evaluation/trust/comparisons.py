"""Attacks compared with one another: whether some attack does more harm than those that should do at least as much.

Each doubt says that one attack is stronger than *all* of its rivals, by more than :data:`NEGLIGIBLE` of utility: a
blind attack than all that know the defense, an attack by few clients than all by more. It holds only if the paired
differences confirm it against every single rival, so its p-value is the largest over the rivals; that the weakest and
the strongest are chosen after the fact costs nothing then (an intersection-union test). Of many blind attacks one looks
strong by chance, so Holm's correction spans all doubts about a defense, over all checks, points and worlds: if all
attacks are equally strong in truth, a defense is suspect for that with a probability of at most :data:`LEVEL`.

Standard errors are those of :mod:`robustfl.evaluation.moderation`, as three or five seeds alone could confirm little
among so many. With a single seed there is no doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.moderation import chance_of_less, common_spread, steadied_errors
from robustfl.evaluation.statistics import holm
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remark import NEGLIGIBLE, CurvePoint, Remark

LEVEL = 0.05
"""Largest probability that a defense is suspect for its attacks if they are equally strong."""

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Doubt:
    """An attack at one place that may be stronger than all of its rivals, and the remark if that is confirmed.

    `rivals` [k, R] and `harm` [R] are utilities by seed. `gap` is the smallest mean utility of a rival minus that of
    the attack, both clipped to [0, 1]: below 0 all is destroyed, and differences mean nothing.
    """

    world: str
    rank: float
    gap: float
    rivals: Table
    harm: Table
    remark: Remark

    @property
    def differences(self) -> Table:
        """By how much more than what is negligible each rival leaves, [k, R]."""
        return self.rivals - self.harm - NEGLIGIBLE


@dataclass(frozen=True)
class Rivals:
    """Attacks at one place of which at least one should be as strong as some other attack."""

    level: float
    utilities: Table

    @classmethod
    def of(cls, place: CurvePoint, attacks: Iterable[str]) -> Rivals:
        """The rivals with these names, all of them with results for every seed."""
        names = list(attacks)
        return cls(
            level=min(place.point["attacks"][name]["U"] or 0.0 for name in names),
            utilities=np.array([place.utilities(name) for name in names], dtype=np.float64),
        )

    def doubt(self, place: CurvePoint, attack: str, remark: Remark) -> Doubt:
        """The doubt that an attack, perhaps at another place, is stronger than all of these."""
        harm = place.point["attacks"][attack]["U"] or 0.0
        return Doubt(
            world=place.world["world"],
            rank=harm,
            gap=self.level - harm,
            rivals=self.utilities,
            harm=np.array(place.utilities(attack), dtype=np.float64),
            remark=remark,
        )


def comparison_remarks(
    curves: Sequence[Sequence[CurvePoint]], knowledge: Mapping[str, Sequence[str]], evidence: Evidence
) -> list[Remark]:
    """The confirmed doubts about one defense, given its curve in each world: one remark for each check and world."""
    tailored = {attack for attack, threat in evidence.threats.items() if threat.tailored}
    doubts: list[Doubt] = []
    for curve in curves:
        if curve and len(curve[0].world["seeds"]) > 1:
            doubts += _monotone(curve)
            doubts += _search(curve, knowledge, tailored)
            doubts += _masked(curve, knowledge)
            doubts += _converged(curve, evidence.doubled)
    told: dict[tuple[str, str], Doubt] = {}
    for doubt, confirmed in zip(doubts, holm(_chances(doubts), LEVEL), strict=True):
        if confirmed and doubt.gap > NEGLIGIBLE:
            check = doubt.world, doubt.remark["code"]
            if check not in told or _order(doubt) < _order(told[check]):
                told[check] = doubt
    return [doubt.remark for doubt in told.values()]


def knows_defense(attack: str, knowledge: Mapping[str, Sequence[str]]) -> bool:
    """Whether an attack is a white-box attack."""
    return "defense" in knowledge.get(attack, ())


def _order(doubt: Doubt) -> tuple[int, float]:
    """What is told first: the smallest number of malicious clients, and there the strongest attack."""
    return doubt.remark["f"] or 0, doubt.rank


def _chances(doubts: Sequence[Doubt]) -> list[float]:
    """The p-value of each doubt: the largest over its rivals, with the spread that all differences of a world share."""
    found = np.ones(len(doubts))
    for world in dict.fromkeys(doubt.world for doubt in doubts):
        own = [number for number, doubt in enumerate(doubts) if doubt.world == world]
        tables = [doubts[number].differences for number in own]
        starts = np.cumsum([0, *map(len, tables[:-1])])
        rows = np.concatenate(tables)
        errors, freedom = steadied_errors(rows, common_spread(rows))
        found[own] = np.maximum.reduceat(chance_of_less(-rows.mean(axis=1), errors, freedom), starts)
    chances: list[float] = found.tolist()
    return chances


def _monotone(curve: Sequence[CurvePoint]) -> Iterator[Doubt]:
    """Points at which all attacks do less harm than some attack by fewer clients does."""
    usable = [place for place in curve if not place.point["invalid"] and not place.point["incomplete"]]
    usable = [place for place in usable if place.point["W"] is not None]
    for number, place in enumerate(usable):
        now, many = _means(place, unattacked=True), place.point["f"]
        rivals = Rivals.of(place, now)
        for fewer in usable[:number]:
            few, before = fewer.point["f"], _means(fewer, unattacked=True)
            message = (
                f"{place.defense['defense']} does better against {many} malicious clients "
                f"(W = {min(now.values()):.2f}) than against {few} (W = {min(before.values()):.2f}), by more than "
                "chance explains. More attackers can always behave like fewer, so the attacks at "
                f"f = {many} are not as strong as they could be."
            )
            remark = place.remark("NON_MONOTONE", "warning", message, place.point["worst_attack"])
            for attack in before:
                yield rivals.doubt(fewer, attack, remark)


def _search(curve: Sequence[CurvePoint], knowledge: Mapping[str, Sequence[str]], tailored: set[str]) -> Iterator[Doubt]:
    """Attacks that know only the updates, and do more harm than all that know the defense.

    Attacks that are made for a defense count as if they knew it.
    """
    for place in curve:
        means = _means(place)
        informed = [attack for attack in means if knows_defense(attack, knowledge) or attack in tailored]
        blind = [attack for attack in means if attack not in informed and not _sees_little(attack, knowledge)]
        if not informed or not blind:
            continue
        rivals, best = Rivals.of(place, informed), min(informed, key=means.__getitem__)
        for other in blind:
            message = (
                f"{other} does not know which defense it faces, yet it does more harm to {place.defense['defense']} "
                f"than {best}, which does (utility {means[other]:.2f} against {means[best]:.2f}). Knowing more should "
                "never hurt, so the informed attack is searching badly and a better one may lower this result."
            )
            yield rivals.doubt(place, other, place.remark("WEAK_WHITE_BOX", "warning", message, best))


def _masked(curve: Sequence[CurvePoint], knowledge: Mapping[str, Sequence[str]]) -> Iterator[Doubt]:
    """Attacks that do not see the updates, and do more harm than every white-box attack."""
    for place in curve:
        means = _means(place)
        informed = [attack for attack in means if knows_defense(attack, knowledge)]
        humble = [attack for attack in means if _sees_little(attack, knowledge)]
        if not informed or not humble:
            continue
        rivals, best = Rivals.of(place, informed), min(informed, key=means.__getitem__)
        for other in humble:
            message = (
                f"{other} sees neither the honest updates nor the defense, yet it does more harm to "
                f"{place.defense['defense']} than {best}, which sees both (utility {means[other]:.2f} against "
                f"{means[best]:.2f}). The defense may only be hiding from the kind of attack that the white-box search "
                "tries, so its other numbers may be too good as well."
            )
            yield rivals.doubt(place, other, place.remark("LESS_KNOWLEDGE_STRONGER", "warning", message, other))


def _converged(curve: Sequence[CurvePoint], doubled: Mapping[str, str]) -> Iterator[Doubt]:
    """Searches with twice as many candidates that do more harm than all other attacks."""
    for place in curve:
        means = _means(place, unattacked=True)
        for first, second in doubled.items():
            if first not in means or second not in means:
                continue
            others = [attack for attack in means if attack != second]
            without = min(means[attack] for attack in others)
            message = (
                f"{second} is {first} with more candidates to choose from, and lowers the worst case of "
                f"{place.defense['defense']} from {without:.2f} to {min(means.values()):.2f}. The search has not "
                "converged: with still more candidates the result may be lower again. Double them once more."
            )
            remark = place.remark("SEARCH_NOT_CONVERGED", "warning", message, second)
            yield Rivals.of(place, others).doubt(place, second, remark)


def _means(place: CurvePoint, *, unattacked: bool = False) -> dict[str, float]:
    """The mean utility under each attack without missing trials; it is clipped to [0, 1], so 0 is the worst."""
    cells = place.point["attacks"].items()
    return {a: float(cell["U"]) for a, cell in cells if cell["U"] is not None and (unattacked or a != NO_ATTACK)}


def _sees_little(attack: str, knowledge: Mapping[str, Sequence[str]]) -> bool:
    """Whether an attack sees neither the honest updates, nor the data behind them, nor the defense."""
    return not {"peers", "data", "defense"} & set(knowledge.get(attack, ()))
