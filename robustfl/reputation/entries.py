"""One line of a ledger: an entry, its hash and the hash of the entry before, as canonical JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from robustfl.errors import ParameterError
from robustfl.reputation.decisions import Decision
from robustfl.reputation.encoding import canonical, chained, decimal, digest, named

SCHEMA = 1
LONGEST_LINE = 1 << 16
"""Largest number of bytes in a line; a longer one is refused when it would be written, and unreadable when found."""

_HASH = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("action", "client", "client_type", "evidence_hash", "rule", "score")
_NUMBERS = ("round", "schema")
_OPTIONAL = ("by", "by_type", "timestamp")


@dataclass(frozen=True)
class LedgerEntry:
    """An entry of a ledger, with its hash and the hash of the entry before it."""

    entry: dict[str, Any]
    hash: str
    previous: str

    @cached_property
    def recomputed(self) -> str:
        """The hash that the entry should have after the entry that it names as its predecessor."""
        return self.after(self.previous)

    def after(self, previous: str) -> str:
        """The hash that the entry should have after an entry with the hash `previous`."""
        return chained(previous, self.entry)

    @cached_property
    def evidence_altered(self) -> bool:
        return bool(digest(self.entry["evidence"]) != self.entry["evidence_hash"])

    def spelled(self) -> bytes:
        """The line as it is written."""
        return canonical({"entry": self.entry, "hash": self.hash, "previous": self.previous}) + b"\n"


def parse(text: bytes) -> LedgerEntry | None:
    """A line as an entry, or None when it is not exactly what :meth:`LedgerEntry.spelled` writes."""
    try:
        outer = json.loads(text)
        line = LedgerEntry(outer["entry"], outer["hash"], outer["previous"])
        well_formed = _is_entry(line.entry) and all(_HASH.fullmatch(found) for found in (line.hash, line.previous))
        return line if well_formed and line.spelled() == text.rstrip(b"\n") + b"\n" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def entry_of(round_: int, decision: Decision, rule: Any, timestamp: str | None) -> dict[str, Any]:
    """A decision as an entry, which holds only texts and whole numbers.

    Raises
    ------
    ParameterError : a round that is no count, a score or evidence that is no finite number, or a wrong type
    """
    if isinstance(round_, bool) or not isinstance(round_, int) or not 0 <= round_ < 1 << 63:
        raise ParameterError(f"`round` should be a whole number and satisfy 0 <= round < 2^63. Found {round_!r}.")
    if timestamp is not None and not isinstance(timestamp, str):
        raise ParameterError(f"`timestamp` should be a text, such as time.isoformat(). Found {timestamp!r}.")
    client, kind = named(decision.client)
    evidence = _spelled_evidence(decision.evidence)
    entry = {
        "schema": SCHEMA,
        "round": round_,
        "client": client,
        "client_type": kind,
        "action": str(decision.action),
        "score": decimal(decision.score, "score"),
        "rule": rule if isinstance(rule, str) else repr(rule),
        "evidence": evidence,
        "evidence_hash": digest(evidence),
    }
    if decision.by is not None:
        entry["by"], entry["by_type"] = named(decision.by)
    return entry if timestamp is None else {**entry, "timestamp": timestamp}


def _spelled_evidence(evidence: Mapping[str, Any]) -> dict[str, str]:
    spelled = {}
    for name, value in evidence.items():
        if not isinstance(name, str):
            raise ParameterError(f"`evidence` should have texts as names. Found {name!r}.")
        number = hasattr(value, "__float__") and not isinstance(value, bool)
        spelled[name] = decimal(value, f"evidence[{name!r}]") if number else named(value)[0]
    return spelled


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) - set(_OPTIONAL) != {*_TEXTS, *_NUMBERS, "evidence"}:
        return False
    if ("by" in entry) != ("by_type" in entry):
        return False
    texts = all(isinstance(entry[key], str) for key in (*_TEXTS, *(key for key in _OPTIONAL if key in entry)))
    counts = all(type(entry[key]) is int and entry[key] >= 0 for key in _NUMBERS)
    evidence = entry["evidence"]
    return texts and counts and isinstance(evidence, dict) and all(isinstance(v, str) for v in evidence.values())
