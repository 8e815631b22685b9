"""The tables and lists of the guide to privacy claims, made from what the machine computes with."""

from __future__ import annotations

from typing import Literal

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.privacy.account import OBSERVERS, Sight, seen_by
from robustfl.privacy.compatibility import CELLS, CODES, COLUMNS, MECHANISMS, Place

NOISE: dict[Place, tuple[Literal["server", "clients", "shares"], Literal["client", "example"]]] = {
    "server": ("server", "client"),
    "steps": ("clients", "example"),
    "clients": ("clients", "client"),
    "shares": ("shares", "client"),
}
"""For each place of the noise what `seen_by` asks: who adds it, and whose privacy it is."""

WORDS = {
    Sight.RAW: "no",
    Sight.NOISED: "yes",
    Sight.NOISED_AND_WHO: "yes, without sampling",
}

RULES = {
    "mean": "mean",
    "norm_bound": "norm_bound(radius=1.0)",
    "trimmed_mean": "trimmed_mean(f=10)",
    "centered_clipping with a number as radius": "centered_clipping(radius=0.1)",
    "cge": "cge(f=10)",
    "monna": "monna(f=10)",
    "nnm, mean": "nnm(f=10) >> mean",
    "nnm, trimmed_mean": "nnm(f=10) >> trimmed_mean(f=10)",
    "bucketing, mean": "bucketing(size=2) >> mean",
    "bucketing, trimmed_mean": "bucketing(size=2) >> trimmed_mean(f=10)",
    "arc, mean": "arc(f=10) >> mean",
    "clipping with a number as radius, trimmed_mean": "clipping(radius=1.0) >> trimmed_mean(f=10)",
}
"""The combinations that the guide lists, and how they are built for its example."""
ROWS, CLIP = 100, 1.0


def observers() -> list[str]:
    """The table of who is protected against whom."""
    lines = [
        "| observer | " + " | ".join(MECHANISMS.values()) + " |",
        "|---|" + "---|" * len(MECHANISMS),
    ]
    sights = [seen_by(*NOISE[place]) for place in MECHANISMS]
    for observer in OBSERVERS:
        lines.append(f"| {observer} | " + " | ".join(WORDS[sight[observer]] for sight in sights) + " |")
    return lines


def combinations(place: Place) -> list[str]:
    """One line for each column of the table of compatibility."""
    lines = []
    for column, words in COLUMNS.items():
        if column != "always":
            told = [f"{verdict(code)} `{code}` {CODES[code].when}".rstrip() for code in CELLS[place][column]]
            lines.append(f"- {words}: {'; '.join(told) or 'holds'}")
    return lines


def verdict(code: str) -> str:
    """What a code does to a claim."""
    level = str(CODES[code].level)
    return "holds, note" if level == "note" else level


def always() -> list[str]:
    """What may void a claim whatever else, with the mechanisms that it concerns."""
    lines = []
    for code in dict.fromkeys(code for row in CELLS.values() for code in row["always"]):
        names = [MECHANISMS[place] for place, row in CELLS.items() if code in row["always"]]
        who = "all" if len(names) == len(MECHANISMS) else ", ".join(names)
        lines.append(f"- {verdict(code)} `{code}` {CODES[code].when} ({who})")
    return lines


def sensitivities() -> list[str]:
    """The table of rules that have a sensitivity, with an example."""
    lines = ["| rule | sensitivity | for n=100, f=10, clip=1 |", "|---|---|---|"]
    for shown, spec in RULES.items():
        rule = registry.build("defense", spec)
        assert isinstance(rule, Aggregator)
        found = rule.sensitivity_bound(ROWS, CLIP)
        lines.append(f"| {shown} | {found.formula} | {found.value:.4f} |")
    return lines


def reasons() -> list[str]:
    """The rules of dense updates that have none, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for name, cls in registry.find("defense").items():
        if not issubclass(cls, Aggregator):
            continue
        found = registry.sensitivity(cls, ROWS, CLIP)
        if found["value"] is None:
            by_reason.setdefault(found["reason"].partition(": ")[2], []).append(name)
    return [f"- {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
