"""The claims of papers beside what was measured, in the words that all reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustfl.wording import decimals

from .wording import MISSING, listed, number


def claim_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every claim as texts: what it says, where, what is expected, what was measured, and the verdict."""
    return [_row(claim) for claim in summary.get("claims", [])]


def verdict_counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many claims met with which verdict: `2 confirmed and 1 not decided`."""
    verdicts = [row["verdict"] for row in rows]
    return listed([f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)])


def _row(claim: Mapping[str, Any]) -> dict[str, Any]:
    value, pair, difference = claim["value"], claim["ci"], claim["difference"]
    digits = decimals([value, *(pair or [])])
    spread = "" if pair is None or pair[0] == pair[1] else f"{number(pair[0], digits)} to {number(pair[1], digits)}"
    shown = f"measured {number(value, digits)}{f' ({spread})' if spread else ''}" if value is not None else "no value"
    return {
        **{key: claim[key] for key in ("text", "source", "measure", "expect", "verdict", "reason")},
        "value": number(value, digits),
        "interval": spread or MISSING,
        "difference": MISSING if difference is None else _side(difference),
        "outcome": f"expected {claim['expect']}; {shown}{'' if difference is None else f', {_side(difference)}'}",
        "parts": [(text, number(part, decimals([part]))) for text, part in claim["parts"].items()],
    }


def _side(difference: float) -> str:
    """On which side of the nearest limit the value lies, and how far from it."""
    return f"{number(abs(difference), decimals([difference]))} {'inside' if difference >= 0 else 'outside'}"
