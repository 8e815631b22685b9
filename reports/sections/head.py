"""The part above the sections: the answer of a run in a few sentences, its size, and the facts of a world."""

from __future__ import annotations

from collections.abc import Sequence

from robustfl.evaluation.labels import ACCURACIES, PLAIN_ACCURACY
from robustfl.evaluation.score.headline import headline
from robustfl.wording import counted

from .content import Content, Detailed, Facts, Note, Run, Strong, Values, World
from .content.wording import fails, named, number, seconds


def of_run(run: Run) -> tuple[tuple[str, str], ...]:
    """The size of a run, as names and values."""
    trials = run.summary["trials"]
    worlds, seeds = len(run.worlds), len(run.seeds)
    broken = "".join(f", {trials[name]} {name}" for name in ("failed", "diverged") if trials[name])
    return (
        ("defenses", str(len({own["defense"] for world in run.worlds for own in world.defenses}))),
        ("attacks", str(len(run.attacks))),
        ("world" if worlds == 1 else "worlds", str(worlds)),
        ("seed" if seeds == 1 else "seeds", str(seeds)),
        (f"trials{broken}", str(trials["total"])),
        ("run time", seconds(run.summary["time"]["elapsed_s"])),
    )


def of_world(world: World) -> Content:
    """The heading of a world, with its facts."""
    scored = world.scored
    accuracy = ACCURACIES[world.run.scores["settings"].get("accuracy", PLAIN_ACCURACY)]
    facts = Facts(
        entries=(
            ("clients", str(world.clients)),
            (f"{accuracy} without attack", number(scored["baseline"]["mean"], 3)),
            (f"{accuracy} of guessing", number(scored["chance"], 3)),
            ("test samples", str(scored["test_size"])),
            ("seeds", str(len(scored["seeds"]))),
        ),
        large=True,
    )
    warning = (
        Strong("This world says nothing."),
        " Even without an attack the model hardly learns more than guessing, so there is nothing to lose.",
    )
    silent = () if scored["informative"] else (Note(line=warning, tone="plain"),)
    return Content(title=world.label, label=world.short, blocks=(Detailed(full=(facts,)), *silent))


def answer(run: Run) -> list[str]:
    """The result of a suite in a few plain sentences; the first are the headline, which the terminal shows, too."""
    scored = [row for row in run.ranking if row["R_mean"] is not None]
    ranked = [row for row in scored if row["rank"] is not None]
    survivals = _survivals(run, ranked[0]["defense"]) if ranked else []
    return [headline(run.results.summary), *survivals, *(_plain(run) if scored else [])]


def _survivals(run: Run, name: str) -> list[str]:
    """How many malicious clients a defense survives: in each of one or two worlds, else in the weakest one alone."""
    if len(run.worlds) < 3:
        return [_survival(world, name) for world in run.worlds]
    known = [
        (own["breakdown"]["f"] / world.clients, world)
        for world in run.worlds
        for own in world.defenses
        if own["defense"] == name and own["breakdown"] is not None
    ]
    if len(known) < len(run.worlds):
        return []
    weakest, world = min(known, key=lambda pair: pair[0])
    better = sum(share > weakest for share, _ in known)
    others = f"in {better} of {len(known)} worlds" if better else ""
    return [_survival(world, name), *([f"It survives more {others}."] if others else [])]


def _survival(world: World, name: str) -> str:
    """How many malicious clients a defense survives in a world, and what happens beyond."""
    own = next((d for d in world.defenses if d["defense"] == name), None)
    place = f"In “{world.label}” {name}"
    if own is None or own["breakdown"] is None:
        return f"In “{world.label}” it is not known how many malicious clients {name} survives."
    found = own["breakdown"]
    if fails(found):
        least = min(world.grid, default=0)
        without = (
            "even without malicious clients" if least == 0 else f"with {least} already, the fewest that were tested"
        )
        return f"{place} stays below {number(world.run.limit)} {without}."
    survives = f"{place} survives {counted(found['f'], 'malicious client')} of {world.clients}"
    if found["verdict"] == "at_least":
        return f"{survives}, the most that were tested."
    return f"{survives}{_breaking([p for p in own['curve'] if p['f'] > found['f'] and p['W'] is not None])}."


def _breaking(later: Sequence[Values]) -> str:
    """What happens at the first tested number of malicious clients that the defense does not survive."""
    if not later:
        return ""
    point = later[0]
    if point["invalid"] is not None or point["worst_attack"] is None:
        return f"; with {point['f']} it cannot be used"
    if point["worst_attack"] == "none":
        return f"; tuned for {point['f']}, it is at {number(point['W'])} even when nobody attacks"
    return f"; with {point['f']}, {point['worst_attack']} brings it down to {number(point['W'])}"


def _plain(run: Run) -> list[str]:
    """What undefended averaging would have done, which is the reason to defend at all."""
    label = run.scores["settings"].get("plain", "Mean")
    tried = [
        (point["f"], point["W"], point["worst_attack"], world.clients)
        for world in run.worlds
        for own in world.defenses
        if own["defense"] == label
        for point in own["curve"]
        if point["f"] > 0 and point["W"] is not None and point["worst_attack"] is not None
    ]
    if not tried:
        return []
    broken = [low for low in tried if low[1] < run.limit]
    f, value, attack, clients = min(broken) if broken else max(tried)
    verb = "falls to" if broken else "still keeps"
    share = f"{counted(f, 'malicious client')} of {clients}"
    return [f"Plain averaging ({label}) {verb} {number(value)} with {share}, under {named(attack)}."]
