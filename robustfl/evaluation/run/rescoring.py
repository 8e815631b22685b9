"""Scoring stored records again: the numbers of this version's arithmetic, without playing any trial."""

from __future__ import annotations

import json
from pathlib import Path

from robustfl.errors import DataError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.store import pack, write_atomically
from robustfl.evaluation.results.summaries import Summary
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.summary import RunFacts, summarised
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.wording import counted


def rescore(folder: Path, experiment: Experiment, root: Path | None = None) -> Summary:
    """Write the summary of :func:`rescored` in place of the one in the folder of a run or of a published run.

    Raises
    ------
    DataError, StoreError : the results cannot be read, or are not those of this suite
    """
    summary = rescored(RunResults.load(folder), experiment, root)
    content, file = json.dumps(summary, indent=1, allow_nan=False).encode(), folder / "summary.json"
    if file.exists():
        write_atomically(file, content)
    else:
        pack(file, content)
    return summary


def rescored(results: RunResults, experiment: Experiment, root: Path | None = None) -> Summary:
    """The summary of a finished run of a suite, with the scores that its records have by this version's rules.

    When and where the run was made, with which command and in what time, stays as it was. Breakdown points are those
    over the tested numbers of malicious clients. `root` is the folder of data files.

    Raises
    ------
    DataError : the records lack trials of this suite, because it is another one or its scenarios changed since
    """
    plan, known = Plan(experiment), {record["trial"]: record for record in results.records}
    wanted = [trial.id for trial in plan.trials]
    lacking = sum(trial not in known for trial in wanted)
    if lacking:
        raise DataError(
            f"The records lack {lacking} of the {counted(len(wanted), 'trial')} of the suite "
            f"{experiment.suite.name!r}. Name the scenario that was run, in the version that was run; or run it again."
        )
    old = results.summary
    facts = RunFacts(
        command=old["suite"]["command"],
        out=Path(),
        device=str(old["provenance"].get("device", "cpu")),
        workers=old["time"]["workers"],
        seconds=old["time"]["elapsed_s"],
    )
    new = summarised(Played(plan=plan, records=known, root=root), wanted, {}, facts)
    suite = new["suite"]
    suite["rows"] = old["suite"].get("rows", {})
    return {**new, "suite": suite, "provenance": old["provenance"], "time": old["time"]}
