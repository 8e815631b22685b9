"""Flower's strategies as rules, beside the rules of this library that compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.strategy import FedMedian as LegacyFedMedian
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, Krum

from robustfl.adapters import FromFunction
from robustfl.adapters.flower_rules import StrategyRule
from robustfl.defenses import Krum as OwnKrum
from robustfl.defenses import Mean, Median, TrimmedMean
from robustfl.errors import ParameterError
from robustfl.testing.resilience import Memory, Request, play

ROWS = np.random.default_rng(0).normal(size=(10, 6))
PAIRS: dict[str, tuple[Any, Any]] = {
    "FedAvg": (FedAvg(), Mean()),
    "FedMedian": (FedMedian(), Median()),
    "FedTrimmedAvg": (FedTrimmedAvg(beta=0.2), TrimmedMean(f=2)),
    "Krum": (Krum(num_malicious_nodes=2), OwnKrum(f=2)),
    "older FedAvg": (LegacyFedAvg(), Mean()),
    "older FedMedian": (LegacyFedMedian(), Median()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_strategy_gives_what_the_same_rule_gives(name: str) -> None:
    strategy, rule = PAIRS[name]
    x = ROWS.copy()
    np.testing.assert_allclose(FromFunction(StrategyRule(strategy))(x), rule(x), atol=1e-9)
    x[3] = np.nan  # refused before the strategy sees it
    np.testing.assert_allclose(FromFunction(StrategyRule(FedMedian()))(x), Median()(x), atol=1e-9)


def test_a_strategy_is_played_under_attack(tmp_path: Any) -> None:
    request = Request(scenario="smoke", rule=StrategyRule(FedMedian()), seeds=1, set=("federation.rounds=3",))
    played = play(request, Memory(tmp_path))
    assert played.failed == ()
    assert played.label == "FedMedian"


def test_what_is_no_strategy_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"should be a strategy of Flower\. Found int"):
        StrategyRule(7)
