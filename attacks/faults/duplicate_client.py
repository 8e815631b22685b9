"""Clients that are counted twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from typing_extensions import Doc

from robustfl.threats import Delivery, Fault, FaultView


@dataclass(frozen=True, kw_only=True)
class DuplicateClient(Fault):
    """Duplicate client: some clients are registered twice, so each of their messages counts twice.

    Formula: the message also arrives under a second name. The plain mean gives these clients double weight. Rules that
    look for agreement find two rows that are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import DuplicateClient
    >>> len(DuplicateClient(share=0.25)(np.ones((8, 2)))[1])
    10
    """

    unfit: ClassVar[str] = (
        "for an adversary with many names, which `clones` plays: here nobody is malicious, and no client has more "
        "than two names"
    )

    share: Annotated[
        float, Gt(0), Le(1), Doc("share of the clients to whom the fault happens, the same ones in all rounds")
    ] = 0.2

    def fits(self, channel: str) -> bool:
        return channel == "dense"

    def network(self, moment: FaultView) -> Delivery:
        return Delivery(twice=np.ones(len(moment.ids), dtype=np.bool_))
