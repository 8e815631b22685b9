"""What defenses decide about clients, written down."""

from __future__ import annotations

from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.reputation import LedgerRecorder


class LedgerKeeper(Observer):
    """Hands the answers of a simulation's server to the recorder of a ledger; a round without an answer has none."""

    def __init__(self, recorder: LedgerRecorder) -> None:
        self._recorder = recorder

    def hear(self, round: Round) -> None:
        for receiver in round.receivers:
            if receiver.answer is not None:
                self._recorder.hear(round.number, receiver.answer)
