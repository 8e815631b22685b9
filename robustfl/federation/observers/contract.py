"""Who watches the rounds: the contract of observers."""

from __future__ import annotations

from typing import Any, ClassVar

from robustfl.errors import RobustflError
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Observer:
    """Hears every round when it has ended, and writes into the trace when the training has ended.

    Observers change nothing. An observer declares every number that it adds to the trace in `measures`. The schema of
    records, the columns of tables, the values that claims can use and the rows of reports follow from these.
    """

    measures: ClassVar[tuple[Measure, ...]] = ()
    phase: ClassVar[str] = "evaluate"
    """The name of the phase to which the time of its report is added."""

    def hear(self, round: Round) -> None:
        """Take note of a round that has ended."""

    def report(self, trace: Trace) -> None:
        """Write what was found into the trace, once the training has ended."""

    def tell(self, trace: Trace, **values: Any) -> None:
        """Add measures to the trace.

        Raises RobustflError for a measure that this observer does not declare.
        """
        declared = {measure.name for measure in self.measures}
        unknown = sorted(values.keys() - declared)
        if unknown:
            raise RobustflError(
                f"{type(self).__name__} reports {', '.join(unknown)}, which it does not declare. Add a Measure for "
                "each of them to its `measures`."
            )
        trace.more |= values
