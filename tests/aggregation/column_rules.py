"""Rows of the table of rules, with their oracles: rules that look at columns, signs or clusters."""

from __future__ import annotations

from tests.aggregation.case import Case

RULES: list[Case] = []
