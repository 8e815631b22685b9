"""What an attack takes that strikes late, and what one leaves that stops early."""

from __future__ import annotations

from typing import ClassVar

from robustfl.federation.observers.accuracy import Accuracy
from robustfl.federation.observers.contract import Observer
from robustfl.federation.strike import Strike
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Timing(Observer):
    """The model just before an attack strikes, just after it has stopped, and in the end.

    The score averages over the end of the training, which softens the blow of an attack in its last rounds. Here it is
    the last model that counts: ``taken = before - final``, and ``recovered = final - stopped``. All values are balanced
    accuracies of one measurement, and a model that diverged has none.

    Parameters
    ----------
    strike : when the attack strikes; an attack that strikes from the first round to the last has no such values
    accuracy : the observer that measures
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("final_accuracy", "balanced accuracy of the last model", unit="share", better="higher"),
        Measure("before_attack", "balanced accuracy just before the first attacked round", unit="share"),
        Measure(
            "taken_by_attack",
            "balanced accuracy before the first attacked round, less that of the last model",
            unit="share",
            better="lower",
        ),
        Measure("after_attack", "balanced accuracy just after the last attacked round", unit="share", better="higher"),
        Measure(
            "recovered",
            "balanced accuracy of the last model, less that just after the last attacked round",
            unit="share",
            better="higher",
        ),
        Measure("attacked_from", "number of rounds that are finished before the first attacked round", unit="rounds"),
        Measure("attacked_until", "number of rounds that are finished when the attack has stopped", unit="rounds"),
    )

    def __init__(self, strike: Strike | None, accuracy: Accuracy) -> None:
        self._strike, self._accuracy = strike, accuracy

    def report(self, trace: Trace) -> None:
        curve, strike = dict(self._accuracy.balanced), self._strike
        if trace.diverged or not curve:
            return
        final = curve[max(curve)]
        if strike is None or not strike.edges:
            return
        self.tell(trace, final_accuracy=final)
        if strike.first:
            before = curve[strike.first]
            self.tell(trace, before_attack=before, taken_by_attack=before - final, attacked_from=strike.first)
        if strike.stopped is not None:
            after = curve[strike.stopped]
            self.tell(trace, after_attack=after, recovered=final - after, attacked_until=strike.stopped)
