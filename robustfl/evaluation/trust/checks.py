"""The checks of the evaluation itself. When a check fails, the attacks were not what they should be.

A failed check makes a remark, and the defenses that the remark is about get the status SUSPECT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.summaries import ScoredDefense, ScoredWorldReport
from robustfl.evaluation.statistics import holm, paired_test, standard_error
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remark import CurvePoint, Remark, make_remark

GATES = frozenset(
    {
        "SCENARIO_NOT_ATTACKABLE",
        "WEAK_WHITE_BOX",
        "LESS_KNOWLEDGE_STRONGER",
        "NON_MONOTONE",
        "SEARCH_NOT_CONVERGED",
        "CONDUCT",
    }
)
"""The codes of the remarks that make a status SUSPECT."""

ATTACKABLE_BELOW = 0.2
"""A suite of attacks under which the plain mean keeps more than this utility is too weak to test a defense."""

AIM_REACHED = 0.5
"""A targeted attack that succeeds on this share of its samples against the plain mean is strong enough."""

NEGLIGIBLE = 0.02
"""Differences in utility up to this say nothing about the quality of a search, even if the noise is smaller."""

_LEVEL = 0.05
_ROUNDING = 1e-9


def check_remarks(
    worlds: Iterable[ScoredWorldReport], *, plain: str, knowledge: Mapping[str, Sequence[str]], evidence: Evidence
) -> list[Remark]:
    """The remarks of all checks that a scored suite fails."""
    tailored = {attack for attack, threat in evidence.threats.items() if threat.tailored}
    flags: list[Remark] = []
    for world in worlds:
        flags += _attackable(world, plain, evidence.reached)
        for defense in world["defenses"]:
            places = [CurvePoint(world, defense, point) for point in defense["curve"]]
            flags += _monotone(places)
            flags += _search(places, knowledge, tailored)
            flags += _masked(places, knowledge)
            flags += _converged(places, evidence.doubled)
            flags += _conduct(world, defense, evidence.conduct.get((world["world"], defense["defense"]), ()))
    return flags


def knows_defense(attack: str, knowledge: Mapping[str, Sequence[str]]) -> bool:
    """Whether an attack is a white-box attack."""
    return "defense" in knowledge.get(attack, ())


def _attackable(
    world: ScoredWorldReport, plain: str, reached: Mapping[tuple[str, str, int], float]
) -> Iterator[Remark]:
    """Check the plain rule at the largest f: some attack must destroy the model or reach its aim."""
    for defense in world["defenses"]:
        point = defense["curve"][-1] if defense["curve"] else None
        if defense["defense"] != plain or not point or not point["f"] or point["incomplete"] or point["W"] is None:
            continue
        succeeds = any(reached.get((world["world"], a, point["f"]), 0.0) >= AIM_REACHED for a in point["attacks"])
        if point["W"] > ATTACKABLE_BELOW and not succeeds and not point["invalid"]:
            message = (
                f"Plain averaging, which has no protection at all, keeps {point['W']:.0%} of its usefulness under the "
                f"worst attack with {point['f']} of {world['clients']} clients malicious. The attacks are too weak "
                "here to tell a good defense from a bad one. Add stronger attacks or more malicious clients."
            )
            place = CurvePoint(world, defense, point)
            yield place.flag("SCENARIO_NOT_ATTACKABLE", "error", message, point["worst_attack"])


def _monotone(places: Sequence[CurvePoint]) -> Iterator[Remark]:
    """The first point whose W is higher, beyond noise, than the worst W with fewer malicious clients."""
    lowest: tuple[CurvePoint, list[float], float] | None = None
    for place in places:
        point, values = place.point, place.utilities(place.point["worst_attack"])
        height = point["W"]
        if values is None or height is None or point["invalid"] or point["incomplete"]:
            continue
        if lowest is None or height <= lowest[2]:
            lowest = place, values, height
        elif _beyond_noise(values, lowest[1], height - lowest[2]):
            before = lowest[0].point
            message = (
                f"{place.defense['defense']} does better against {point['f']} malicious clients (W = {height:.2f}) "
                f"than against {before['f']} (W = {lowest[2]:.2f}), by more than chance explains. More attackers can "
                f"always behave like fewer, so the attacks at f = {point['f']} are not as strong as they could be."
            )
            yield place.flag("NON_MONOTONE", "warning", message, point["worst_attack"])
            return


def _search(
    places: Iterable[CurvePoint], knowledge: Mapping[str, Sequence[str]], tailored: Iterable[str]
) -> Iterator[Remark]:
    """The first point at which an attack that knows only the updates beats, beyond noise, all that know the defense.

    Attacks that are made for a defense count as if they knew it.
    """
    for place in places:
        means = _means(place)
        informed = [attack for attack in means if knows_defense(attack, knowledge) or attack in tailored]
        blind = [attack for attack in means if attack not in informed and not _sees_little(attack, knowledge)]
        if not informed or not blind:
            continue
        best, other = min(informed, key=means.__getitem__), min(blind, key=means.__getitem__)
        if _beyond_noise(place.utilities(best) or [], place.utilities(other) or [], means[best] - means[other]):
            message = (
                f"{other} does not know which defense it faces, yet it does more harm to {place.defense['defense']} "
                f"than {best}, which does (utility {means[other]:.2f} against {means[best]:.2f}). Knowing more should "
                "never hurt, so the informed attack is searching badly and a better one may lower this result."
            )
            yield place.flag("WEAK_WHITE_BOX", "warning", message, best)
            return


def _masked(places: Iterable[CurvePoint], knowledge: Mapping[str, Sequence[str]]) -> Iterator[Remark]:
    """The first point at which an attack that does not see the updates beats every white-box attack.

    A paired one-sided test at 5 % decides, with Holm's correction over such attacks.
    """
    for place in places:
        means = _means(place)
        informed = [attack for attack in means if knows_defense(attack, knowledge)]
        humble = [attack for attack in means if _sees_little(attack, knowledge)]
        if not informed or not humble or len(place.world["seeds"]) < 2:
            continue
        best = min(informed, key=means.__getitem__)
        white_box = place.utilities(best) or []
        tests = [paired_test(white_box, place.utilities(attack) or []) for attack in humble]
        verdicts = holm([p / 2 if mean > 0 else 1 - p / 2 for mean, p in tests], _LEVEL)
        found = [a for a, holds in zip(humble, verdicts, strict=True) if holds and means[best] - means[a] > NEGLIGIBLE]
        if found:
            other = min(found, key=means.__getitem__)
            message = (
                f"{other} sees neither the honest updates nor the defense, yet it does more harm to "
                f"{place.defense['defense']} than {best}, which sees both (utility {means[other]:.2f} against "
                f"{means[best]:.2f}). The defense may only be hiding from the kind of attack that the white-box search "
                "tries, so its other numbers may be too good as well."
            )
            yield place.flag("LESS_KNOWLEDGE_STRONGER", "warning", message, other)
            return


def _converged(places: Iterable[CurvePoint], doubled: Mapping[str, str]) -> Iterator[Remark]:
    """The first point at which a search with twice as many candidates lowers the worst case."""
    for place in places:
        means = _means(place, unattacked=True)
        for first, second in doubled.items():
            if first not in means or second not in means:
                continue
            without = min(value for attack, value in means.items() if attack != second)
            if without - min(means.values()) >= NEGLIGIBLE:
                message = (
                    f"{second} is {first} with more candidates to choose from, and lowers the worst case of "
                    f"{place.defense['defense']} from {without:.2f} to {min(means.values()):.2f}. The search has not "
                    "converged: with still more candidates the result may be lower again. Double them once more."
                )
                yield place.flag("SEARCH_NOT_CONVERGED", "warning", message, second)
                return


def _conduct(world: ScoredWorldReport, defense: ScoredDefense, seen: Sequence[str]) -> Iterator[Remark]:
    if seen:
        name = defense["defense"]
        message = (
            f"While it was evaluated, {name} did what a defense must not do: it {'; it '.join(seen)}. Its numbers may "
            "come from that rather than from robustness. Mend the defense, check it with robustfl.testing, run again."
        )
        yield make_remark("CONDUCT", "error", message, world=world["world"], defense=name)


def _means(place: CurvePoint, *, unattacked: bool = False) -> dict[str, float]:
    """The mean utility under each attack without missing trials; it is clipped to [0, 1], so 0 is the worst."""
    cells = place.point["attacks"].items()
    return {a: float(cell["U"]) for a, cell in cells if cell["U"] is not None and (unattacked or a != NO_ATTACK)}


def _sees_little(attack: str, knowledge: Mapping[str, Sequence[str]]) -> bool:
    """Whether an attack sees neither the honest updates, nor the data behind them, nor the defense."""
    return not {"peers", "data", "defense"} & set(knowledge.get(attack, ()))


def _beyond_noise(first: Sequence[float], second: Sequence[float], gap: float) -> bool:
    """Whether a gap matters and exceeds two standard errors of the paired differences; False with a single seed.

    With few seeds the standard error itself is uncertain. The 95 % quantile of Student's t therefore replaces the
    factor two when it is larger.
    """
    if len(first) < 2:
        return False
    errors = max(2.0, float(special.stdtrit(len(first) - 1, 0.95)))
    return gap > max(NEGLIGIBLE, errors * standard_error(np.subtract(first, second))) + _ROUNDING
