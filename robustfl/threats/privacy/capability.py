"""What a spy may look at: an attack declares it, an observer limits it, and the view enforces it."""

from __future__ import annotations

import enum


class Capability(enum.Flag):
    """What an attack on privacy may look at; several members are combined with `|`."""

    NOTHING = 0
    MESSAGE = enum.auto()
    """The message of every single client, as it was sent."""
    SUM = enum.auto()
    """The sum of the messages of a round, as behind secure aggregation. A message alone is a sum of one, so attacks
    that need no single messages declare this."""
    MODEL = enum.auto()
    """The weights from which clients started."""
    HISTORY = enum.auto()
    """What the same sender sent before."""
    BATCH_SIZE = enum.auto()
    """The number of samples in a batch."""
    LEARNING_RATE = enum.auto()
    """The step size of the clients' local steps."""
    STEPS = enum.auto()
    """The number of local steps."""
    MOMENTUM = enum.auto()
    """The momentum that clients apply to their messages."""
    LABELS = enum.auto()
    """The true labels of the batches; no real spy has them, so results with them are marked."""
    AUX = enum.auto()
    """Public samples of the same distribution, which nobody trains on."""
    LOSS = enum.auto()
    """The network and its loss, as functions that can be evaluated and differentiated."""
    ACTIVE = enum.auto()
    """Which model each client gets."""

    def names(self) -> list[str]:
        """The members in words, for records: `["message", "model"]`."""
        return [str(member.name).lower() for member in type(self) if member in self]


_PUBLIC = (
    Capability.MODEL
    | Capability.BATCH_SIZE
    | Capability.LEARNING_RATE
    | Capability.STEPS
    | Capability.MOMENTUM
    | Capability.AUX
    | Capability.LOSS
)
_ORACLE = Capability.LABELS
_SUMS = _PUBLIC | _ORACLE | Capability.SUM | Capability.HISTORY
_ROWS = _SUMS | Capability.MESSAGE

OBSERVERS: dict[str, Capability] = {
    "server": _ROWS,
    "wire": _ROWS,
    "sum": _SUMS,
    "active": _ROWS | Capability.ACTIVE,
    "participant": _PUBLIC,
    "public": _PUBLIC,
}
"""Who may watch, and what they can have at most.

* ``server`` sees every message as it was sent, who sent it, and the model that the sender had.
* ``wire`` sees the same where messages are not encrypted on their way.
* ``sum`` is a server behind secure aggregation: it sees the sum of a round's messages, and who took part.
* ``active`` is a server (with MESSAGE) or a server behind secure aggregation (with SUM) that also chooses the model
  that each client gets.
* ``participant`` is a client: it sees the models of all rounds.
* ``public`` sees the final model.
"""
