"""How many clients are malicious, and in which ways malicious peers may write: the section `adversary` of suites."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Len, Lt
from pydantic import model_validator

from robustfl import registry
from robustfl.evaluation.suite.standard import Opponent
from robustfl.federation.settings import Federation, Settings
from robustfl.threats.peers.space import in_space


class AdversarySettings(Settings):
    """How many clients are malicious, and which number is declared to the defenses."""

    fractions: tuple[Annotated[float, Ge(0), Lt(1)], ...] = ()
    """The shares of malicious clients; each share becomes the number floor(share x clients)."""
    f: tuple[Annotated[int, Ge(0)], ...] = ()
    """The numbers of malicious clients, each less than the number of clients; they replace `fractions`."""
    declared: Annotated[int, Ge(0)] | None = None
    """The number of malicious clients, or identities, that is declared to the defenses; the true number when it is not
    given."""
    breakdown: bool = False
    """Whether more trials are played to search, over all integers, the largest f that each defense withstands."""
    equivocation: bool = True
    """Whether a malicious peer may send different letters to different neighbours in one round (with a `topology`)."""
    space: Annotated[tuple[Literal["models", "steps"], ...], Len(1)] = ("models",)
    """What attacks on updates craft where peers send models (with a `topology`): models as they are, or steps away from
    the victim's model before its own step. With both, every such attack is played twice."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.fractions) == bool(self.f):
            raise ValueError("give either `fractions` or `f`, with at least one value")
        if len(set(self.space)) < len(self.space):
            raise ValueError(f"`space` should name each space once. Found {', '.join(self.space)}")
        return self

    def grid(self, clients: int) -> tuple[int, ...]:
        """The numbers of malicious clients in ascending order, each once."""
        counts = self.f or tuple(int(share * clients + 1e-9) for share in self.fractions)
        return tuple(sorted(set(counts)))

    def require_network(self, federation: Federation) -> None:
        """Raise ValueError for what only peers can do, in a federation with a server."""
        if federation.topology is None and (self.space != ("models",) or not self.equivocation):
            raise ValueError(
                "adversary.equivocation and adversary.space say what malicious peers do. Give the federation a "
                f"`topology`, or leave them out. Found equivocation={self.equivocation}, space={list(self.space)}"
            )

    def spaced(self, attacks: tuple[Opponent, ...]) -> tuple[Opponent, ...]:
        """The attacks in every space, each once; those that do not craft updates are in none."""
        if self.space == ("models",):
            return attacks
        steps: Any = registry.make("attack", "in_steps", {})
        listed, found = {str(attack) for attack in attacks}, list[Opponent]()
        for attack in attacks:
            other = in_space(attack, steps)
            if other is None:
                found.append(attack)
            else:
                spaced = (attack if space == "models" else other for space in self.space)
                found += [one for one in spaced if one is attack or str(one) not in listed]
        return tuple(found)
