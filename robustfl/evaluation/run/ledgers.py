"""The ledgers of a run: one for every trial whose defense decides about clients, in the folder `ledgers`.

The record of such a trial holds the head of its ledger and the number of entries. So whoever alters, shortens or
extends a ledger has to alter the records as well, and whoever knows the head of the run from before notices that too:
:mod:`robustfl.evaluation.run.ledger_check` compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustfl.reputation import LedgerRecorder
from robustfl.reputation.recorder import clear_unfinished

if TYPE_CHECKING:
    from robustfl.federation.observers.contract import Observer

FOLDER, SUFFIX = "ledgers", ".ledger"


@dataclass(frozen=True)
class Ledgers:
    """The ledgers of the run in folder `out`; they hold every decision, or what changes."""

    out: Path
    every: bool = False

    @property
    def folder(self) -> Path:
        return self.out / FOLDER

    def tidy(self, *, aside: bool = False) -> None:
        """Before anybody writes: remove what killed writers have left, and on request rename all to `ledgers.N.bak`."""
        clear_unfinished(self.folder)
        if aside and self.folder.exists():
            number = 1
            while (kept := self.out / f"{FOLDER}.{number}.bak").exists():
                number += 1
            self.folder.rename(kept)


@contextmanager
def kept_ledger(trial: str, defense: Any, ledgers: Ledgers | None) -> Iterator[tuple[list[Observer], dict[str, Any]]]:
    """Keep the ledger of a trial that is played in the block, by the observers that the block is given.

    Afterwards the second part of what it is given holds what the record tells: nothing for a defense that decides about
    nobody, or where no ledgers are kept.
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
