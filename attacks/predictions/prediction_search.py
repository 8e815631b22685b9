"""The white-box attack on predictions: asks the defense what turns over most samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

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

HIDDEN = (0.5, 1.5, 3.0)
"""The standard deviations of the hidden shifts whose directions are tried."""


@dataclass(frozen=True, kw_only=True)
class PredictionSearch(SearchedAttack):
    """Prediction search (ps): of many claims, the one behind which the defense's answer is wrong on most samples.

    Formula: with mu the honest mean and a(s) the class that it believes most of sample s, the attack maximises the
    number of samples for which the answer p of the defense believes another class most, and among equals the mean
    margin ``max_{c != a} p_c - p_a``. Candidates are mu moved towards: certainty of the runner-up, of the least likely
    class, the reversed beliefs, and hidden shifts of several sizes (:class:`HiddenShift`). Further candidates are put
    together *sample by sample*: on every line and for `steps` sizes the defense is asked once, and each sample takes
    the line and the smallest size that turn it over. Samples that nothing turns over take what lowers their margin
    most, or stay at mu. For a rule that treats every column on its own, the parts do not interact, and what is put
    together does to each sample what was seen; for other rules it is one more candidate among the others.

    Knowledge: all honest predictions, and the defense.

    Cost: the defense is asked ``6 (candidates + steps) + 3`` times in m C dimensions, in every `search_every`-th round.

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
    >>> claim = PredictionSearch()(honest, f=3, aggregate=TrimmedMean(f=3), classes=3)
    >>> answer = TrimmedMean(f=3)(np.vstack([claim, honest])).reshape(5, 3)
    >>> int((answer.argmax(1) != honest.mean(axis=0).reshape(5, 3).argmax(1)).sum())
    4
    """

    surface: ClassVar[str] = "predictions"
    channels: ClassVar[tuple[str, ...] | None] = ("predictions",)
    reference: ClassVar[str] = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DEFENSE
    reach: ClassVar[tuple[float, float]] = (0.02, 1.0)

    candidates: Annotated[int, Ge(1), Doc("number of values of tau on each line, including 0")] = 7
    steps: Annotated[int, Ge(1), Doc("number of sizes on each line from which every sample takes its own")] = 6

    @property
    def goal(self) -> str:
        return "flips"

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
            "runner_up": _sure(mean, wrong_classes(mean, "runner_up")),
            "least": _sure(mean, wrong_classes(mean, "least")),
            "reversed": ReversedBeliefs(estimate="peers").claimed(view),
        }
        ends |= {f"hidden {z:g}": shifts(known, z, view.n, view.f)[0] for z in HIDDEN}
        ways = {name: as_vectors(end) - centre for name, end in ends.items()}
        composed = self._composed(view, mean, ways)
        lines = [SearchLine("mean", name) for name in ways]
        return {"mean": centre, **ways, **composed}, [*(SearchLine(name) for name in composed), *lines]

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        top = vectors["mean"].reshape(-1, view.classes).argmax(dim=1)
        samples = len(top)

        def harm(answer: Tensor) -> float:
            margins = _margins(answer, top)
            # Margins are at most 1 in size, so that they only decide between equal numbers of samples.
            return float((margins > 0).sum() + margins.mean().clamp(-1.0, 1.0) / (4 * samples))

        return harm

    def _composed(self, view: View, mean: Tensor, ways: dict[str, Tensor]) -> dict[str, Tensor]:
        """Claims in which every sample takes its own part of one of the ways: with and without what turns nothing."""
        import torch

        top, centre = mean.argmax(dim=1), as_vectors(mean)
        tried, margins = [centre], [_margins(centre, top)]
        for tau in torch.linspace(1 / self.steps, 1.0, self.steps).tolist():
            for way in ways.values():
                claim = centre + tau * way
                answer = self._asked(view, claim)
                if answer is not None:
                    tried.append(claim)
                    margins.append(_margins(answer, top))
        found, seen = torch.stack(tried).reshape(len(tried), *mean.shape), torch.stack(margins)  # [t, m, C], [t, m]
        turned = seen > 0
        first, best = turned.to(torch.int8).argmax(dim=0), seen.argmax(dim=0)
        some, places = turned.any(dim=0), torch.arange(len(mean), device=mean.device)
        chosen = {"eager": first.where(some, best), "thrifty": first.where(some, torch.zeros_like(first))}
        return {name: found[choice, places].flatten() for name, choice in (chosen | {"boldest": best}).items()}

    def _asked(self, view: View, claim: Tensor) -> Tensor | None:
        """What the defense answers when all malicious clients claim this; None when it has too few rows to answer."""
        import torch

        try:
            return view.aggregate(torch.cat([claim.expand(view.f, -1), self.honest(view)]))
        except InfeasibleError:
            return None


def _sure(mean: Tensor, classes: Tensor) -> Tensor:
    return mean.new_zeros(mean.shape).scatter_(1, classes[:, None], 1.0)


def _margins(answer: Tensor, top: Tensor) -> Tensor:
    """By how much an answer [m C] believes another class than `top` [m] most, [m]; negative where it does not."""
    beliefs = answer.reshape(len(top), -1)
    others = beliefs.scatter(1, top[:, None], -float("inf"))
    margins: Tensor = others.amax(dim=1) - beliefs.gather(1, top[:, None])[:, 0]
    return margins
