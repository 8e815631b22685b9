"""Asking the kit for one fault."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustfl.testing import ConformanceReport, Finding, check_aggregator


def examined(rule: Any, **options: Any) -> ConformanceReport:
    return check_aggregator(rule, raise_on_violation=False, **options)


def fault(rule: Any, name: str, **options: Any) -> Finding:
    """The violation of the property `name`; every other one is left out."""
    finding = examined(rule, claims=[name], **options)[name]
    assert finding.status == "violated", finding
    return finding


def pasted(finding: Finding) -> dict[str, Any]:
    """The names of a counter-example, from running it as the code that it is; its last line asks the rule."""
    import torch

    names: dict[str, Any] = {"np": np, "torch": torch}
    *question, asks = [line for line in finding.counterexample.split("\n") if not line.startswith("#")]
    exec("\n".join(question), names)
    compile(asks, "<the last line>", "exec")
    return names
