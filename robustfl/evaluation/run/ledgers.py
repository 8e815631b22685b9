"""The ledgers of a run: the folder `ledgers` holds one for every trial whose defense decides about clients.

The record of such a trial holds the head of its ledger and the number of entries. A person who alters, shortens or
extends a ledger must therefore alter the records as well, and this is noticed by everybody who already knows the head
of the run. :mod:`robustfl.evaluation.run.ledger_check` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustfl.appending import renamed_aside
from robustfl.reputation import LedgerRecorder
from robustfl.reputation.recorder import clear_unfinished

if TYPE_CHECKING:
    from robustfl.federation.observers.contract import Observer

FOLDER, SUFFIX = "ledgers", ".ledger"


@dataclass(frozen=True)
class Ledgers:
    """The ledgers of the run in folder `out`; they hold every decision, or only those that change something."""

    out: Path
    every: bool = False

    @property
    def folder(self) -> Path:
        return self.out / FOLDER

    def tidy(self, *, aside: bool = False) -> None:
        """Remove what killed writers have left; with `aside` rename the folder to `ledgers.N.bak`.

        It must be called before any ledger is written.
        """
        clear_unfinished(self.folder)
        if aside and self.folder.exists():
            renamed_aside(self.folder)


@contextmanager
def kept_ledger(trial: str, defense: Any, ledgers: Ledgers | None) -> Iterator[tuple[list[Observer], dict[str, Any]]]:
    """Write the ledger of the trial that the block plays; the block gets the observers that do this, and a dictionary.

    After the block, the dictionary holds the entries for the record. It stays empty for a defense that does not decide
    about clients, and when no ledgers are kept.
    """
    told: dict[str, Any] = {}
    if ledgers is None:
        yield [], told
        return
    from robustfl.federation.observers.ledger import LedgerKeeper

    with LedgerRecorder(ledgers.folder / f"{trial}{SUFFIX}", defense, every=ledgers.every) as recorder:
        yield [LedgerKeeper(recorder)], told
    if recorder.head is not None:
        told["ledger"] = {"entries": recorder.entries, "head": recorder.head}
