"""Writes down what defenses decide about clients."""

from __future__ import annotations

from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.reputation import LedgerRecorder


class LedgerKeeper(Observer):
    """Passes the answers of a simulation's server, or of its peers, to the recorder of a ledger.

    Rounds without an answer are skipped.
    """

    def __init__(self, recorder: LedgerRecorder) -> None:
        self._recorder = recorder

    def hear(self, round: Round) -> None:
        for receiver in round.receivers:
            if receiver.answer is not None:
                self._recorder.hear(round.number, receiver.answer)
        for exchange in round.exchanges:
            self._recorder.hear_peers(round.number, exchange.mixed, exchange.names)
