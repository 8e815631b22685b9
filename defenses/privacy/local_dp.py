"""Local differential privacy: each client adds all of the noise to its own message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.aggregation import Mechanism
from robustfl.aggregation.protection import Place


@dataclass(frozen=True, kw_only=True, repr=False)
class LocalDP(Mechanism):
    """Local differential privacy: each client clips its message and adds noise to it; epsilon counts its messages.

    Formula: ``min(1, C/||x||) x + sigma C z`` with standard normal z is what a client sends.

    Whose privacy it is: that of a whole client, whose messages are *replaced* by others. It holds against everybody,
    the server included, which sees who takes part. So there is no credit for sampling; each client pays for the rounds
    in which it takes part, and records hold the largest and the median epsilon. What a rule makes of noised messages
    costs nothing more, so the rule may be any. But the noise of a row is sigma sqrt(d) times as long as the clip, and
    above 1 rules that compare rows compare noise (the note `NOISE_BEATS_GEOMETRY`).

    Shapes: [n, d] -> [n, d], and then the rule. Cost: d random numbers for each client.

    Guarantee: (epsilon, delta)-differential privacy of each honest client's messages against everybody. Malicious
    clients need neither clip nor add noise: robustness is that of the rule, with noisy rows.

    References
    ----------
    J. C. Duchi, M. I. Jordan, M. J. Wainwright. Local Privacy and Statistical Minimax Rates. FOCS 2013.

    Examples
    --------
    >>> from robustfl.defenses import LocalDP, Median
    >>> (LocalDP(clip=1.0, delta=1e-5, noise_multiplier=4.0) >> Median()).protection.place
    'clients'
    """

    name: ClassVar[str] = "local_dp"
    guarantee: ClassVar[str] = "(epsilon, delta)-differential privacy of each client's messages against everybody"
    unfit: ClassVar[str] = (
        "for large models with few clients: each message has all the noise, and what is learnt drowns in it"
    )
    reference: ClassVar[str] = "Duchi et al., Local Privacy and Statistical Minimax Rates, FOCS 2013"
    place: ClassVar[Place] = "clients"
