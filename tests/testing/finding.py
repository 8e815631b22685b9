"""Asking the kit for one fault."""

from __future__ import annotations

from typing import Any

from robustfl.testing import ConformanceReport, Finding, check_aggregator


def examined(rule: Any, **options: Any) -> ConformanceReport:
    return check_aggregator(rule, raise_on_violation=False, **options)


def fault(rule: Any, name: str, **options: Any) -> Finding:
    """The violation of the property `name`; every other one is left out."""
    finding = examined(rule, claims=[name], **options)[name]
    assert finding.status == "violated", finding
    return finding
