"""Sanity remarks: reasons to doubt a number, in words that need no statistics.

Every check reads the JSON-ready report of the score, so that stored results can be checked again. "error" marks what
makes numbers unusable, "warning" what limits how far they can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK, NOT_APPLICABLE, PLAIN_ACCURACY
from robustfl.evaluation.results.summaries import (
    RankRow,
    ScoredCell,
    ScoredDefense,
    ScoredPoint,
    ScoredWorldReport,
)
from robustfl.evaluation.statistics import FEWEST_SEEDS, detectable_drop, standard_error
from robustfl.evaluation.trust.checks import check_remarks
from robustfl.evaluation.trust.comparisons import knows_defense
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.leaks import leak_remarks
from robustfl.evaluation.trust.privacy import privacy_remarks
from robustfl.evaluation.trust.remark import CurvePoint, Remark, make_remark
from robustfl.evaluation.trust.rounds import round_remarks
from robustfl.evaluation.trust.training import training_remarks
from robustfl.wording import counted, listed

INFORMATIVE_GAP = 0.05
"""Undisturbed learning less than this above chance leaves an attack nothing to destroy."""

FEW_SEEDS = 5
"""Below this many seeds intervals are wide and tests find little."""

MANY_SEEDS = 10
"""From this number of seeds on, intervals cover also where training fails on some seeds and not on others."""

APART = 0.5
"""Seeds fall apart if none of their utilities lies within a gap of this width."""

_UNRUN = ("failed", "missing")


def suite_remarks(
    worlds: Sequence[ScoredWorldReport],
    *,
    accuracy: str = PLAIN_ACCURACY,
    plain: str = "Mean",
    declared: Mapping[int, int] | None = None,
    knowledge: Mapping[str, Sequence[str]] | None = None,
    evidence: Evidence | None = None,
) -> list[Remark]:
    """All remarks on a scored suite; `worlds` as in the result of :func:`robustfl.evaluation.score.score.score`.

    `accuracy` is the measure from which the utilities are made.

    Those of the checks of :mod:`robustfl.evaluation.trust.checks` come first: they make a defense's status SUSPECT.
    """
    known, shown = knowledge or {}, evidence or Evidence()
    found = check_remarks(worlds, plain=plain, knowledge=known, evidence=shown)
    for world in worlds:
        if unplayed := list(_unplayed(world)):
            found += unplayed  # all else that could be said of it follows from that
            continue
        found += _informative(world)
        found += training_remarks(world, accuracy)
        found += _seeds(world)
        found += _split(world)
        found += _declared(world, declared or {})
        found += _test_set(world)
        found += _equal_suites(world)
        found += _never_acting(world, shown)
        for defense in world["defenses"]:
            places = [CurvePoint(world, defense, point) for point in defense["curve"]]
            found += _runs(places)
            found += _diverged(world, defense)
            found += _unattacked(world, defense, shown)
            found += round_remarks(world["world"], defense["defense"], shown)
            found += privacy_remarks(world["world"], defense["defense"], shown.mismatched)
    found += leak_remarks(shown.beyond)
    return found + _plain_mean(worlds, plain) + _upper_bound(worlds, known)


def attacked(worlds: Sequence[ScoredWorldReport]) -> bool:
    """Whether anybody attacks in any of these worlds, as nobody does in suites that measure what is given away."""
    points = [point for world in worlds for defense in world["defenses"] for point in defense["curve"]]
    return any(attack != NO_ATTACK for point in points for attack in point["attacks"])


def ranking_remarks(ranking: Sequence[RankRow], *, tested: bool) -> list[Remark]:
    """Remarks on the table of ranks: defenses without numbers, and ranks that no test stands behind."""
    unranked = [row["defense"] for row in ranking if row["R_mean"] is None]
    found = [
        make_remark(
            "UNRANKED",
            "error",
            f"{defense} has no resilience value, because runs are missing, nobody attacks, or no world is informative. "
            "It stands at the end of the ranking for that reason, not for being weak.",
            defense=defense,
        )
        for defense in unranked
    ]
    if not tested and sum(row["R_mean"] is not None and row.get("rank", 1) is not None for row in ranking) > 1:
        message = (
            "Ranks are not tested: in some world, all defenses have fewer than two seeds in common. With a single run "
            "of each there is no telling whether a difference would show up again, so the order only reflects which "
            "mean is larger. Use at least 5 seeds, the same ones for all."
        )
        found.append(make_remark("RANKS_NOT_TESTED", "warning", message))
    return found


def _unplayed(world: ScoredWorldReport) -> Iterator[Remark]:
    """A world in which trials failed and none came to an end, as where its data cannot be spread over its clients."""
    cells = [cell for defense in world["defenses"] for point in defense["curve"] for cell in point["attacks"].values()]
    seen = {status for cell in cells for status in cell["status"]}
    if "failed" not in seen or seen & {"ok", "diverged"}:
        return
    runs = [run for cell in cells for run in zip(cell["trials"], cell["status"], strict=True)]
    failed = {trial for trial, status in runs if status == "failed"}
    reason = _reason(cell for cell in cells if "failed" in cell["status"])
    message = (
        f"None of the trials of this world came to an end ({counted(len(failed), 'trial')} failed), so nothing in it "
        f"is scored.{reason} Worlds that could be played are scored without it. Mend this one, or leave it out of the "
        "suite, and run again."
    )
    yield make_remark("WORLD_NOT_PLAYED", "error", message, world=world["world"])


def _informative(world: ScoredWorldReport) -> Iterator[Remark]:
    level, chance, label = world["baseline"]["mean"], world["chance"], world["world"]
    if level is None:
        message = (
            "Plain averaging without any attack has not been run with every seed here. It is the yardstick for all "
            "utilities, so nothing in this world can be scored. Finish these runs, then score again."
        )
        yield make_remark("NO_BASELINE", "error", message, world=label)
    elif not world["informative"]:
        message = (
            f"Even without any attack the model reaches only {level:.3f}; guessing without looking at a sample reaches "
            f"{chance:.3f}. Where nothing is learned there is nothing to attack, so this world is left out of all "
            "scores. Train longer or choose an easier task or a better learning rate."
        )
        yield make_remark("UNINFORMATIVE", "error", message, world=label)


def _seeds(world: ScoredWorldReport) -> Iterator[Remark]:
    seeds = len(world["seeds"])
    if seeds >= FEW_SEEDS:
        return
    if seeds == 1:
        limit = "one seed shows no spread, so there are no intervals and no tests"
    else:
        shown = "intervals are wide" if seeds >= FEWEST_SEEDS else "that is too few for the interval of a worst case"
        drop = f"{detectable_drop(seeds):.1f} standard deviations"
        limit = f"{shown}, and only differences above about {drop} can be detected"
    message = (
        f"Every result here comes from {seeds} {'repetition' if seeds == 1 else 'repetitions'} (seeds): {limit}. "
        "Use at least 5 seeds, better 10."
    )
    yield make_remark("FEW_SEEDS", "warning", message, world=world["world"])


def _split(world: ScoredWorldReport) -> Iterator[Remark]:
    """Defenses for which, at some f, seeds fall apart into good and bad ones under a tenth of the attacks or more."""
    if not FEWEST_SEEDS <= len(world["seeds"]) < MANY_SEEDS:
        return
    found = [
        defense["defense"]
        for defense in world["defenses"]
        if any(_falls_apart(point["attacks"].values()) for point in defense["curve"])
    ]
    if found:
        message = (
            f"With {', '.join(found)} the seeds of this world fall apart: under some attacks training ends well on "
            "some seeds and badly on others. The bounds from few seeds assume values that spread around their mean. "
            "Where these jump instead, a worst case may be far from the truth although its interval is narrow. Use at "
            f"least {MANY_SEEDS} seeds."
        )
        yield make_remark("SEEDS_FALL_APART", "warning", message, world=world["world"])


def _falls_apart(cells: Iterable[ScoredCell]) -> bool:
    known = [sorted(value for value in cell["u"] if value is not None) for cell in cells if cell["U"] is not None]
    apart = sum(max(np.diff(values), default=0.0) > APART for values in known)
    return apart >= max(1.0, len(known) / 10)


def _plain_mean(worlds: Sequence[ScoredWorldReport], plain: str) -> list[Remark]:
    if any(defense["defense"] == plain for world in worlds for defense in world["defenses"]):
        return []
    message = (
        f"Plain averaging ({plain}) is not among the defenses, so it was not checked that the attacks do any harm. "
        f"A defense may look strong here only because the attacks are weak. Add {plain} to the defenses."
    )
    return [make_remark("NO_PLAIN_MEAN", "warning", message)]


def _declared(world: ScoredWorldReport, declared: Mapping[int, int]) -> Iterator[Remark]:
    for f in world["f_grid"]:
        told = declared.get(f, f)
        if told != f:
            effect = "more of them" if told < f else "fewer of them"
            message = (
                f"{f} clients are malicious, but the defenses were told {told}: each meets {effect} than it expects. "
                "These numbers show what a wrong estimate costs; no guarantee of a defense speaks of this case."
            )
            yield make_remark("F_MISMATCH", "warning", message, world=world["world"], f=f)


def _test_set(world: ScoredWorldReport) -> Iterator[Remark]:
    """Worst-attack cells whose sampling error from the finite test set exceeds the error that the seeds show."""
    hidden, total = [], 0
    tested = world.get("effective_test_size", world["test_size"])
    for defense in world["defenses"]:
        for point in defense["curve"]:
            cell = point["attacks"].get(point["worst_attack"] or "")
            # Accuracies of diverged runs are set to chance by rule: no sampling is behind them.
            if cell is None or cell["U"] is None or "diverged" in cell["status"] or len(cell["accuracy"]) < 2:
                continue
            total += 1
            accuracy = [value for value in cell["accuracy"] if value is not None]
            mean = float(np.mean(accuracy))
            noise = math.sqrt(mean * (1 - mean) / tested)
            if noise > standard_error(accuracy):
                hidden.append(noise)
    if hidden:
        message = (
            f"With {world['test_size']} test samples an accuracy is only known to about ±{max(hidden):.3f}, which is "
            f"more than the seeds differ in {len(hidden)} of {total} results. Intervals come from seeds alone, so they "
            "understate the error there. Use a larger test set."
        )
        yield make_remark("TEST_SET_NOISE", "warning", message, world=world["world"])


def _equal_suites(world: ScoredWorldReport) -> Iterator[Remark]:
    suites = {d["defense"]: {a for point in d["curve"] for a in point["attacks"]} for d in world["defenses"]}
    every = set().union(*suites.values())
    for defense, suite in suites.items():
        if missed := sorted(every - suite):
            message = (
                f"{defense} never met {', '.join(missed)}, which other defenses here had to withstand. A worst case "
                "over fewer attacks is an easier test, so its numbers are not comparable with theirs."
            )
            yield make_remark("UNEQUAL_SUITES", "warning", message, world=world["world"], defense=defense)


def _runs(places: Iterable[CurvePoint]) -> Iterator[Remark]:
    """Points of one defense that are invalid or incomplete."""
    for place in places:
        point, name = place.point, place.defense["defense"]
        if point["invalid"]:
            message = (
                f"{name} cannot be deployed against {point['f']} malicious clients: {point['invalid'].rstrip('.')}. "
                "A defense that cannot be used protects nobody, so its worst case counts as 0 here."
            )
            yield place.remark("CONFIG_INVALID", "warning", message)
        if point["incomplete"]:
            yield _incomplete(place)


def _diverged(world: ScoredWorldReport, defense: ScoredDefense) -> Iterator[Remark]:
    """One remark for each attack under which runs of one defense diverged, whatever the f."""
    lost: dict[str, dict[int, int]] = {}
    for point in defense["curve"]:
        for attack, cell in point["attacks"].items():
            if count := cell["status"].count("diverged"):
                lost.setdefault(attack, {})[point["f"]] = count
    name = defense["defense"]
    for attack, counts in lost.items():
        message = (
            f"Training blew up (values that are not numbers) in {counted(sum(counts.values()), 'run')} of {name} "
            f"under {attack} (f = {', '.join(map(str, counts))}). Such a model is useless, so these runs count as "
            "guessing."
        )
        f = next(iter(counts)) if len(counts) == 1 else None
        yield make_remark("DIVERGED", "warning", message, world=world["world"], defense=name, attack=attack, f=f)


def _never_acting(world: ScoredWorldReport, evidence: Evidence) -> Iterator[Remark]:
    """One remark for all attacks that begin after the last round, whatever the defense."""
    points = [point for defense in world["defenses"] for point in defense["curve"]]
    idle = [attack for attack in _listed_attacks(points) if not evidence.acts(world["world"], attack)]
    if idle:
        message = (
            f"The training has {counted(evidence.rounds[world['world']], 'round')}, and {listed(idle)} would begin "
            "after the last one. Nobody attacks in these cells: they prove nothing about any defense, and count for "
            "no status. Train longer, or let the attack begin earlier (`start_round`)."
        )
        only = idle[0] if len(idle) == 1 else None
        yield make_remark("NEVER_ACTS", "warning", message, world=world["world"], attack=only)


def _unattacked(world: ScoredWorldReport, defense: ScoredDefense, evidence: Evidence) -> Iterator[Remark]:
    """A defense that no attack of the suite acts against, although some clients are malicious."""
    points, name = [point for point in defense["curve"] if point["f"] > 0], defense["defense"]
    attacks = _listed_attacks(points)
    fitting = [attack for attack in attacks if any(_fits(point, attack) for point in points)]
    if not points or any(evidence.acts(world["world"], attack) for attack in fitting):
        return
    if not attacks:
        why = f"The suite has malicious clients and no attack, so nobody attacks {name}."
    elif not fitting:
        why = (
            f"No attack of the suite can be played against {name}: all are made for other messages than its clients "
            "send."
        )
    else:
        why = f"All attacks of the suite that can be played against {name} would begin after the last round."
    message = f"{why} Its numbers only say how it does when nobody attacks. Add attacks that fit it."
    yield make_remark("NOT_ATTACKED", "error", message, world=world["world"], defense=name)


def _fits(point: ScoredPoint, attack: str) -> bool:
    """Whether an attack can be played at a point."""
    cell = point["attacks"].get(attack)
    return cell is not None and set(cell["status"]) != {NOT_APPLICABLE}


def _listed_attacks(points: Sequence[ScoredPoint]) -> list[str]:
    """The attacks at all of these points, each once."""
    return list(dict.fromkeys(attack for point in points for attack in point["attacks"] if attack != NO_ATTACK))


def _incomplete(place: CurvePoint) -> Remark:
    point, attacks = place.point, place.point["incomplete"]
    cells = [point["attacks"][attack] for attack in attacks]
    lost = sum(cell["status"].count(status) for cell in cells for status in _UNRUN)
    shown = "there is no value at all" if point["W"] is None else "the value shown can only be too good"
    message = (
        f"{counted(lost, 'run')} of {place.defense['defense']} with {point['f']} malicious clients failed or "
        f"{'is' if lost == 1 else 'are'} missing (attack: {', '.join(attacks)}). The worst of all attacks is not known "
        f"without {'it' if lost == 1 else 'them'}: {shown}, and no "
        f"resilience is given.{_reason(cells)} Run again to fill the gap."
    )
    return place.remark("INCOMPLETE", "error", message, attacks[0] if len(attacks) == 1 else None)


def _reason(cells: Iterable[ScoredCell]) -> str:
    """A sentence with the first reason that a cell gives, after a space; empty where none gives any."""
    texts = (text.strip().splitlines()[0].rstrip(".") for cell in cells for text in cell["reasons"] if text.strip())
    return next((f" First reason: {text}." for text in texts), "")


def _upper_bound(worlds: Sequence[ScoredWorldReport], knowledge: Mapping[str, Sequence[str]]) -> list[Remark]:
    informed: dict[str, bool] = {}
    for world in worlds:
        for defense in world["defenses"]:
            met = {a for point in defense["curve"] for a, cell in point["attacks"].items() if cell["U"] is not None}
            seen = any(knows_defense(attack, knowledge) for attack in met)
            informed[defense["defense"]] = informed.get(defense["defense"], False) or seen
    untested: list[str | None] = [defense for defense, seen in informed.items() if not seen]
    if informed and len(untested) == len(informed):
        untested = [None]
    return [
        make_remark(
            "UPPER_BOUND",
            "warning",
            f"No attack {f'on {defense} ' if defense else ''}knew which defense it was up against. A real attacker may "
            "know, and can then craft messages that slip past exactly this defense. Read these numbers as 'at most "
            "this good': the true resilience may be much lower. Add white-box attacks, which know the defense.",
            defense=defense,
        )
        for defense in untested
    ]
