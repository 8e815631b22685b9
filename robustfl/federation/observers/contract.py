"""Who watches the rounds: the contract of observers."""

from __future__ import annotations

from typing import Any, ClassVar

from robustfl.errors import RobustflError
from robustfl.federation.round import Round
from robustfl.federation.trace import Trace
from robustfl.measures import Measure


class Observer:
    """Hears every round when it has ended, and writes what it has found into the trace when the training has.

    Observers change nothing. Whatever numbers one adds to the trace it declares as `measures`: the records' schema, the
    columns of tables, the readings of claims and the rows of reports follow from that.
    """

    measures: ClassVar[tuple[Measure, ...]] = ()
    phase: ClassVar[str] = "evaluate"
    """Under which name the time of its report is counted."""

    def hear(self, round: Round) -> None:
        """A round has ended."""

    def report(self, trace: Trace) -> None:
        """The training has ended: write what was found into the trace."""

    def tell(self, trace: Trace, **values: Any) -> None:
        """Add measures to the trace.

        Raises RobustflError for one that this observer does not declare.
        """
        declared = {measure.name for measure in self.measures}
        unknown = sorted(values.keys() - declared)
        if unknown:
            raise RobustflError(
                f"{type(self).__name__} reports {', '.join(unknown)}, which it does not declare. Add a Measure for "
                "each of them to its `measures`."
            )
        trace.more |= values
