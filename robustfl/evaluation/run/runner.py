"""Plays a suite: decides which trials are left, runs them, stores every record, scores, and writes the results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from robustfl.errors import ScenarioError
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.store import Store, set_aside, write_atomically
from robustfl.evaluation.results.summaries import BreakdownReport, Summary
from robustfl.evaluation.run.checking import FILE, Checks, sealed, to_misdeclare, to_replay, told_off
from robustfl.evaluation.run.clock import RunClock
from robustfl.evaluation.run.executors import Executor, Processes, Serial, require_guard
from robustfl.evaluation.run.exhibits import Exhibits
from robustfl.evaluation.run.ledgers import Ledgers
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.preflight import require_playable, unplayable
from robustfl.evaluation.run.provenance import data_fingerprint
from robustfl.evaluation.run.summary import Checked, RunFacts, summarised
from robustfl.evaluation.score.breakdown import breakdown_point, minority
from robustfl.evaluation.score.score import worst_case
from robustfl.evaluation.suite.fitting import require_fit
from robustfl.evaluation.suite.plan import Cell, Plan, distinct_trials
from robustfl.evaluation.suite.scenario import Experiment, World
from robustfl.evaluation.suite.trial import Trial


class Progress(Protocol):
    """Is told about the progress of a run."""

    def tell(self, line: str) -> None:
        """Take note of what is known before the first trial, of the data or of a world that cannot be played."""

    def start(self, total: int, done: int) -> None:
        """Take note that `total` trials are wanted and `done` of them are already stored."""

    def advance(self, record: Record) -> None:
        """Take note that one more trial has ended."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a suite is run; no option changes a result of an honest defense.

    `ledgers` says which decisions about clients are stored, see :mod:`robustfl.evaluation.run.ledgers`. `checks` says
    which trials are played once the suite is over, see :mod:`robustfl.evaluation.run.checking`. With `isolate` in
    `place`, every trial has its defense in a process of its own (:mod:`robustfl.isolation`); trials that are stored
    from a run without it are then played again. `executor` plays the trials in place of worker processes; its records
    have to be those that :func:`~robustfl.evaluation.run.play.run_trial` makes.
    """

    out: Path
    workers: int = 2
    place: Resources = field(default_factory=Resources)
    fresh: bool = False
    command: str = ""
    ledgers: Literal["changes", "all", "none"] = "changes"
    checks: Checks = field(default_factory=Checks)
    executor: Executor | None = None


def run_experiment(experiment: Experiment, options: RunOptions, progress: Progress | None = None) -> Summary:
    """Play all trials that are not yet stored, score, write `records.jsonl` and `summary.json`; return the summary.

    Trials that are stored with the same fingerprint (code, versions, data) are not played again. An interruption of any
    kind loses at most the trials in flight; a new run with the same options continues.

    Worker processes import the script that calls this function. The script must therefore call it under
    ``if __name__ == "__main__":``, or with `workers=0`.

    Raises
    ------
    WorkerError : worker processes cannot be started, for example because that guard is missing
    StoreError : another run writes to the same folder, or what is stored there cannot be continued
    DataError : data of a world cannot be loaded
    ScenarioError : an attack does not fit the data of a world, or rules of peers should be isolated
    RobustflError : no world can be played, for example because its data cannot be divided over its clients, its model
        cannot be trained, or an attack on test samples does not fit them

    These errors come before any trial is played.
    """
    require_guard()
    return _Run(experiment, options, progress or Quiet()).play()


class _Undecided(Exception):
    """Trials failed for a number of malicious clients, so that nothing can be said about this number."""


class _Unanswered(Exception):
    """The trials for a number of malicious clients have not been run yet."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__()
        self.cells = cells


class _Run:
    def __init__(self, experiment: Experiment, options: RunOptions, progress: Progress) -> None:
        _require_separable(experiment, options.place)
        place = replace(options.place, data_root=options.place.data_root or experiment.folder)
        options = replace(options, place=place)
        self.experiment, self.options, self.progress = experiment, options, progress
        self.plan = Plan(experiment)
        usual = Processes(options.workers) if options.workers else Serial()
        self.executor: Executor = options.executor or usual
        self.clock, self.began = RunClock(options.out, fresh=options.fresh), time.time()
        root, kept = options.place.data_root, options.ledgers
        self.ledgers = None if kept == "none" else Ledgers(options.out, every=kept == "all")
        self.exhibits = Exhibits(options.out)
        self.place = replace(options.place, ledgers=self.ledgers, exhibits=self.exhibits)
        self.wanted: dict[str, Trial] = {}
        self.data = {world.label: data_fingerprint(world.task.data, root) for world in experiment.worlds}
        require_fit(experiment.worlds, experiment.suite.played, root)
        reasons = unplayable(self.plan, root)
        require_playable(self.plan, reasons)
        for note in dict.fromkeys(note for w in experiment.worlds for note in w.task.data.load(root).notes):
            progress.tell(f"data: {note}")
        for label, reason in reasons.items():
            progress.tell(f"{label} cannot be played, which costs the other worlds nothing: {reason}")

    def play(self) -> Summary:
        path = self.options.out / "records.jsonl"
        if self.options.fresh:
            set_aside(path)
            set_aside(self.options.out / FILE)
        with Store(path) as store:
            if self.ledgers is not None:
                self.ledgers.tidy(aside=self.options.fresh)
            self.exhibits.tidy(aside=self.options.fresh)
            self.run_trials(store, self.plan.trials)
            breakdowns = self.search_breakdowns(store) if self.experiment.suite.adversary.breakdown else {}
            summary = summarised(
                self.played(store), list(self.wanted), breakdowns, self.facts(), self.check(store), self.exhibits
            )
            store.finish(self.wanted)
        write_atomically(self.options.out / "summary.json", json.dumps(summary, indent=1, allow_nan=False).encode())
        self.clock.finish()
        return summary

    def run_trials(self, store: Store, trials: Iterable[Trial]) -> None:
        """Run the trials for which no valid record is stored."""
        trials = list(trials)
        self.wanted |= {trial.id: trial for trial in trials}
        self._run(store, trials, self.place)

    def _run(self, store: Store, trials: Sequence[Trial], place: Resources) -> None:
        wanted = [(trial, trial.fingerprint(self.data[trial.world])) for trial in trials]
        if not wanted:
            return
        left = [job for job in wanted if not _is_done(store.records.get(job[0].id), job[1], isolated=place.isolate)]
        self.progress.start(len(wanted), len(wanted) - len(left))
        if not left:
            return
        if place.isolate:
            left = [(sealed(trial), fingerprint) for trial, fingerprint in left]
        with closing(self.executor.run(left, place)) as records:  # no worker remains, whatever happens
            for record in records:
                store.append(record)
                self.clock.tick()
                self.progress.advance(record)

    def check(self, store: Store) -> Checked:
        """Play the trials that check the suite, as far as they are not stored, and say what they have found."""
        checks, played = self.options.checks, self.played(store)
        wrong = to_misdeclare(played) if checks.off_by_one else []
        again = to_replay(self.plan.cells, store.records, checks.replays)
        if not wrong and not again:
            return Checked()
        with Store(self.options.out / FILE) as extra:
            plain = replace(self.place, ledgers=None, exhibits=None)
            self._run(extra, distinct_trials(cell for case in wrong for cell in case.cells), plain)
            # The workers are new ones, in which no defense has been asked.
            self._run(extra, again, replace(plain, isolate=True, twin=True, since=self.began))
            records = [extra.records[trial.id] for trial in again if trial.id in extra.records]
            return Checked(again=records, told=told_off(played, wrong, extra.records))

    def search_breakdowns(self, store: Store) -> dict[tuple[str, str], BreakdownReport | None]:
        """Search the largest f that each defense withstands, over all integers, by bisection with further trials.

        All searches advance together: each is replayed up to the first f whose trials are missing, and the missing
        trials of all searches are run together.
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
            worst = worst_case(played.outcomes(cells), played.world(world), played.lifts(cells))
            if worst is None:
                raise _Undecided
            return bool(worst >= played.settings.threshold)

        return passes

    def played(self, store: Store) -> Played:
        """The plan with the records of the store, including those that are stored later."""
        return Played(plan=self.plan, records=store.records, root=self.options.place.data_root)

    def facts(self) -> RunFacts:
        """The facts of the run up to now."""
        options = self.options
        return RunFacts(
            command=options.command,
            out=options.out,
            device=options.place.device,
            workers=options.workers,
            seconds=self.clock.seconds,
        )


def _require_separable(experiment: Experiment, place: Resources) -> None:
    """Raise ScenarioError where processes of their own are asked for rules that mix inside the simulation."""
    among = [world.label for world in experiment.worlds if world.networked]
    if place.isolate and among:
        raise ScenarioError(
            "Rules of peers mix the models of all peers inside the simulation, and cannot have processes of their own. "
            f"Found peers in {among[0]!r}. Leave `--isolate` out: letters are locked, and who keeps them is told."
        )


def _is_done(record: Record | None, fingerprint: str, *, isolated: bool) -> bool:
    """Whether a record can be used; what was found in the process of the simulation does not count as isolated."""
    if record is None or record["status"] == "failed" or record["fingerprint"] != fingerprint:
        return False
    return bool(record.get("isolated")) or not isolated


class Quiet:
    """A progress that shows nothing."""

    def tell(self, line: str) -> None:
        """Nothing to show."""

    def start(self, total: int, done: int) -> None:
        """Nothing to show."""

    def advance(self, record: Record) -> None:
        """Nothing to show."""
