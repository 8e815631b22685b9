"""Checks, entry by entry, whether the ledgers of a run are those that its records name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from robustfl.errors import StoreError
from robustfl.evaluation.results.schema import LEDGER
from robustfl.evaluation.results.shapes import require_shape
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.ledgers import FOLDER, SUFFIX
from robustfl.reputation import Damage, LedgerVerdict, verify
from robustfl.reputation.encoding import digest
from robustfl.reputation.verification import checked_head
from robustfl.wording import counted


@dataclass(frozen=True)
class RunVerdict:
    """What is known about the ledgers of a run.

    Attributes
    ----------
    folder : the folder of the run
    verdicts : for each trial what is known about its ledger, compared with the head in its record
    missing : the trials whose record names a ledger that does not exist
    unrecorded : the trials with a ledger that no record names, for example after an interruption; a run that continues
        writes these ledgers again
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
        """One hash of the heads of all recorded ledgers, for the whole run; publish it when the run has ended."""
        recorded = self.verdicts.keys() - set(self.unrecorded)
        return digest({trial: self.verdicts[trial].head for trial in recorded})

    def summary(self) -> str:
        """The verdict as text for people, with every ledger that is not intact."""
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
    """Read all ledgers of a run, compare them with its records, and compare the run with the published `head`.

    Raises StoreError when there are no records, or neither ledgers nor records that name any, and ParameterError when
    `head` is not a hash.
    """
    records = folder / "records.jsonl"
    if not records.is_file():
        raise StoreError(f"{folder} is no folder of a run: it has no {records.name}. Name one, or a ledger.")
    told = {record["trial"]: kept for record in read_records(records) if (kept := record.get("ledger")) is not None}
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
    """The verdict on a ledger that should end with `head`: both later and missing entries are wrong."""
    verdict = verify(path, head=head)
    if not verdict.intact or verdict.covered == verdict.entries:
        return verdict
    line = (verdict.covered or 0) + 1
    message = "this and what follows was added after the trial had ended"
    damage = Damage(line, "inserted", head, verdict.head, message)
    return replace(verdict, intact=False, damaged=1, damages=(damage,))
