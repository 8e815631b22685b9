"""What robustness costs where nobody attacks, and who was caught, as plain values for two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .wording import MISSING, interval, listed, named, number

COSTS_NOTE = (
    "The same training without malicious clients, beside plain averaging on the same seeds: what it loses of the "
    "utility (a minus sign is a gain), and the accuracy on its worst class and for its worst client. The accuracy of a "
    "client is that on test samples with its own mix of classes. A message is ignored when it has less than a tenth of "
    "an equal share of the weights; a client is unheard when that holds for its messages over the whole training."
)
CAUGHT_NOTE = (
    "Precision: share of malicious messages among the ignored, where any were. Recall: share of the malicious "
    "messages that was ignored. AUC: how often a malicious message had less weight than an honest one, 0.5 by chance. "
    "First the means over the attacks, then the attack with the lowest AUC."
)

_DETECTED = ("detection_precision", "detection_recall", "detection_auc")


def side_effects_view(summary: Mapping[str, Any], world: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """The rows of both tables in the order of the ranking; none where the run did not measure it."""
    found = next((own for own in summary.get("side_effects", ()) if own["world"] == world["world"]), None)
    defenses = [] if found is None else sorted(found["defenses"], key=lambda own: _place(own["defense"], order))
    costs = [row for own in defenses for row in _costs(own, world["f_grid"])]
    caught = [_caught(own) for own in defenses if own["caught"] is not None]
    return {
        "costs": costs if any(row["worst_class"] != MISSING for row in costs) else [],
        "costs_note": COSTS_NOTE,
        "caught": caught if any(not row["nothing"] for row in caught) else [],
        "caught_note": CAUGHT_NOTE,
        "f": listed(sorted({str(own["caught"]["f"]) for own in defenses if own["caught"] is not None})),
    }


def _costs(own: Mapping[str, Any], grid: Sequence[int]) -> list[dict[str, Any]]:
    """Told the fewest and told the most malicious clients; one row where that is the same."""
    told = own["undisturbed"]
    shown = [told[0], told[-1]] if len(told) > 1 else told
    return [
        {
            "defense": own["defense"],
            "rows": len(shown) if way is shown[0] else 0,  # that the name stands for
            "f": "any" if len(way["f"]) == len(grid) else listed([str(f) for f in way["f"]]),
            "lost": _mean(way["utility_lost"], 2),
            "interval": interval(way["utility_lost"]["ci"]) if (way["utility_lost"] or {}).get("ci") else "",
            "worst_class": number(way["worst_class"], 3),
            "class_lost": _mean(way["worst_class_lost"], 3),
            "class_change": _change(way["worst_class_lost"]),
            "worst_client": number(way["worst_client"], 3),
            "client_lost": _mean(way["worst_client_lost"], 3),
            "client_change": _change(way["worst_client_lost"]),
            "ignored": percent(way["honest_ignored"]),
            "unheard": percent(way["honest_unheard"]),
        }
        for way in shown
    ]


def _caught(own: Mapping[str, Any]) -> dict[str, Any]:
    """Means and the hardest attack, or in words why there is nothing to show."""
    caught = own["caught"]
    attacks, hardest = caught["attacks"], caught["hardest"]
    known = [attack for attack, found in attacks.items() if found["detection_auc"] is not None]
    nothing = "" if attacks else "not played with so many"
    if attacks and len(known) < len(attacks) and all(way["honest_ignored"] is None for way in own["undisturbed"]):
        refused = f", under {listed(known)}" if len(known) in (1, 2) else f", under {len(known)} attacks"
        nothing = f"has no weights; ignores only what it refuses{refused if known else ': nothing here'}"
    return {
        "defense": own["defense"],
        "nothing": nothing,
        "mean": [number(caught["mean"][name]) for name in _DETECTED],
        "ignored": percent(caught["mean"]["honest_ignored"]),
        "least": [number(attacks[hardest][name] if hardest in attacks else None) for name in _DETECTED],
        "under": "" if hardest is None else named(hardest),
    }


def percent(share: float | None) -> str:
    """`0.934` -> `93 %`; what is neither nothing nor all does not look so."""
    if share is None:
        return MISSING
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


def _mean(estimate: Mapping[str, Any] | None, digits: int) -> str:
    return number(None if estimate is None else estimate["mean"], digits)


def _change(lost: Mapping[str, Any] | None) -> str:
    """`0.187 lost`, `0.005 gained` or `the same`, beside plain averaging."""
    if lost is None:
        return ""
    size = number(abs(lost["mean"]), 3)
    return "the same" if float(size) == 0 else f"{size} {'lost' if lost['mean'] > 0 else 'gained'}"


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
