"""DP-SGD at the clients: single examples are protected by noise in each local step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import Mechanism
from robustfl.aggregation.protection import Place


@dataclass(frozen=True, kw_only=True, repr=False)
class DPSGD(Mechanism):
    """DP-SGD at the clients: clips the gradient of each example, and noises each step; epsilon counts local steps.

    Formula: each of a client's n examples takes part in a step with probability q = min(1, batch_size/n). With the
    gradient g of each that does, the step is ``(sum of min(1, C/||g||) g + sigma C z)/(q n)`` with standard normal z.

    Whose privacy it is: that of one example of one client, against everybody but this client. All local steps count,
    in all rounds in which the client takes part; that clients are sampled gives no credit. Each client has an account
    of its own, and records hold the largest and the median epsilon. n is public: in a neighbour one example is missing,
    and the sum is divided by the same number. Messages are computed from noised gradients alone, so any rule will do.

    Shapes: [n, d] -> [n, d] in each client, and then the rule. Cost: n/batch_size times the usual gradients, and n
    vectors [d] of memory for each client.

    Guarantee: (epsilon, delta)-differential privacy of examples against everybody else. Robustness is that of the rule;
    malicious clients need not obey.

    References
    ----------
    M. Abadi, A. Chu, I. Goodfellow, H. B. McMahan, I. Mironov, K. Talwar, L. Zhang. Deep Learning with Differential
    Privacy. CCS 2016.

    Examples
    --------
    >>> from robustfl.defenses import DPSGD, Krum
    >>> (DPSGD(clip=1.0, delta=1e-5, noise_multiplier=1.0) >> Krum(f=2)).protection.unit
    'example'
    """

    name: ClassVar[str] = "dp_sgd"
    guarantee: ClassVar[str] = "(epsilon, delta)-differential privacy of single examples against all but their client"
    unfit: ClassVar[str] = (
        "where malicious clients are the concern: they need not clip or add noise, so it protects honest records "
        "and filters nobody"
    )
    reference: ClassVar[str] = "Abadi et al., Deep Learning with Differential Privacy, CCS 2016"
    place: ClassVar[Place] = "steps"
