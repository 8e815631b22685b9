"""The summary of a run: everything that reports need in addition to the records."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from robustfl import registry
from robustfl.aggregation import Aggregator, Defense
from robustfl.evaluation.claims.judging import judged
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.labels import NO_ATTACK, SCHEMA
from robustfl.evaluation.results.axes import FaultsWorld, PrivacyWorld
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.summaries import (
    AttackCard,
    BreakdownReport,
    Components,
    DefenseCard,
    Histogram,
    Scores,
    Summary,
)
from robustfl.evaluation.run.exhibited import exhibited
from robustfl.evaluation.run.exhibits import Exhibits
from robustfl.evaluation.run.played import Played
from robustfl.evaluation.run.provenance import histogram, machines, provenance
from robustfl.evaluation.run.triggers import pictures
from robustfl.evaluation.score.costs import side_effects
from robustfl.evaluation.score.faults import fault_scores
from robustfl.evaluation.score.peers import peers_report
from robustfl.evaluation.score.privacy import privacy_axis
from robustfl.evaluation.score.score import score
from robustfl.evaluation.score.targeted import targeted
from robustfl.evaluation.specs import ALONE, DefenseTemplate
from robustfl.evaluation.suite.scenario import Suite
from robustfl.evaluation.trust.declaration import ToldOff
from robustfl.evaluation.trust.evidence import (
    DefenseFacts,
    Evidence,
    Threat,
    doubled_searches,
    exceeded_rounds,
    held_rounds,
    reached_aims,
    round_shares,
    seen_conduct,
)
from robustfl.evaluation.trust.leaks import beyond_bounds
from robustfl.evaluation.trust.privacy import mismatches
from robustfl.evaluation.trust.repetition import not_repeated
from robustfl.threats.staging import stages

Breakdowns = Mapping[tuple[str, str], BreakdownReport | None]
"""(world, defense) -> the breakdown point that a search has found; None if it could not be decided."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """How a run was made.

    Attributes
    ----------
    command : the shell command; empty if there was none
    out : the folder of the results
    device, workers : the device on which trials were run, and the number of processes
    seconds : the duration of the run, with that of earlier starts that were interrupted
    """

    command: str
    out: Path
    device: str
    workers: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the trials after the suite have found.

    Attributes
    ----------
    again : the records of the trials that were played again
    told : what defenses keep that are told a wrong f
    """

    again: Sequence[Record] = ()
    told: Sequence[ToldOff] = ()


def summarised(
    played: Played,
    wanted: Sequence[str],
    breakdowns: Breakdowns,
    facts: RunFacts,
    checked: Checked | None = None,
    exhibits: Exhibits | None = None,
) -> Summary:
    """The summary, as JSON values; `wanted` holds the ids of all trials of the run."""
    checked = checked or Checked()
    plan, experiment, records = played.plan, played.plan.experiment, played.records
    suite, frozen = experiment.suite, experiment.suite.frozen_attacks
    scores, faults = _scores(played, wanted, breakdowns, checked), _faults(played)
    statuses = Counter(records[trial]["status"] for trial in wanted if trial in records)
    return {
        "schema": SCHEMA,
        "suite": {
            "name": suite.name,
            "description": suite.description,
            "hash": experiment.hash,
            "standard": None if frozen is None else {"name": frozen.name, "hash": frozen.hash},
            "command": facts.command,
            "rows": _row_commands(suite, facts),
            "seeds": list(plan.seeds),
            "settings": suite.model_dump(mode="json"),
        },
        "provenance": {
            **provenance(facts.device),
            **machines(records[trial] for trial in wanted if trial in records),
        },
        "time": {
            "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "elapsed_s": round(facts.seconds, 3),
            "workers": facts.workers,
        },
        "trials": {
            "total": len(wanted),
            "ok": statuses["ok"],
            "diverged": statuses["diverged"],
            "failed": statuses["failed"],
            "invalid": sum(1 for cell in plan.cells if cell.invalid),
            "not_applicable": sum(1 for cell in plan.cells if cell.unfit),
        },
        "components": _components(suite),
        "histograms": _histograms(played),
        "scores": scores,
        "side_effects": side_effects(scores, records, _baselines(played)),
        "targeted": targeted(scores, records, plan.plain.label),
        "faults": faults,
        "privacy": _privacy(played),
        "exhibits": [] if exhibits is None else exhibited(played, exhibits),
        "triggers": pictures(experiment.worlds, plan.aims, played.root),
        "claims": judged(suite.claims, experiment.names, scores, records, faults),
    }


def _scores(played: Played, wanted: Sequence[str], breakdowns: Breakdowns, checked: Checked) -> Scores:
    """The scores of the records; breakdown points that a search has found replace those of the grid."""
    plan, experiment = played.plan, played.plan.experiment
    suite, declared = experiment.suite, experiment.suite.adversary.declared
    plain, listed = _baselines(played), next((t.label for t in suite.defenses if t.names == (ALONE,)), None)
    found = score(
        played.outcomes(plan.cells),
        played.worlds(),
        played.settings,
        {(w.label, t.label): plan.bound(w, t) for w in experiment.worlds for t in suite.defenses},
        plain=plan.plain.label,
        knowledge={str(attack): attack.required_knowledge().names() for attack in suite.played},
        lifts=played.lifts(plan.cells),
        declared={} if declared is None else {cell.f: declared for cell in plan.cells if cell.f},
        evidence=_evidence(played, wanted, checked),
    )
    for place, world in zip(found["worlds"], experiment.worlds, strict=True):
        settings = world.model_dump(mode="json")
        place["id"], place["rounds"] = content_hash(settings), world.federation.rounds
        place["settings"] = {key: settings[key] for key in ("task", "federation")}
        place["peers"] = peers_report(place, played.records, plain[world.label], listed)
        for defense in place["defenses"]:
            defense["breakdown"] = breakdowns.get((world.label, defense["defense"]), defense["breakdown"])
    return found


def _evidence(played: Played, wanted: Sequence[str], checked: Checked) -> Evidence:
    """The attacks that the suite plays against its defenses, and the conduct of the defenses in the trials."""
    experiment, records = played.plan.experiment, played.records
    suite, cells = experiment.suite, played.plan.cells
    rounds = {world.label: world.federation.rounds for world in experiment.worlds}
    played_records = [records[trial] for trial in wanted if trial in records]
    return Evidence(
        threats={str(attack): Threat.of(attack) for attack in suite.played},
        subjects={template.label: DefenseFacts.of(template) for template in suite.defenses},
        elsewhere={
            (world.label, template.label): DefenseFacts.of(template, world.federation)
            for world in experiment.worlds
            if world.federation.distillation is not None or world.federation.topology is not None
            for template in suite.defenses
        },
        rounds=rounds,
        doubled=doubled_searches(suite.played),
        reached=reached_aims(cells, records, played.plan.plain.label),
        exceeded=round_shares(cells, records, rounds, exceeded_rounds),
        held=round_shares(cells, records, rounds, held_rounds),
        conduct=seen_conduct([*played_records, *checked.again]),
        mismatched=mismatches(played_records),
        not_repeated=not_repeated(records, checked.again),
        told_off=tuple(checked.told),
        beyond=beyond_bounds(cells, records),
        ranks_adaptive_only=suite.standard is not None,
    )


def _faults(played: Played) -> list[FaultsWorld]:
    """How the defenses withstand the faults of the fault suite."""
    starts = {str(fault): fault.start_round for fault in played.plan.experiment.suite.fault_suite}
    return fault_scores(played.plan.fault_cells, played.worlds(), starts, played.records, played.settings)


def _privacy(played: Played) -> list[PrivacyWorld]:
    """What the defenses give away to the observer of the suite, and what their accounts promise."""
    spies = played.plan.experiment.suite.privacy
    return privacy_axis(
        played.plan.cells,
        played.records,
        [] if spies is None else [str(attack) for attack in spies.attacks],
        None if spies is None else spies.observer,
        accuracy=played.settings.accuracy,
        confidence=1 - played.settings.alpha,
    )


def _baselines(played: Played) -> dict[str, list[str]]:
    """The trials of the plain rule without an attack, by world, in the order of the seeds."""
    found: dict[str, list[str]] = {world.label: [] for world in played.plan.experiment.worlds}
    for cell in played.plan.baseline:
        found[cell.world].append("" if cell.trial is None else cell.trial.id)
    return found


def _histograms(played: Played) -> dict[str, Histogram]:
    """The data of the clients in each world; a world in which no trial could be played is left out."""
    adversary = played.plan.experiment.suite.adversary
    found = {}
    for world in played.plan.experiment.worlds:
        seed = played.finished_seed(world)
        if seed is not None:
            found[world.label] = histogram(world, seed, max(adversary.grid(world.federation.clients)), played.root)
    return found


def _row_commands(suite: Suite, facts: RunFacts) -> dict[str, str]:
    """For each defense the command that plays only this defense again, in a folder of its own."""
    if not facts.command:
        return {}
    command, folder = _elsewhere(facts.command), shlex.quote(f"{facts.out}-alone")
    specs = {t.label: [{name: dict(given)} for name, given in t.stages] for t in suite.defenses}
    return {
        label: f"{command} --out {folder} --set {shlex.quote(f'defenses={json.dumps([spec])}')}"
        for label, spec in specs.items()
    }


def _elsewhere(command: str) -> str:
    """A command without the folder that it writes to."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return shlex.join(kept)


def _components(suite: Suite) -> Components:
    """What the documentation of each defense and attack says."""
    attacks: dict[str, AttackCard] = {
        NO_ATTACK: {"summary": "All clients are honest.", "knowledge": [], "reference": ""}
    }
    for attack in (*suite.played, *suite.evasion):
        facts = [registry.describe(type(stage)) for stage in stages(attack)]
        attacks[str(attack)] = {
            "summary": " ".join(fact["summary"] for fact in facts),
            "knowledge": attack.required_knowledge().names(),
            "reference": "; ".join(fact["reference"] for fact in facts if fact["reference"]),
        }
    return {
        "defenses": {t.label: _described(t) for t in suite.defenses},
        "attacks": attacks,
    }


def _described(template: DefenseTemplate) -> DefenseCard:
    """The stages of a defense; the summary and the requirement are those of its last stage, the aggregator."""
    facts = [registry.describe(cls) for cls in template.classes]
    return {
        "stages": [fact["class"].rpartition(".")[2] for fact in facts],
        "summary": " ".join(fact["summary"] for fact in facts),
        "guarantee": "; ".join(fact["guarantee"] for fact in facts if fact["guarantee"]),
        "sensitivity": _sensitivity(template.build(1)),
        "requires": facts[-1]["requires"],
        "reference": "; ".join(fact["reference"] for fact in facts if fact["reference"]),
    }


MANY = 10**6
"""A number of rows for which any bound that falls with it is one."""


def _sensitivity(defense: Defense) -> str:
    """The formula for how far one replaced row moves the answer, or why none is known."""
    if not isinstance(defense, Aggregator):
        return f"none known ({defense.no_sensitivity})"
    found = defense.sensitivity_bound(MANY, clip=1.0)
    return (
        f"{found.formula} for rows clipped to a length" if found.value is not None else f"none known ({found.reason})"
    )
