"""The package as a whole: its examples, and the conformance of the two rules to what they promise."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import robustfl.reputation
from robustfl.aggregation import Aggregator
from robustfl.defenses import Clipping, FoolsGold, MeritRank
from robustfl.testing import check_aggregator

MODULES = [info.name for info in pkgutil.iter_modules(robustfl.reputation.__path__)]


@pytest.mark.parametrize("name", ["robustfl.reputation", *(f"robustfl.reputation.{name}" for name in MODULES)])
def test_the_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    "rule",
    [
        FoolsGold(),
        FoolsGold(alike="uniform", clip=None),
        FoolsGold(normalize="none"),
        Clipping() >> FoolsGold(),
        MeritRank(),
        MeritRank(exploration=0.0, cap=1.0),
    ],
    ids=repr,
)
def test_the_rules_keep_what_they_promise(rule: Aggregator) -> None:
    check_aggregator(rule, f=1)
