"""The headline of a scored suite: the sentences that the terminal and every report begin with.

They name what the first defense of the table keeps with the largest share of malicious clients: the number, its
interval, the attack, how many attacks were met, and what the attackers knew. They name a winner only where the results
bear that: not where ranks are tied or were never tested, where a check failed or an error stands, or where the attacks
do no harm to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.axes import TargetedCell
from robustfl.evaluation.results.summaries import RankRow, ScoredPoint, ScoredWorldReport, Scores, Summary
from robustfl.evaluation.score.levels import LEVELS, WORDS, Level
from robustfl.evaluation.score.peers import contestants, served
from robustfl.evaluation.trust.remarks import attacked
from robustfl.evaluation.trust.status import SUSPECT
from robustfl.wording import counted, listed

NAMED = 5
"""The largest number of names in a sentence; the others are only counted."""

HARMLESS = "SCENARIO_NOT_ATTACKABLE"
"""The remark that the attacks do no harm even to the plain rule."""


def headline(summary: Summary) -> str:
    """Whether a defense can be called the best, and what the first one of the table keeps, in a few sentences."""
    scores = summary["scores"]
    rows = contestants(scores)
    scored = [row for row in rows if row["R_mean"] is not None]
    if not scored and not attacked(scores["worlds"]):
        return "Nobody attacks here, so no defense is scored. The claims and the tables say what was measured."
    if not scored:
        return "No defense could be scored: trials are missing or failed. The remarks say which."
    best = scored[0]
    doubt = _doubt(scores, scored, len(summary["suite"]["seeds"]))
    if doubt:
        return f"{doubt} {_kept(summary, best)}"
    ranked = [row["rank"] is not None for row in rows]
    among = "" if all(ranked) else f"Of the {counted(sum(ranked), 'defense')} that could be ranked, "
    return f"{among}{best['defense']} holds up best. {_kept(summary, best)}"


def _doubt(scores: Scores, scored: Sequence[RankRow], seeds: int) -> str:
    """Why no defense is called the best; empty where one is."""
    best, flags = scored[0], scores["flags"]
    errors = list(dict.fromkeys(flag["code"] for flag in flags if flag["level"] == "error"))
    harmless = [flag["world"] for flag in flags if flag["code"] == HARMLESS]
    tied = [row["defense"] for row in scored if row.get("tied")]
    plain = scores["settings"].get("plain")
    if harmless:
        where = "" if len(scores["worlds"]) == 1 else f" in {counted(len(set(harmless)), 'world')}"
        return f"No defense is called the best: the attacks do too little harm{where} to tell which one holds."
    if errors:
        return f"No defense is called the best while errors stand ({', '.join(errors)}), which the remarks explain."
    if best["rank"] is None:
        return "No defense met everything that an evaluation needs, or a check failed, so none is ranked."
    if best.get("status") == SUSPECT:
        return f"No defense is called the best: a check of the evaluation failed for {best['defense']}, the first one."
    if best["defense"] == plain and len(scored) > 1:
        return f"No defense is better than plain averaging ({plain})."
    if _below_alone(scores, best):
        return f"No defense is called the best: peers with {best['defense']}, the first one, end below peers alone."
    if seeds == 1 and len(scored) > 1:
        return "No defense is called the best: with one seed no difference can be told from chance."
    if tied:
        some = tied if len(tied) <= NAMED + 1 else [*tied[:NAMED], counted(len(tied) - NAMED, "other")]
        names = listed([best["defense"], *some])
        return f"No defense is called the best: {names} cannot be told apart with {counted(seeds, 'seed')}."
    return "" if len(scored) > 1 else f"{best['defense']} is the only defense with a number."


def _kept(summary: Summary, row: RankRow) -> str:
    """What a defense keeps with the largest share of malicious clients, in its weakest world."""
    scores, name = summary["scores"], row["defense"]
    label = row.get("world")
    world = next((world for world in scores["worlds"] if label in (None, world["world"])), None)
    point = None if world is None else _last(world, name)
    if world is None or point is None or point["W"] is None:
        return f"{name} keeps {row['R_mean'] or 0.0:.2f} of what attack-free training gains."
    share = f"{point['f']} of {world['clients']} clients malicious"
    place = f" in its weakest world, “{world['world']}”" if len(scores["worlds"]) > 1 else ""
    if point["invalid"] is not None:
        return f"With {share} {name} cannot be used{place}, so it keeps nothing. {point['invalid']}"
    what = "of what attack-free training gains"
    if scores["settings"].get("aims_first"):
        what = "of the main task and of the samples aimed at, whichever is less"
    spread = _spread(point, len(world["seeds"]))
    known = f"With {share} {name} keeps {point['W']:.2f} {what}{place} ({spread}), {_against(point)}."
    aim = _aim(summary, world["world"], name, point)
    return " ".join([known, *_weaker(point), *aim, *_beside_alone(scores, world, row), *_mean(scores, row)])


def _beside_alone(scores: Scores, world: ScoredWorldReport, row: RankRow) -> list[str]:
    """The accuracies of peers behind that number, and what peers reach without any network."""
    own, peers = served(scores, row), world.get("peers")
    if own is None or peers is None:
        return []
    numbers = own["mean"], own["worst"], peers["alone"]["mean"], peers["alone"]["worst"]
    if None in numbers:
        return []
    there, worst, alone, least = (f"{value:.2f}" for value in numbers)
    return [f"Its peers then reach {there} in the mean and {worst} at worst; alone they reach {alone} and {least}."]


def _below_alone(scores: Scores, row: RankRow) -> bool:
    """Whether both the mean and the worst of the peers end below what peers reach alone."""
    own = served(scores, row)
    world = next((world for world in scores["worlds"] if row.get("world") in (None, world["world"])), None)
    peers = None if world is None else world.get("peers")
    if own is None or peers is None:
        return False
    if own["diverged"]:
        return True
    pairs = (own["mean"], peers["alone"]["mean"]), (own["worst"], peers["alone"]["worst"])
    return all(mine is not None and alone is not None and mine < alone for mine, alone in pairs)


def _mean(scores: Scores, row: RankRow) -> list[str]:
    """The resilience over several worlds, or over several attacked shares."""
    worlds = len(scores["worlds"])
    several = worlds > 1 or any(len([f for f in world["f_grid"] if f > 0]) > 1 for world in scores["worlds"])
    if not several or row["R_mean"] is None:
        return []
    pair = row["R_ci"]
    spread = "" if pair is None else f" (95% interval {pair[0]:.2f} to {pair[1]:.2f})"
    over = f" and {worlds} worlds" if worlds > 1 else ""
    return [f"Its resilience, the mean over the attacked shares{over}, is {row['R_mean']:.2f}{spread}."]


def _last(world: ScoredWorldReport, name: str) -> ScoredPoint | None:
    """The point of a defense with the most malicious clients."""
    curve = next((own["curve"] for own in world["defenses"] if own["defense"] == name), [])
    return max(curve, key=lambda point: point["f"], default=None)


def _spread(point: ScoredPoint, seeds: int) -> str:
    if point["W_ci"] is None:
        return f"{counted(seeds, 'seed')}: too few for an interval"
    return f"95% interval {point['W_ci'][0]:.2f} to {point['W_ci'][1]:.2f}"


def _against(point: ScoredPoint) -> str:
    """Under which attack of how many, and what the attackers knew."""
    met = [attack for attack, cell in point["attacks"].items() if attack != NO_ATTACK and cell["U"] is not None]
    known = _highest(point)
    whose = f" by attackers who know {WORDS[known]}" if known is not None else ""
    many = counted(len(met), "attack")
    if point["worst_attack"] == NO_ATTACK:
        return f"which is what it keeps without any attack: {many}{whose} did no more harm"
    return f"under {point['worst_attack']}, the strongest of {many}{whose}"


def _counts(point: ScoredPoint) -> dict[Level, int]:
    """The number of attacks within each level of knowledge."""
    found = point.get("levels") or {}
    return {level: own["attacks"] if (own := found.get(level)) else 0 for level in LEVELS}


def _highest(point: ScoredPoint) -> Level | None:
    """The highest level of knowledge that has an attack of its own."""
    counts, below, highest = _counts(point), 0, None
    for level in LEVELS:
        highest, below = (level, counts[level]) if counts[level] > below else (highest, below)
    return highest


def _weaker(point: ScoredPoint) -> list[str]:
    """What is kept against attackers who know less, where that was tried."""
    highest, found = _highest(point), point.get("levels") or {}
    below = LEVELS[: LEVELS.index(highest)] if highest is not None else ()
    told = [f"{own['W']:.2f} against those who know {WORDS[level]}" for level in below if (own := found.get(level))]
    return [f"It keeps {listed(told)}."] if told else []


def _aim(summary: Summary, label: str, name: str, point: ScoredPoint) -> list[str]:
    """How often the attack succeeds beside the accuracy, if it has an aim and the suite is about aims."""
    if not summary["scores"]["settings"].get("aims_first"):
        return []
    cell = _targeted(summary, label, name, point)
    if cell is None or cell["success"] is None or cell["accuracy"] is None:
        return []
    natural = "" if cell["natural"] is None else f" ({cell['natural']:.2f} without it)"
    return [
        f"The attack succeeds on {cell['success']:.2f} of its samples{natural}; accuracy is {cell['accuracy']:.2f}."
    ]


def _targeted(summary: Summary, label: str, name: str, point: ScoredPoint) -> TargetedCell | None:
    """What was measured of the aim of the worst attack at a point."""
    cells = (
        cell
        for world in summary.get("targeted", ())
        if world["world"] == label
        for own in world["defenses"]
        if own["defense"] == name
        for cell in own["attacks"]
    )
    return next((cell for cell in cells if (cell["attack"], cell["f"]) == (point["worst_attack"], point["f"])), None)
