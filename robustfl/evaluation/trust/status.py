"""Evaluation statuses: whether a defense was tested hard enough for its numbers to be trusted.

- ADAPTIVE: the defense met everything that an evaluation needs, and no check failed.
- UPPER_BOUND: something is missing, so the true numbers may be lower.
- SUSPECT: a check failed, or the numbers cannot be used as they are.
- CONFIG_INVALID: the defense's own precondition holds for none of the numbers of malicious clients.

For each defense an evaluation needs:

- white-box searches with the goal `inner` and with fixed directions (the vector of ones with both signs, and a base
  model);
- an attack that plans over the rounds to come, and knows everything: the honest updates, the data and the defense;
- every registered attack that is made for one of the defense's stages;
- for each class of attacks with identical rows that it met, one version with paired perturbations, unless a search
  chose the row or the attack is made for some defenses;
- if it keeps a history, an attack that starts late, within the training;
- an attack of each level of knowledge, where the level is the most that the attack may look at.

In networks without a server, the attacks of the standard suite for peers stand for the searches and plans: a rule is
asked for there by every peer about its own neighbourhood, and searches craft a letter for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.summaries import ScoredDefense, ScoredWorldReport
from robustfl.evaluation.suite.standard import PEERS
from robustfl.evaluation.trust.checks import DOUBTS
from robustfl.evaluation.trust.evidence import DefenseFacts, Evidence, Threat
from robustfl.evaluation.trust.remark import Remark

ADAPTIVE, UPPER_BOUND, SUSPECT, CONFIG_INVALID = "ADAPTIVE", "UPPER_BOUND", "SUSPECT", "CONFIG_INVALID"

STATUSES = (CONFIG_INVALID, SUSPECT, UPPER_BOUND, ADAPTIVE)
"""All statuses from the worst to the best; over several worlds a defense has the worst of its statuses."""

APART = "listed apart, because it uses clean data of the server: compare it with the row 'server alone'"
"""Why a rule around a trusted update has no rank."""

BASELINE = "a baseline: it hears nobody, so nothing can harm it, and others are compared with it"
"""Why the rule by which peers learn alone has no rank."""

EVERYTHING = {"peers", "data", "defense"}
"""The knowledge of an attacker from whom nothing is hidden."""

GOALS = ("inner", "fixed ones", "fixed minus_ones", "fixed base")
"""The goals that white-box searches must have."""

PREDICTION_GOALS = ("inner", "permutation", "flips")
"""The goals that they must have where clients send predictions, and where there is no model to push."""

LEVELS = {
    "own": "its own data alone",
    "history": "past models, and no updates of others",
    "peers": "the honest updates, and not the defense",
    "defense": "the defense",
}


@dataclass(frozen=True, kw_only=True)
class StatusVerdict:
    """A status, and the reasons in words why it is not better."""

    status: str
    why: tuple[str, ...] = ()


def with_statuses(
    worlds: list[ScoredWorldReport], evidence: Evidence | None, remarks: Sequence[Remark]
) -> tuple[list[ScoredWorldReport], dict[str, StatusVerdict]]:
    """The scored worlds with a status for each defense, and each defense's verdict over all of them.

    A world in which nothing is learnt counts neither for the verdict nor for the score, unless there is no other world.
    Without evidence no defense has a status.
    """
    if evidence is None:
        return worlds, {}
    reports: list[ScoredWorldReport] = []
    found: dict[str, dict[str, StatusVerdict]] = {}
    for world in worlds:
        own = {defense["defense"]: verdict(world, defense, evidence, remarks) for defense in world["defenses"]}
        judged = [(defense, own[defense["defense"]]) for defense in world["defenses"]]
        defenses: list[ScoredDefense] = [
            {**defense, "status": one.status, "why": list(one.why)} for defense, one in judged
        ]
        reports.append({**world, "defenses": defenses})
        found[world["world"]] = own
    counted = {world["world"] for world in reports if world["informative"]} or set(found)
    names = dict.fromkeys(name for own in found.values() for name in own)
    overall = {name: _overall({w: own[name] for w, own in found.items() if w in counted}) for name in names}
    for name in names:
        if evidence.subjects.get(name, DefenseFacts()).trusting:
            overall[name] = StatusVerdict(status=overall[name].status, why=(APART, *overall[name].why))
        if evidence.subjects.get(name, DefenseFacts()).baseline:
            overall[name] = StatusVerdict(status=overall[name].status, why=(BASELINE, *overall[name].why))
    return reports, overall


def rankable(verdicts: Mapping[str, StatusVerdict], evidence: Evidence | None) -> set[str] | None:
    """The defenses that may be ranked; None if all of them may be.

    Rules around a trusted update are listed apart: their server has clean data, which the others do without. Learning
    alone is what others are compared with. What was seen to cheat has no rank in any suite.
    """
    if evidence is None:
        return None
    left = {defense for defense, found in verdicts.items() if not any(map(_bars, found.why))}
    if evidence.ranks_adaptive_only:
        return {defense for defense in left if verdicts[defense].status == ADAPTIVE}
    return None if left == set(verdicts) else left


def _bars(reason: str) -> bool:
    """Whether a reason forbids a rank in every suite."""
    return reason in (APART, BASELINE) or reason.startswith(("CONDUCT", "NOT_REPEATED"))


def verdict(
    world: ScoredWorldReport, defense: ScoredDefense, evidence: Evidence, remarks: Iterable[Remark]
) -> StatusVerdict:
    """The status of one defense in one world."""
    attacked = [point for point in defense["curve"] if point["f"] > 0]
    refused = [point for point in attacked if point["invalid"]]
    if attacked and len(refused) == len(attacked):
        return StatusVerdict(status=CONFIG_INVALID, why=((refused[0]["invalid"] or "").rstrip("."),))
    doubts = list(dict.fromkeys(_doubt(remark) for remark in remarks if _speaks_of(remark, world, defense)))
    threats = [evidence.threats.get(attack) for attack in played(defense) if evidence.acts(world["world"], attack)]
    met = [threat for threat in threats if threat is not None]
    name = defense["defense"]
    subject = evidence.elsewhere.get((world["world"], name)) or evidence.subjects.get(name, DefenseFacts())
    lacking = [] if subject.baseline else missing(met, subject, evidence.rounds.get(world["world"]))
    status = SUSPECT if doubts else UPPER_BOUND if lacking else ADAPTIVE
    return StatusVerdict(status=status, why=(*doubts, *lacking))


def played(defense: ScoredDefense) -> list[str]:
    """The attacks that a defense met without missing trials, for every f against which it can be used."""
    points = [point for point in defense["curve"] if point["f"] > 0 and not point["invalid"]]
    labels = dict.fromkeys(attack for point in points for attack in point["attacks"] if attack != NO_ATTACK)
    return [a for a in labels if all(a in p["attacks"] and p["attacks"][a]["U"] is not None for p in points)]


def missing(met: Sequence[Threat], subject: DefenseFacts, rounds: int | None = None) -> list[str]:
    """What is missing, in words, from an evaluation of this defense that consists of these attacks."""
    found = []
    wanted = PREDICTION_GOALS if subject.channel == "predictions" else GOALS
    goals = [goal for goal in wanted if all(threat.goal != goal for threat in met)]
    if subject.among_peers:
        labels = {threat.label for threat in met}
        if absent := [label for label in subject.among_peers if label not in labels]:
            found.append(f"not met, of {PEERS}: {', '.join(absent)}")
    elif goals and not subject.searchable:
        found.append(f"no white-box search: there is none for the channel {subject.channel!r} yet")
    elif goals:
        found.append(f"no white-box search for {', '.join(goals)}")
    if (
        subject.plannable
        and not subject.among_peers
        and not any(threat.planned and set(threat.knowledge) >= EVERYTHING for threat in met)
    ):
        found.append("no planned attack that knows everything")
    classes = {name for threat in met for name in threat.classes}
    if absent := [name for name in subject.made_for if name not in classes]:
        found.append(f"not met, though made for it: {', '.join(absent)}")
    tiled = dict.fromkeys(threat.tiled for threat in met if threat.tiled and not (threat.paired or threat.tailored))
    paired = {threat.tiled for threat in met if threat.paired}
    if copied := [label for label in tiled if label not in paired]:
        found.append(f"identical rows only, no pairs: {', '.join(copied)}")
    last = float("inf") if rounds is None else rounds
    if subject.stateful and not any(threat.late or 0 < threat.start < last for threat in met):
        found.append("no attack that starts late, though it keeps a history")
    most = {threat.knowledge[-1] for threat in met if threat.knowledge}
    levels = most | {"peers"} if "data" in most else most
    # Without any search, the first reason already says what is missing at the highest level of knowledge.
    spared = {"history"} if subject.among_peers else set()  # peers have no common model that everybody has seen
    needed = [level for level in LEVELS if level not in spared and (level != "defense" or subject.searchable)]
    found += [f"no attack that knows {LEVELS[level]}" for level in needed if level not in levels]
    return found


def _doubt(remark: Remark) -> str:
    return str(remark["code"])


def _speaks_of(remark: Remark, world: ScoredWorldReport, defense: ScoredDefense) -> bool:
    """Whether a remark makes the numbers of a defense suspect; a plain mean that survives makes all of a world so."""
    if remark["code"] not in DOUBTS and remark["level"] != "error":
        return False
    whole_world = remark["code"] == "SCENARIO_NOT_ATTACKABLE" or remark["defense"] is None
    return remark["world"] in (None, world["world"]) and (whole_world or remark["defense"] == defense["defense"])


def _overall(found: Mapping[str, StatusVerdict]) -> StatusVerdict:
    """The worst status, and all reasons; a reason that does not hold in all worlds names those in which it holds."""
    status = min((verdict.status for verdict in found.values()), key=STATUSES.index, default=UPPER_BOUND)
    why: dict[str, list[str]] = {}
    for world, verdict_ in found.items():
        for reason in verdict_.why:
            why.setdefault(reason, []).append(world)
    shown = [
        reason if len(worlds) == len(found) else f"{reason} (in {'; '.join(worlds)})" for reason, worlds in why.items()
    ]
    return StatusVerdict(status=status, why=tuple(shown))
