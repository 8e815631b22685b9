"""Momentum of clients that come and go."""

from __future__ import annotations

import numpy as np
import pytest

from robustfl.defenses import (
    NNM,
    ClientMomentum,
    Mean,
)
from robustfl.errors import ParameterError, StateError
from tests.aggregation import oracles
from tests.aggregation.cases import gaussian
from tests.aggregation.oracles import Matrix


def test_momenta_belong_to_clients_that_come_and_go() -> None:
    rule, rng = ClientMomentum(beta=0.8), np.random.default_rng(0)
    momenta: dict[str, Matrix] = {}
    for _ in range(12):
        present = [str(name) for name in rng.permutation(list("abcdef"))[: rng.integers(1, 7)]]
        x = {name: rng.normal(size=5) for name in present}
        for name, row in x.items():
            momenta[name] = 0.8 * momenta.get(name, np.zeros(5)) + 0.2 * row
        expected = [momenta[name] for name in present]
        np.testing.assert_allclose((rule >> Mean()).preview(x).value, oracles.mean(np.array(expected)), atol=1e-12)
        np.testing.assert_allclose(rule(x), expected, atol=1e-12)
        if len(momenta) == 6:
            state = rule.state_dict()
            rule = ClientMomentum(beta=0.8)
            rule.load_state_dict(state)
    state = rule.state_dict()
    kept = {**state["away"], **dict(zip(state["ids"], state["momenta"], strict=True))}
    assert kept.keys() == momenta.keys()


def test_a_client_that_stays_away_costs_one_vector() -> None:
    rule = ClientMomentum()
    rule(dict(enumerate(gaussian(0, 50, 100))))
    rule({7: np.zeros(100)})
    away = rule._state["away"]
    assert len(away) == 49
    assert all(vector.base is None or vector.base.nbytes == vector.nbytes for vector in away.values())


def test_a_refused_row_leaves_its_clients_momentum_as_it_was() -> None:
    rule = ClientMomentum(beta=0.5) >> Mean()
    rule({"ann": [4.0], "bob": [8.0]})
    answer = rule.aggregate({"ann": [4.0], "bob": [np.nan]})
    assert (answer.value.tolist(), answer.rejected.tolist()) == ([3.0], [False, True])
    assert rule({"bob": [0.0]}).tolist() == [2.0]


def test_weights_say_how_much_of_this_rounds_updates_is_in_the_answer() -> None:
    rule = ClientMomentum(beta=0.75) >> NNM(f=1) >> Mean()
    rule(gaussian(0, 6, 3))
    answer = rule.aggregate(gaussian(1, 6, 3))
    assert answer.weights is not None
    assert answer.weights.sum() == pytest.approx(0.25)


def test_momentum_wants_to_come_first_and_the_same_columns() -> None:
    with pytest.raises(ParameterError, match=r"ClientMomentum\(beta=0.9\) follows clients.* Put it first"):
        (NNM(f=1) >> ClientMomentum() >> Mean())(gaussian(0, 5, 2))
    rule = ClientMomentum()
    rule(gaussian(0, 5, 2))
    with pytest.raises(StateError, match=r"remembers momenta of 2 values; the updates have 3\. Call reset\(\)"):
        rule(gaussian(0, 5, 3))
    rule.reset()
    assert rule(gaussian(0, 5, 3)).shape == (5, 3)


def test_momentum_shrinks_the_spread_of_honest_rows_as_promised() -> None:
    rule, rng = ClientMomentum(beta=0.9), np.random.default_rng(0)
    for _ in range(60):
        rows = rule(rng.normal(size=(4, 4000)))
    assert rows.std() == pytest.approx(np.sqrt(0.1 / 1.9), rel=0.05)
