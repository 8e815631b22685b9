"""What was sent over the edges of a network, what was lost or refused, and whom rules ignore."""

from __future__ import annotations

from typing import ClassVar

from robustfl.aggregation.neighbourhoods import HearsayMixer
from robustfl.federation.observers.contract import Observer
from robustfl.federation.peers.topology import PeerToPeer
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class LetterCounts(Observer):
    """Letters to honest peers over the whole training, and the bytes of one of them.

    A letter is refused when it is no model of these peers (not finite, too large, of another shape); one that never
    came is lost. A peer was short when it had too few letters for what its rule was told.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("letters", "letters that honest peers got", unit="rows"),
        Measure("rejected_letters", "letters that rules refused before they looked at them", unit="rows"),
        Measure("short_peers", "honest peers whose rule was told less, or who kept their model, at most", unit="peers"),
        Measure("unanswered_pings", "peers who were asked whether they take part, and were not there", unit="peers"),
        Measure("edge_bytes", "bytes that go over an edge in one direction in a round, in the mean", unit="bytes"),
        Measure("rumours", "what peers told each other about third ones, and was believed", unit="rumours"),
        Measure(
            "refused_rumours",
            "what peers were told about third ones, and did not believe: malformed, impossible, or too much",
            unit="rumours",
        ),
        Measure(
            "unseen_letters",
            "honest models that an attack which sees only its neighbours would have seen with all of them",
            unit="rows",
        ),
    )

    def __init__(self, topology: PeerToPeer) -> None:
        self._topology, self._letters, self._refused, self._short = topology, 0, 0, 0
        self._believed, self._disbelieved = 0, 0

    def hear(self, round: Round) -> None:
        for exchange in round.exchanges:
            self._letters += int(exchange.arrived.sum())
            self._refused += exchange.refused
            told = exchange.mixed.info
            self._believed += sum(told.get("believed", {}).values())
            self._disbelieved += sum(map(len, told.get("refused", {}).values()))
            self._short = max(self._short, len(set(told["lowered"]) | set(told["kept"])))

    def report(self, trace: Trace) -> None:
        sent = self._topology.setup.population.initial
        rules, rounds = self._topology.rules, self._topology.setup.settings.rounds
        steps = rules.gossip_steps * (len(self._topology.mixings) / rounds)
        self.tell(
            trace,
            letters=self._letters,
            rejected_letters=self._refused,
            short_peers=self._short,
            edge_bytes=float(
                sent.element_size() * sent.numel() * steps * (1 + getattr(self._topology.mixer, "most", 0))
            ),
        )
        if isinstance(self._topology.mixer, HearsayMixer):
            self.tell(trace, rumours=self._believed, refused_rumours=self._disbelieved)
        if self._topology.unanswered:
            self.tell(trace, unanswered_pings=self._topology.unanswered)
        if self._topology.forger.unseen:
            self.tell(trace, unseen_letters=self._topology.forger.unseen)
