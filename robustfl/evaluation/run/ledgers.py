"""The ledgers of a run: one for every trial whose defense decides about clients, in the folder `ledgers`.

The record of such a trial holds the head of its ledger and the number of entries. So whoever alters, shortens or
extends a ledger has to alter the records as well, and whoever knows the head of the run (:attr:`RunVerdict.head`) from
before notices that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustfl.errors import StoreError
from robustfl.evaluation.results.schema import LEDGER, require_shape
from robustfl.evaluation.results.store import read_records
from robustfl.reputation import Damage, LedgerRecorder, LedgerVerdict, verify
from robustfl.reputation.encoding import digest
from robustfl.reputation.recorder import clear_unfinished
from robustfl.reputation.verification import checked_head
from robustfl.wording import counted

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


@dataclass(frozen=True)
class RunVerdict:
    """What is known about the ledgers of a run.

    Attributes
    ----------
    folder : of the run
    verdicts : trial -> what is known about its ledger, compared with the head in its record
    missing : trials whose record speaks of a ledger that is not there
    unrecorded : trials with a ledger of which no record speaks, as after an interruption; the run that continues
        writes them anew
    published : the head that the run should have, if it is known
    """

    folder: Path
    verdicts: dict[str, LedgerVerdict]
    missing: tuple[str, ...]
    unrecorded: tuple[str, ...]
    published: str | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        whole = not self.missing and all(verdict.intact for verdict in self.verdicts.values())
        return whole and self.published in (None, self.head)

    @property
    def head(self) -> str:
        """One hash for the whole run, of the heads of all recorded ledgers: publish it when the run has ended."""
        recorded = self.verdicts.keys() - set(self.unrecorded)
        return digest({trial: self.verdicts[trial].head for trial in recorded})

    def summary(self) -> str:
        """The verdict for a person, with every ledger that something is wrong with."""
        bad = {trial: verdict for trial, verdict in self.verdicts.items() if not verdict.intact}
        wrong = len(bad) + len(self.missing)
        entries = sum(verdict.entries for verdict in self.verdicts.values())
        lines = [f"{counted(len(self.verdicts) + len(self.missing), 'ledger')} with {entries} entries: "]
        lines[0] += f"{wrong} not intact" if wrong else "all intact"
        lines += [f"{self._path(trial)}: missing, though its trial is recorded" for trial in self.missing]
        lines += [f"{self._path(trial)}: {verdict.summary()}" for trial, verdict in bad.items()]
        if self.published not in (None, self.head):
            lines.append("the run is not the one with the published head: ledgers and records were changed together")
        if self.unrecorded:
            lines.append(f"{len(self.unrecorded)} of them belong to no recorded trial; run the suite to its end")
        return "\n".join([*lines, f"head {self.head}"])

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        ledgers = {trial: asdict(verdict) for trial, verdict in self.verdicts.items()}
        lists = {"missing": list(self.missing), "unrecorded": list(self.unrecorded)}
        return {"intact": self.intact, "head": self.head, **lists, "ledgers": ledgers}

    def _path(self, trial: str) -> Path:
        return self.folder / FOLDER / f"{trial}{SUFFIX}"


def verify_run(folder: Path, *, head: str | None = None) -> RunVerdict:
    """Read all ledgers of a run and compare them with its records, and the run with the `head` that was published.

    Raises StoreError when there are no records, or neither ledgers nor records that speak of any, and ParameterError
    when `head` is no hash.
    """
    records = folder / "records.jsonl"
    if not records.is_file():
        raise StoreError(f"{folder} is no folder of a run: it has no {records.name}. Name one, or a ledger.")
    told = {record["trial"]: record["ledger"] for record in read_records(records) if record.get("ledger") is not None}
    found = {path.name.removesuffix(SUFFIX): path for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}"))}
    if not told and not found:
        raise StoreError(
            f"{folder} has no ledgers: no defense of its trials decides about clients, or they were left out."
        )
    verdicts = {}
    for trial, path in found.items():
        if trial in told:
            require_shape(told[trial], LEDGER, f"the ledger of trial {trial}")
        verdicts[trial] = _compared(path, told[trial]["head"]) if trial in told else verify(path)
    return RunVerdict(
        folder=folder,
        verdicts=verdicts,
        missing=tuple(sorted(told.keys() - found.keys())),
        unrecorded=tuple(sorted(found.keys() - told.keys())),
        published=None if head is None else checked_head(head),
    )


def _compared(path: Path, head: str) -> LedgerVerdict:
    """The verdict on a ledger that ended with `head`: later entries are as wrong as missing ones."""
    verdict = verify(path, head=head)
    if not verdict.intact or verdict.covered == verdict.entries:
        return verdict
    line = (verdict.covered or 0) + 1
    message = "this and what follows was added after the trial had ended"
    damage = Damage(line, "inserted", head, verdict.head, message)
    return replace(verdict, intact=False, damaged=1, damages=(damage,))
