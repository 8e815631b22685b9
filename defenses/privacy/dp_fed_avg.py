"""DP-FedAvg: messages of bounded length, and noise that the server adds to what its rule makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Gt, Lt
from typing_extensions import Doc

from robustfl.aggregation import AdaptiveClip, Mechanism, Protection
from robustfl.aggregation.protection import Place


@dataclass(frozen=True, kw_only=True, repr=False)
class DPFedAvg(Mechanism):
    """DP-FedAvg: clips every message and adds noise to the aggregate; epsilon counts rounds, and no local steps.

    Formula: ``(sum of min(1, C/||x_i||) x_i + sigma C z)/m`` for a rule that averages, with standard normal z and the
    *expected* number m of messages: q n under Poisson sampling with rate q, else the size of the cohort. For any other
    rule A it is ``A(clipped) + sigma s/2 z``, where s is the distance by which one replaced row moves A.

    Epochs to account for: the rounds of the suite, which it knows. Local steps and local epochs count for nothing.

    Whose privacy it is: that of a whole client. A round is one release, however many local steps it has. The server
    itself, and whoever reads messages on their way, sees them without noise: epsilon against these is infinite. Others
    see models alone. Against them, sampling amplifies: for the mean with `participation_sampling: poisson` a client may
    join or not; a cohort of fixed size costs several times as much, as one client is then *replaced*.

    With `quantile`, the clip follows this quantile of the lengths of the messages, from `clip` on. Each message tells
    one bit (is it shorter than C?), the bits get noise of their own (`count_noise`), and the noise of the sum grows so
    that both together cost what the noise multiplier says.

    Shapes: [n, d] -> [d]. Cost: a pass over the messages at the clients and one at the server, and d random numbers.

    Guarantee: (epsilon, delta)-differential privacy of clients against observers of the models, by the account that is
    stored with each trial. It describes the mechanism with secret randomness; that of a simulation follows from its
    seed. Robustness is that of the rule, with rows no longer than C.

    References
    ----------
    H. B. McMahan, D. Ramage, K. Talwar, L. Zhang. Learning Differentially Private Recurrent Language Models. ICLR 2018.
    G. Andrew, O. Thakkar, H. B. McMahan, S. Ramaswamy. Differentially Private Learning with Adaptive Clipping. NeurIPS
    2021.

    Raises
    ------
    ParameterError : nobody knows how far one row can move the answer of the rule; in a federation also when the noise
        of the count is too small, or a target or a budget cannot be met

    Examples
    --------
    >>> from robustfl.defenses import DPFedAvg, Mean
    >>> private = DPFedAvg(clip=0.3, delta=1e-3, noise_multiplier=2.0) >> Mean()
    >>> private.protection.place, private.sensitivity(n=10, clip=0.3)
    ('server', 0.06)
    """

    name: ClassVar[str] = "dp_fed_avg"
    guarantee: ClassVar[str] = "(epsilon, delta)-differential privacy of clients against whoever sees models"
    unfit: ClassVar[str] = (
        "with few clients: noise that hides one client among twenty hides what the twenty have learnt as well"
    )
    reference: ClassVar[str] = "McMahan et al., Learning Differentially Private Recurrent Language Models, ICLR 2018"
    place: ClassVar[Place] = "server"

    quantile: Annotated[
        float | None, Gt(0), Lt(1), Doc("quantile of the lengths of messages that the clip follows; constant without")
    ] = None
    clip_rate: Annotated[float, Gt(0), Doc("step of the logarithm of the clip (with `quantile`)")] = 0.2
    count_noise: Annotated[
        float, Gt(0), Doc("standard deviation of the noise on the number of short messages (with `quantile`)")
    ] = 5.0

    def declared(self) -> Protection:
        adaptive = None
        if self.quantile is not None:
            adaptive = AdaptiveClip(quantile=self.quantile, rate=self.clip_rate, count_noise=self.count_noise)
        return replace(super().declared(), adaptive=adaptive)
