"""The checks of the evaluation itself. When a check fails, the attacks were not what they should be.

A failed check makes a remark, and the defenses that the remark is about get the status SUSPECT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from robustfl.evaluation.results.summaries import ScoredDefense, ScoredWorldReport
from robustfl.evaluation.trust.comparisons import comparison_remarks
from robustfl.evaluation.trust.declaration import declaration_remarks
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.remark import CurvePoint, Remark, make_remark
from robustfl.evaluation.trust.training import unfinished

DOUBTS = frozenset(
    {
        "SCENARIO_NOT_ATTACKABLE",
        "WEAK_WHITE_BOX",
        "LESS_KNOWLEDGE_STRONGER",
        "NON_MONOTONE",
        "SEARCH_NOT_CONVERGED",
        "CONDUCT",
        "NOT_REPEATED",
    }
)
"""The codes of the remarks that make a status SUSPECT."""

ATTACKABLE_BELOW = 0.2
"""A suite of attacks under which the plain mean keeps more than this utility is too weak to test a defense."""

AIM_REACHED = 0.5
"""A targeted attack that succeeds on this share of its samples against the plain mean is strong enough."""


def check_remarks(
    worlds: Iterable[ScoredWorldReport], *, plain: str, knowledge: Mapping[str, Sequence[str]], evidence: Evidence
) -> list[Remark]:
    """The remarks of all checks that a scored suite fails."""
    found: list[Remark] = []
    curves: dict[str, list[list[CurvePoint]]] = {}
    for world in worlds:
        found += _attackable(world, plain, evidence.reached)
        for defense in world["defenses"]:
            name = defense["defense"]
            curves.setdefault(name, []).append([CurvePoint(world, defense, point) for point in defense["curve"]])
            place = world["world"], name
            found += _conduct(world, defense, evidence.conduct.get(place, ()))
            found += _repeated(world, defense, evidence.not_repeated.get(place, ()))
    for own in curves.values():
        found += comparison_remarks(own, knowledge, evidence)
    return found + list(declaration_remarks(evidence.told_off))


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
            advice = "Add stronger attacks or more malicious clients."
            if unfinished(world):
                advice = "The training has not ended, so there is little to destroy: see NOT_TRAINED, and train first."
            message = (
                f"Plain averaging, which has no protection at all, keeps {point['W']:.0%} of its usefulness under the "
                f"worst attack with {point['f']} of {world['clients']} clients malicious. The attacks are too weak "
                f"here to tell a good defense from a bad one. {advice}"
            )
            place = CurvePoint(world, defense, point)
            yield place.remark("SCENARIO_NOT_ATTACKABLE", "error", message, point["worst_attack"])


def _conduct(world: ScoredWorldReport, defense: ScoredDefense, seen: Sequence[str]) -> Iterator[Remark]:
    if seen:
        name = defense["defense"]
        message = (
            f"While it was evaluated, {name} did what a defense must not do: it {'; it '.join(seen)}. Its numbers may "
            "come from that rather than from robustness. Mend the defense, check it with robustfl.testing, run again."
        )
        yield make_remark("CONDUCT", "error", message, world=world["world"], defense=name)


def _repeated(world: ScoredWorldReport, defense: ScoredDefense, different: Sequence[str]) -> Iterator[Remark]:
    if different:
        name = defense["defense"]
        message = (
            f"Trials of {name} were played again, with the defense in a new process that is handed rows alone, and had "
            f"other results: {'; '.join(different)}. What it does depends on something else than the rows: on trials "
            "before this one, on the simulation around it, or on files. Its numbers mean nothing until that is mended."
        )
        yield make_remark("NOT_REPEATED", "error", message, world=world["world"], defense=name)
