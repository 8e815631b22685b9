"""The words and number formats that all reports share: one sentence is written once.

Every function takes values as they stand in the results and copes with null: what is not known is said in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from robustfl.evaluation.results.reporting import RunResults
from robustfl.wording import counted

MISSING = "–"

NAMED = 5
"""Names that a sentence holds before it counts the rest."""

LOOKS = {
    "own": "its own data and updates",
    "history": "the models of past rounds",
    "peers": "the updates of all honest clients",
    "defense": "the defense itself (white box)",
}
"""What an attack knows, in words; an unknown word is shown as it is."""


def number(value: float | None, digits: int = 2) -> str:
    """`0.834` -> `0.83`; null -> a dash; the minus sign is a minus sign, and there is no minus zero."""
    if value is None:
        return MISSING
    rounded = round(value, digits) + 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def named(attack: str | None) -> str:
    """The label of an attack; `none` is `no attack`, null a dash."""
    return MISSING if attack is None else "no attack" if attack == "none" else attack


def hardest(row: Mapping[str, Any]) -> str:
    """What brings a defense of the ranking to its value with the most malicious clients."""
    if row["worst_attack"] is None and row["R_mean"] is not None:
        return "its precondition not met"
    return named(row["worst_attack"])


def interval(pair: Sequence[float] | None) -> str:
    """`[.78, .88]` -> `0.78 to 0.88`; null -> a dash."""
    return MISSING if pair is None else f"{number(pair[0])} to {number(pair[1])}"


def listed(names: Sequence[str]) -> str:
    """`[A, B, C]` -> `A, B and C`."""
    return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])


def pieces(label: str) -> list[str]:
    """A label cut where a line may break: before a bracket and inside camel case."""
    return re.split(r"(?<=[a-z])(?=[A-Z])|(?=\()", label)


def seconds(value: float | None) -> str:
    """A duration in the unit that fits it: `8.5 ms`, `312 ms`, `4.20 s`, `1 min 33 s`, `2 h 05 min`."""
    if value is None:
        return MISSING
    if value < 1:
        return f"{1000 * value:.{0 if value >= 0.01 else 1}f} ms"
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float | None) -> str:
    """Bytes in decimal units: `7240` -> `7.24 kB`."""
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.0f} TB"


def breakdown(found: Mapping[str, Any] | None, clients: int) -> str:
    """How many malicious clients a defense survives: `3 of 15`, `7 or more of 15`, `fails without any`."""
    if found is None:
        return "not determined"
    if _is_none(found):
        return "fails without any"
    return f"{found['f']} or more of {clients}" if found["verdict"] == "at_least" else f"{found['f']} of {clients}"


def threshold(results: RunResults) -> float:
    """The utility below which a defense counts as broken."""
    return float(results.summary["scores"]["settings"].get("threshold", 0.5))


def well_formed(text: str) -> str:
    """The text without what UTF-8 cannot hold (lone surrogates become question marks)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def answer(results: RunResults) -> list[str]:
    """The result of a suite in a few plain sentences; the first is the headline."""
    scores = results.summary["scores"]
    scored = [row for row in scores["ranking"] if row["R_mean"] is not None]
    if not scored:
        return ["No defense could be scored: trials are missing or failed. The remarks below say which."]
    best = scored[0]
    if best["rank"] is None:
        return [
            "No defense met everything that an evaluation needs, or a check failed, so none is ranked.",
            *_plain(scores, threshold(results)),
        ]
    return [
        *_headline(results, best, [row["defense"] for row in scored[1:] if row["rank"] == best["rank"]]),
        *(_survival(world, best["defense"], threshold(results)) for world in scores["worlds"]),
        *_plain(scores, threshold(results)),
    ]


def _headline(results: RunResults, best: Mapping[str, Any], equals: Sequence[str]) -> list[str]:
    worlds = results.summary["scores"]["worlds"]
    attacks = {a for w in worlds for d in w["defenses"] for p in d["curve"] for a in p["attacks"]} - {"none"}
    spread = "one seed, so no interval" if best["R_ci"] is None else f"95% interval {interval(best['R_ci'])}"
    over = f", over {len(worlds)} worlds" if len(worlds) > 1 else ""
    ranked = [row["rank"] is not None for row in results.summary["scores"]["ranking"]]
    among = "" if all(ranked) else f"Of the {counted(sum(ranked), 'defense')} that could be ranked, "
    kept = (
        f"{among}{best['defense']} holds up best: under the worst of {counted(len(attacks), 'attack')} it keeps "
        f"{number(best['R_mean'])} of the utility of attack-free training ({spread}{over})."
    )
    seeds = counted(len(results.summary["suite"]["seeds"]), "seed")
    some = equals if len(equals) <= NAMED + 1 else [*equals[:NAMED], counted(len(equals) - NAMED, "other")]
    return [kept, f"{listed(some)} cannot be told apart from it with {seeds}."] if equals else [kept]


def _survival(world: Mapping[str, Any], name: str, limit: float) -> str:
    own = next((d for d in world["defenses"] if d["defense"] == name), None)
    place = f"In “{world['world']}”"
    if own is None or own["breakdown"] is None:
        return f"{place} it is not known how many malicious clients it survives."
    found = own["breakdown"]
    if _is_none(found):
        return f"{place} it stays below {number(limit)} even without malicious clients."
    survives = f"{place} it survives {counted(found['f'], 'malicious client')} of {world['clients']}"
    if found["verdict"] == "at_least":
        return f"{survives}, the most that were tested."
    return f"{survives}{_breaking([p for p in own['curve'] if p['f'] > found['f'] and p['W'] is not None])}."


def _breaking(later: Sequence[Mapping[str, Any]]) -> str:
    """What happens at the first tested number of malicious clients beyond those that are survived."""
    if not later:
        return ""
    point = later[0]
    if point["invalid"] is not None or point["worst_attack"] is None:
        return f"; with {point['f']} it cannot be used"
    if point["worst_attack"] == "none":
        return f"; tuned for {point['f']}, it is at {number(point['W'])} even when nobody attacks"
    return f"; with {point['f']}, {point['worst_attack']} brings it down to {number(point['W'])}"


def _plain(scores: Mapping[str, Any], limit: float) -> list[str]:
    """What undefended averaging would have done, which is the reason to defend at all."""
    label = scores["settings"].get("plain", "Mean")
    tried = [
        (point["f"], point["W"], point["worst_attack"], world["clients"])
        for world in scores["worlds"]
        for own in world["defenses"]
        if own["defense"] == label
        for point in own["curve"]
        if point["f"] > 0 and point["W"] is not None and point["worst_attack"] is not None
    ]
    if not tried:
        return []
    broken = [low for low in tried if low[1] < limit]
    f, value, attack, clients = min(broken) if broken else max(tried)
    verb = "falls to" if broken else "still keeps"
    share = f"{counted(f, 'malicious client')} of {clients}"
    return [f"Plain averaging ({label}) {verb} {number(value)} with {share}, under {named(attack)}."]


def _is_none(found: Mapping[str, Any]) -> bool:
    return bool(found["verdict"] == "none" or found["f"] < 0)
