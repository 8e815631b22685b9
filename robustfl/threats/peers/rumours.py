"""Attacks by what malicious peers tell about others, beside the models that they send: the contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from robustfl.aggregation.neighbourhoods.rumours import Rumour
from robustfl.errors import AttackError
from robustfl.threats.adversary import MessageAttack
from robustfl.threats.knowledge import Knowledge, RoundFacts, RoundView
from robustfl.threats.updates.view import Lent

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class RumourFacts(RoundFacts["Tensor"]):
    """Everything about one mixing that concerns what one peer is told.

    `honest` [k, d] are the models of the victim's honest neighbours, called `honest_ids`, and `own` makes the models
    [f, d] that its malicious neighbours send.

    Attributes
    ----------
    model : [d] the victim's own model
    tellers : the names of its malicious neighbours
    allowed : the number of rumours that a peer may tell each neighbour
    invent : makes a name that nobody has
    """

    model: Tensor
    tellers: tuple[int, ...]
    allowed: int
    invent: Callable[[], int]


class RumourView(RoundView["Tensor"]):
    """What an attack sees of one victim, its `receiver`, in one mixing.

    Every attack may see `round`, `f`, `rng`, the names of the victim's malicious neighbours, who are its `tellers`,
    `memory` (one for each victim) and how many rumours are `allowed` for each teller, and may invent names. `honest`
    are the models of the victim's honest neighbours, and `honest_ids` their names: they need PEERS, or NEIGHBOURS for
    those that malicious peers got themselves.
    """

    messages: ClassVar[str] = "models"
    _facts: RumourFacts

    def __init__(self, facts: RumourFacts, knowledge: Knowledge, owner: Any, memory: dict[str, Any]) -> None:
        super().__init__(facts, knowledge, owner, memory)
        self.lent = Lent()
        self.tellers, self.allowed, self.invent = facts.tellers, facts.allowed, facts.invent

    def _lend(self, messages: Tensor, what: str) -> Tensor:
        return self.lent.out(messages, what)

    @property
    def model(self) -> Tensor:
        """The victim's own model [d] (needs PEERS or NEIGHBOURS)."""
        self._need_peers("the victim's model")
        return self._lend(self._facts.model, "the victim's model")


@dataclass(frozen=True, kw_only=True)
class RumourAttack(MessageAttack[RumourFacts, "list[Rumour]"]):
    """Invents what the malicious neighbours of a peer tell it about third ones.

    Their models stay what they have trained, so that a poisoning may stand before it. Rules that do not listen to
    rumours do not notice it. Payloads may be anything: receivers look at what they get.
    """

    surface: ClassVar[str] = "peers"
    channels: ClassVar[tuple[str, ...] | None] = ("peers",)
    beside: ClassVar[bool] = True

    @abstractmethod
    def forge(self, view: RumourView) -> list[Rumour]:
        """What one victim is told; tellers are among `view.tellers`."""

    def publish(self, view: RumourView) -> dict[int, Tensor]:
        """What malicious neighbours say to one victim that their own training has changed: teller -> [d].

        Rules that do not remember updates never ask. Who is left out says what it has trained.
        """
        return {}

    @final
    def published(self, facts: RumourFacts, memory: dict[str, Any]) -> dict[int, Tensor]:
        """What :meth:`publish` says, once that is checked."""
        view = self.look(facts, memory)
        said = self.publish(view)
        changed = view.lent.changed()
        if changed:
            raise AttackError(f"{self!r} changed {' and '.join(changed)}, which it may only read. Work on a copy.")
        if not isinstance(said, dict) or not set(said) <= set(view.tellers):
            raise AttackError(
                f"{self!r} should publish a dictionary from some of `view.tellers`, the malicious neighbours of the "
                "victim, to updates. Return {} for the truth."
            )
        return said

    @final
    def craft(self, view: RumourView) -> list[Rumour]:
        return self.forge(view)

    @final
    def nothing(self, facts: RumourFacts) -> list[Rumour]:
        return []

    @final
    def look(self, facts: RumourFacts, memory: dict[str, Any]) -> RumourView:
        return RumourView(facts, self.required_knowledge(), self, memory)

    @final
    def checked(self, crafted: Any, view: RumourView, facts: RumourFacts) -> list[Rumour]:
        changed = view.lent.changed()
        if changed:
            raise AttackError(f"{self!r} changed {' and '.join(changed)}, which it may only read. Work on a copy.")
        if not isinstance(crafted, list) or not all(isinstance(one, Rumour) for one in crafted):
            found = type(crafted).__name__
            raise AttackError(f"{self!r} should forge a list of rumours. Found {found}. Return [] for silence.")
        strange = [rumour.teller for rumour in crafted if rumour.teller not in view.tellers]
        if strange:
            raise AttackError(
                f"{self!r} let {strange[0]!r} tell something, who is no malicious neighbour of the victim: rumours "
                "come over an edge. Choose from `view.tellers`."
            )
        return crafted
