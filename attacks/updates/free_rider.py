"""Free riders: clients that send something without having done any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FreeRider(UpdateAttack):
    """Free rider: malicious clients do no work, but send something similar to get the others' work for nothing.

    Formula: ``random`` sends ``v_i ~ U(-scale, scale)``, drawn for each entry. ``zero`` sends ``v = 0``. ``delta``
    sends the last aggregate a once more (0 in the first round), which acts like heavy-ball momentum f/n.
    ``noisy_delta`` sends ``a + N(0, (scale std(a))^2)``, where std(a) is the standard deviation of a's entries.
    ``disguised`` sends ``N(0, (scale s max(t, 1)^-decay)^2)`` in round t, where s is the mean magnitude of the entries
    of the first aggregate that was seen. ``stale`` works once, in the first attacked round of each client, sends that
    update in all later rounds, and adds `noise` of size `scale` to it.

    Knowledge: none for ``random`` and ``zero``; the global models for ``delta``, ``noisy_delta`` and ``disguised``; the
    malicious clients' own updates for ``stale``. When there is no reward to earn, these attacks are weak: they test
    which clients get something in return.

    References
    ----------
    X. Xu, L. Lyu. A Reputation Mechanism Is All You Need: Collaborative Fairness and Adversarial Robustness in
    Federated Learning. FL-ICML 2021 (random).
    Y. Fraboni, R. Vidal, M. Lorenzi. Free-rider Attacks on Model Aggregation in Federated Learning. AISTATS 2021
    (zero, disguised).
    J. Lin, M. Du, J. Liu. Free-riders in Federated Learning: Attacks and Defenses. 2019 (delta, noisy_delta).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import FreeRider
    >>> bool((abs(FreeRider(scale=0.5)(np.zeros((8, 3)), f=2)) <= 0.5).all())
    True
    >>> models = [np.zeros(2), np.array([1.0, -2.0])]
    >>> FreeRider(mode="delta")(np.zeros((8, 2)), f=1, history=models, message="delta").tolist()
    [[1.0, -2.0]]
    """

    reference: ClassVar[str] = "Xu and Lyu, A Reputation Mechanism Is All You Need, FL-ICML 2021"
    unfit: ClassVar[str] = (
        "as evidence of robustness: it is weak where there is no reward to earn, and asks who gets something for "
        "nothing"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.HISTORY

    mode: Annotated[
        Literal["random", "zero", "delta", "noisy_delta", "disguised", "stale"], Doc("what is sent in place of work")
    ] = "random"
    scale: Annotated[
        float,
        Gt(0),
        Doc("size of random entries and of noise on stale updates; noisy_delta, disguised: factor on the noise"),
    ] = 1.0
    decay: Annotated[float, Ge(0), Doc("mode disguised divides its noise by the number of the round to this power")] = (
        1.0
    )
    noise: Annotated[
        Literal["none", "shift", "entries", "normal"],
        Doc("what stale adds: one uniform number per update, one per entry, or scale times normal entries"),
    ] = "none"

    def required_knowledge(self) -> Knowledge:
        if self.mode in ("random", "zero"):
            return Knowledge.NOTHING
        return Knowledge.OWN if self.mode == "stale" else Knowledge.HISTORY

    def craft(self, view: View) -> Tensor:
        nothing = view.full(0.0)
        if self.mode == "random":
            return self._uniform(view, view.d)
        if self.mode == "zero":
            return nothing.repeat(view.f, 1)
        if self.mode == "stale":
            return self._stale(view)
        answer = view.previous_aggregate
        if answer is None:
            return nothing.repeat(view.f, 1)
        if self.mode == "disguised":
            first = view.memory.setdefault("first", float(answer.abs().mean()))
            spread: float = self.scale * first * max(view.round, 1) ** -self.decay
            return spread * view.normal(view.f)
        rows = answer.repeat(view.f, 1)
        return rows if self.mode == "delta" else rows + self.scale * answer.std(correction=0) * view.normal(view.f)

    def _stale(self, view: View) -> Tensor:
        kept: dict[object, Tensor] = view.memory.setdefault("worked", {})
        known = [name in kept for name in view.ids]
        rows = view.own.clone()
        for row, name in enumerate(view.ids):
            rows[row] = kept.setdefault(name, view.own[row].clone())
        if self.noise == "none":
            return rows
        if self.noise == "normal":
            added = self.scale * view.normal(view.f)
        else:
            added = self._uniform(view, 1 if self.noise == "shift" else view.d)
        return rows + added * rows.new_tensor(known)[:, None]

    def _uniform(self, view: View, columns: int) -> Tensor:
        return view.full(0.0).new_tensor(view.rng.uniform(-self.scale, self.scale, (view.f, columns)))
