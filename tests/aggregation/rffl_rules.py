"""Rows of the table of rules, with their oracles: RFFL, in a first round, when nobody has a reputation yet."""

from __future__ import annotations

from robustfl.defenses import RFFL
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least

RULES: list[Case] = [
    Case(
        "rffl",
        lambda f: RFFL(),
        lambda x, f: oracles.mean(oracles.clip_all(x)),
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
    ),
    Case(
        "rffl, clip=2",
        lambda f: RFFL(clip=2.0),
        lambda x, f: oracles.mean(oracles.clip_all(x, 2.0)),
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        box=False,
        consensus=False,
    ),
]
