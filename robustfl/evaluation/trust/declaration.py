"""Whether the score of a defense hangs on knowing exactly how many clients are malicious."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from robustfl.evaluation.statistics import standard_error
from robustfl.evaluation.trust.remark import Remark, make_remark

HANGS = 0.1
"""A defense hangs on f if being told one more or one less costs more than this utility, beyond noise."""


@dataclass(frozen=True, kw_only=True)
class ToldOff:
    """What a defense keeps of its utility when it is told a wrong number of malicious clients.

    Attributes
    ----------
    attack, f : the worst attack at the largest f
    declared, told : the right number of rows that may be Byzantine, and the wrong one that the defense was told
    exact, off : the utilities [R] by seed when it is told the right number, and the wrong one
    """

    world: str
    defense: str
    attack: str
    f: int
    declared: int
    told: int
    exact: tuple[float, ...]
    off: tuple[float, ...]


def declaration_remarks(found: Iterable[ToldOff]) -> Iterator[Remark]:
    """A remark for each defense and world in which a wrong f costs more than :data:`HANGS`; the worst case is named."""
    worst: dict[tuple[str, str], ToldOff] = {}
    for case in found:
        place = case.world, case.defense
        if _costs(case) and (place not in worst or np.mean(case.off) < np.mean(worst[place].off)):
            worst[place] = case
    for case in worst.values():
        message = (
            f"Under {case.attack} with {case.f} malicious clients, {case.defense} keeps {np.mean(case.exact):.0%} of "
            f"its usefulness when it is told exactly how many rows may be Byzantine ({case.declared}), and "
            f"{np.mean(case.off):.0%} when it is told {case.told}. Whoever deploys it does not know this number."
        )
        yield make_remark(
            "F_EXACT", "warning", message, world=case.world, defense=case.defense, attack=case.attack, f=case.f
        )


def _costs(case: ToldOff) -> bool:
    differences = np.subtract(case.exact, case.off)
    if len(differences) < 2:
        return bool(differences.mean() > HANGS)
    errors = max(2.0, float(special.stdtrit(len(differences) - 1, 0.95)))
    return bool(differences.mean() > max(HANGS, errors * standard_error(differences)))
