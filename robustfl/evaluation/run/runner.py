"""Plays a suite: decides what is left to do, runs it, keeps every record, scores, and writes the results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.store import Store, set_aside, write_atomically
from robustfl.evaluation.results.summaries import BreakdownReport, Summary
from robustfl.evaluation.run.executors import Executor, Processes, Serial, require_guard
from robustfl.evaluation.run.ledgers import Ledgers
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.provenance import data_fingerprint
from robustfl.evaluation.run.summary import RunFacts, summarised
from robustfl.evaluation.score.breakdown import breakdown_point, minority
from robustfl.evaluation.score.score import worst_case
from robustfl.evaluation.suite.plan import Cell, Plan, distinct_trials
from robustfl.evaluation.suite.scenario import Experiment, World
from robustfl.evaluation.suite.trial import Trial


class Progress(Protocol):
    """Hears how a run goes on."""

    def start(self, total: int, done: int) -> None:
        """`total` trials are wanted, `done` of them are already stored."""

    def advance(self, record: Record) -> None:
        """One more trial has ended."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, not what: none of this changes a result.

    `ledgers`: what is kept of decisions about clients, see :mod:`robustfl.evaluation.run.ledgers`.
    """

    out: Path
    workers: int = 2
    place: Resources = field(default_factory=Resources)
    fresh: bool = False
    command: str = ""
    ledgers: Literal["changes", "all", "none"] = "changes"


def run_experiment(experiment: Experiment, options: RunOptions, progress: Progress | None = None) -> Summary:
    """Play all trials that are not yet stored, score, write `records.jsonl` and `summary.json`; returns the summary.

    Trials that are stored with the same fingerprint (code, versions, data) are taken over. An interruption of any
    kind loses at most the trials in flight; running again continues.

    Worker processes import the script that calls this. A script calls it under ``if __name__ == "__main__":``, or with
    `workers=0`.

    Raises
    ------
    WorkerError : worker processes cannot be started, as where that guard is missing
    StoreError : another run writes to the same folder, or what is stored there cannot be continued
    DataError : data of a world cannot be loaded
    """
    require_guard()
    return _Run(experiment, options, progress or Quiet()).play()


class _Undecided(Exception):
    """A number of malicious clients for which trials failed, so that nothing can be said about it."""


class _Unanswered(Exception):
    """A number of malicious clients whose trials have not been run yet."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__()
        self.cells = cells


class _Run:
    def __init__(self, experiment: Experiment, options: RunOptions, progress: Progress) -> None:
        self.experiment, self.options, self.progress = experiment, options, progress
        self.plan = Plan(experiment)
        self.executor: Executor = Processes(options.workers) if options.workers else Serial()
        self.started = time.perf_counter()
        root, kept = options.place.data_root, options.ledgers
        self.ledgers = None if kept == "none" else Ledgers(options.out, every=kept == "all")
        self.place = replace(options.place, ledgers=self.ledgers)
        self.wanted: dict[str, Trial] = {}
        self.data = {world.label: data_fingerprint(world.task.data, root) for world in experiment.worlds}

    def play(self) -> Summary:
        path = self.options.out / "records.jsonl"
        if self.options.fresh:
            set_aside(path)
        with Store(path) as store:
            if self.ledgers is not None:
                self.ledgers.tidy(aside=self.options.fresh)
            self.run_trials(store, self.plan.trials)
            breakdowns = self.search_breakdowns(store) if self.experiment.suite.adversary.breakdown else {}
            summary = summarised(self.played(store), list(self.wanted), breakdowns, self.facts())
            store.finish(self.wanted)
        write_atomically(self.options.out / "summary.json", json.dumps(summary, indent=1, allow_nan=False).encode())
        return summary

    def run_trials(self, store: Store, trials: Iterable[Trial]) -> None:
        """Run those trials of which no valid record is stored."""
        trials = list(trials)
        self.wanted |= {trial.id: trial for trial in trials}
        wanted = [(trial, trial.fingerprint(self.data[trial.world])) for trial in trials]
        left = [job for job in wanted if not _is_done(store.records.get(job[0].id), job[1])]
        self.progress.start(len(wanted), len(wanted) - len(left))
        if not left:
            return
        with closing(self.executor.run(left, self.place)) as records:  # whatever happens, no worker stays
            for record in records:
                store.append(record)
                self.progress.advance(record)

    def search_breakdowns(self, store: Store) -> dict[tuple[str, str], BreakdownReport | None]:
        """The largest f that each defense withstands, over all integers, by bisection with further trials.

        All searches advance together: each is replayed up to its first question without an answer, and the trials
        behind these questions are run at once.
        """
        while True:
            found: dict[tuple[str, str], BreakdownReport | None] = {}
            asked: list[Cell] = []
            for world in self.experiment.worlds:
                clients = world.federation.clients
                for template in self.experiment.suite.defenses:
                    try:
                        result = breakdown_point(self._withstands(store, world, template.label), minority(clients))
                    except _Unanswered as question:
                        asked += question.cells
                    except _Undecided:
                        found[world.label, template.label] = None
                    else:
                        report = result.report(clients)
                        report["bound"] = self.plan.bound(world, template)
                        found[world.label, template.label] = report
            if not asked:
                return found
            self.run_trials(store, distinct_trials(asked))

    def _withstands(self, store: Store, world: World, defense: str) -> Callable[[int], bool]:
        played = self.played(store)

        def passes(f: int) -> bool:
            cells = list(self.plan.cells_at(world, f, defense))
            if any(cell.trial is not None and cell.trial.id not in self.wanted for cell in cells):
                raise _Unanswered(cells)
            worst = worst_case(played.outcomes(cells), played.world(world))
            if worst is None:
                raise _Undecided
            return bool(worst >= played.settings.threshold)

        return passes

    def played(self, store: Store) -> Played:
        """The plan with what is stored, now and later."""
        return Played(plan=self.plan, records=store.records, root=self.options.place.data_root)

    def facts(self) -> RunFacts:
        """How the run was made, up to now."""
        seconds, options = time.perf_counter() - self.started, self.options
        return RunFacts(
            command=options.command,
            out=options.out,
            device=options.place.device,
            workers=options.workers,
            seconds=seconds,
        )


def _is_done(record: Record | None, fingerprint: str) -> bool:
    return record is not None and record["status"] != "failed" and record["fingerprint"] == fingerprint


class Quiet:
    """A listener that says nothing."""

    def start(self, total: int, done: int) -> None:
        """Nothing to show."""

    def advance(self, record: Record) -> None:
        """Nothing to show."""
