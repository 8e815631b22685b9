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
        AttackError : nobody honest; wrong shape, type or device; or a change to what may only be read
        KnowledgeError : the attack looked at more than it declared
        """
        if facts.f == 0:
            return facts.honest.new_empty((0, facts.honest.shape[1]))
        if not self.attack.active(facts.round):
            return facts.own()
        if len(facts.honest) == 0:
            raise AttackError("An attack needs at least one honest update to hide among. Found none.")
        view = View(facts, self.attack.required_knowledge(), repr(self.attack), self.memory)
        crafted = self.attack.craft(view)
        changed = view.changed()
        if changed:
            raise AttackError(
                f"{self.attack!r} changed {' and '.join(changed)}, which it may only read. Work on a copy."
            )
        self._check(crafted, facts, view)
        return crafted

    def _check(self, crafted: Any, facts: Facts, view: View) -> None:
        import torch

        wanted = (facts.f, facts.honest.shape[1])
        if not isinstance(crafted, torch.Tensor):
            raise AttackError(
                f"{self.attack!r} should craft a torch tensor {wanted}. Found {type(crafted).__name__}. "
                f"Convert with `view.honest.new_tensor`, or `torch.as_tensor` and the type of `view.full(0.0)`."
            )
        shape = tuple(crafted.shape)
        if shape != wanted:
            raise AttackError(f"{self.attack!r} should craft updates of shape {wanted}. Found {shape}.")
        if crafted.dtype != facts.honest.dtype or crafted.device != facts.honest.device:
            expected, found = f"{facts.honest.dtype} on {facts.honest.device}", f"{crafted.dtype} on {crafted.device}"
            raise AttackError(f"{self.attack!r} should craft updates of type {expected}. Found {found}.")
        if view.lends(crafted) or (facts.f > 1 and crafted.stride(0) == 0):
            raise AttackError(
                f"{self.attack!r} returned rows that share memory with each other or with what it was shown. "
                f"Return copies, as from `repeat` or `clone`."
            )
