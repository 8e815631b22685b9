"""Whom a defense ignores, against the truth: shares, pooled rates, and the area under the ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.attacks import ALIE, Clones, Dropout, NonFinite, SignFlip
from robustfl.defenses import FRL, Krum, Mean, Median
from robustfl.federation.observers.detection import Detection, auc, equal_shares
from tests.federation.worlds import SMALL_MLP, simulation


def answer(weights: list[float] | None, rejected: tuple[int, ...] = (), n: int = 4) -> Aggregation:
    n = n if weights is None else len(weights)
    own = None if weights is None else np.array(weights)
    return Aggregation(None, own, np.isin(np.arange(n), rejected), {})


def reported(malicious: list[int], *rounds: tuple[list[int], Aggregation | None], members: int = 4) -> dict[str, float]:
    detection = Detection(np.isin(np.arange(members), malicious))
    for ids, given_answer in rounds:
        detection.observe(np.array(ids), given_answer)
    return detection.found()


ALL = [0, 1, 2, 3]


def test_rates_are_over_all_messages_and_the_area_is_a_mean_over_rounds() -> None:
    found = reported(
        [0],
        (ALL, answer([0.0, 0.5, 0.5, 0.0])),  # the malicious ties with one of three honest clients
        (ALL, answer([0.4, 0.2, 0.2, 0.2])),  # and has the largest weight
        ([1, 2], answer([1.0, 0.0])),  # nobody malicious came
    )
    assert found == {
        "honest_ignored": pytest.approx(2 / 8),
        "honest_unheard": 0.0,
        "detection_recall": 1 / 2,
        "detection_precision": pytest.approx(1 / 3),
        "detection_auc": pytest.approx((5 / 6 + 0) / 2),
    }


def test_a_client_is_unheard_by_what_it_got_in_all_its_rounds() -> None:
    rotating = [np.eye(4)[t].tolist() for t in (0, 1, 2)]
    found = reported([], *((ALL, answer(weights)) for weights in rotating))
    assert found == {"honest_ignored": 9 / 12, "honest_unheard": 1 / 4}
    late = reported([], ([0, 1], answer([0.5, 0.5])), ([0, 1, 3], answer([0.5, 0.5, 0.0])))
    assert late["honest_unheard"] == 1 / 3  # client 2 never sent anything
    twice = reported([], ([0, 1, 1], answer([0.92, 0.06, 0.02])))
    assert twice == {"honest_ignored": pytest.approx(1 / 3), "honest_unheard": 0.0}  # 0.08, more than 2/30


@pytest.mark.parametrize(
    ("weights", "rejected", "expected"),
    [
        ([0.1, 0.1, 0.1, 0.1], (), [1, 1, 1, 1]),  # all shrunk alike: nobody is ignored
        ([-0.5, 0.5, 0.0, 0.0], (), [2, 2, 0, 0]),  # against its direction is not ignored
        ([0.25, 0.25, 0.25, 0.25], (3,), [4 / 3, 4 / 3, 4 / 3, 0]),
        ([0.0, 0.0, 0.0, 0.0], (), [0, 0, 0, 0]),
        (None, (0,), [0, 4 / 3, 4 / 3, 4 / 3]),
    ],
    ids=str,
)
def test_shares(weights: list[float] | None, rejected: tuple[int, ...], expected: list[float]) -> None:
    given_answer = answer(weights, rejected)
    assert equal_shares(given_answer.weights, given_answer.rejected) == pytest.approx(np.array(expected))


def test_a_tenth_of_an_equal_share_is_the_limit() -> None:
    for little, ignored in ((0.1, 0.0), (0.0999, 1 / 4)):
        rest = (4 - little) / 3
        assert reported([], (ALL, answer([little / 4, *[rest / 4] * 3])))["honest_ignored"] == ignored


def test_rounding_noise_is_no_suspicion() -> None:
    noisy = [0.25 + 1e-16, 0.25, 0.25 - 1e-16, 0.25]
    assert reported([0], (ALL, answer(noisy)))["detection_auc"] == 0.5


def test_nothing_is_said_where_nothing_can_be() -> None:
    assert reported([0], (ALL, answer(None)), (ALL, None)) == {}
    honest = reported([], (ALL, answer([0.25] * 4)))
    assert honest == {"honest_ignored": 0.0, "honest_unheard": 0.0}
    assert "detection_precision" not in reported([0], (ALL, answer([0.25] * 4)))
    assert reported(ALL, (ALL, answer([1.0, 0.0, 0.0, 0.0]))) == {"detection_recall": 0.75, "detection_precision": 1.0}


def test_a_rule_without_weights_catches_what_it_refuses() -> None:
    found = reported([0, 1], (ALL, answer(None, (0,))), (ALL, answer(None)))
    assert (found["detection_recall"], found["detection_precision"]) == (1 / 4, 1.0)
    assert found["detection_auc"] == (0.75 + 0.5) / 2


SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), min_size=1, max_size=8)


@given(SCORES, SCORES)
def test_the_area_is_that_of_scikit_learn(positive: list[float], negative: list[float]) -> None:
    truth = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(truth, positive + negative)
    assert auc(np.array(positive), np.array(negative)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("defense", "values", "expected"),
    [
        (Mean(), {"attack": ALIE()}, {"detection_recall": 0.0, "detection_auc": 0.5, "honest_ignored": 0.0}),
        (Mean(), {"attack": NonFinite()}, {"detection_recall": 1.0, "detection_precision": 1.0, "detection_auc": 1.0}),
        (Median(), {"attack": NonFinite()}, {"detection_recall": 1.0, "honest_unheard": 0.0}),
        (Krum(f=2), {"attack": SignFlip(scale=50.0), "clients": 8}, {"detection_recall": 1.0, "honest_ignored": 5 / 6}),
        (Mean(), {"attack": Clones(count=3) >> NonFinite()}, {"detection_recall": 1.0, "honest_ignored": 0.0}),
        (Mean(), {"attack": NonFinite(), "faults": (Dropout(probability=0.3),)}, {"detection_recall": 1.0}),
    ],
    ids=str,
)
def test_simulations_report_it(defense: Aggregator, values: dict[str, Any], expected: dict[str, float]) -> None:
    more = simulation(defense, f=2, **values).run().more
    assert {name: more[name] for name in expected} == pytest.approx(expected)


def test_votes_on_rankings_have_no_weights() -> None:
    more = simulation(FRL(), model=SMALL_MLP, rounds=2).run().more
    assert "worst_class" in more
    assert not [name for name in more if name.startswith(("honest", "detection"))]
