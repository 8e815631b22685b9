"""How well attacks on membership tell who was trained on: every sibling is the target once, the others its shadows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.spying.gathering import Gathering
from robustfl.federation.spying.siblings import Family, Sibling
from robustfl.federation.streams import stream
from robustfl.privacy.membership import Shadows
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.rates import Estimate, area, pooled_rate, true_positive_rate
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Memberships
from robustfl.threats.privacy.view import PrivacyFacts, ShadowRuns

Mask = NDArray[np.bool_]

FEWEST_TARGETS = 4
"""Of fewer federations that did not diverge, nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What one attack found out about memberships.

    Attributes
    ----------
    estimates : by measure, over the targets; one that is not defined for so few samples is absent
    targets : the number of federations that were attacked
    """

    estimates: dict[str, Estimate]
    targets: int


class Bench:
    """The targets of a family, each with its shadows, as attacks are handed them.

    Candidates that all shadows of a target know, or none of them, are left out for this target.

    Parameters
    ----------
    family : the siblings
    gathering : what is public about the federation
    seed : decides the randomness of attacks

    Raises ParameterError when fewer than 4 siblings did not diverge, or for so few candidates that some target has no
    members or no others among them.
    """

    def __init__(self, family: Family, gathering: Gathering, seed: int) -> None:
        self._family, self._gathering, self._seed = family, gathering, seed
        self.targets = [run for run, sibling in enumerate(family.members) if isinstance(sibling, Sibling)]
        if len(self.targets) < FEWEST_TARGETS:
            unseen = family.members.count("unseen")
            why = f" and were seen; in {unseen} no honest client took part in a watched round" if unseen else ""
            raise ParameterError(
                f"only {len(self.targets)} of {len(family.members)} federations that were trained on halves of the "
                f"samples have a finite model in the end{why}"
            )
        for run in self.targets:
            inside = family.rotation.inside[run][self._usable(run)]
            if inside.all() or not inside.any():
                raise ParameterError(f"{len(family.owners)} candidates are too few to tell members from others")

    def exposure(self, attack: PrivacyAttack) -> Exposure:
        """What an attack finds out about the targets.

        Raises
        ------
        AttackError : the attack broke its contract
        KnowledgeError : it looked at something that it has not declared
        """
        scores: list[FloatArray] = []
        members: list[Mask] = []
        one_scale = True
        for run in self.targets:
            facts, inside = self.facts(attack, run)
            finding = attack.spy(facts)
            assert isinstance(finding, Memberships), "an attack that judges members answers so"
            scores.append(finding.scores.double().cpu().numpy())
            members.append(inside)
            one_scale &= finding.one_scale
        pairs = list(zip(scores, members, strict=True))
        found = {
            "mia_tpr_1": Estimate.over([true_positive_rate(*pair, fpr=0.01) for pair in pairs]),
            "mia_tpr_5": Estimate.over([true_positive_rate(*pair, fpr=0.05) for pair in pairs]),
            "mia_auc": Estimate.over([area(*pair) for pair in pairs]),
        }
        pooled = pooled_rate(scores, members, fpr=0.001) if one_scale else None
        if pooled is not None:
            found["mia_tpr_01"] = pooled
        return Exposure(estimates=found, targets=len(self.targets))

    def facts(self, attack: PrivacyAttack, run: int) -> tuple[PrivacyFacts, Mask]:
        """What an attack on the federation `run` could know, and the truth: which candidates are members."""
        family = self._family
        chosen, usable = self._shadows(run), self._usable(run)
        shadows, inside = [self._sibling(other) for other in chosen], family.rotation.inside[chosen]
        known = Shadows(
            confidences=np.stack([sibling.known for sibling in shadows])[:, usable], inside=inside[:, usable]
        )
        kept = torch.as_tensor(np.flatnonzero(usable), device=family.samples[1].device)
        facts = dataclasses.replace(
            self._gathering.facts(attack, self._sibling(run).seen),
            candidates=(family.samples[0][kept], family.samples[1][kept]),
            owners=family.owners[usable],
            auxiliary=family.public,
            shadows=ShadowRuns(
                models=torch.stack([sibling.model for sibling in shadows]),
                candidates=known,
                auxiliary=np.stack([sibling.auxiliary for sibling in shadows]),
            ),
            rng=stream(self._seed, f"privacy {attack!r} {run}"),
        )
        return facts, family.rotation.inside[run][usable]

    def _shadows(self, run: int) -> list[int]:
        return [other for other in self._family.rotation.shadows(run) if other in self.targets]

    def _usable(self, run: int) -> Mask:
        """The candidates [q] that some shadows of a target know and some do not."""
        inside = self._family.rotation.inside[self._shadows(run)]
        usable: Mask = np.logical_and(inside.any(axis=0), ~inside.all(axis=0))
        return usable

    def _sibling(self, run: int) -> Sibling:
        sibling = self._family.members[run]
        assert isinstance(sibling, Sibling), "only siblings that did not diverge are targets or shadows"
        return sibling
