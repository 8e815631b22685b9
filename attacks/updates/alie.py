"""The attack "A little is enough"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Knowledge, TiledAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ALIE(TiledAttack):
    """A little is enough (ALIE): the honest mean, shifted by a few standard deviations that hide in the honest spread.

    Formula: ``v = mu + s z sigma`` with ``s = -1`` (``minus``, as published), ``s = +1`` (``plus``, as in several
    libraries), or ``s = -sign(mu)`` in each coordinate (``against``). ``z`` is a number, or ``"formula"`` for the
    published ``z_max = Phi^-1((n - f - (floor(n/2) + 1 - f))/(n - f))`` with the argument of the quantile clamped to
    [0.001, 0.999]. With few malicious clients z_max is 0 or less, and the attack does no harm.

    Knowledge: all honest updates. With ``estimate="own"``, mu and sigma come from the malicious clients' own updates;
    this is the published threat model, and it needs f >= 2.

    References
    ----------
    G. Baruch, M. Baruch, Y. Goldberg. A Little Is Enough: Circumventing Defenses For Distributed Learning.
    NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ALIE
    >>> H = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    >>> ALIE(z=1.5, ddof=1)(H, f=1).tolist()
    [[-0.5, 0.5, 1.5]]
    """

    reference: ClassVar[str] = (
        "Baruch et al., A Little Is Enough: Circumventing Defenses For Distributed Learning, NeurIPS 2019"
    )
    unfit: ClassVar[str] = (
        'with `z="formula"` and few malicious clients, where z_max is 0 or less; or where honest updates hardly '
        "differ, as it hides in their spread"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("z",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    z: Annotated[
        Literal["formula"] | float,
        Gt(0),
        Doc("length of the shift in standard deviations, or 'formula' for the published z_max"),
    ] = 1.5
    sign: Annotated[
        Literal["minus", "plus", "against"], Doc("direction of the shift: down, up, or against the sign of the mean")
    ] = "minus"
    estimate: Annotated[Literal["peers", "own"], Doc("whose updates mu and sigma are taken from")] = "peers"
    ddof: Annotated[int, Ge(0), Le(1), Doc("the variance is divided by the number of rows minus ddof")] = 0

    def required_knowledge(self) -> Knowledge:
        return Knowledge.PEERS if self.estimate == "peers" else Knowledge.OWN

    def vector(self, view: View) -> Tensor:
        z = alie_z(view.n, view.f) if self.z == "formula" else self.z
        mean, shift = view.mean(self.estimate), z * view.std(self.estimate, self.ddof)
        if self.sign == "against":
            return mean - mean.sign() * shift
        return mean + shift if self.sign == "plus" else mean - shift


def alie_z(n: int, f: int) -> float:
    """The published z_max in standard deviations, for n clients of which f are malicious."""
    from scipy.special import ndtri

    supporters = n // 2 + 1 - f
    share = (n - f - supporters) / (n - f)
    return float(ndtri(min(max(share, 1e-3), 0.999)))
