"""`>>`: stages one after the other equal stages applied by hand, in whatever order they were put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Chain, Pipeline
from robustfl.defenses import NNM, Bucketing, CenteredClipping, Clipping, GeometricMedian, Krum, Mean, TrimmedMean
from robustfl.errors import StateError
from tests.aggregation import oracles
from tests.aggregation.cases import gaussian


@pytest.mark.parametrize("rule", [Mean(), TrimmedMean(f=2), Krum(f=2), GeometricMedian()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pipeline_equals_its_stages_by_hand(rule: Any, dtype: str) -> None:
    x = gaussian(1, 15, 30).astype(dtype)
    by_hand = rule(Bucketing(size=2, seed=4)(NNM(f=2)(x)))
    pipeline = NNM(f=2) >> Bucketing(size=2, seed=4) >> rule
    np.testing.assert_allclose(pipeline(x), by_hand, rtol=0, atol=1e-5 if dtype == "float32" else 1e-6)


def test_a_pipeline_equals_its_stages_in_the_oracles() -> None:
    x = gaussian(2, 15, 30)
    mixed = oracles.clip_all(oracles.buckets(oracles.nnm(x, 2), 2), 3.0)
    pipeline = NNM(f=2) >> Bucketing(size=2) >> Clipping(radius=3.0) >> CenteredClipping(radius=1.0, iterations=2)
    np.testing.assert_allclose(pipeline(x), oracles.centered_clipping(1.0, 2)(mixed, 0), rtol=0, atol=1e-9)


def test_weights_of_a_pipeline_are_over_the_rows_that_came_in() -> None:
    x = gaussian(3, 15, 30)
    answer = (NNM(f=2) >> Bucketing(size=2) >> Krum(f=2)).aggregate(x)
    assert answer.weights is not None
    assert answer.weights.shape == (15,)
    np.testing.assert_allclose(answer.weights @ x, answer.value, rtol=0, atol=1e-12)


def test_composition_is_associative_in_every_way() -> None:
    def ways() -> list[Pipeline]:
        a, b, c, d = (lambda: NNM(f=1)), (lambda: Bucketing(size=2)), Clipping, (lambda: TrimmedMean(f=1))
        return [
            ((a() >> b()) >> c()) >> d(),
            (a() >> (b() >> c())) >> d(),
            (a() >> b()) >> (c() >> d()),
            a() >> ((b() >> c()) >> d()),
            a() >> (b() >> (c() >> d())),
        ]

    x, y = gaussian(4, 9, 3), gaussian(5, 9, 3)
    first, *others = ways()
    expected = [first(x), first(y)]
    for other in others:
        assert other == ways()[0]
        assert repr(other) == repr(first)
        np.testing.assert_array_equal([other(x), other(y)], expected)
        assert other.state_dict() == first.state_dict()


def test_chains_are_associative_too() -> None:
    left = (NNM(f=1) >> Bucketing(size=2)) >> Clipping()
    right = NNM(f=1) >> (Bucketing(size=2) >> Clipping())
    assert isinstance(left, Chain)
    assert left == right
    assert left.output_rows(9) == 5
    np.testing.assert_array_equal(left(gaussian(0, 9, 3)), right(gaussian(0, 9, 3)))


def test_a_chain_alone_equals_its_stages_and_its_state_moves_on() -> None:
    x = gaussian(6, 9, 3)
    chain = NNM(f=1) >> Bucketing(size=2, seed=9)
    np.testing.assert_allclose(chain(x), oracles.buckets(oracles.nnm(x, 1), 2, seed=9), atol=1e-12)
    np.testing.assert_allclose(chain(x), oracles.buckets(oracles.nnm(x, 1), 2, seed=9, number=1), atol=1e-12)
    assert chain.state_dict() == {"first": {}, "then": {"round": 2}}
    chain.reset()
    assert chain.state_dict() == {"first": {}, "then": {}}


def test_only_updates_flow_through_a_pipeline() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        NNM(f=1) >> 3
    with pytest.raises(TypeError, match="unsupported operand"):
        Mean() >> Mean()


# ------------------------------------------------------------------------------------------------------ state


def test_the_state_of_a_pipeline_is_that_of_its_parts() -> None:
    rule = Bucketing(size=2) >> Clipping() >> CenteredClipping(radius=1.0)
    assert rule.stateful
    assert not (NNM(f=1) >> Krum(f=1)).stateful
    x = gaussian(7, 8, 3)
    value = rule(x)
    state = rule.state_dict()
    assert state["before"] == {"first": {"round": 1}, "then": {}}
    np.testing.assert_array_equal(state["rule"]["center"], value)
    with pytest.raises(StateError, match=r"Clipping.* has no state \['round'\]"):
        rule.load_state_dict({"before": {"first": {"round": 9}, "then": {"round": 1}}})
    assert rule.state_dict()["before"] == {"first": {"round": 1}, "then": {}}, "all or nothing"


def test_centered_clipping_in_a_pipeline_starts_from_its_own_last_answer() -> None:
    rule = NNM(f=2) >> CenteredClipping(radius=0.1)
    center = np.zeros(4)
    for number in range(4):
        x = gaussian(number, 9, 4)
        center = oracles.centered_clipping(0.1, 1, center)(oracles.nnm(x, 2), 0)
        answer = rule.aggregate(x)
        np.testing.assert_allclose(answer.value, center, rtol=0, atol=1e-12)
    assert answer.weights is not None
    assert answer.weights.sum() < 0.9  # the rest stayed with the center


def test_the_parts_keep_their_state_when_used_on_their_own() -> None:
    rule = CenteredClipping(radius=1.0)
    pipeline = NNM(f=1) >> rule
    value = pipeline(gaussian(8, 5, 2))
    np.testing.assert_array_equal(rule.state_dict()["center"], value)


# ------------------------------------------------------------------------------------------------- hostile rows


def test_a_rejected_row_lowers_f_in_no_stage() -> None:
    x = gaussian(9, 18, 5)
    holed = np.vstack([x, np.full((1, 5), np.nan)])
    told = NNM(f=3) >> Bucketing(size=2) >> Krum(f=3)
    right = NNM(f=3) >> Bucketing(size=2) >> Krum(f=3)
    assert (told.byzantine, (NNM(f=4) >> Mean()).byzantine, Mean().byzantine) == (3, 4, None)
    np.testing.assert_array_equal(told(holed), right(x))
    assert told.state_dict()["before"]["then"] == {"round": 1}


def test_pre_aggregations_refuse_hostile_rows_too() -> None:
    x = gaussian(10, 7, 5)
    holed = np.vstack([x[:3], np.full((1, 5), np.inf), x[3:]])
    np.testing.assert_array_equal(NNM(f=2)(holed), NNM(f=2)(x))
    listed = NNM(f=2)([*x[:3], None, *x[3:]])
    assert isinstance(listed, list)
    np.testing.assert_array_equal(listed, NNM(f=2)(x))


@pytest.mark.parametrize("rule", [NNM(f=1), Clipping(radius=0.1), Bucketing(size=2)], ids=repr)
def test_pre_aggregations_return_what_they_were_given_and_never_touch_it(rule: Any) -> None:
    x = gaussian(11, 6, 8).astype(np.float32).reshape(6, 2, 4)
    before = x.copy()
    expected = rule(x)
    assert (expected.shape[1:], expected.dtype) == ((2, 4), np.float32)
    rule.reset()
    tensors = rule(torch.from_numpy(x).to(torch.float32))
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_allclose(tensors.numpy(), expected, atol=1e-6)
    rule.reset()
    states = rule([{"w": row, "steps": np.array(3)} for row in x])
    np.testing.assert_array_equal([state["w"] for state in states], expected)
    assert all(state["steps"] == 3 for state in states)
    np.testing.assert_array_equal(x, before)
