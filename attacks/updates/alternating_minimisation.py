"""Alternating minimisation: boosted malicious steps alternate with steps that hide them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt
from typing_extensions import Doc

from robustfl.threats import LocalAttack
from robustfl.threats.updates.local_training import Start

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AlternatingMinimisation(LocalAttack):
    """Alternating minimisation: boosted local steps on poisoned data alternate with steps on clean data that hide them.

    Formula: one turn is `malicious_steps` steps ``c <- c - boost rate grad L_poisoned(w + c)`` and then `benign_steps`
    steps ``c <- c - rate (grad L_clean(w + c) + 2 rho c)``. Here c is the change that is sent, and ``rho ||c||^2``
    penalises the distance from the global model. A round has one turn unless `local_steps` says otherwise.

    Knowledge: the malicious clients' own data; the global model.

    References
    ----------
    A. N. Bhagoji, S. Chakraborty, P. Mittal, S. Calo. Analyzing Federated Learning through an Adversarial Lens.
    ICML 2019.

    Examples
    --------
    >>> from robustfl.attacks import AlternatingMinimisation
    >>> attack = AlternatingMinimisation(malicious_steps=1, benign_steps=2)
    >>> attack.steps(federation=1), [attack.poisons(step) for step in range(4)]
    (3, [True, False, False, True])
    """

    reference: ClassVar[str] = "Bhagoji et al., Analyzing Federated Learning through an Adversarial Lens, ICML 2019"
    unfit: ClassVar[str] = (
        "alone, as it only says how malicious clients train: put poisoned data before it, such as `bad_nets`; or "
        "against rules that bound lengths, which take its boost away"
    )

    malicious_steps: Annotated[int, Ge(1), Doc("number of steps on poisoned data per turn")] = 1
    benign_steps: Annotated[int, Ge(0), Doc("number of steps on clean data per turn")] = 10
    boost: Annotated[float, Gt(0), Doc("factor on the steps on poisoned data")] = 10.0
    rho: Annotated[float, Ge(0), Doc("weight of the squared distance from the global model in the loss")] = 1e-4

    def steps(self, federation: int) -> int:
        return self.malicious_steps + self.benign_steps if self.local_steps is None else self.local_steps

    def poisons(self, step: int) -> bool:
        return step % (self.malicious_steps + self.benign_steps) < self.malicious_steps

    def follow(self, change: Tensor, gradient: Tensor, step: int, start: Start) -> Tensor:
        if self.poisons(step):
            return super().follow(change, self.boost * gradient, step, start)
        return super().follow(change, gradient + 2.0 * self.rho * change, step, start)
