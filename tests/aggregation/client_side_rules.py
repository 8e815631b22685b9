"""Rows of the table of rules: defenses that clients carry out, of which the server's part is empty."""

from __future__ import annotations

from robustfl.defenses import (
    GradientNoise,
    GradientPruning,
    GradientQuantisation,
    Krum,
    Median,
    Mixup,
    Soteria,
)
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least

RULES = [
    Case(
        "noise, mixup, median",
        lambda f: GradientNoise(ratio=3) >> Mixup() >> Median(),
        oracles.median,
        at_least(0, 1),
        told=False,
        rotation=False,
    ),
    Case(
        "pruning, quantisation, soteria, krum",
        lambda f: GradientPruning() >> GradientQuantisation(rounding="stochastic") >> Soteria() >> Krum(f=f),
        oracles.krum(),
        at_least(2, 3),
    ),
]
