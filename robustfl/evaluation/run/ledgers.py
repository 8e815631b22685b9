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
    from robustfl.federation.simulation import Simulation

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
def followed(simulation: Simulation, trial: str, ledgers: Ledgers | None) -> Iterator[dict[str, Any]]:
    """Keep the ledger of a trial that is played in the block; afterwards the answer holds what its record tells.

    That is nothing for a defense without decisions, or where no ledgers are kept.
    """
    told: dict[str, Any] = {}
    if ledgers is None:
        yield told
        return
    with LedgerRecorder(ledgers.folder / f"{trial}{SUFFIX}", simulation.defense, every=ledgers.every) as minutes:
        simulation.listeners.append(minutes.hear)
        yield told
    if minutes.head is not None:
        told["ledger"] = {"entries": minutes.entries, "head": minutes.head}
