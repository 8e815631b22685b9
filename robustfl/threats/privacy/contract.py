"""The contract of attacks on privacy.

>>> from dataclasses import dataclass
>>> import torch
>>> from robustfl.threats.privacy.findings import Labels
>>> @dataclass(frozen=True, kw_only=True)
... class EvenLabels(PrivacyAttack):
...     observers = ("server",)
...     knowledge = Capability.BATCH_SIZE
...     def infer(self, view):
...         return Labels(counts=torch.full((len(view), view.classes), view.batch_size / view.classes))
>>> EvenLabels().refusal("public")
"EvenLabels watches as server. Found the observer 'public'."
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from robustfl.components import Component
from robustfl.threats.privacy.capability import OBSERVERS, Capability
from robustfl.threats.privacy.findings import Finding, require_finding
from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class PrivacyAttack(Component, ABC):
    """Finds out something about clients' data from what an observer of the federation sees.

    `infer` gets all sightings of a training at once, and computes them together where it can. An attack that declares
    ACTIVE also says which models clients get (`model`). The round is then played for the spies alone: the training goes
    on as if the server had been honest, so that all other measures stay comparable.
    """

    surface: ClassVar[str] = "privacy"
    observers: ClassVar[tuple[str, ...]] = ("server", "wire")
    """The observers as which the attack can watch."""
    knowledge: ClassVar[Capability] = Capability.NOTHING
    channels: ClassVar[tuple[str, ...]] = ("dense", "rewards", "virtual_data")
    """The channels whose messages it understands."""
    singles_out: ClassVar[bool] = False
    """Whether it wants the samples of the client that is spied on out of a sum; if not, those of all senders count."""
    explains: ClassVar[bool] = True
    """Whether it takes messages for gradients; if so, it is checked that the true samples explain these."""
    judges_members: ClassVar[bool] = False
    """Whether it speaks of candidates for membership (`view.candidates`) and answers `Memberships`."""

    def required_knowledge(self) -> Capability:
        """What the attack needs with these hyper-parameters: `knowledge`, unless overridden."""
        return self.knowledge

    def one_sender(self) -> bool:
        """Whether it singles one client out with these hyper-parameters: `singles_out`, unless overridden."""
        return self.singles_out

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        """The reason why the attack cannot say anything about such a federation; None when it can.

        It is shown in place of a number: an attack that does not apply has not found that nothing leaks.
        """
        return None

    def model(self, view: PrivacyView, client: int) -> Tensor | None:
        """The model [d] that a client gets in place of the honest one; None for the honest one.

        Called for every client of a watched round if the attack declares ACTIVE. The view holds one sighting, without a
        message: that of the client that is spied on, `view.clients[0]`.
        """
        return None

    @abstractmethod
    def infer(self, view: PrivacyView) -> Finding:
        """What the attack finds out from the k sightings of the view."""

    @final
    def refusal(self, observer: str) -> str | None:
        """The reason why the attack cannot watch as this observer; None when it can."""
        if observer not in self.observers:
            return f"{self} watches as {' or '.join(self.observers)}. Found the observer {observer!r}."
        missing = self.required_knowledge() & ~OBSERVERS[observer]
        if missing:
            return f"{self} needs {', '.join(missing.names())}, which the observer {observer!r} does not see."
        return None

    @final
    def spy(self, facts: PrivacyFacts) -> Finding:
        """What the attack finds out, after a check of its answer.

        Raises
        ------
        KnowledgeError : the attack looked at something that it has not declared
        AttackError : its answer has a wrong shape, or it needs something that was not given
        """
        finding = self.infer(self.view(facts))
        candidates = 0 if facts.candidates is None else len(facts.candidates[1])
        about = facts.circumstances
        require_finding(
            finding,
            owner=repr(self),
            sightings=len(facts.sightings),
            shape=about.shape,
            classes=about.classes,
            candidates=candidates,
        )
        return finding

    @final
    def view(self, facts: PrivacyFacts) -> PrivacyView:
        """The view of these facts that the attack is handed."""
        return PrivacyView(facts, self.required_knowledge(), repr(self))
