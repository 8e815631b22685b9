"""The attack tailored to a rule: it goes along one direction as far as this rule follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from robustfl.threats import Knowledge, View
from robustfl.threats.updates.candidates import FARTHEST, NEAREST, SearchLine
from robustfl.threats.updates.perturbations import Perturbation
from robustfl.threats.updates.probing import Probe

if TYPE_CHECKING:
    from torch import Tensor

NUDGE = 0.01
"""Share of a candidate's step by which it is moved to see whether the defense's answer follows."""


@dataclass(frozen=True, kw_only=True)
class AGRTailored(Perturbation):
    """AGR-tailored: a step against the honest mean, of the length that moves the answer of the attacked rule farthest.

    Formula: ``v = mu + gamma p`` with the gamma that maximises ``||AGG(V) - mu||`` among the successful ones. The
    search first tries a geometric grid, in units of the largest distance of an honest update from mu, and then looks
    ever closer on both sides of the best gamma so far.

    In the published attack, success means that Krum selects a malicious row, or that Multi-Krum and Bulyan select all
    malicious rows; for trimmed means and medians every gamma is successful. Here the rule is only asked for its
    answers. When very long rows on opposite sides give the same answer, the rule is taken to reject rows. Malicious
    rows are then successful only if the answer moves as they move, so an honest row that Krum selects does not count
    as success. It is enough that some malicious rows are selected, because they may then lie farther out. For all
    other rules every gamma is successful.

    Knowledge: the defense and all honest updates. With ``estimate="own"`` the attack replaces the honest updates by
    random stand-ins, which have the means and standard deviations of the malicious clients' own updates.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import AGRTailored, MinMax
    >>> from robustfl.defenses import MultiKrum
    >>> honest, rule = np.random.default_rng(0).normal(1.0, 0.5, size=(8, 10)), MultiKrum(f=2)
    >>> def deviation(attack):
    ...     crafted = attack(honest, f=2, aggregate=rule)
    ...     return float(np.linalg.norm(rule(np.vstack([crafted, honest])) - honest.mean(axis=0)))
    >>> deviation(AGRTailored()) > deviation(MinMax())
    True
    """

    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    unfit: ClassVar[str] = (
        "as the worst case of a training: it moves the answer as far as it can in one round, and distance is not harm"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS | Knowledge.DEFENSE

    candidates: Annotated[int, Ge(2), Doc("number of values of gamma on the grid, including 0")] = 14
    stop: Annotated[float, Gt(0), Lt(1), Doc("precision to which gamma is found, in steps of the grid")] = 1e-5

    def required_knowledge(self) -> Knowledge:
        return super().required_knowledge() | Knowledge.DEFENSE

    def reach(self, view: View, rows: Tensor, mean: Tensor, direction: Tensor) -> float:
        radius = float((rows - mean).norm(dim=1).max()) or float(mean.norm())
        unit = radius / float(direction.norm())
        honest = None if self.estimate == "peers" else stand_ins(view, rows, mean)
        probe = Probe(view, {"mean": mean, "step": unit * direction}, self.offsets(view), honest=honest)
        deviation = Deviation(view, probe, radius)
        grid = [0.0, *np.geomspace(NEAREST, FARTHEST, self.candidates - 1).tolist()]
        return unit * farthest(deviation, grid, self.stop)


class Deviation:
    """How far malicious rows at ``mu + tau p`` move the answer from mu; minus infinity where they do not succeed."""

    def __init__(self, view: View, probe: Probe, radius: float) -> None:
        self._probe, self._radius, self._least = probe, radius, 0.1 / view.n
        far, opposite = self._answer(FARTHEST), self._answer(-FARTHEST)
        self.throws_out = far is not None and opposite is not None and self._same(far, opposite)

    def __call__(self, tau: float) -> float:
        answer = self._answer(tau)
        if answer is None:
            return -math.inf
        value = float((answer - self._probe.vectors["mean"]).norm())
        if not math.isfinite(value):
            return math.inf
        return value if not self.throws_out or self._counts(tau, answer) else -math.inf

    def _answer(self, tau: float) -> Tensor | None:
        return self._probe.answer(SearchLine("mean", "step").at(tau, self._probe.vectors))

    def _same(self, one: Tensor, other: Tensor) -> bool:
        return float((one - other).norm()) <= 1e-4 * self._radius

    def _counts(self, tau: float, answer: Tensor) -> bool:
        """Whether the answer follows a small step with at least a tenth of the weight of one row."""
        moved = self._answer((1 + NUDGE) * tau)
        return moved is not None and float((moved - answer).norm()) > self._least * NUDGE * tau * self._radius


def farthest(harm: Callable[[float], float], grid: list[float], stop: float) -> float:
    """The most harmful point of an ascending grid, refined between its neighbours while the harm grows.

    The point is found to a precision of `stop` times the grid's step, also at an edge of the grid. There is no
    refinement where the harm does not change.
    """
    values = [harm(point) for point in grid]
    place = int(np.argmax(values))
    after = min(place + 1, len(grid) - 1)
    low, best, high, value = grid[max(place - 1, 0)], grid[place], grid[after], values[place]
    if values[after] > value * (1 - 1e-9):
        return best
    for _ in range(math.ceil(-math.log2(stop))):
        right, left = (best + high) / 2, (low + best) / 2
        if (found := harm(right)) > value:
            low, best, value = best, right, found
        elif (found := harm(left)) > value:
            best, high, value = left, best, found
        else:
            low, high = left, right
    return best


def stand_ins(view: View, rows: Tensor, mean: Tensor) -> Tensor:
    """Normal draws [h, d] with the means and standard deviations of `rows` [k, d]; copies of the mean when k is 1.

    Mixtures of the few rows would lie closer to their mean than updates do in many dimensions.
    """
    if len(rows) == 1:
        return mean.repeat(view.h, 1)
    return mean + view.normal(view.h) * rows.std(dim=0)
