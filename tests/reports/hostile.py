"""Results whose every text tries to break out of the report that shows it."""

from __future__ import annotations

from typing import Any

from robustfl.evaluation.results.reporting import RunResults
from tests.reports.synthetic import run

SCRIPT = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'`|{{ 7*7 }}"


def hostile(text: str = SCRIPT) -> RunResults:
    """A small run where `text` is added to each string and each key that is a label."""
    results = run(worlds=("w",), defenses=4, attacks=6, f_grid=(0, 3, 7), seeds=(0, 1))
    return RunResults(summary=_poisoned(results.summary, text), records=_poisoned(results.records, text))


def _poisoned(value: Any, text: str, key: str = "") -> Any:
    if isinstance(value, dict):
        labelled = key in ("attacks", "defenses", "histograms", "provenance")
        return {(k + text if labelled else k): _poisoned(item, text, k) for k, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_poisoned(item, text, "" if isinstance(item, dict) else key) for item in value)
    fixed = key in ("status", "verdict", "level") or value == ""
    return value + text if isinstance(value, str) and not fixed else value
