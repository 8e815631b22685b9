"""Scoring stored records again: the numbers of this version's arithmetic, without playing any trial."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from robustfl.errors import DataError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import pack, read_records, write_atomically
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.checking import FILE, to_misdeclare, told_off
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.summary import Checked, RunFacts, summarised
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.wording import counted

_FROM_CHECKS = {"NOT_REPEATED", "F_EXACT"}
"""The codes of remarks that come from trials after the suite."""


def rescore(folder: Path, experiment: Experiment, root: Path | None = None) -> Summary:
    """Write the summary of :func:`rescored` in place of the one in the folder of a run or of a published run.

    Raises
    ------
    DataError, StoreError : the results cannot be read, or are not those of this suite
    """
    checks = folder / FILE
    after = read_records(checks) if checks.exists() else ()
    summary = rescored(RunResults.load(folder), experiment, root, after)
    content, file = json.dumps(summary, indent=1, allow_nan=False).encode(), folder / "summary.json"
    if file.exists():
        write_atomically(file, content)
    else:
        pack(file, content)
    return summary


def rescored(
    results: RunResults, experiment: Experiment, root: Path | None = None, after: Iterable[Record] = ()
) -> Summary:
    """The summary of a finished run of a suite, with the scores that its records have by this version's rules.

    When and where the run was made, with which command and in what time, stays as it was. Breakdown points are those
    over the tested numbers of malicious clients. `root` is the folder of data files, and `after` holds the records of
    the trials that were played after the suite.

    Raises
    ------
    DataError : the records lack trials of this suite, because it is another one or its scenarios changed since; or
        remarks of the run rest on trials after the suite whose records are not there
    """
    root = root or experiment.folder
    plan, known = Plan(experiment), {record["trial"]: record for record in results.records}
    wanted = [trial.id for trial in plan.trials]
    lacking = sum(trial not in known for trial in wanted)
    if lacking:
        raise DataError(
            f"The records lack {lacking} of the {counted(len(wanted), 'trial')} of the suite "
            f"{experiment.suite.name!r}. Name the scenario that was run, in the version that was run; or run it again."
        )
    old, extra = results.summary, {record["trial"]: record for record in after}
    lost = sorted({flag["code"] for flag in old["scores"]["flags"]} & _FROM_CHECKS)
    if lost and not extra:
        raise DataError(
            f"The results hold remarks that would be lost ({', '.join(lost)}): the records of the trials after the "
            f"suite, {FILE}, are not there. Score the folder of the run again, and publish it anew."
        )
    played = Played(plan=plan, records=known, root=root)
    again = [record for trial, record in extra.items() if trial in known]
    checked = Checked(again=again, told=told_off(played, to_misdeclare(played) if extra else [], extra))
    facts = RunFacts(
        command=old["suite"]["command"],
        out=Path(),
        device=str(old["provenance"].get("device", "cpu")),
        workers=old["time"]["workers"],
        seconds=old["time"]["elapsed_s"],
    )
    new = summarised(played, wanted, {}, facts, checked)
    new["exhibits"] = old.get("exhibits", [])
    suite = new["suite"]
    suite["rows"] = old["suite"].get("rows", {})
    return {**new, "suite": suite, "provenance": old["provenance"], "time": old["time"]}
