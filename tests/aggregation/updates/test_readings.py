"""How often the data are read, and from where: counted passes, blocks of columns, files, leaves, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation import Aggregator, ColumnBlocks
from robustfl.aggregation.kernels.choice import compiles
from robustfl.aggregation.kernels.threads import LARGEST_GROUP, in_order, limit_threads, thread_count
from robustfl.aggregation.updates.readers import Dense, mapped_file
from robustfl.aggregation.updates.source import HostileRows, Source
from robustfl.defenses import (
    ARC,
    CGE,
    NNM,
    Bucketing,
    CenteredClipping,
    Clipping,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    TrimmedMean,
)
from robustfl.errors import InfeasibleError, UpdatesError
from tests.aggregation.cases import Case, each_rule, gaussian
from tests.aggregation.oracles import Matrix

N, D, WIDTH = 15, 1000, 64


class Counted:
    """A matrix that is handed out in blocks and remembers how often it was read to the end."""

    def __init__(self, x: Matrix) -> None:
        self.x, self.passes = x, 0
        self.updates = ColumnBlocks(self.blocks, shape=x.shape, dtype=str(x.dtype))

    def blocks(self) -> Iterator[Matrix]:
        for start in range(0, self.x.shape[1], WIDTH):
            yield self.x[:, start : start + WIDTH]
        self.passes += 1


ONCE = [Mean(), Median(), TrimmedMean(f=2), Bucketing() >> Median(), Bucketing() >> Mean()]
TWICE = [
    Krum(f=2),
    GeometricMedian(),
    CGE(f=2),
    Clipping() >> TrimmedMean(f=2),
    Clipping() >> Krum(f=2),
    ARC(f=2) >> Clipping() >> NNM(f=2) >> CenteredClipping(),
    ARC(f=2) >> Bucketing() >> Median(),
    NNM(f=2) >> Mean(),
    NNM(f=2) >> TrimmedMean(f=2),
    NNM(f=2) >> Bucketing() >> Krum(f=2),
    NNM(f=2) >> Clipping() >> Bucketing() >> NNM(f=1) >> GeometricMedian(),
]
(ONCE if compiles() else TWICE).append(CenteredClipping())  # compiled, it takes rows that fit a cache into one block


@pytest.mark.parametrize(("rule", "passes"), [*((rule, 1) for rule in ONCE), *((rule, 2) for rule in TWICE)], ids=str)
def test_a_chain_of_any_length_reads_the_data_twice_and_a_column_rule_once(rule: Aggregator, passes: int) -> None:
    counted = Counted(gaussian(0, N, D))
    expected = rule.preview(counted.x).value
    np.testing.assert_allclose(rule(counted.updates), expected, rtol=0, atol=1e-9)
    assert counted.passes == passes, "the search for hostile rows is part of the first reading"


@pytest.mark.parametrize("rule", [*ONCE, *TWICE], ids=str)
@pytest.mark.parametrize("column", [0, D // 2, D - 1])
def test_hostile_rows_cost_at_most_one_more_reading_and_nothing_else(rule: Aggregator, column: int) -> None:
    x = gaussian(1, N, D)
    clean, dirty = Counted(np.delete(x, [4, 9], axis=0)), x.copy()
    dirty[4, column], dirty[9, 5] = np.nan, np.inf
    counted = Counted(dirty)
    expected = rule.preview(clean.updates).value
    answer = rule.preview(counted.updates)
    np.testing.assert_array_equal(answer.value, expected)
    assert np.flatnonzero(answer.rejected).tolist() == [4, 9]
    assert clean.passes <= counted.passes <= clean.passes + 1, "a reading for the norms finds them as well"


def test_hostile_values_never_reach_a_rule() -> None:
    x = gaussian(2, 5, 300)
    x[1, 250] = np.nan
    seen: list[bool] = []
    source = Source(Counted(x).updates, tuple(range(5)))
    with pytest.raises(HostileRows) as caught:
        source.columnwise(lambda block: seen.append(bool(np.isfinite(block).all())) or block[0])
    assert caught.value.reasons == {1: "not finite"}
    assert seen
    assert all(seen)


# ---------------------------------------------------------------------------------------------------- columns


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_rule_reads_blocks_of_columns(case: Case, dtype: str) -> None:
    x = gaussian(3, case.least(2) + 3, 150).astype(dtype)
    x[1, 149] = np.nan
    found, expected = case.make(2).aggregate(Counted(x).updates), case.make(2).aggregate(x)
    assert (found.value.dtype, found.value.shape) == (np.dtype(dtype), (150,))
    np.testing.assert_allclose(
        found.value, expected.value, rtol=0, atol=1e-5 if dtype == "float32" else 20 * case.tolerance
    )
    np.testing.assert_array_equal(found.rejected, expected.rejected)


def test_blocks_may_be_tensors_in_half_precision_and_carry_ids() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    blocks = ColumnBlocks([x[:, :3].bfloat16(), x[:, 3:].half()], shape=(3, 4))
    answer = Median().aggregate(blocks, ids=["a", "b", "b"])
    assert answer.value.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert answer.info["reasons"] == {1: "duplicate id 'b'", 2: "duplicate id 'b'"}
    assert repr(blocks) == "ColumnBlocks(shape=(3, 4), dtype='float32')"


def test_a_generator_is_enough_for_one_reading_and_says_so() -> None:
    x = gaussian(4, 5, 10)

    def once() -> ColumnBlocks:
        return ColumnBlocks((x[:, start : start + 5] for start in (0, 5)), shape=(5, 10), dtype="float64")

    np.testing.assert_array_equal(Median()(once()), Median()(x))
    with pytest.raises(UpdatesError, match=r"generator, which can be read once.*ColumnBlocks\(lambda"):
        Krum(f=1)(once())


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.zeros((3, 2))], r"should have 4 columns together\. Found 2"),
        ([np.zeros((3, 5))], r"Block 0 should be \[3, b\] with at most 4 columns\. Found shape \[3, 5\]"),
        (
            [np.zeros((3, 2)), np.zeros((2, 2))],
            r"Block 1 should be \[3, b\] with at most 2 columns\. Found shape \[2, 2\]",
        ),
        ([np.zeros((3, 4), dtype=int)], "floating-point numbers on the host. Found int64"),
        (["text"], "Block 0 should be .* Found str"),
    ],
)
def test_blocks_that_do_not_fit_are_an_error(blocks: list[Any], message: str) -> None:
    with pytest.raises(UpdatesError, match=message):
        Mean()(ColumnBlocks(blocks, shape=(3, 4)))


@pytest.mark.parametrize(("shape", "dtype"), [((0, 4), "float32"), ((3, 0), "float32"), ((3, 4), "int32")])
def test_blocks_of_nothing_or_of_integers_are_an_error(shape: tuple[int, int], dtype: str) -> None:
    with pytest.raises(UpdatesError, match="should be"):
        ColumnBlocks([], shape=shape, dtype=dtype)


# ------------------------------------------------------------------------------------------------- files and leaves


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_mapped_file_gives_the_same_answers_and_keeps_private_changes(tmp_path: Path, mode: str) -> None:
    x = gaussian(5, 7, 9000).astype(np.float32)
    path = tmp_path / "updates.npy"
    np.save(path, x)
    mapped = np.load(path, mmap_mode=mode)  # type: ignore[call-overload]
    if mode == "c":
        mapped[0, 0] = x[0, 0] = 7.0
    assert (mapped_file(mapped[1:, ::2]) is None) == (mode == "c"), "dropping pages of a private copy would lose them"
    for rule in (Krum(f=1), TrimmedMean(f=1), NNM(f=1) >> Median()):
        np.testing.assert_array_equal(rule(mapped), rule(x))
    np.testing.assert_array_equal(mapped, x)


def test_leaves_are_read_where_they_are_in_any_block() -> None:
    rng = np.random.default_rng(6)
    shapes: list[tuple[int, ...]] = [(3, 4), (), (0, 2), (7,), (2, 2, 2)]
    updates = [[rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(5)]
    flat = np.array([np.concatenate([leaf.ravel() for leaf in update]) for update in updates])
    from robustfl.aggregation.updates.readers import Leaves

    for size in (1, 3, 5, 28, 100):
        reader = Leaves([list(update) for update in updates], "float32")
        assert (reader.n, reader.d) == flat.shape
        np.testing.assert_array_equal(np.hstack([values() for _, values in reader.pieces(None, size)]), flat)
        np.testing.assert_array_equal(np.hstack([values() for _, values in reader.pieces([4, 0], size)]), flat[[4, 0]])


def test_noise_depends_on_the_place_of_a_column_alone() -> None:
    whole = Source(Dense(np.zeros((1, 200_000)), "float64"), (0,)).noise(3, 1)
    part = Source(Dense(np.zeros((1, 90_000)), "float64"), (0,))
    part.offset = 50_000
    np.testing.assert_array_equal(part.noise(3, 1), whole[50_000:140_000])
    assert abs(whole.std() - 1) < 0.01
    assert not np.array_equal(part.noise(3, 2), part.noise(3, 1))


# ------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    def task(number: int) -> Callable[[], int]:
        return lambda: sum(in_order(iter([lambda: number, lambda: number])))  # a task may have tasks of its own

    with limit_threads(threads):
        assert thread_count() == threads
        assert list(in_order(task(number) for number in range(50))) == [2 * number for number in range(50)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_few_tasks_are_asked_for_before_they_are_done(threads: int) -> None:
    """Whatever stands ready is in memory: of a stream of blocks, or of the pages of a mapped file."""
    asked = done = ahead = 0

    def tasks() -> Iterator[Callable[[], None]]:
        nonlocal asked, ahead
        for _ in range(500):
            asked += 1
            ahead = max(ahead, asked - done)
            yield lambda: None

    with limit_threads(threads):
        for _ in in_order(tasks()):
            done += 1
    assert done == 500
    assert ahead <= (1 if threads == 1 else (2 * threads + 2) * LARGEST_GROUP)


def test_an_error_in_a_task_reaches_the_caller() -> None:
    def fail() -> int:
        raise InfeasibleError("too few")

    with limit_threads(2), pytest.raises(InfeasibleError, match="too few"):
        list(in_order(iter([lambda: 1, fail, lambda: 2])))


def test_the_environment_sets_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("ROBUSTFL_NUM_THREADS", "5")
    assert thread_count() == 5
    monkeypatch.setenv("ROBUSTFL_NUM_THREADS", "many")
    assert thread_count() == 3


@pytest.mark.parametrize("rule", [*ONCE, *TWICE], ids=str)
def test_the_number_of_threads_cannot_be_seen_in_the_result(rule: Aggregator) -> None:
    rule.reset()
    x = gaussian(7, N, 70_000).astype(np.float32)
    answers = []
    for threads in (1, 2, 3):
        with limit_threads(threads):
            answers.append(rule.preview(x).value)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_rules_may_be_called_from_several_threads_at_once() -> None:
    x = gaussian(8, 12, 70_000).astype(np.float32)
    rules: list[Aggregator] = [Median(), Krum(f=2), NNM(f=2) >> TrimmedMean(f=2)]
    expected = [rule(x) for rule in rules]
    gate = threading.Barrier(6)

    def ask(rule: Aggregator) -> Matrix:
        gate.wait(timeout=60)
        value: Matrix = rule(x)
        return value

    with ThreadPoolExecutor(6) as pool:
        for value, wanted in zip(pool.map(ask, rules * 2), expected * 2, strict=True):
            np.testing.assert_array_equal(value, wanted)
