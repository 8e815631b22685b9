"""The contract of white-box attacks: lines of candidates, an objective, and a search through the actual pipeline."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.threats.knowledge import Knowledge
from robustfl.threats.updates.candidates import FARTHEST, NEAREST, Found, SearchLine, harm_at, worst_of
from robustfl.threats.updates.contract import TiledAttack
from robustfl.threats.updates.probing import Probe
from robustfl.threats.updates.view import View, finite_rows, finite_vectors

if TYPE_CHECKING:
    from torch import Tensor

Harm = Callable[["Tensor"], float]

KEPT = 0.5
"""Share of its gain that the last result has to keep to be repeated without a new search."""


@dataclass(frozen=True, kw_only=True)
class SearchedAttack(TiledAttack):
    """Sends the candidate that harms most after it has passed through the defense, which is asked on a copied state.

    A candidate is ``base + tau direction`` for pairs of vectors that the subclass names. Every `search_every`-th round
    tries `candidates` values of tau on each line, including 0. The rounds between repeat the best line and tau with
    their own vectors. If this has lost half of its gain over sending the honest mean, such a round searches as well.
    With paired perturbations, the search asks about the perturbed rows.

    Cost: for a defense that only uses products between rows, one Gram of the rows and the vectors, for any number of
    candidates. Any other defense is asked in all d dimensions, once per candidate.
    """

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.HISTORY | Knowledge.DEFENSE

    plans: ClassVar[bool] = False
    """Whether the attack plans over the rounds to come, and not only in the present one."""
    reach: ClassVar[tuple[float, float]] = (NEAREST, FARTHEST)
    """Ends of the geometric grid of a line, in lengths of its direction."""

    candidates: Annotated[int, Ge(1), Doc("number of values of tau on each line, including 0")] = 19
    search_every: Annotated[int, Ge(1), Doc("largest number of rounds from one search to the next")] = 1

    @abstractmethod
    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        """The vectors [d] by name, and the lines of candidates that they make; useless lines may be left out.

        One of the vectors is `mean`, the honest mean.
        """

    @abstractmethod
    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        """The harm of an answer [k] of the defense, as a function; `vectors` [k] are in the space of the search."""

    @property
    @abstractmethod
    def goal(self) -> str:
        """The goal of the search, such as `inner`, `l2`, `loss` or `fixed ones`; evaluations require certain goals."""

    def noted(self, view: View, probe: Probe, found: Found) -> None:
        """Take note of what this round sends; the probe can be asked for the answer to it."""

    def efforts(self) -> dict[str, float]:
        """How much the search may try, by the name of the parameter that decides it."""
        return {"candidates": self.candidates}

    def doubles(self, other: SearchedAttack) -> bool:
        """Whether this is the other search with twice the effort in something, and no less in anything."""
        mine, theirs = self.efforts(), other.efforts()
        if mine.keys() != theirs.keys() or not all(mine[name] >= theirs[name] for name in mine):
            return False
        twice = any(mine[name] >= 2 * theirs[name] for name in mine)
        return twice and replace(self, **{name: getattr(other, name) for name in mine}) == other

    @property
    def needs_model(self) -> bool:
        """Whether the objective or the plan computes with the global model; the previous answer alone is no model."""
        return self.in_full or self.plans

    @property
    def in_full(self) -> bool:
        """Whether the objective needs answers in all d dimensions, and cannot be computed from products."""
        return False

    def honest(self, view: View) -> Tensor:
        """The rows [h, d] with which the search asks the defense: the honest ones, or what stands for them."""
        return view.honest

    def vector(self, view: View) -> Tensor:
        rows = self.honest(view)
        if not finite_rows(rows).any():
            return view.full(0.0)
        vectors, lines = self.plan(view)
        vectors = finite_vectors(vectors)
        usable = vectors.keys()
        lines = [line for line in lines if {line.base, line.direction or line.base} <= usable]
        if not lines:  # honest updates are near overflow, and nothing can be computed from them
            return view.full(0.0)
        probe = Probe(view, vectors, self.offsets(view), full=self.in_full, honest=rows)
        harm = self.objective(view, probe.vectors)
        found = self._kept(view, probe, lines, harm) or self._searched(view, probe, lines, harm)
        return found.line.at(found.tau, vectors)

    def _kept(self, view: View, probe: Probe, lines: list[SearchLine], harm: Harm) -> Found | None:
        """What is near the last result, if no search is due and half of the gain over the honest mean is kept."""
        rounds, last = view.memory.get("since", self.search_every), self._last(view)
        if last is None or rounds >= self.search_every or last.line not in lines:
            return None
        tried = [Found(line, tau, harm_at(probe, line, tau, harm)) for line, tau in self.near(last, lines)]
        found = max(tried, key=lambda one: one.harm)
        gain = found.harm - harm_at(probe, SearchLine("mean"), 0.0, harm)
        if not gain >= KEPT * view.memory["gain"]:
            return None
        view.memory.update(found=found, since=rounds + 1)
        self.noted(view, probe, found)
        return found

    def near(self, last: Found, lines: Sequence[SearchLine]) -> list[tuple[SearchLine, float]]:
        """What a round without a search tries: lines and values of tau, by default those of the last result."""
        return [(last.line, last.tau)]

    @staticmethod
    def _last(view: View) -> Found | None:
        found: Found | None = view.memory.get("found")
        return found

    def _searched(self, view: View, probe: Probe, lines: list[SearchLine], harm: Harm) -> Found:
        found = worst_of(probe, lines, harm, self.candidates, self.reach)
        gain = found.harm - harm_at(probe, SearchLine("mean"), 0.0, harm) if self.search_every > 1 else 0.0
        view.memory.update(found=found, gain=gain, since=1)
        self.noted(view, probe, found)
        return found
