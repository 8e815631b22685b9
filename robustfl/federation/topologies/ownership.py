"""Who owns a model: the contract of ownership, and one common model for all clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.federation.channels.contract import Channel
from robustfl.federation.round import Ids, Round, ServerModel
from robustfl.federation.setup import Setup

if TYPE_CHECKING:
    from torch import Tensor


class Ownership(ABC):
    """Decides, in a federation with a server, from which models clients start and which models they get."""

    server: ServerModel
    """The model that the server moves by the aggregates."""

    @abstractmethod
    def models(self, round: Round, ids: Ids) -> Tensor:
        """The models from which these members start: one model [d] for all, or [k, d], one per member."""

    @abstractmethod
    def served(self) -> Tensor:
        """The weights that honest clients have: [1, d] of a common model, or [h, d] of each client's own."""

    def advance(self, round: Round) -> None:
        """Move the models by the server's answer."""
        aggregate = round.receivers[0].aggregate
        if aggregate is not None:
            self.server.step(aggregate)

    def downloaded(self) -> float | None:
        """The mean number of bytes that a client got in a round; None if the channel's number is right."""
        return None


class CommonModel(Ownership):
    """All clients start from the server's model: the newest one, or the one that was newest when they began."""

    def __init__(self, setup: Setup, channel: Channel) -> None:
        self._faults = setup.faults
        self.server = channel.model()
        self._versions: dict[int, Tensor] = {}  # by the number of the server's steps, while any member uses them

    def models(self, round: Round, ids: Ids) -> Tensor:
        if round.started is None:
            return self._faults.models(self.server.state, round.number, ids)
        self._versions[round.number] = self.server.state
        for step in self._versions.keys() - set(np.unique(round.started).tolist()) - {round.number}:
            del self._versions[step]
        return torch.stack([self._versions[step] for step in round.started[ids].tolist()])

    def served(self) -> Tensor:
        return self.server.weights[None]
