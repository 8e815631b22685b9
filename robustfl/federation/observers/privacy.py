"""What a mechanism has released, and what that costs."""

from __future__ import annotations

from typing import ClassVar

from robustfl.federation.mechanisms.contract import Protector
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure
from robustfl.privacy.compatibility import CODES


class PrivacyBudget(Observer):
    """Tells the privacy account of a training with a mechanism, and why the training ended.

    Everything else that a record holds (accuracies, losses, who was ignored) is computed on raw data by the simulator,
    and no ε covers it.

    Parameters
    ----------
    protector : the mechanism at work
    planned : the number of rounds that the settings ask for
    opinions : whether the prices are compared with those of Opacus, where it has an accountant for them
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "epsilon", "privacy loss against each observer that the noise protects from", better="lower", form="by name"
        ),
        Measure("epsilon_participant", "privacy loss against a client that sees every model", better="lower"),
        Measure("epsilon_public", "privacy loss against whoever sees the last model", better="lower"),
        Measure("epsilon_sum", "privacy loss against a server that sees sums of messages", better="lower"),
        Measure("epsilon_server", "privacy loss against a server that sees every message", better="lower"),
        Measure("epsilon_median", "privacy loss of the client in the middle, where each has its own", better="lower"),
        Measure("noise_multiplier", "standard deviation of the noise over the clip"),
        Measure("noise_ratio", "length of the noise over the clip, of an aggregate or a message", better="lower"),
        Measure("clip_norms", "the clip of each round", form="list"),
        Measure("privacy_voids", "why the claim of a mechanism does not hold", form="texts"),
        Measure("privacy_notes", "what should be said beside the claim of a mechanism", form="texts"),
        Measure("stopped_by", "what ended the training before its last round", form="text"),
        Measure("rounds_played", "rounds until the training ended", unit="rounds"),
    )

    def __init__(self, protector: Protector, planned: int, *, opinions: bool = False) -> None:
        self._protector, self._planned, self._opinions = protector, planned, opinions
        self._played = 0

    def hear(self, round: Round) -> None:
        self._played = round.finished
        if round.diverged:
            self._protector.accounts.void("DIVERGED", round.finished, CODES["DIVERGED"].text)

    def report(self, trace: Trace) -> None:
        protector = self._protector
        accounts = protector.accounts
        trace.account = accounts.report(self._opinions)
        self.tell(
            trace,
            **accounts.told(),
            noise_multiplier=protector.noise_multiplier,
            noise_ratio=protector.noise_ratio,
            rounds_played=self._played,
        )
        clips = protector.clips
        if len(set(clips)) > 1:
            self.tell(trace, clip_norms=clips)
        if protector.notes:
            self.tell(trace, privacy_notes=protector.notes)
        if accounts.voids:
            self.tell(trace, privacy_voids=[f"{void.code}: {void.text}" for void in accounts.voids])
        if self._played < self._planned and not trace.diverged:
            self.tell(trace, stopped_by="budget")
