"""Eigenvalues by counts, and the eigenpairs that rules ask for: those of LAPACK, or none at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.kernels.choice import compiles
from tests.aggregation.oracles import Matrix

pytestmark = pytest.mark.skipif(not compiles(), reason="needs numba")

EPSILON = float(np.finfo(np.float64).eps)
QUAD, LANES = 4, 8

seeds = st.integers(0, 2**32)


def pairs() -> Any:
    from robustfl.aggregation.kernels.spectra import pairs

    return pairs


def counting() -> Any:
    from robustfl.aggregation.kernels.spectra import counting

    return counting


def in_corner(matrix: Matrix) -> Matrix:
    """The matrix in the corner of one whose size is a multiple of that of its squares, 0 elsewhere."""
    width = -(-len(matrix) // QUAD) * QUAD
    found = np.zeros((width, width))
    found[: len(matrix), : len(matrix)] = matrix
    return found


def matrix(m: int, seed: int, kind: str) -> Matrix:
    """A symmetric matrix of one kind."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(m, 3 * m))
    if kind == "copies":
        rows[m // 2 :] = rows[0]
    elif kind == "graded":
        rows *= 10.0 ** rng.uniform(-6, 6, size=(m, 1))
    elif kind == "some heavy":
        rows[: m // 2] *= 60.0
    elif kind == "diagonal":
        return np.diag(rng.normal(size=m).round(1))
    elif kind == "identity":
        return np.eye(m)
    elif kind == "rank 1":
        rows = rows[:, :1]
    elif kind == "two parts":
        rows[: m // 2, : 2 * m], rows[m // 2 :, 2 * m :] = 0.0, 0.0
    elif kind == "negative":
        return -rows @ rows.T
    return rows @ rows.T


KINDS = ["general", "copies", "graded", "some heavy", "diagonal", "identity", "rank 1", "two parts", "negative"]


@given(
    m=st.integers(1, 128),
    seed=seeds,
    kind=st.sampled_from(KINDS),
    scale=st.sampled_from([1.0, 1e-270, 1e-150, 1e150, 1e270]),
)
@settings(deadline=None, max_examples=100)
def test_the_largest_eigenpair_is_that_of_lapack(m: int, seed: int, kind: str, scale: float) -> None:
    plain = matrix(m, seed, kind)
    value, vector = pairs().largest_eigenpair(in_corner(plain * scale), m)
    values = np.linalg.eigvalsh(plain)
    size = np.abs(values).max()
    assert value / scale == pytest.approx(values[-1], rel=1e-13, abs=1e-13 * size)
    assert np.linalg.norm(vector) == pytest.approx(1.0, rel=1e-13)
    assert np.linalg.norm(plain @ vector - values[-1] * vector) <= 1e-13 * m * size


@pytest.mark.parametrize("m", [1, 2, 7])
def test_a_matrix_of_zeros_has_an_eigenvector_too(m: int) -> None:
    value, vector = pairs().largest_eigenpair(in_corner(np.zeros((m, m))), m)
    assert value == 0.0
    assert np.linalg.norm(vector) == pytest.approx(1.0)


def least(plain: Matrix, k: int) -> tuple[bool, Matrix, Matrix]:
    """Whether the k smallest eigenpairs were found, with all values and the vectors [m, k] that were."""
    m, corner = len(plain), in_corner(plain)
    values = np.empty(pairs().lanes_for(k))
    rows = np.empty(len(corner) * len(values))
    found = pairs().least_eigenpairs(corner, m, k, np.zeros_like(corner), values, rows)
    vectors = rows.reshape(-1, len(values))[:m]
    assert not found or not vectors[:, k:].any(), "the columns that nobody asked for are 0"
    return found, values, vectors[:, :k]


@given(data=st.data(), m=st.integers(2, 128), seed=seeds, kind=st.sampled_from(KINDS))
@settings(deadline=None, max_examples=100)
def test_the_smallest_eigenpairs_are_those_of_lapack_if_they_are_found(
    data: st.DataObject, m: int, seed: int, kind: str
) -> None:
    plain, k = matrix(m, seed, kind), data.draw(st.integers(1, m - 1))
    found, values, vectors = least(plain, k)
    assert found or kind != "general"
    if not found:
        return
    expected, directions = np.linalg.eigh(plain)
    size = np.abs(expected).max()
    np.testing.assert_allclose(values[: k + 1], expected[: k + 1], rtol=0, atol=1e-13 * size)
    assert values[-1] == pytest.approx(expected[-1], rel=0, abs=1e-13 * size)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), rtol=0, atol=2e-13)
    assert np.abs(plain @ vectors - vectors * values[:k]).max() <= 1e-13 * size
    gap = (expected[k] - expected[k - 1]) / size
    inside = directions[:, :k]
    if gap > 1e-9:  # otherwise it is chance which directions these are
        np.testing.assert_allclose(vectors @ vectors.T, inside @ inside.T, rtol=0, atol=1e-12 / gap)


@pytest.mark.parametrize("kind", ["identity", "copies", "rank 1"])
def test_eigenvalues_that_tie_are_left_to_lapack(kind: str) -> None:
    assert not least(matrix(12, 0, kind), 4)[0]


def test_vectors_of_close_eigenvalues_are_straightened() -> None:
    """Each is as good as the next, but the cosines between them are far above those of rounding."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 40)))[0]
    values = np.concatenate([1.0 + 1e-6 * np.arange(15), np.linspace(2.0, 3.0, 25)])
    found, _, vectors = least((turn * values) @ turn.T, 15)
    assert found
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(15), rtol=0, atol=1e-14)
    np.testing.assert_allclose(vectors @ vectors.T, turn[:, :15] @ turn[:, :15].T, rtol=0, atol=1e-14)


def tridiagonal(m: int, seed: int, kind: str) -> tuple[Matrix, Matrix]:
    """The diagonal and what is beside it."""
    rng = np.random.default_rng(seed)
    diagonal, beside = rng.uniform(-0.3, 0.3, size=m), rng.uniform(0.0, 0.3, size=m - 1)
    if kind == "graded":
        grades = 10.0 ** -np.sort(rng.uniform(0, 9, size=m))
        diagonal, beside = diagonal * grades, beside * grades[1:]
    elif kind == "in parts":
        beside[rng.random(m - 1) < 0.5] = 0.0
    elif kind == "of equal entries":
        diagonal[:] = 0.25
    return diagonal, beside


def dense(diagonal: Matrix, beside: Matrix) -> Matrix:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


@given(m=st.integers(2, 128), seed=seeds, kind=st.sampled_from(["any", "graded", "in parts", "of equal entries"]))
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_the_eigenvalues_below(m: int, seed: int, kind: str) -> None:
    diagonal, beside = tridiagonal(m, seed, kind)
    small, less, squares = np.empty(m), np.empty(m - 1), np.empty(m - 1)
    unit = counting().scale_down(diagonal, beside, small, less, squares)
    values = np.linalg.eigvalsh(dense(small, less))
    np.testing.assert_array_equal(small * unit, diagonal)
    places = np.random.default_rng(seed).integers(0, m, size=LANES - 2)
    shifts = np.concatenate([[-1.0, small[m // 2]], values[places] + 1e-3 * np.abs(values[places])])
    counts = np.empty(LANES, np.int64)
    counting().count_below_shifts(small, squares, shifts, counts)
    for shift, count in zip(shifts, counts, strict=True):
        assert (values < shift - 8 * EPSILON).sum() <= count <= (values < shift + 8 * EPSILON).sum()


@pytest.mark.parametrize("m", [21, 101])
def test_pairs_of_eigenvalues_that_hardly_differ_have_their_ranks(m: int) -> None:
    """Wilkinson's matrix: its large eigenvalues agree in pairs, the largest ones to the last digit."""
    diagonal, beside = np.abs(np.arange(m) - m // 2) * 1.0, np.ones(m - 1)
    small, less, squares = np.empty(m), np.empty(m - 1), np.empty(m - 1)
    unit = counting().scale_down(diagonal, beside, small, less, squares)
    wanted, found = np.arange(m - LANES, m), np.empty(LANES)
    assert counting().eigenvalues(small, squares, wanted, found)
    np.testing.assert_allclose(found * unit, np.linalg.eigvalsh(dense(diagonal, beside))[-LANES:], rtol=1e-14)
    assert counting().largest_eigenvalue(small, squares) == pytest.approx(found[-1], rel=1e-14)
