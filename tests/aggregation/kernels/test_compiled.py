"""The compiled kernels against plain numpy in float64, over shapes, layouts, precisions and hostile values."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from robustfl.aggregation.kernels import compiled, compiled_vectors, compiling

ROWS = [1, 2, 3, 4, 5, 7, 8, 13, 20, 33, 64, 100, 129, 260, 600, 1100]
TYPES = [np.float32, np.float64]


def sample(n: int, b: int, dtype: Any, seed: int = 0) -> np.ndarray:
    """Columns of several kinds: normal, few distinct values, constant, signed zeros, subnormal, and huge ones."""
    rng = np.random.default_rng([seed, n, b])
    block = rng.normal(size=(n, b))
    block[:, 1::7] = rng.integers(-2, 3, size=block[:, 1::7].shape)
    block[:, 2::7] = 0.1
    block[:, 3::7] = rng.choice([0.0, -0.0], size=block[:, 3::7].shape)
    block[:, 4::7] *= 1e-41 if dtype == np.float32 else 1e-310
    block[:, 5::7] *= 1e37
    block[: n // 3, 6::7] = 3e38
    return block.astype(dtype)


def expected_median(block: np.ndarray) -> np.ndarray:
    n, ordered = len(block), np.sort(block.astype(np.float64), axis=0)
    return np.asarray((ordered[(n - 1) // 2] + ordered[n // 2]) / 2, dtype=block.dtype)


def expected_mean(kept: np.ndarray, dtype: Any) -> np.ndarray:
    return np.asarray(kept.astype(np.float64).mean(axis=0), dtype=dtype)


def nearest(block: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """The values of the `count` rows nearest to the centre, by a stable sort of the float64 distances."""
    distance = np.abs(block.astype(np.float64) - centre.astype(np.float64))
    return np.take_along_axis(block, np.argsort(distance, axis=0, kind="stable")[:count], axis=0)


def assert_mean(found: np.ndarray, kept: np.ndarray) -> None:
    """Equal to the mean of `kept` up to rounding in the result's type, and to float64 sums of the magnitudes."""
    assert found.dtype == kept.dtype
    exact = kept.astype(np.float64).mean(axis=0)
    rounding = np.finfo(kept.dtype).eps * np.abs(exact) + np.finfo(kept.dtype).smallest_subnormal
    slack = len(kept) * np.finfo(np.float64).eps * np.abs(kept.astype(np.float64)).mean(axis=0)
    assert (np.abs(found.astype(np.float64) - exact) <= rounding + slack).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", ROWS)
def test_median(n: int, dtype: Any) -> None:
    block = sample(n, 150, dtype)
    found = compiled.median(block)
    assert found.dtype == dtype
    assert np.array_equal(found, expected_median(block))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", ROWS)
def test_trimmed_mean(n: int, dtype: Any) -> None:
    block = sample(n, 150, dtype)
    for f in {0, min(1, (n - 1) // 2), n // 5, n // 3, (n - 1) // 2}:
        kept = np.sort(block, axis=0)[f : n - f]
        assert_mean(compiled.trimmed_mean(block, f), kept)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", ROWS)
def test_mean_around(n: int, dtype: Any) -> None:
    block = sample(n, 150, dtype)
    for centre in (expected_median(block), expected_mean(block, dtype), block[-1]):
        for count in {1, min(2, n), n // 3 + 1, n // 2 + 1, n - n // 5, n}:
            assert_mean(compiled.mean_around(block, centre, count), nearest(block, centre, count))


def test_mean_around_takes_the_lower_row_of_two_at_the_same_distance() -> None:
    block = np.array([[3.0], [1.0], [2.0], [-7.0]], dtype=np.float32)
    assert compiled.mean_around(block, np.array([2.0], np.float32), 2).tolist() == [2.5]
    assert compiled.mean_around(block[[1, 0, 2, 3]], np.array([2.0], np.float32), 2).tolist() == [1.5]
    assert compiled.mean_around(block, np.array([2.0], np.float32), 3).tolist() == [2.0]


def test_mean_around_tells_distances_apart_that_are_equal_in_float32() -> None:
    tiny = np.array([3e-9, 1e-9, 2e-9, -1e-9, 5.0, 1.0], dtype=np.float32)
    block, centre = np.repeat(tiny[:, None], 3, axis=1), np.ones(3, np.float32)
    assert len(np.unique(np.abs(tiny[:4] - np.float32(1)))) == 1
    assert_mean(compiled.mean_around(block, centre, 3), tiny[[5, 0, 2], None].repeat(3, axis=1))


def test_mean_around_accepts_a_centre_of_higher_precision() -> None:
    block = np.array([[1.0], [2.0], [9.0]], dtype=np.float32)
    assert compiled.mean_around(block, np.array([1.5 + 1e-12]), 1).tolist() == [2.0]
    assert compiled.mean_around(block, np.array([1.5 - 1e-12]), 1).dtype == np.float32


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", ROWS)
def test_exact_centres_are_those_of_float64(n: int, dtype: Any) -> None:
    block = sample(n, 150, dtype)
    middle, wide = compiled.median(block, exact=True), block.astype(np.float64)
    assert np.array_equal(middle, expected_median(wide))
    f = (n - 1) // 3
    trimmed = compiled.trimmed_mean(block, f, exact=True)
    assert_mean(trimmed, np.sort(wide, axis=0)[f : n - f])
    for centre in (middle, trimmed):
        for count in {1, n // 2 + 1, n}:
            assert_mean(compiled.mean_around(block, centre, count), nearest(block, centre, count))


numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-45, -1e-45, 3e38, -3e38]),
    st.floats(-(2.0**126), 2.0**126, width=32),
)


@settings(deadline=None)
@given(st.data())
def test_order_statistics_of_any_finite_values(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(TYPES))
    block = data.draw(arrays(dtype, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=numbers))
    n = len(block)
    f, count = data.draw(st.integers(0, (n - 1) // 2)), data.draw(st.integers(1, n))
    centre = data.draw(arrays(dtype, block.shape[1], elements=numbers))
    assert np.array_equal(compiled.median(block), expected_median(block))
    assert_mean(compiled.trimmed_mean(block, f), np.sort(block, axis=0)[f : n - f])
    assert_mean(compiled.mean_around(block, centre, count), nearest(block, centre, count))


def test_middle_values_neither_overflow_nor_vanish() -> None:
    for value in (1.7e308, 5e-324, -1.7e308):
        assert compiled.median(np.array([[value], [value]])).tolist() == [value]
    assert compiled.median(np.array([[1.7e308], [-1.7e308]])).tolist() == [0.0]


def test_a_huge_value_leaves_no_trace_in_a_mean_it_is_not_part_of() -> None:
    for n in (5, 300, 1100):
        block = np.full((n, 70), 0.25, dtype=np.float32)
        block[0], block[-1] = 3e38, -3e38
        assert (compiled.trimmed_mean(block, 1) == 0.25).all()
        assert (compiled.mean_around(block, np.zeros(70, np.float32), n - 2) == 0.25).all()


def layouts(block: np.ndarray) -> list[np.ndarray]:
    """The same values in other memory orders."""
    n, b = block.shape
    every = np.zeros((2 * n, 2 * b), block.dtype)
    every[::2, ::2] = block
    inside = np.zeros((n, b + 9), block.dtype)
    inside[:, 5 : b + 5] = block
    frozen = block.copy()
    frozen.setflags(write=False)
    shifted = np.frombuffer(b"x" + block.tobytes(), dtype=np.uint8)[1:].view(block.dtype).reshape(n, b)
    return [
        np.asfortranarray(block),
        every[::2, ::2],
        inside[:, 5 : b + 5],
        np.ascontiguousarray(block[::-1])[::-1],
        np.ascontiguousarray(block[:, ::-1])[:, ::-1],
        block.astype(block.dtype.newbyteorder()),
        shifted,
        frozen,
    ]


def operations(n: int, b: int, dtype: Any) -> list[Callable[[np.ndarray], Any]]:
    rng = np.random.default_rng(1)
    centre, extras = rng.normal(size=b).astype(dtype), rng.normal(size=(2, b)).astype(dtype)
    single, several = rng.normal(size=n), rng.normal(size=(6, n))
    return [
        compiled.median,
        lambda block: compiled.trimmed_mean(block, n // 4),
        lambda block: compiled.mean_around(block, centre, n - n // 4),
        compiled.row_extent,
        lambda block: compiled.centred_gram(block, centre, extras),
        lambda block: compiled.combine(single, block),
        lambda block: compiled.combine(several, block),
    ]


def same_bits(a: Any, b: Any) -> bool:
    return all(
        x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(np.atleast_2d(a), np.atleast_2d(b), strict=True)
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_memory_layout_does_not_matter(dtype: Any) -> None:
    block = sample(12, 150, dtype)
    block[:, 5::7] = 1.0
    block[:, 6::7] = 2.0
    for operation in operations(12, 150, dtype):
        for layout in layouts(block):
            before = layout.tobytes()
            assert same_bits(operation(layout), operation(block))
            assert layout.tobytes() == before


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [9, 300, 1100])
def test_cutting_the_columns_elsewhere_gives_the_same_bits(n: int, dtype: Any) -> None:
    b = 333
    block, rng = sample(n, b, dtype), np.random.default_rng(2)
    centre, several = rng.normal(size=b).astype(dtype), rng.normal(size=(5, n))
    rules: list[Callable[[slice], np.ndarray]] = [
        lambda cut: compiled.median(block[:, cut]),
        lambda cut: compiled.trimmed_mean(block[:, cut], n // 4),
        lambda cut: compiled.mean_around(block[:, cut], centre[cut], n - n // 4),
        lambda cut: compiled.combine(several[0], block[:, cut]),
        lambda cut: compiled.combine(several, block[:, cut]),
    ]
    for rule in rules:
        whole = rule(slice(0, b))
        for edges in ([0, 1, 64, 65, 200, b], [0, 128, 130, b - 1, b]):
            parts = [rule(slice(start, stop)) for start, stop in pairwise(edges)]
            assert np.concatenate(parts, axis=-1).tobytes() == np.ascontiguousarray(whole).tobytes()


def test_threads_at_once_give_the_same_bits() -> None:
    block = np.random.default_rng(3).normal(size=(40, 9000)).astype(np.float32)
    rules = operations(40, 9000, np.float32)
    alone = [rule(block) for rule in rules]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda rule: rule(block), rules * 4))
    assert all(same_bits(a, b) for a, b in zip(alone * 4, together, strict=True))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("n", "b"), [(1, 1), (3, 64), (7, 31), (20, 150), (101, 700)])
def test_row_extent(n: int, b: int, dtype: Any) -> None:
    block = np.random.default_rng(4).normal(size=(n, b)).astype(dtype)
    peak, square = compiled.row_extent(block)
    assert peak.dtype == square.dtype == np.float64
    assert np.array_equal(peak, np.abs(block).max(axis=1).astype(np.float64))
    assert np.allclose(square, (block.astype(np.float64) ** 2).sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("column", [0, 63, 64, 99])
def test_row_extent_finds_what_is_not_finite(column: int, dtype: Any) -> None:
    block = np.ones((6, 100), dtype)
    for row, value in enumerate([np.nan, -np.nan, np.inf, -np.inf, -7.0]):
        block[row, column] = value
    block[1, 50], block[0, 99 - column] = np.inf, block[0, 99 - column] * np.inf
    block[0, column] = np.nan
    peak, square = compiled.row_extent(block)
    assert np.isnan(peak[:2]).all()
    assert peak[2:].tolist() == [np.inf, np.inf, 7.0, 1.0]
    assert square[4:].tolist() == [148.0, 100.0]
    assert not np.isfinite(square[:4]).any()


def test_squares_may_overflow_in_silence() -> None:
    peak, square = compiled.row_extent(np.full((1, 3), 1e200))
    assert (peak[0], square[0]) == (1e200, np.inf)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("n", "b", "e"), [(1, 1, 0), (2, 300, 1), (3, 64, 0), (20, 1000, 2), (101, 517, 3)])
def test_centred_gram(n: int, b: int, e: int, dtype: Any) -> None:
    rng = np.random.default_rng(5)
    block, extras = rng.normal(size=(n, b)).astype(dtype) + 100, rng.normal(size=(e, b)).astype(dtype)
    points = np.concatenate([block, np.zeros((1, b)), extras]).astype(np.float64) - block[n // 2].astype(np.float64)
    found = compiled.centred_gram(block, block[n // 2], extras)
    assert np.array_equal(found, found.T)
    assert np.allclose(found, points @ points.T, rtol=1e-12, atol=1e-12 * np.square(points).sum(axis=1).max())
    assert not found[n // 2].any()


def test_extras_of_a_gram_may_be_left_out() -> None:
    block = np.arange(6.0).reshape(2, 3)
    assert compiled.centred_gram(block, np.zeros(3)).tolist() == [[5, 14, 0], [14, 50, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [2, 5, 30, 130])
def test_equal_rows_have_a_distance_of_exactly_zero(n: int, dtype: Any) -> None:
    block = np.random.default_rng(6).normal(size=(n, 901)).astype(dtype)
    block[n - 1] = block[0]
    block[n // 2] = block[0]
    gram = compiled.centred_gram(block, block[1] * dtype(0.3), block[:1])
    square = np.diag(gram)
    twins = [0, n // 2, n - 1, n + 1]
    assert not (square[:, None] - 2 * gram + square)[np.ix_(twins, twins)].any()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("n", "b"), [(1, 1), (5, 64), (20, 1500), (300, 130)])
def test_combine(n: int, b: int, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    block = rng.normal(size=(n, b)).astype(dtype)
    for m in (1, 2, 4, 9):
        weights = rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.7)
        exact = weights @ block.astype(np.float64)
        bound = np.finfo(dtype).eps * np.abs(exact) + n * 1e-16 * (np.abs(weights) @ np.abs(block.astype(np.float64)))
        found = compiled.combine(weights, block)
        assert found.dtype == dtype
        assert (np.abs(found - exact) <= bound).all()
        assert (np.abs(compiled.combine(weights[0], block) - exact[0]) <= bound[0]).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_without_weight_are_not_read(dtype: Any) -> None:
    block = np.random.default_rng(8).normal(size=(6, 100)).astype(dtype)
    block[[1, 4]] = np.nan
    pick = np.eye(6)[[0, 2, 3, 5, 0]]
    assert np.array_equal(compiled.combine(pick[1], block), block[2])
    assert np.array_equal(compiled.combine(pick, block), block[[0, 2, 3, 5, 0]])
    assert not compiled.combine(np.zeros(6), block).any()
    assert not compiled.combine(np.zeros((2, 6)), block).any()


def test_sums_do_not_cancel_in_float32() -> None:
    block = np.array([[3e38], [3e38], [-3e38], [-3e38], [1.0]], dtype=np.float32)
    assert compiled.combine(np.array([1.0, 1.0, 0.5, 1.5, 0.0]), block).tolist() == [0.0]
    assert compiled.combine(np.ones((2, 2)), block[1:3]).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 6, 300, 1100])
def test_values_that_are_not_finite_spoil_no_other_column(n: int, dtype: Any) -> None:
    block = sample(n, 130, dtype)
    spoilt = block.copy()
    for column, value in enumerate([np.nan, -np.nan, np.inf, -np.inf]):
        spoilt[n // 2, column] = value
        spoilt[:, 4 + column] = value
    for operation in operations(n, 130, dtype)[:3]:
        assert operation(spoilt)[8:].tobytes() == operation(block)[8:].tobytes()


@pytest.mark.parametrize("dtype", TYPES)
def test_blocks_without_columns(dtype: Any) -> None:
    block = np.empty((4, 0), dtype)
    centre = np.empty(0, dtype)
    for found in (compiled.median(block), compiled.trimmed_mean(block, 1), compiled.mean_around(block, centre, 2)):
        assert (found.shape, found.dtype) == ((0,), dtype)
    assert [x.tolist() for x in compiled.row_extent(block)] == [[0.0] * 4] * 2
    assert not compiled.centred_gram(block, centre).any()
    assert compiled.combine(np.ones(4), block).shape == (0,)
    assert compiled.combine(np.ones((3, 4)), block).shape == (3, 0)


def test_what_does_not_fit_is_refused_with_a_remedy() -> None:
    block = np.zeros((4, 3))
    refusals: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: compiled.median(np.zeros((0, 3))), ValueError, r"n >= 1\. Found \[0, 3\]"),
        (lambda: compiled.median(np.zeros(3)), ValueError, r"\[n, b\]"),
        (lambda: compiled.median(np.zeros((2, 2), dtype=np.int64)), TypeError, r"Found int64\. Convert"),
        (lambda: compiled.trimmed_mean(block, 2), ValueError, r"2f < n\. Found f=2, n=4"),
        (lambda: compiled.trimmed_mean(block, -1), ValueError, r"Found f=-1"),
        (lambda: compiled.mean_around(block, np.zeros(3), 0), ValueError, r"Found count=0, n=4"),
        (lambda: compiled.mean_around(block, np.zeros(3), 5), ValueError, r"Found count=5, n=4"),
        (lambda: compiled.mean_around(block, np.zeros(2), 1), ValueError, r"\[3\]\. Found shape \[2\]"),
        (lambda: compiled.centred_gram(block, np.zeros(2)), ValueError, r"reference of shape \[2\]"),
        (lambda: compiled.centred_gram(block, np.zeros(3), np.zeros((1, 2))), ValueError, r"extras of shape \[1, 2\]"),
        (lambda: compiled.combine(np.zeros(3), block), ValueError, r"\[4\] or \[m, 4\]\. Found \[3\]"),
    ]
    for call, error, message in refusals:
        with pytest.raises(error, match=message):
            call()


def test_a_kernel_that_cannot_be_kept_on_disk_still_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_told", [])
    space: dict[str, Any] = {}
    exec("def twice(x):\n    return 2 * x", space)
    with pytest.warns(RuntimeWarning, match="The cache of compiled kernels has no folder"):
        assert compiled_vectors.kernel(space["twice"])(21) == 42
