"""Attacks that are made for networks of peers: the contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from robustfl.errors import AttackError
from robustfl.threats.adversary import Adversary, MessageAttack
from robustfl.threats.peers.view import PeerFacts, PeerView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PeerAttack(MessageAttack[PeerFacts, "Tensor"]):
    """Crafts for each honest peer with malicious neighbours the model that all of these send to it.

    Authors write :meth:`craft` once for all victims, as arrays with one line for each. Where malicious peers must send
    the same to all their neighbours, each sends the mean of what it would send to them.
    """

    surface: ClassVar[str] = "peers"
    channels: ClassVar[tuple[str, ...] | None] = ("peers",)
    overflows: ClassVar[bool] = False
    """Whether numbers that are not finite are what the attack is about."""

    @abstractmethod
    def craft(self, view: PeerView) -> Tensor:
        """One model for each victim, [v, d], in the type and on the device of the honest ones."""

    @final
    def nothing(self, facts: PeerFacts) -> Tensor:
        return facts.honest.new_empty((0, facts.honest.shape[1]))

    @final
    def look(self, facts: PeerFacts, memory: dict[str, Any]) -> PeerView:
        return PeerView(facts, self.required_knowledge(), self, memory)

    @final
    def checked(self, crafted: Any, view: PeerView, facts: PeerFacts) -> Tensor:
        import torch

        wanted = (len(facts.victims), facts.honest.shape[1])
        changed = view.lent.changed()
        if changed:
            raise AttackError(f"{self!r} changed {' and '.join(changed)}, which it may only read. Work on a copy.")
        if not isinstance(crafted, torch.Tensor) or tuple(crafted.shape) != wanted:
            found = tuple(crafted.shape) if isinstance(crafted, torch.Tensor) else type(crafted).__name__
            raise AttackError(f"{self!r} should craft one model for each victim, a tensor {wanted}. Found {found}.")
        if crafted.dtype != facts.honest.dtype or crafted.device != facts.honest.device:
            expected, other = f"{facts.honest.dtype} on {facts.honest.device}", f"{crafted.dtype} on {crafted.device}"
            raise AttackError(f"{self!r} should craft models of type {expected}. Found {other}.")
        if view.lent.holds(crafted) or (len(crafted) > 1 and crafted.stride(0) == 0):
            raise AttackError(
                f"{self!r} returned rows that share memory with each other or with what it was shown. Return copies."
            )
        return crafted

    @final
    def __call__(
        self,
        model: Any,
        neighbours: Any,
        *,
        f: int = 1,
        bound: int | None = None,
        weights: Sequence[float] | None = None,
        mix: Callable[[Any], Any] | None = None,
        initial: Any = None,
        knows: Sequence[bool] | None = None,
        layers: Sequence[int] | None = None,
    ) -> Any:
        """The model [d] that `f` malicious neighbours send to one peer, outside any federation.

        Parameters
        ----------
        model, neighbours : the peer's own model [d], and those of its honest neighbours [k, d]
        f, bound : how many of its neighbours are malicious, and how many its rule expects (by default as many)
        weights : the gossip weights of the peer itself, its honest neighbours and its malicious ones, [1 + k + f]; by
            default all are equal
        mix : what the peer's rule makes of a model [d] from its malicious neighbours, for attacks that ask it
        initial : the model [d] before the first round, for attacks that need it
        knows : of which classes the peer has samples, [C], for attacks that need it
        layers : the sizes of the layers of which a model consists; by default it is one layer

        Raises AttackError when shapes do not fit, or when something that the attack needs is missing.
        """
        import torch

        own, rows = (
            values.detach() if isinstance(values, torch.Tensor) else torch.as_tensor(np.array(values))
            for values in (model, neighbours)
        )
        if own.ndim != 1 or not own.is_floating_point() or rows.ndim != 2 or rows.shape[1] != len(own):
            raise AttackError(
                f"`model` should be floating-point numbers [d], and `neighbours` such models [k, d]. Found "
                f"{own.dtype} {list(own.shape)} and {rows.dtype} {list(rows.shape)}."
            )
        k, rows = len(rows), rows.to(own)
        shares = np.full(1 + k + f, 1.0 / (1 + k + f)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (1 + k + f,) or f < 1:
            raise AttackError(
                f"`weights` should hold one number for the peer and each of its neighbours, {1 + k + f} in all, and f "
                f"should be >= 1. Found {shares.size} and f={f}."
            )
        answer: Callable[[Tensor], Tensor] | None = None
        if mix is not None:
            asked = mix
            answer = lambda letters: torch.as_tensor(np.asarray(asked(letters[0].numpy())))[None].to(own)  # noqa: E731
        facts = PeerFacts(
            round=self.start_round,
            f=f,
            honest=torch.cat([own[None], rows]),
            own=lambda: own[None].repeat(f, 1),
            victims=np.zeros(1, dtype=np.int64),
            around=np.arange(1, k + 1)[None],
            attackers=np.array([f]),
            bounds=np.array([f if bound is None else bound]),
            weights=shares[None, 1 : 1 + k],
            say=np.array([shares[1 + k :].sum()]),
            initial=None if initial is None else torch.as_tensor(np.asarray(initial)).to(own),
            layers=None if layers is None else tuple(layers),
            knows=None if knows is None else lambda: np.asarray(knows, dtype=np.bool_)[None],
            mix=answer,
        )
        crafted = Adversary(self).craft(facts)[0]
        return crafted if isinstance(model, torch.Tensor) else crafted.numpy()
