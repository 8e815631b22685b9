"""A server that waits for nobody: buffered asynchronous rounds, in which every client works at its own speed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robustfl.federation.round import Ids
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.topologies.schedules import Schedule, Synchronous

Floats = NDArray[np.float64]


class Asynchronous(Schedule):
    """The server makes a step whenever `buffer` messages have arrived.

    A client computes with the model that it got when it began, and sends its message. After the step that used this
    message it begins again with the newest model. Working times are log-normal. Half of the variance of their logarithm
    lies between clients, so that slow clients are heard less often. Malicious clients answer at once and always know
    the newest model. They therefore fill f of the `buffer` rows of every step, and a small buffer gives them more
    weight. A round is a step of the server.

    With a buffer of one this is close to FedAsync; with a buffer as large as the number of clients it is the
    synchronous server.

    References
    ----------
    C. Xie, S. Koyejo, I. Gupta. Asynchronous Federated Optimization. arXiv:1903.03934, 2019 (FedAsync). ·
    J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba. Federated Learning with Buffered
    Asynchronous Aggregation. AISTATS 2022 (FedBuff).
    """

    def __init__(self, setup: Setup) -> None:
        self._members, self._settings = setup.members, setup.settings
        self._times = stream(setup.seed, "working times")
        self._speed = self._times.standard_normal(len(self._members))
        self._clock = 0.0
        self._begun = np.zeros(len(self._members), dtype=np.int64)  # the server's step after which each member began
        self._ready = self._working_times()  # the time when each member will have finished
        self._buffer: Ids = np.empty(0, dtype=np.int64)

    def sample(self, number: int) -> tuple[Ids, Ids]:
        malicious, present = self._members.malicious, np.flatnonzero(self._members.present())
        ready = np.where(malicious, self._clock, self._ready)
        order = present[np.argsort(ready[present], kind="stable")]
        self._buffer = np.sort(order[: self._settings.sampled(len(present))])
        self._clock = max(self._clock, float(ready[self._buffer].max(initial=0.0)))
        mask = malicious[self._buffer]
        return self._buffer[mask], self._buffer[~mask]

    def started(self, number: int) -> Ids:
        return np.where(self._members.malicious, number, self._begun)

    def advance(self, number: int) -> None:
        times = self._working_times()  # drawn for all members, so that no time depends on who is in the buffer
        self._begun[self._buffer] = number + 1
        self._ready[self._buffer] = self._clock + times[self._buffer]

    def _working_times(self) -> Floats:
        draws = self._times.standard_normal(len(self._speed))
        times: Floats = np.exp(self._settings.server.speed_spread * math.sqrt(0.5) * (self._speed + draws))
        return times


def schedule_for(setup: Setup) -> Schedule:
    """The schedule of the server's mode."""
    return Asynchronous(setup) if setup.settings.server.asynchronous else Synchronous(setup)
