"""Where the decisions about clients are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustfl.wording import counted


def ledger_rows(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """A line for the facts of a run, if any of its trials has a ledger."""
    told = [record["ledger"]["entries"] for record in records if record.get("ledger")]
    if not told:
        return []
    where = "in the folder ledgers beside this page, one file a trial; robustfl verify, with the folder of the run, "
    return [("ledgers", f"{counted(len(told), 'ledger')} with {sum(told)} entries {where}checks them")]
