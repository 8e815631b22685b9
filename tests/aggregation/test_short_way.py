"""Small problems go a short way, without blocks and threads; its answers are those of the long way, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregation, Aggregator, ColumnBlocks
from robustfl.aggregation.kernels.choice import MOST_POINTS, gram_loops
from robustfl.aggregation.updates import gram as gram_module
from robustfl.aggregation.updates import source as source_module
from robustfl.aggregation.updates.gram import Gram, row_medians
from robustfl.aggregation.updates.layout import read_updates
from robustfl.aggregation.updates.one_block import OneBlock
from robustfl.aggregation.updates.source import HostileRows
from robustfl.defenses import ARC, CAF, NNM, CenteredClipping, GeometricMedian, Krum, Mean, TrimmedMean
from robustfl.errors import UpdatesError
from tests.aggregation.cases import RULES
from tests.aggregation.oracles import Matrix

loops = pytest.mark.skipif(gram_loops(1) is None, reason="needs numba")
few = settings(deadline=None, max_examples=4)
F = 2
SIZES = st.sampled_from([(13, 3), (15, 20), (13, 1400), (60, 300)])  # plain numpy twice, and compiled twice

PIPELINES: dict[str, Callable[[], Aggregator]] = {
    "arc, caf": lambda: ARC(f=F) >> CAF(f=F),
    "arc, nnm, trimmed mean": lambda: ARC(f=F) >> NNM(f=F) >> TrimmedMean(f=F),
    "nnm, geometric median": lambda: NNM(f=F) >> GeometricMedian(),
    "nnm, krum": lambda: NNM(f=F) >> Krum(f=F),
}
MADE: dict[str, Callable[[], Aggregator]] = {case.name: (lambda case=case: case.make(F)) for case in RULES} | PIPELINES


def matrix(size: tuple[int, int], seed: int, dtype: str, kind: str) -> Any:
    """Rows of one kind: in general position, with many ties, half of them copies, or in memory column by column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=size) + rng.normal(size=size[1])
    x[:F] += 3.0
    if kind == "ties":
        x = x.round()
    elif kind == "copies":
        x[len(x) // 2 :] = x[0]
    x = x.astype(dtype)
    if kind == "scattered":
        return np.repeat(x, 2, axis=1)[:, ::2]
    return np.asfortranarray(x) if kind == "columns" else x


def long_way(x: Any) -> ColumnBlocks:
    host = x.numpy() if isinstance(x, torch.Tensor) else x
    return ColumnBlocks([host], shape=host.shape, dtype=str(host.dtype))


def bits(value: Any) -> Any:
    """Everything that two equal values have in common, and two values that differ in a bit have not."""
    if isinstance(value, torch.Tensor):
        return bits(value.numpy())
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    return repr(value)


def answers(make: Callable[[], Aggregator], x: Any, ways: Callable[[Any], Any]) -> list[Any]:
    """Two answers of one rule, with the state that it has at the end: the second one follows from the state."""
    rule = make()
    given = {"trusted": x[-1]} if rule.wants_trusted else {}
    told: list[Aggregation] = [rule.aggregate(ways(rows), **given) for rows in (x, x * 0.5)]
    found = [[bits(one.value), bits(one.weights), bits(one.rejected), bits(one.info)] for one in told]
    return [*found, bits(rule.state_dict())]


@pytest.mark.parametrize("name", MADE)
@few
@given(
    size=SIZES,
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["float32", "float64"]),
    kind=st.sampled_from(["general", "ties", "copies", "scattered", "columns"]),
    tensor=st.booleans(),
)
def test_both_ways_give_the_same_bits(
    name: str, size: tuple[int, int], seed: int, dtype: str, kind: str, tensor: bool
) -> None:
    x = matrix(size, seed, dtype, kind)
    x = torch.from_numpy(x) if tensor else x
    assert isinstance(read_updates(x).source(), OneBlock)
    assert not isinstance(read_updates(long_way(x)).source(), OneBlock)
    assert answers(MADE[name], x, lambda rows: rows) == answers(MADE[name], x, long_way)


@pytest.mark.parametrize("name", ["mean", "trimmed mean", "geometric median", "nnm, krum", "arc, caf"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_hostile_row_is_left_out_in_both_ways(name: str, bad: float) -> None:
    x = matrix((15, 1400), 7, "float32", "general")
    x[3, 1399] = bad
    assert answers(MADE[name], x, lambda rows: rows) == answers(MADE[name], x, long_way)
    answer = MADE[name]().aggregate(x)
    assert np.flatnonzero(answer.rejected).tolist() == [3]
    assert bits(answer.value) == bits(MADE[name]()(np.delete(x, 3, axis=0)))


def test_hostile_rows_leave_the_short_way() -> None:
    x = np.ones((5, 4))
    x[2, 1] = np.nan
    source = read_updates(x).source()
    with pytest.raises(HostileRows) as found:
        source.verify()
    assert found.value.reasons == {2: "not finite"}
    assert not isinstance(source.without(found.value.reasons), OneBlock)


def test_the_short_way_needs_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tasks: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(source_module, "in_order", refuse)
    x = matrix((15, 1400), 3, "float32", "general")
    for make in MADE.values():
        rule = make()
        rule(x, **({"trusted": x[-1]} if rule.wants_trusted else {}))
    with pytest.raises(AssertionError, match="thread"):
        Mean()(long_way(x))


def test_what_needs_blocks_does_not_go_the_short_way() -> None:
    wide = np.ones((3, 1 << 15), dtype=np.float32)
    assert not isinstance(read_updates(wide).source(), OneBlock)
    doubled = read_updates(np.ones((3, 2)), ids=["a", "a", "b"])
    assert not isinstance(doubled.source(), OneBlock)
    assert not isinstance(read_updates([[1.0, 2.0], [3.0, 4.0]]).source(), OneBlock)


def test_whole_numbers_are_refused_as_before() -> None:
    with pytest.raises(UpdatesError, match=r"dense floating-point numbers\. Found int64"):
        Mean()(np.ones((3, 2), dtype=np.int64))
    with pytest.raises(UpdatesError, match=r"dense floating-point numbers\. Found torch\.int64"):
        Mean()(torch.ones((3, 2), dtype=torch.int64))


def test_answers_share_no_memory_with_the_rows() -> None:
    x = matrix((13, 3), 5, "float64", "general")
    before = x.copy()
    for make in MADE.values():
        rule = make()
        answer = rule.aggregate(x, **({"trusted": x[-1]} if rule.wants_trusted else {}))
        answer.value[...] = 7.0
        if answer.weights is not None:
            answer.weights[...] = 7.0
    np.testing.assert_array_equal(x, before)


@loops
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=MOST_POINTS))
@settings(deadline=None, max_examples=40)
def test_compiled_sums_and_medians_are_those_of_numpy(values: list[float]) -> None:
    compiled, x = gram_loops(1), np.array(values)
    assert compiled is not None
    assert compiled.total(x) == x.sum()
    assert compiled.median(x) == np.median(x)
    assert row_medians(np.stack([x, -x])).tolist() == [np.median(x), np.median(-x)]
    other = x[::-1].copy()
    assert compiled.inner(x, other) == pytest.approx(x @ other, rel=1e-12, abs=1e-12 * (x @ x))


@loops
@pytest.mark.parametrize("kind", ["general", "ties", "copies"])
@pytest.mark.parametrize(
    "make",
    [
        GeometricMedian,
        lambda: GeometricMedian(iterations=3, smoothing=1e-3, start="origin"),
        lambda: GeometricMedian(start="mean"),
        lambda: CenteredClipping(iterations=4),
        lambda: CenteredClipping(radius=0.5),
        lambda: Krum(f=F),
    ],
)
def test_compiled_loops_agree_with_numpy(
    make: Callable[[], Aggregator], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = matrix((15, 20), 11, "float64", kind)
    compiled = make()(x)
    monkeypatch.setattr(gram_module, "gram_loops", lambda points: None)
    np.testing.assert_allclose(compiled, make()(x), rtol=0, atol=1e-8)


@loops
def test_a_large_gram_and_one_in_another_order_are_left_to_numpy() -> None:
    assert gram_loops(MOST_POINTS) is not None
    assert gram_loops(MOST_POINTS + 1) is None
    inner: Matrix = np.cov(np.random.default_rng(0).normal(size=(9, 40)))
    square = inner @ inner.T
    assert Gram(np.asfortranarray(square), 8).loops is None
    ours, theirs = Gram(square, 8), Gram(np.asfortranarray(square), 8)
    np.testing.assert_allclose(ours.squared_distances, theirs.squared_distances, rtol=1e-12)
    point = np.full(8, 1 / 8)
    np.testing.assert_allclose(ours.squared_distances_from(point), theirs.squared_distances_from(point), rtol=1e-10)
