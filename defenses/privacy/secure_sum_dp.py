"""Distributed differential privacy: each client adds a share of the noise, and the server sees the sum alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.aggregation import Mechanism, Protection
from robustfl.aggregation.protection import Place


@dataclass(frozen=True, kw_only=True, repr=False)
class SecureSumDP(Mechanism):
    """Distributed noise under a secure sum: each client adds a share of the noise; epsilon counts rounds.

    Formula: ``min(1, C/||x||) x + sigma C z/sqrt(h)`` with standard normal z is what a client puts into the sum, where
    h is the honest minimum, the share `honest` of the m messages of a round. The sum of k honest messages then carries
    noise of ``sigma C sqrt(k/h)``, and each round is priced by that: malicious clients add no noise, and neither do
    messages that are lost.

    Whose privacy it is: that of a whole client, whose messages are *replaced* by others. It holds against a server that
    sees sums alone, and against whoever sees models; one that sees single messages sees them with hardly any noise.
    Nothing is simulated of the cryptography: an observer of the network is shown the sum.

    Shapes: [n, d] -> [d]. Cost: d random numbers for each client.

    Guarantee: (epsilon, delta)-differential privacy of clients against observers of sums, while h messages of a round
    are honest. There is no robustness, since nobody sees the rows: a malicious client may send anything.

    References
    ----------
    P. Kairouz, Z. Liu, T. Steinke. The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
    Aggregation. ICML 2021 (with discrete noise).

    Examples
    --------
    >>> from robustfl.defenses import Mean, SecureSumDP
    >>> private = SecureSumDP(clip=1.0, delta=1e-5, noise_multiplier=4.0, honest=0.8) >> Mean()
    >>> private.protection.place, private.protection.honest
    ('shares', 0.8)
    """

    name: ClassVar[str] = "secure_sum_dp"
    guarantee: ClassVar[str] = "(epsilon, delta)-differential privacy of clients against whoever sees sums"
    unfit: ClassVar[str] = (
        "where clients may be malicious: nobody sees their rows, so nothing is filtered, and their shares of the "
        "noise are missing"
    )
    reference: ClassVar[str] = "Kairouz et al., The Distributed Discrete Gaussian Mechanism, ICML 2021"
    place: ClassVar[Place] = "shares"

    honest: Annotated[
        float, Gt(0), Le(1), Doc("share of the messages of a round that is honest at least, and whose noise is enough")
    ] = 0.5

    def declared(self) -> Protection:
        return replace(super().declared(), honest=self.honest)
