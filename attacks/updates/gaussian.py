"""Random noise in place of an update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Knowledge, UpdateAttack, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Gaussian(UpdateAttack):
    """Gaussian noise: each malicious client sends its own random vector.

    Formula: ``pure`` sends ``v_i ~ N(center, scale^2 I)``. ``additive`` sends ``o_i + N(0, scale^2 I)``, where
    ``scale="own"`` means the standard deviation of the entries of the client's own update o_i. ``matched`` sends
    ``mean(H) + scale ||mean(H)||/sqrt(d) N(0, I)``, whose noise is `scale` times as long as the honest mean.

    Knowledge: none for ``pure``, the malicious clients' own updates for ``additive``, all honest updates for
    ``matched``. The attack breaks only the plain mean. It is a sanity check, and no evidence of robustness.

    References
    ----------
    P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer. Machine Learning with Adversaries: Byzantine Tolerant
    Gradient Descent. NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Gaussian
    >>> Gaussian(scale=10.0)(np.zeros((8, 3)), f=2).shape
    (2, 3)
    """

    reference: ClassVar[str] = (
        "Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017"
    )
    unfit: ClassVar[str] = "as evidence of robustness: it breaks only the plain mean"
    label_parameters: ClassVar[tuple[str, ...]] = ("scale",)
    knowledge: ClassVar[Knowledge] = Knowledge.OWN | Knowledge.PEERS

    mode: Annotated[
        Literal["pure", "additive", "matched"],
        Doc("whether noise is sent alone, added to the own update, or added to the honest mean"),
    ] = "pure"
    scale: Annotated[
        Literal["own"] | float,
        Gt(0),
        Doc(
            "standard deviation of the noise, or 'own' for that of the own update (additive); matched: noise to signal"
        ),
    ] = 1.0
    center: Annotated[float, Doc("mean of every coordinate in mode pure")] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale == "own" and self.mode != "additive":
            raise ParameterError(f"Gaussian: `scale` 'own' is for mode additive. Found mode={self.mode!r}.")

    def required_knowledge(self) -> Knowledge:
        return {"pure": Knowledge.NOTHING, "additive": Knowledge.OWN, "matched": Knowledge.PEERS}[self.mode]

    def craft(self, view: View) -> Tensor:
        if self.scale == "own":
            return view.own + view.own.std(dim=1, correction=0, keepdim=True) * view.normal(view.f)
        noise = self.scale * view.normal(view.f)
        if self.mode == "additive":
            return view.own + noise
        if self.mode == "matched":
            mean = view.mean()
            signal = float(mean.norm()) / math.sqrt(view.d)
            return mean + signal * noise
        return self.center + noise if self.center else noise
