"""The white-box attack: a search through the actual pipeline for the candidate that harms most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from typing_extensions import Doc

from robustfl.threats import Knowledge, View
from robustfl.threats.updates.candidates import SearchLine
from robustfl.threats.updates.constant_directions import Steady, steady_direction
from robustfl.threats.updates.searched import SearchedAttack

from .alie import ALIE
from .ipm import IPM
from .min_max import MinMax
from .min_sum import MinSum
from .rop import ROP

if TYPE_CHECKING:
    from torch import Tensor

FIXED = (IPM(epsilon=0.1), IPM(epsilon=0.5), IPM(epsilon=10.0), ALIE(), MinMax(direction="unit"), MinSum(), ROP())
"""Attacks without a search that compete with the candidates. The search is therefore never weaker than they are, by its
own measure of harm."""

Direction = Literal["mean", "minus_std", "plus_std", "against_std", "extreme", "previous", "steady"]
_LINES: dict[Direction, SearchLine] = {
    "mean": SearchLine("mean", "away"),
    "minus_std": SearchLine("mean", "minus_std"),
    "plus_std": SearchLine("mean", "plus_std"),
    "against_std": SearchLine("mean", "against_std"),
    "extreme": SearchLine("mean", "extreme"),
    "previous": SearchLine("previous", "steady"),
    "steady": SearchLine("mean", "steady"),
}


@dataclass(frozen=True, kw_only=True)
class WhiteBox(SearchedAttack):
    """White-box search (wb): of many candidates and all fixed attacks, the update that harms most after the defense.

    Formula: the attack maximises a harm of ``AGG(V)`` over ``base + tau direction``. The pairs (base, direction) are
    ``(mu, -mu)``, ``(mu, -sigma)``, ``(mu, sigma)``, ``(mu, -sign(mu) sigma)``, ``(mu, ext - mu)``, ``(a, r u)`` and
    ``(mu, r u)``. Here ext holds in every coordinate the honest value that is farthest against the sign of mu, a is the
    previous aggregate, r the median length of honest updates, and u a unit direction that is kept for the whole run. On
    each line tau is 0, a value of a geometric grid up to 50, or one of a few values around the best of these. The
    vectors of simpler attacks compete too, unless `pool=False`.

    Harm: ``inner`` is ``-<AGG, mu>``. ``l2`` is ``||AGG - mu||``, which other libraries maximise, and which is the
    weakest of the four. ``fixed`` is ``<AGG, u>``. ``loss`` is the loss of the model after the server's step, on the
    malicious clients' own data.

    Knowledge: all honest updates, the global models so far, and the defense; for `loss` also the malicious clients' own
    data.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021.
    F. Croce, M. Hein. Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks.
    ICML 2020 (for the idea of an ensemble without parameters).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import WhiteBox
    >>> from robustfl.defenses import Median
    >>> honest = np.random.default_rng(0).normal(1.0, 0.1, size=(8, 3))
    >>> crafted = WhiteBox()(honest, f=3, aggregate=Median(), history=[np.zeros(3)])
    >>> bool((Median()(np.vstack([crafted, honest])) < honest.mean(axis=0)).all())
    True
    """

    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    unfit: ClassVar[str] = (
        "as the worst case of a training: it looks one round ahead, and `planned_drift` at all; or with "
        '`harm="l2"` alone, the weakest of its four aims'
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("harm",)

    harm: Annotated[
        Literal["inner", "l2", "fixed", "loss"],
        Doc("harm that is maximised: against the honest mean, away from it, along u, or the loss"),
    ] = "inner"
    steady: Annotated[Steady, Doc("the direction u in which the weights are pushed for the whole run")] = "ones"
    directions: Annotated[tuple[Direction, ...], Doc("lines on which the attack searches")] = tuple(_LINES)
    pool: Annotated[bool, Doc("whether the vectors of simpler attacks compete with the candidates")] = True

    def required_knowledge(self) -> Knowledge:
        return self.knowledge | Knowledge.OWN if self.harm == "loss" else self.knowledge

    @property
    def needs_model(self) -> bool:
        return self.in_full or self.steady in ("base", "anti")

    @property
    def goal(self) -> str:
        return f"fixed {self.steady}" if self.harm == "fixed" else self.harm

    @property
    def in_full(self) -> bool:
        return self.harm == "loss"

    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        lines = [_LINES[direction] for direction in self.directions]
        wanted = {name for line in lines for name in (line.base, line.direction)} | {"mean"}
        if self.harm == "fixed":
            wanted.add("unit")
        mean = view.mean()
        vectors: dict[str, Tensor] = {"mean": mean, "away": -mean}
        if wanted & {"minus_std", "plus_std", "against_std"}:
            std = view.std()
            vectors |= {"minus_std": -std, "plus_std": std, "against_std": -mean.sign() * std}
        if "extreme" in wanted:
            vectors["extreme"] = view.farthest(-mean) - mean
        if wanted & {"steady", "unit"}:
            vectors["unit"] = steady_direction(view, self.steady)
            vectors["steady"] = view.typical_length() * vectors["unit"]
        if "previous" in wanted and (previous := view.previous_aggregate) is not None:
            vectors["previous"] = previous
        fixed = {str(attack): attack.vector(view) for attack in FIXED} if self.pool else {}
        kept = {name: vector for name, vector in vectors.items() if name in wanted}
        return kept | fixed, [*(line for line in lines if line.base in kept), *(SearchLine(name) for name in fixed)]

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        if self.harm == "loss":
            return lambda answer: view.loss(view.stepped(answer))
        harms: dict[str, Callable[[Tensor], Any]] = {
            "inner": lambda answer: -(answer @ vectors["mean"]),
            "l2": lambda answer: (answer - vectors["mean"]).norm(),
            "fixed": lambda answer: answer @ vectors["unit"],
        }
        chosen = harms[self.harm]
        return lambda answer: float(chosen(answer))
