"""Whether the score of a defense hangs on knowing exactly how many clients are malicious."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from robustfl.evaluation.statistics import holm, standard_error
from robustfl.evaluation.trust.remark import NEGLIGIBLE, Remark, make_remark

if TYPE_CHECKING:
    from robustfl.evaluation.suite.plan import Misdeclared

HANGS = 0.1
"""A defense hangs on f if being told one more or one less costs more than this utility, beyond noise."""


LEVEL = 0.05
"""How often a defense that loses nothing may get the remark, over all of its worlds and wrong numbers."""


@dataclass(frozen=True, kw_only=True)
class ToldOff:
    """What a defense keeps of its utility when it is told a wrong number of malicious clients.

    Attributes
    ----------
    case : which defense, where, and what it was told, under the worst attack at the largest f
    exact, off : the utilities [R] by seed when it is told the right number, and the wrong one
    """

    case: Misdeclared
    exact: tuple[float, ...]
    off: tuple[float, ...]

    @property
    def lost(self) -> float:
        """The mean utility that the wrong number costs."""
        return float(np.subtract(self.exact, self.off).mean())

    @property
    def p(self) -> float:
        """The one-sided p-value of the paired t-test that it costs at most :data:`NEGLIGIBLE`; 0 or 1 without noise."""
        differences = np.subtract(self.exact, self.off)
        error = standard_error(differences) if len(differences) > 1 else 0.0
        excess = self.lost - NEGLIGIBLE
        if error == 0.0:  # a single seed, or equal differences
            return 0.0 if excess > 0 else 1.0
        return float(special.stdtr(len(differences) - 1, -excess / error))


def declaration_remarks(found: Iterable[ToldOff]) -> Iterator[Remark]:
    """A remark for each defense and world in which a wrong f costs more than :data:`HANGS`; the worst case is named.

    Holm's correction spans all worlds and wrong numbers of a defense.
    """
    by_defense: dict[str, list[ToldOff]] = {}
    for told in found:
        by_defense.setdefault(told.case.defense, []).append(told)
    for own in by_defense.values():
        confirmed = zip(own, holm([told.p for told in own], LEVEL), strict=True)
        costly = [told for told, sure in confirmed if sure and told.lost > HANGS]
        for world in dict.fromkeys(told.case.world for told in costly):
            yield _remark(min((t for t in costly if t.case.world == world), key=lambda told: float(np.mean(told.off))))


def _remark(told: ToldOff) -> Remark:
    case = told.case
    message = (
        f"Under {case.attack} with {case.f} malicious clients, {case.defense} keeps {np.mean(told.exact):.0%} of "
        f"its usefulness when it is told exactly how many rows may be Byzantine ({case.declared}), and "
        f"{np.mean(told.off):.0%} when it is told {case.told}. Whoever deploys it does not know this number."
    )
    return make_remark(
        "F_EXACT", "warning", message, world=case.world, defense=case.defense, attack=case.attack, f=case.f
    )
