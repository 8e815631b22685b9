"""A suite with claims, and outcomes to judge them by, for the tests of claims."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.claims.judging import judged
from robustfl.evaluation.score.inputs import CellResult
from robustfl.evaluation.score.score import score
from robustfl.evaluation.suite.scenario import Experiment
from tests.evaluation.outcomes import cell, world

WORLD = "Digits, Softmax, IID"
SUITE: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 10, "rounds": 2},
    "adversary": {"f": [0, 1, 3]},
    "defenses": ["mean", ["nnm", "krum"], {"krum": {"f": 1}}, {"centered_clipping": {"radius": 3.0}}],
    "attacks": ["sign_flip", "ipm", {"ipm": {"epsilon": 10}}, {"alie": {"z": 2.0}}],
    "seeds": 3,
}
SAID = {"text": "It holds.", "source": "Somebody, Something, 2024"}


def claiming(*measures: str, expect: str = "> 0", **changes: Any) -> dict[str, Any]:
    return {**SUITE, **changes, "claims": [{**SAID, "measure": measure, "expect": expect} for measure in measures]}


def played(defense: str, levels: dict[int, dict[str, tuple[float, ...]]], place: str = WORLD) -> list[CellResult]:
    """Utilities of each seed, by f and attack."""
    return [o for f, attacks in levels.items() for name, u in attacks.items() for o in cell(name, f, u, defense, place)]


STRONG, WEAK = (0.9, 0.8, 1.0), (0.3, 0.4, 0.2)
OUTCOMES = [
    *played("Mean", {0: {"none": (1.0, 1.1, 0.9)}, 1: {"none": (1.0,) * 3, "SignFlip": WEAK}, 3: {"none": WEAK}}),
    *played("NNM > Krum", {f: {"none": STRONG, **({"SignFlip": (0.8, 0.6, 1.0)} if f else {})} for f in (0, 1, 3)}),
]


def judge(
    measure: str, expect: str = "> 0", outcomes: list[CellResult] = OUTCOMES, records: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The claim as measured in outcomes of ten clients with chance 0.1 and baseline 0.5."""
    experiment = Experiment(claiming(measure, expect=expect), changed=True)
    seeds = len({outcome.seed for outcome in outcomes})
    scores = score(outcomes, [world(seeds, label=place) for place in dict.fromkeys(o.world for o in outcomes)])
    (found,) = judged(experiment.suite.claims, experiment.names, scores, records or {})
    return found
