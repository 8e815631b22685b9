"""Ledgers to test with, and an independent reading of the format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from robustfl.reputation import Decision, Ledger

DECISIONS = [
    Decision("anna", "weighted", 0.5, {"cosine": -0.25}),
    Decision(7, "excluded", 0, {"most_similar": "anna", "cosine": 1.0}),
    Decision("7", "readmitted", 1e-07),
    Decision("line\nbreak", "explored", 0.1, {"rounds": 3}),
]


def written(folder: Path, decisions: list[Decision] | None = None) -> tuple[Path, list[str]]:
    """A ledger with one decision a round, and its heads from before the first entry to the last."""
    path = folder / "ledger.jsonl"
    with Ledger(path) as ledger:
        heads = [ledger.head]
        for number, decision in enumerate(DECISIONS if decisions is None else decisions):
            heads.append(ledger.append(number, decision, rule="FoolsGold()"))
    return path, heads


def chain(path: Path) -> list[tuple[dict[str, Any], str]]:
    """The entries with the hashes that they ought to have, computed from the documented formula alone."""
    before, found = bytes(32), []
    for line in path.read_text(encoding="ascii").splitlines():
        entry = json.loads(line)["entry"]
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        before = hashlib.sha256(before + text.encode()).digest()
        found.append((entry, before.hex()))
    return found
