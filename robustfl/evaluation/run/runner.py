"""Plays a suite: decides what is left to do, runs it, keeps every record, scores, and writes the results."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from robustfl import registry
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.store import Store, set_aside, write_atomically
from robustfl.evaluation.run.executors import Executor, Processes, Serial
from robustfl.evaluation.run.ledgers import Ledgers
from robustfl.evaluation.run.play import Resources
from robustfl.evaluation.run.provenance import data_fingerprint, histogram, provenance
from robustfl.evaluation.run.triggers import pictures
from robustfl.evaluation.score.breakdown import breakdown_point, minority
from robustfl.evaluation.suite.plan import NO_ATTACK, Cell, Plan, distinct_trials
from robustfl.evaluation.suite.scenario import Experiment, World
from robustfl.evaluation.suite.trial import Trial
from robustfl.evaluation.trust.evidence import (
    DefenseFacts,
    Evidence,
    Threat,
    doubled_searches,
    reached_aims,
    seen_conduct,
)
from robustfl.threats.staging import stages

Record = dict[str, Any]


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


def run_experiment(experiment: Experiment, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """Play all trials that are not yet stored, score, write `records.jsonl` and `summary.json`; returns the summary.

    Trials that are stored with the same fingerprint (code, versions, data) are taken over. An interruption of any
    kind loses at most the trials in flight; running again continues.
    """
    return _Run(experiment, options, progress).play()


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

    def play(self) -> dict[str, Any]:
        path = self.options.out / "records.jsonl"
        if self.options.fresh:
            set_aside(path)
        with Store(path) as store:
            if self.ledgers is not None:
                self.ledgers.tidy(aside=self.options.fresh)
            self.run_trials(store, self.plan.trials)
            breakdowns = self.search_breakdowns(store) if self.experiment.suite.adversary.breakdown else {}
            summary = self.summary(store.records, breakdowns)
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

    def search_breakdowns(self, store: Store) -> dict[tuple[str, str], dict[str, Any] | None]:
        """The largest f that each defense withstands, over all integers, by bisection with further trials.

        All searches advance together: each is replayed up to its first question without an answer, and the trials
        behind these questions are run at once.
        """
        while True:
            found: dict[tuple[str, str], dict[str, Any] | None] = {}
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
                        report = {**result.report(clients), "bound": self.plan.bound(world, template)}
                        found[world.label, template.label] = report
            if not asked:
                return found
            self.run_trials(store, distinct_trials(asked))

    def _withstands(self, store: Store, world: World, defense: str) -> Callable[[int], bool]:
        from robustfl.evaluation.score.score import worst_case

        def passes(f: int) -> bool:
            cells = list(self.plan.cells_at(world, f, defense))
            if any(cell.trial is not None and cell.trial.id not in self.wanted for cell in cells):
                raise _Unanswered(cells)
            worst = worst_case(self.outcomes(cells, store.records), self._world(world, store.records))
            if worst is None:
                raise _Undecided
            return bool(worst >= self.settings.threshold)

        return passes

    def summary(self, records: Mapping[str, Record], breakdowns: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
        """Everything that reports need beside the records themselves."""
        from robustfl.evaluation.claims.judging import judged
        from robustfl.evaluation.score.costs import side_effects
        from robustfl.evaluation.score.targeted import targeted

        suite, root = self.experiment.suite, self.options.place.data_root
        frozen = suite.frozen_attacks
        worst_f = {w.label: max(suite.adversary.grid(w.federation.clients)) for w in self.experiment.worlds}
        scores = self.scores(records)
        for world in scores["worlds"]:
            for defense in world["defenses"]:
                defense["breakdown"] = breakdowns.get((world["world"], defense["defense"]), defense["breakdown"])
        statuses = Counter(records[trial]["status"] for trial in self.wanted if trial in records)
        invalid = sum(1 for cell in self.plan.cells if cell.invalid)
        baselines: dict[str, list[str]] = {world["world"]: [] for world in scores["worlds"]}
        for cell in self.plan.baseline:
            baselines[cell.world].append(cell.trial.id if cell.trial else "")
        return {
            "schema": SCHEMA,
            "suite": {
                "name": suite.name,
                "description": suite.description,
                "hash": self.experiment.hash,
                "standard": None if frozen is None else {"name": frozen.name, "hash": frozen.hash},
                "command": self.options.command,
                "rows": self.row_commands(),
                "seeds": list(self.plan.seeds),
                "settings": suite.model_dump(mode="json"),
            },
            "provenance": provenance(self.options.place.device),
            "time": {
                "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "elapsed_s": round(time.perf_counter() - self.started, 3),
                "workers": self.options.workers,
            },
            "trials": {
                "total": len(self.wanted),
                **{name: statuses.get(name, 0) for name in ("ok", "diverged", "failed")},
                "invalid": invalid,
                "not_applicable": sum(1 for cell in self.plan.cells if cell.unfit),
            },
            "components": self.components(),
            "histograms": {w.label: histogram(w, 0, worst_f[w.label], root) for w in self.experiment.worlds},
            "scores": scores,
            "side_effects": side_effects(scores, records, baselines),
            "targeted": targeted(scores, records, self.plan.plain.label),
            "faults": self.faults(records),
            "triggers": pictures(self.experiment.worlds, self.plan.aims, root),
            "claims": judged(suite.claims, self.experiment.names, scores, records),
        }

    def scores(self, records: Mapping[str, Record]) -> dict[str, Any]:
        """What the records say, as JSON values."""
        from robustfl.evaluation.score.score import score

        suite = self.experiment.suite
        declared = suite.adversary.declared
        found = score(
            self.outcomes(self.plan.cells, records),
            [self._world(world, records) for world in self.experiment.worlds],
            self.settings,
            {(w.label, t.label): self.plan.bound(w, t) for w in self.experiment.worlds for t in suite.defenses},
            plain=self.plan.plain.label,
            knowledge={str(attack): attack.required_knowledge().names() for attack in suite.played},
            declared={} if declared is None else {cell.f: declared for cell in self.plan.cells if cell.f},
            evidence=self.evidence(records),
        )
        for place, world in zip(found["worlds"], self.experiment.worlds, strict=True):
            place |= {"id": content_hash(world.model_dump(mode="json")), "rounds": world.federation.rounds}
        return found

    def faults(self, records: Mapping[str, Record]) -> list[dict[str, Any]]:
        """How the defenses bear the faults of the fault suite."""
        from robustfl.evaluation.score.faults import fault_scores

        starts = {str(fault): fault.start_round for fault in self.experiment.suite.fault_suite}
        worlds = [self._world(world, records) for world in self.experiment.worlds]
        return fault_scores(self.plan.fault_cells, worlds, starts, records, self.settings.alpha)

    def evidence(self, records: Mapping[str, Record]) -> Evidence:
        """What the suite brings against its defenses, and what the trials saw of their conduct."""
        suite = self.experiment.suite
        return Evidence(
            threats={str(attack): Threat.of(attack) for attack in suite.played},
            subjects={template.label: DefenseFacts.of(template) for template in suite.defenses},
            rounds={world.label: world.federation.rounds for world in self.experiment.worlds},
            doubled=doubled_searches(suite.played),
            reached=reached_aims(self.plan.cells, records, self.plan.plain.label),
            conduct=seen_conduct(records[trial] for trial in self.wanted if trial in records),
            ranks_adaptive_only=suite.standard is not None,
        )

    @property
    def settings(self) -> Any:
        """The suite's scoring in the form that the score takes."""
        from robustfl.evaluation.score.score import ScoreSettings

        return ScoreSettings(**self.experiment.suite.score.model_dump())

    def outcomes(self, cells: Iterable[Cell], records: Mapping[str, Record]) -> list[Any]:
        """Cells with what came of them."""
        from robustfl.evaluation.score.score import CellResult

        root, found = self.options.place.data_root, []
        datasets = {world.label: world.task.data.load(root) for world in self.experiment.worlds}
        for cell in cells:
            dataset = datasets[cell.world]
            record = records.get(cell.trial.id) if cell.trial else None
            metrics = (record or {}).get("metrics") or {}
            absent = "not applicable" if cell.unfit else "invalid"
            status = absent if cell.trial is None else record["status"] if record else "missing"
            found.append(
                CellResult(
                    world=cell.world,
                    defense=cell.defense,
                    attack=cell.attack,
                    f=cell.f,
                    seed=cell.seed,
                    trial=cell.trial.id if cell.trial else "",
                    accuracy=metrics.get("tail_accuracy"),
                    test_size=len(dataset.test_y),
                    chance=dataset.chance,
                    status=status,
                    reason=cell.invalid or cell.unfit or ((record or {}).get("error") or {}).get("message", ""),
                )
            )
        return found

    def _world(self, world: World, records: Mapping[str, Record]) -> Any:
        """The world with its baseline: accuracy of the plain rule without an attack, a value a seed."""
        from robustfl.evaluation.score.score import ScoredWorld

        dataset = world.task.data.load(self.options.place.data_root)
        baseline: list[Any] = []
        for cell in self.plan.baseline:
            if cell.world == world.label and cell.trial is not None:
                record = records.get(cell.trial.id) or {}
                reached = (record.get("metrics") or {}).get("tail_accuracy")
                baseline.append(dataset.chance if record.get("status") == "diverged" else reached)
        return ScoredWorld(
            label=world.label,
            clients=world.federation.clients,
            baseline=tuple(baseline) if None not in baseline else (),
            chance=dataset.chance,
            test_size=len(dataset.test_y),
            seeds=self.plan.seeds,
        )

    def row_commands(self) -> dict[str, str]:
        """For each defense the command that gives its row again, alone, in a folder of its own."""
        if not self.options.command:
            return {}
        folder = shlex.quote(f"{self.options.out}-alone")
        stages = {t.label: [{name: dict(given)} for name, given in t.stages] for t in self.experiment.suite.defenses}
        return {
            label: f"{self.options.command} --out {folder} --set {shlex.quote(f'defenses={json.dumps([spec])}')}"
            for label, spec in stages.items()
        }

    def components(self) -> dict[str, Any]:
        """What is said of each defense and attack by its own documentation."""
        suite = self.experiment.suite
        attacks: dict[str, Any] = {NO_ATTACK: {"summary": "All clients are honest.", "knowledge": [], "reference": ""}}
        for attack in (*suite.played, *suite.evasion):
            facts = [registry.describe(type(stage)) for stage in stages(attack)]
            attacks[str(attack)] = {
                "summary": " ".join(fact["summary"] for fact in facts),
                "knowledge": attack.required_knowledge().names(),
                "reference": "; ".join(fact["reference"] for fact in facts if fact["reference"]),
            }
        return {
            "defenses": {t.label: _described([name for name, _ in t.stages]) for t in suite.defenses},
            "attacks": attacks,
        }


def _described(stages: list[str]) -> dict[str, Any]:
    """The stages of a defense; summary and requirement are those of its last stage, the aggregator."""
    facts = [registry.describe(registry.get("defense", name)) for name in stages]
    return {
        "stages": [fact["class"].rpartition(".")[2] for fact in facts],
        "summary": " ".join(fact["summary"] for fact in facts),
        "guarantee": "; ".join(fact["guarantee"] for fact in facts if fact["guarantee"]),
        "requires": facts[-1]["requires"],
        "reference": "; ".join(fact["reference"] for fact in facts if fact["reference"]),
    }


def _is_done(record: Record | None, fingerprint: str) -> bool:
    return record is not None and record["status"] != "failed" and record["fingerprint"] == fingerprint


class Quiet:
    """A listener that says nothing."""

    def start(self, total: int, done: int) -> None:
        """Nothing to show."""

    def advance(self, record: Record) -> None:
        """Nothing to show."""
