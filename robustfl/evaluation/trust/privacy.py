"""Remarks on attacks on privacy whose own computation does not explain the messages of the true samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.trust.remark import Remark, make_remark

CONSISTENT = 1e-6
"""The true samples explain a message up to this distance, 1 - cos, if nothing was done to it; rounding leaves 1e-12."""

Mismatches = Mapping[tuple[str, str], Mapping[str, float]]
"""(world, defense) -> label of an attack -> the largest distance."""


def mismatches(records: Iterable[Record]) -> dict[tuple[str, str], dict[str, float]]:
    """The attacks to which the true samples do not explain what was seen, with the largest distance over all trials.

    Trials whose clients add noise to their messages, or change them otherwise, say nothing: there the distance is what
    that costs the attack.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for record in records:
        if more_of(record).get("privacy_changes"):
            continue
        labels = record["labels"]
        for label, distance in (more_of(record).get("self_consistency_by") or {}).items():
            attack, _, at = label.rpartition(", round ")
            if not attack or not at.isdigit() or distance is None or distance <= CONSISTENT:
                continue
            own = found.setdefault((labels["world"], labels["defense"]), {})
            own[attack] = max(distance, own.get(attack, 0.0))
    return found


def privacy_remarks(world: str, defense: str, found: Mismatches) -> Iterator[Remark]:
    """At most one remark for a defense in a world, whatever the number of attacks."""
    own = found.get((world, defense), {})
    if own:
        told = ", ".join(f"{attack} ({distance:.2g})" for attack, distance in own.items())
        message = (
            f"The true samples do not explain what these attacks on privacy took for the gradient: {told}, as 1 - cos. "
            "Clients add no noise to their messages, and do not round or prune them. So the attack is played against "
            "another training than the one that it assumes, and finds too little."
        )
        yield make_remark("ATTACK_MISMATCH", "warning", message, world=world, defense=defense)
