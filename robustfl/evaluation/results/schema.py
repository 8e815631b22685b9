"""The shapes of a run's results, as their types declare them."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.results.records import LedgerHead, Record
from robustfl.evaluation.results.shapes import shape_of
from robustfl.evaluation.results.summaries import Summary

SUMMARY: dict[str, Any] = shape_of(Summary)
"""The shape that ``summary.json`` must have."""

RECORD: dict[str, Any] = shape_of(Record)
"""The shape that each line of ``records.jsonl`` must have."""

LEDGER: dict[str, Any] = shape_of(LedgerHead)
"""The shape of the part of a record that describes the ledger of its trial."""
