"""Who owns a model: the contract of ownership, and one common model for all clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from robustfl.federation.channels.contract import Channel
from robustfl.federation.round import Ids, Round, ServerModel
from robustfl.federation.setup import Setup

if TYPE_CHECKING:
    from torch import Tensor


class Ownership(ABC):
    """The models of a federation with a server: from which clients start, and which they get."""

    server: ServerModel
    """The model that the server moves by the aggregates."""

    @abstractmethod
    def models(self, round: Round, ids: Ids) -> Tensor:
        """The models that these members start from: one for all [d], or one for each [k, d]."""

    @abstractmethod
    def served(self) -> Tensor:
        """The weights that honest clients have: [1, d], or [h, d] of each client's own."""

    def advance(self, round: Round) -> None:
        """Move the models by the server's answer."""
        aggregate = round.receivers[0].aggregate
        if aggregate is not None:
            self.server.step(aggregate)

    def downloaded(self) -> float | None:
        """Bytes that a client got in a round, on average; None where the channel knows best."""
        return None


class CommonModel(Ownership):
    """All clients start from the server's model: the newest one, or the one that was newest when they began."""

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self._faults = setup.faults
        self.server = channel.model()
        self._versions: dict[int, Tensor] = {}  # by the server's steps, while anybody computes with them

    def models(self, round: Round, ids: Ids) -> Tensor:
        if round.started is None:
            return self._faults.models(self.server.state, round.number, ids)
        self._versions[round.number] = self.server.state
        for step in self._versions.keys() - set(round.started.tolist()) - {round.number}:
            del self._versions[step]
        return torch.stack([self._versions[step] for step in round.started[ids].tolist()])

    def served(self) -> Tensor:
        return self.server.weights[None]
