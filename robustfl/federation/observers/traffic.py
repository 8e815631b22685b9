"""What goes over the network, what gets lost on it, and what defenses refuse."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robustfl.federation.channels.contract import Channel
from robustfl.federation.faults import Faults
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.topologies.contract import Topology
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Traffic(Observer):
    """Bytes per client and round; rows that were refused, lost, late or superfluous; rounds that came to nothing.

    It also counts the rounds in which a defense that is told f has caught more clients than that, and has answered all
    the same. With several receivers a row, and a round, counts once for each of them, and among peers a letter once for
    each edge.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("late_rows", "messages that were used after the round in which they were sent", unit="rows"),
        Measure("surplus_rows", "messages that were not used, as a newer one had come", unit="rows"),
        Measure(
            "exceeded_rounds",
            "rounds with an answer in which more clients were caught than the declared f",
            unit="rounds",
            better="lower",
        ),
    )

    def __init__(self, channel: Channel, topology: Topology, faults: Faults) -> None:
        self._channel, self._topology, self._faults = channel, topology, faults
        self._rejected = self._held = self._exceeded = 0

    def hear(self, round: Round) -> None:
        for receiver in round.receivers:
            if receiver.answer is None:
                self._held += receiver.aggregate is None  # a mechanism releases noise without any message
                self._rejected += receiver.refused
            else:
                self._rejected += int(np.count_nonzero(receiver.answer.rejected))
                self._exceeded += receiver.defense.byzantine is not None and receiver.answer.info["exceeded"] > 0

        for exchange in round.exchanges:
            self._rejected += exchange.refused

    def report(self, trace: Trace) -> None:
        boxes = self._faults.mailboxes.values()
        trace.rejected_rows, trace.held_rounds = self._rejected, self._held
        trace.lost_rows = sum(box.lost for box in boxes)
        trace.bytes_up, trace.bytes_down = self._channel.message_bytes()
        downloaded = self._topology.downloaded()
        if downloaded is not None:
            trace.bytes_down = downloaded
        counts = {
            "late_rows": sum(box.late for box in boxes),
            "surplus_rows": sum(box.surplus for box in boxes),
            "exceeded_rounds": self._exceeded,
        }
        self.tell(trace, **{name: count for name, count in counts.items() if count})
