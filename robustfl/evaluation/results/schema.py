"""The shapes of a run's results, as their types declare them."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.results.records import LedgerHead, Record
from robustfl.evaluation.results.shapes import shape_of
from robustfl.evaluation.results.summaries import Summary

SUMMARY: dict[str, Any] = shape_of(Summary)
"""What the reports read of ``summary.json``."""

RECORD: dict[str, Any] = shape_of(Record)
"""What the reports read of a line of ``records.jsonl``."""

LEDGER: dict[str, Any] = shape_of(LedgerHead)
"""What a record says of the ledger of its trial."""
