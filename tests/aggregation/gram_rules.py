"""Rows of the table of rules, with their oracles: rules whose weights follow from geometry."""

from __future__ import annotations

from tests.aggregation.case import Case

RULES: list[Case] = []
