"""Runs an update attack and checks that it kept its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustfl.errors import AttackError
from robustfl.threats.contracts import UpdateAttack
from robustfl.threats.knowledge import Facts, View

if TYPE_CHECKING:
    from torch import Tensor


class Adversary:
    """An update attack with its memory over the rounds of one trial."""

    def __init__(self, attack: UpdateAttack) -> None:
        self.attack = attack
        self.memory: dict[str, Any] = {}

    def craft(self, facts: Facts) -> Tensor:
        """The malicious updates [f, d] of this round; what the clients would honestly send outside the window.

        Raises
        ------
        AttackError : wrong shape, type or device; or the attack changed something that it may only read
        KnowledgeError : the attack looked at more than it declared
        """
        if facts.f == 0:
            return facts.honest.new_empty((0, facts.honest.shape[1]))
        if len(facts.honest) == 0:
            raise AttackError("An attack needs at least one honest update to hide among. Found none.")
        if not self.attack.active(facts.round):
            return facts.own()
        # Every in-place change to a tensor raises its version, so no copy is needed to see one.
        guarded = [tensor for tensor in (facts.honest, facts.weights, facts.previous_weights) if tensor is not None]
        versions = [tensor._version for tensor in guarded]
        view = View(facts, self.attack.required_knowledge(), repr(self.attack), self.memory)
        crafted = self.attack.craft(view)
        if versions != [tensor._version for tensor in guarded]:
            raise AttackError(
                f"{self.attack!r} changed the honest updates or the global model, which it may only read."
            )
        self._check(crafted, facts)
        return crafted

    def _check(self, crafted: Any, facts: Facts) -> None:
        wanted = (facts.f, facts.honest.shape[1])
        shape = tuple(getattr(crafted, "shape", ()))
        if shape != wanted:
            raise AttackError(f"{self.attack!r} should craft updates of shape {wanted}. Found {shape}.")
        if crafted.dtype != facts.honest.dtype or crafted.device != facts.honest.device:
            expected, found = f"{facts.honest.dtype} on {facts.honest.device}", f"{crafted.dtype} on {crafted.device}"
            raise AttackError(f"{self.attack!r} should craft updates of type {expected}. Found {found}.")
        shared = crafted.untyped_storage().data_ptr() == facts.honest.untyped_storage().data_ptr()
        if shared or (facts.f > 1 and crafted.stride(0) == 0):
            raise AttackError(f"{self.attack!r} returned rows that share memory. Return copies.")
