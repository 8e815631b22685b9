"""How hard each defense was tested: statuses, what speaks against a better one, and the pages behind the words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robustfl.errors import UnknownNameError
from robustfl.evaluation.trust import explain as explaining
from robustfl.wording import counted

from .wording import MISSING


def place(row: Mapping[str, Any]) -> str:
    """The rank of a row of the ranking, a dash for what is shown without one."""
    return MISSING if row["rank"] is None or row["R_mean"] is None else str(row["rank"])


def standard_line(summary: Mapping[str, Any]) -> str:
    """Which frozen attacks the defenses met, with the hash by which scores compare; empty where there are none."""
    frozen = summary["suite"].get("standard")
    if not frozen:
        return ""
    rows = summary["scores"]["ranking"]
    left = sum(row["rank"] is None for row in rows)
    unranked = f"; {counted(left, 'defense')} of {len(rows)} without it {'stands' if left == 1 else 'stand'} below"
    return (
        f"Attacks: {frozen['name']}, hash {frozen['hash']}. Scores compare only where this hash is the same. Only "
        f"defenses with the status ADAPTIVE are ranked{unranked if left else ''}."
    )


def statuses(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Defense, status and reasons, in the order of the ranking; empty for results without statuses."""
    return [
        {"defense": row["defense"], "status": row["status"], "why": "; ".join(row.get("why", []))}
        for row in summary["scores"]["ranking"]
        if "status" in row
    ]


def page_of(code: str) -> explaining.Page | None:
    """The page behind a status or the code of a remark; None for a code of another version."""
    try:
        return explaining.page(code)
    except UnknownNameError:
        return None
