"""Audits of the privacy mechanisms of a suite: is what they claim true in the round that trials play?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustfl.errors import ParameterError
from robustfl.evaluation.run.play import Resources, population_of
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.privacy import Audit, Verdict

NOT_AUDITED = "NOT AUDITED"
"""In place of a verdict, where the audit does not fit the mechanism."""


@dataclass(frozen=True, kw_only=True)
class Audited:
    """The audit of one defense in one world; `audit` is None where there could be none, for the reason `text`."""

    world: str
    defense: str
    text: str
    audit: Audit | None = None

    @property
    def verdict(self) -> str:
        return NOT_AUDITED if self.audit is None else str(self.audit.verdict)

    @property
    def refuted(self) -> bool:
        """Whether the claim of the mechanism does not hold."""
        return self.audit is not None and self.audit.verdict in (Verdict.BROKEN, Verdict.FAIL)

    def report(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        told = {"world": self.world, "defense": self.defense, "verdict": self.verdict, "text": self.text}
        return told if self.audit is None else {**told, **self.audit.report()}


def audits(experiment: Experiment, seed: int = 0, root: Path | None = None) -> list[Audited]:
    """Audit each defense of a suite that begins with a mechanism, in each world.

    A rule that is told the number of malicious rows is told the largest one of the suite against which it can be
    deployed, because the fewer rows a rule uses, the further one of them moves its answer.
    """
    from robustfl.federation.mechanisms.auditing import audit_of

    plan, found = Plan(experiment), []
    for world in experiment.worlds:
        for template in experiment.suite.defenses:
            if template.build(0).protection is None:
                continue
            names = {"world": world.label, "defense": template.label}
            grid = experiment.suite.adversary.grid(world.federation.clients)
            reasons = {f: plan.invalid(world, template, f) for f in grid}
            fitting = [f for f, reason in reasons.items() if not reason]
            if not fitting:
                found.append(Audited(**names, text=reasons[grid[0]]))
                continue
            task, told = world.task, plan.declared_rows(world, max(fitting))
            population = population_of(task, world.federation.clients, seed, Resources(data_root=root))
            try:
                audit = audit_of(template.build(told), population, world.federation, np.random.default_rng(seed))
            except ParameterError as error:
                found.append(Audited(**names, text=str(error)))
                continue
            found.append(Audited(**names, text=audit.text, audit=audit))
    return found
