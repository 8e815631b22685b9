"""A recorder that writes a rule's decisions over many rounds to a ledger, without those that repeat."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from robustfl.reputation.decisions import Decision, decisions_of, decisions_of_peers
from robustfl.reputation.ledger import Ledger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustfl.aggregation import Aggregation
    from robustfl.aggregation.neighbourhoods import Mixed

OUT = ("excluded", "rejected")
"""Actions after which a client's update does not count; with every other one it does."""

AT_ONCE = 1000
"""Number of entries that are gathered before they are written together."""

UNFINISHED = ".unfinished"
"""The suffix of a ledger's file while its rounds are not over."""


class _Last(NamedTuple):
    """The last decision about a client, and whether the ledger has it."""

    round: int
    decision: Decision
    kept: bool


class LedgerRecorder:
    """A context manager that writes the ledger of a rule while its rounds go on, and leaves only complete ledgers.

    An entry takes about half a kilobyte, so one for every client and round would be too much. The recorder keeps the
    decisions that change a client's status: counted, excluded or rejected. At the end it adds the last decision about
    each client, unless it has kept that one already. So the last entry about a client gives its final status, and the
    entries before say when its status changed. With `every`, all decisions are kept. In a network without a server, all
    this holds for each peer that decides and each of its neighbours.

    The file appears under its name when the block is left without an error, and then replaces an earlier file of that
    name. Until then it has another name, which contains the number of this process. So two writers never use the same
    file, and a writer that is killed leaves only that file (see :func:`clear_unfinished`). If the answers of a rule
    hold no decisions, no file is written, and an earlier file stays.

    Parameters
    ----------
    path : the file of the ledger
    rule : the rule that decides
    every : whether all decisions are kept

    Attributes
    ----------
    head, entries : the head and the number of entries of the finished ledger; None and 0 when there is none

    Examples
    --------
    >>> import tempfile
    >>> from robustfl.defenses import FoolsGold
    >>> from robustfl.reputation import read_entries
    >>> rule, path = FoolsGold(), Path(tempfile.mkdtemp()) / "trial.ledger"
    >>> with LedgerRecorder(path, rule) as minutes:
    ...     for number, sent in enumerate([1.0, float("nan"), 1.0, 1.0]):
    ...         rows = {"anna": [1.0, 0.0, 0.0], "boris": [0.0, sent, 0.0], "carla": [0.0, 0.0, 1.0]}
    ...         minutes.hear(number, rule.aggregate(rows))
    >>> [(entry["round"], entry["client"], entry["action"]) for entry in read_entries(path)]
    [(2, 'boris', 'rejected'), (3, 'boris', 'weighted'), (4, 'anna', 'weighted'), (4, 'boris', 'weighted'), \
(4, 'carla', 'weighted')]
    """

    def __init__(self, path: Path, rule: Any, *, every: bool = False) -> None:
        self.head: str | None = None
        self.entries = 0
        self._path, self._rule, self._every = path, rule, every
        self._draft = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
        self._ledger: Ledger | None = None
        self._waiting: list[tuple[int, Decision]] = []
        self._last: dict[tuple[Hashable, Hashable], _Last] = {}

    def __enter__(self) -> Self:
        self._draft.unlink(missing_ok=True)  # a killed process with the same number may have left it
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._last:
                self._finish()
        finally:
            if self._ledger is not None:
                self._ledger.close()
            self._draft.unlink(missing_ok=True)

    def hear(self, number: int, answer: Aggregation) -> None:
        """Record the rule's answer in round `number`, which counts from 0; in entries, rounds count from 1.

        Raises
        ------
        ParameterError : a decision that no ledger can hold
        StoreError : the file cannot be written
        """
        if answer.info.get("decisions") is not None:
            self._note(number, decisions_of(answer))

    def hear_peers(self, number: int, mixed: Mixed, names: NDArray[np.int64]) -> None:
        """Record what all peers decided in a mixing of round `number`; `names` are the ids of senders, [n, m].

        Only the decisions of a rule that judges its neighbours by what it remembers of them are recorded. Raises as
        :meth:`hear` does.
        """
        if "decisions" in mixed.info or getattr(self._rule, "judges", False):
            self._note(number, decisions_of_peers(mixed, names))

    def _note(self, number: int, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            who = decision.by, decision.client
            before = self._last.get(who)
            was = None if before is None or before.decision.action not in OUT else before.decision.action
            now = decision.action if decision.action in OUT else None
            kept = self._every or was != now
            self._last[who] = _Last(number + 1, decision, kept)
            if kept:
                self._waiting.append((number + 1, decision))
        if len(self._waiting) >= AT_ONCE:
            self._write()

    def _finish(self) -> None:
        self._waiting += [(last.round, last.decision) for last in self._last.values() if not last.kept]
        ledger = self._write()
        ledger.close()
        os.replace(self._draft, self._path)
        self.head, self.entries = ledger.head, ledger.entries

    def _write(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self._draft)
        self._ledger.extend(self._waiting, rule=self._rule)
        self._waiting = []
        return self._ledger


def clear_unfinished(folder: Path) -> None:
    """Remove what killed writers have left in a folder of ledgers; call it only when no writer is at work there."""
    for draft in folder.glob(f".*{UNFINISHED}"):
        draft.unlink(missing_ok=True)
