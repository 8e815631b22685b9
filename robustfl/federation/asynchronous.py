"""A server that waits for nobody: buffered asynchronous rounds, in which every client works at its own speed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.aggregation import Aggregator
from robustfl.errors import ParameterError
from robustfl.federation.settings import Federation, Server
from robustfl.federation.simulation import Ids, Simulation, Trace
from robustfl.federation.streams import stream
from robustfl.federation.task import Population
from robustfl.threats.knowledge import Relabelling

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


class AsynchronousSimulation(Simulation):
    """A federation whose server makes a step whenever `buffer` messages are in.

    A client computes with the model that it got when it began, sends, and begins anew with the newest model after the
    step that used its message. Working times are log-normal, half of the variance of their logarithm the client's own,
    so that slow clients are heard less often. Malicious clients answer at once and always know the newest model: they
    are in every buffer, f of `buffer` rows, so a small buffer gives them more weight. A round is a step of the server.

    A message that was computed with the model of tau steps ago is multiplied by the staleness weight s(tau) before the
    defense sees it, and so is what an omniscient adversary sees of it; the mean is over the rows, not over the weights.
    With a buffer of one this is close to FedAsync, with as many as there are clients it is the synchronous server.

    The trace's `more` holds `staleness` and `worst_staleness`, mean and largest tau of honest messages.

    References
    ----------
    C. Xie, S. Koyejo, I. Gupta. Asynchronous Federated Optimization. arXiv:1903.03934, 2019 (FedAsync). ·
    J. Nguyen, K. Malik, H. Zhan, A. Yousefpour, M. Rabbat, M. Malek, D. Huba. Federated Learning with Buffered
    Asynchronous Aggregation. AISTATS 2022 (FedBuff).

    Raises
    ------
    ParameterError : a fault decides what model clients compute with, or as for every simulation
    """

    def __init__(
        self, population: Population, settings: Federation, defense: Aggregator, *, seed: int = 0, **values: Any
    ) -> None:
        super().__init__(population, settings, defense, seed=seed, **values)
        old = [repr(fault) for fault in self.faults if fault.strikes("age")]
        if old:
            raise ParameterError(
                f"{', '.join(old)} decides how old the models are that clients compute with; with an asynchronous "
                "server their working times do. Leave it out, or take a synchronous server."
            )
        members = len(self.members)
        self._times = stream(seed, "working times")
        self._speed = self._times.standard_normal(members)
        self._clock = 0.0
        self._begun = np.zeros(members, dtype=np.int64)  # the server's step after which each member began
        self._ready = self._working_times()  # when each will be done
        self._models = {0: self.weights.clone()}  # by the server's steps, while anybody computes with them
        self._staleness: list[int] = []

    def play_round(self, number: int) -> None:
        super().play_round(number)
        times = self._working_times()  # drawn for everybody: nobody's depend on who is in the buffer
        self._begun[self._buffer] = number + 1
        self._ready[self._buffer] = self._clock + times[self._buffer]
        self._models[number + 1] = self.weights.clone()
        for step in self._models.keys() - set(self._begun.tolist()) - {number + 1}:
            del self._models[step]

    def run(self) -> Trace:
        trace = super().run()
        if self._staleness:
            trace.more |= {
                "staleness": float(np.mean(self._staleness)),
                "worst_staleness": max(self._staleness),
            }
        return trace

    def sample(self) -> tuple[Ids, Ids]:
        """The malicious and the honest members whose messages fill the buffer."""
        present = np.flatnonzero(self.members.present())
        ready = np.where(self._is_malicious, self._clock, self._ready)
        order = present[np.argsort(ready[present], kind="stable")]
        self._buffer = np.sort(order[: self.settings.sampled(len(present))])
        self._clock = max(self._clock, float(ready[self._buffer].max(initial=0.0)))
        mask = self._is_malicious[self._buffer]
        return self._buffer[mask], self._buffer[~mask]

    def honest_messages(self, number: int, malicious: Ids, honest: Ids) -> tuple[Tensor | None, Tensor]:
        own, messages = super().honest_messages(number, malicious, honest)
        self._staleness += (number - self._begun[honest]).tolist()
        return own, self._weighted(messages, honest)

    def received_models(self, number: int, ids: Ids) -> Tensor:
        steps = np.where(self._is_malicious[ids], number, self._begun[ids]).tolist()
        return torch.stack([self._models[step] for step in steps])

    def relabelled(self, change: Relabelling, honest: Ids) -> Tensor:
        return self._weighted(super().relabelled(change, honest), honest)

    def _weighted(self, messages: Tensor, honest: Ids) -> Tensor:
        ages = self.members.number - self._begun[honest]
        return messages * messages.new_tensor(staleness_weights(ages, self.settings.server))[:, None]

    def _working_times(self) -> Floats:
        draws = self._times.standard_normal(len(self._speed))
        times: Floats = np.exp(self.settings.server.speed_spread * math.sqrt(0.5) * (self._speed + draws))
        return times


def staleness_weights(ages: Ids, server: Server) -> Floats:
    """s(tau) of messages [k] whose models are `ages` steps old.

    With a the exponent and b the grace: `constant` 1; `polynomial` ``(1 + tau)^-a``; `hinge` 1 up to b, and
    ``1/(a (tau - b) + 1)`` above.
    """
    tau = ages.astype(np.float64)
    if server.staleness == "constant":
        return np.ones_like(tau)
    if server.staleness == "polynomial":
        return np.asarray((1.0 + tau) ** -server.staleness_exponent)
    beyond = np.maximum(tau - server.staleness_grace, 0.0)
    return np.asarray(1.0 / (server.staleness_exponent * beyond + 1.0))
