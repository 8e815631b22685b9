"""The white-box attack on predictions: asks the defense what turns over most samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import InfeasibleError
from robustfl.threats import Knowledge, View
from robustfl.threats.predictions import as_vectors, beliefs
from robustfl.threats.updates.candidates import SearchLine
from robustfl.threats.updates.searched import SearchedAttack

from .hidden_shift import shifts
from .reversed_beliefs import ReversedBeliefs
from .wrong_class import wrong_classes

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = (1.5, 3.0)
"""The standard deviations of the hidden shifts whose directions are tried."""


@dataclass(frozen=True, kw_only=True)
class PredictionSearch(SearchedAttack):
    """Prediction search (ps): of many claims, the one behind which the defense's answer misleads most.

    Formula: with mu the honest mean, a(s) the class that it believes most of sample s, and p the answer of the defense,
    the margin of a sample is ``p_b - p_a``: with ``harm="permutation"`` b is the class after a, so that all samples
    tell the same lie, and with ``harm="flips"`` it is the class other than a that p believes most. The attack maximises
    the share of samples with a positive margin plus the mean margin.

    Candidates are mu moved towards certainty of the next class or of the runner-up, towards the reversed beliefs, and
    by hidden shifts of two sizes (:class:`HiddenShift`). Further candidates are put together *sample by sample*: in all
    these directions and for `steps` sizes the defense is asked once, and each sample takes what gives it the largest
    margin (`boldest`), or the smallest size that turns it over, and what is best or nothing where nothing does (`eager`
    and `thrifty`). For a rule that treats every column on its own the samples do not interact, and what is put together
    does to each sample what was seen; for other rules these are candidates like the others.

    Knowledge: all honest predictions, and the defense.

    Cost: the defense is asked ``5 (candidates + steps) + 4`` times in m C dimensions in a round with a search, and
    ``5 steps + 2`` times in the rounds between two searches.

    References
    ----------
    V. Shejwalkar, A. Houmansadr. Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning. NDSS 2021 (for searching through the defense; distributions and the search by samples are ours).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import PredictionSearch
    >>> from robustfl.defenses import TrimmedMean
    >>> honest = np.random.default_rng(0).dirichlet([2.0, 1.0, 1.0], size=(8, 5)).reshape(8, 15) - 1 / 3
    >>> claim = PredictionSearch(harm="flips")(honest, f=3, aggregate=TrimmedMean(f=3), classes=3)
    >>> answer = TrimmedMean(f=3)(np.vstack([claim, honest])).reshape(5, 3)
    >>> int((answer.argmax(1) != honest.mean(axis=0).reshape(5, 3).argmax(1)).sum())
    4
    """

    surface: ClassVar[str] = "predictions"
    channels: ClassVar[tuple[str, ...] | None] = ("predictions",)
    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    unfit: ClassVar[str] = "where a defense is slow to answer, as it is asked some fifty times in a round with a search"
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE
    label_parameters: ClassVar[tuple[str, ...]] = ("harm",)
    reach: ClassVar[tuple[float, float]] = (0.02, 1.0)

    harm: Annotated[
        Literal["permutation", "flips"], Doc("what samples should be taken for: the next class, or any wrong one")
    ] = "permutation"
    candidates: Annotated[int, Ge(1), Doc("number of values of tau on each line, including 0")] = 5
    steps: Annotated[int, Ge(1), Doc("number of sizes in each direction from which every sample takes its own")] = 4

    @property
    def goal(self) -> str:
        return self.harm

    @property
    def needs_model(self) -> bool:
        return False

    @property
    def in_full(self) -> bool:
        return True

    def efforts(self) -> dict[str, float]:
        return {"candidates": self.candidates, "steps": self.steps}

    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        known = beliefs(view)
        mean = known.mean(dim=0)
        centre = as_vectors(mean)
        ends = {
            "next": _sure(mean, wrong_classes(mean, "next")),
            "runner_up": _sure(mean, wrong_classes(mean, "runner_up")),
            "reversed": ReversedBeliefs(estimate="peers").claimed(view),
        }
        ends |= {f"hidden {z:g}": shifts(known, z, view.n, view.f)[0] for z in HIDDEN}
        ways = {name: as_vectors(end) - centre for name, end in ends.items()}
        composed = self._composed(view, mean, ways)
        lines = [SearchLine("mean", name) for name in ways]
        return {"mean": centre, **ways, **composed}, [*(SearchLine(name) for name in composed), *lines]

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        mean = vectors["mean"].reshape(-1, view.classes)

        def harm(answer: Tensor) -> float:
            margins = self._margins(answer, mean)
            return float((margins > 0).to(margins.dtype).mean() + margins.mean())

        return harm

    def _composed(self, view: View, mean: Tensor, ways: dict[str, Tensor]) -> dict[str, Tensor]:
        """Claims in which every sample takes its own part of one of the ways, by three rules of choice."""
        import torch

        centre = as_vectors(mean)
        tried, margins = [centre], [self._margins(centre, mean)]
        for tau in torch.linspace(1 / self.steps, 1.0, self.steps).tolist():
            for way in ways.values():
                claim = centre + tau * way
                answer = self._asked(view, claim)
                if answer is not None:
                    tried.append(claim)
                    margins.append(self._margins(answer, mean))
        found, seen = torch.stack(tried).reshape(len(tried), *mean.shape), torch.stack(margins)  # [t, m, C], [t, m]
        turned, best = seen > 0, seen.argmax(dim=0)
        first, some = turned.to(torch.int8).argmax(dim=0), turned.any(dim=0)
        chosen = {
            "boldest": best,
            "eager": first.where(some, best),
            "thrifty": first.where(some, torch.zeros_like(first)),
        }
        places = torch.arange(len(mean), device=mean.device)
        return {name: found[choice, places].flatten() for name, choice in chosen.items()}

    def _margins(self, answer: Tensor, mean: Tensor) -> Tensor:
        """By how much an answer [m C] believes a wrong class more than the one that the mean [m, C] does, [m]."""
        answer = answer.reshape(mean.shape)
        top = mean.argmax(dim=1, keepdim=True)
        if self.harm == "permutation":
            wrong = answer.gather(1, wrong_classes(mean, "next")[:, None])[:, 0]
        else:
            wrong = answer.scatter(1, top, -float("inf")).amax(dim=1)
        return wrong - answer.gather(1, top)[:, 0]

    def _asked(self, view: View, claim: Tensor) -> Tensor | None:
        """What the defense answers when all malicious clients claim this; None when it has too few rows to answer."""
        import torch

        try:
            return view.aggregate(torch.cat([claim.expand(view.f, -1), self.honest(view)]))
        except InfeasibleError:
            return None


def _sure(mean: Tensor, classes: Tensor) -> Tensor:
    return mean.new_zeros(mean.shape).scatter_(1, classes[:, None], 1.0)
