"""Remarks on rounds that went otherwise than a defense expects: more clients caught than its f, or no answer at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.trust.evidence import Evidence, RoundShare
from robustfl.evaluation.trust.remark import Remark, make_remark

HELD_FROM = 0.1
"""A training whose model stood still in at least this share of its rounds measures something else than a defense."""


def round_remarks(world: str, defense: str, evidence: Evidence) -> Iterator[Remark]:
    """At most one remark of each kind for a defense in a world, whatever the number of attacks and of f."""
    exceeded = evidence.exceeded.get((world, defense), ())
    held = [cell for cell in evidence.held.get((world, defense), ()) if cell.share >= HELD_FROM]
    if exceeded:
        message = (
            f"{defense} caught more clients than the f that it was told, {_where(exceeded)}. Rejected rows never lower "
            "f, so it still answers, but either more clients are malicious than it was told, and then its guarantee "
            "does not hold, or honest clients were rejected as well. Declare a larger f, or find out what is wrong "
            "with these clients."
        )
        attack, f = _only(exceeded)
        yield make_remark("EXCEEDED", "warning", message, world=world, defense=defense, attack=attack, f=f)
    if held:
        message = (
            f"{defense} gave no answer, because too few rows were left, {_where(held)}. The model stood still in those "
            "rounds, and rejected rows never lower f: whoever sends rows that are rejected can stop a rule whose "
            "precondition leaves no room. These numbers measure a stopped training, not a rule that was fooled."
        )
        attack, f = _only(held)
        yield make_remark("HELD", "warning", message, world=world, defense=defense, attack=attack, f=f)


def _only(cells: Sequence[RoundShare]) -> tuple[str | None, int | None]:
    """The attack and the f of all these cells, each None where they differ."""
    attacks, counts = {cell.attack for cell in cells}, {cell.f for cell in cells}
    return attacks.pop() if len(attacks) == 1 else None, counts.pop() if len(counts) == 1 else None


def _where(cells: Sequence[RoundShare]) -> str:
    """`in up to 80% of the rounds: under A (f = 1, 2), under B (f = 2)`, with the attack of the most rounds first."""
    found: dict[str, dict[int, float]] = {}
    for cell in cells:
        found.setdefault(cell.attack, {})[cell.f] = cell.share
    attacks = sorted(found, key=lambda attack: -max(found[attack].values()))
    most = max(found[attacks[0]].values())
    places = ", ".join(_place(attack, sorted(found[attack])) for attack in attacks)
    return f"in up to {max(1, round(100 * most))}% of the rounds: {places}"


def _place(attack: str, counts: Sequence[int]) -> str:
    under = "without an attack" if attack == NO_ATTACK else f"under {attack}"
    return f"{under} (f = {', '.join(map(str, counts))})"
