"""Compiled eigenpairs are those of LAPACK for any size, scale and ties, and rules built on them those of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregation, Aggregator
from robustfl.aggregation.kernels.choice import compiles, gram_loops, spectrum_loops
from robustfl.aggregation.updates import gram as gram_module
from robustfl.aggregation.updates.layout import read_updates
from robustfl.defenses import CAF, Flag
from robustfl.defenses.flag import CLEAR, STEEP
from robustfl.defenses.flag_subspace import ROUNDING
from tests.aggregation.oracles import Matrix

pytestmark = pytest.mark.skipif(not compiles(), reason="needs numba")


def matrix(m: int, seed: int, kind: str) -> Matrix:
    """A symmetric matrix of one kind."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(m, 3 * m))
    if kind == "copies":
        rows[m // 2 :] = rows[0]
    elif kind == "graded":
        rows *= 10.0 ** rng.uniform(-6, 6, size=(m, 1))
    elif kind == "diagonal":
        return np.diag(rng.normal(size=m).round(1))
    elif kind == "two parts":
        rows[: m // 2, : 2 * m], rows[m // 2 :, 2 * m :] = 0.0, 0.0
    elif kind == "negative":
        return -rows @ rows.T
    return rows @ rows.T


@given(
    m=st.integers(1, 128),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["general", "copies", "graded", "diagonal", "two parts", "negative"]),
    scale=st.sampled_from([1.0, 1e-270, 1e-150, 1e150, 1e270]),
)
@settings(deadline=None, max_examples=60)
def test_the_largest_eigenpair_is_that_of_lapack(m: int, seed: int, kind: str, scale: float) -> None:
    plain = matrix(m, seed, kind)
    value, vector = spectrum_loops().largest_eigenpair(plain * scale)
    values = np.linalg.eigvalsh(plain)
    size = np.abs(values).max()
    assert value / scale == pytest.approx(values[-1], rel=1e-13, abs=1e-13 * size)
    assert np.linalg.norm(vector) == pytest.approx(1.0, rel=1e-14)
    assert np.linalg.norm(plain @ vector - values[-1] * vector) <= 1e-13 * m * size


@pytest.mark.parametrize("m", [1, 2, 7])
def test_a_matrix_of_zeros_has_an_eigenvector_too(m: int) -> None:
    value, vector = spectrum_loops().largest_eigenpair(np.zeros((m, m)))
    assert value == 0.0
    assert np.linalg.norm(vector) == pytest.approx(1.0)


@given(n=st.integers(5, 60), seed=st.integers(0, 2**32), kind=st.sampled_from(["general", "attacked", "copies"]))
@settings(deadline=None, max_examples=30)
def test_the_compiled_filter_agrees_with_numpy(n: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    f = (n - 1) // 4
    x = rng.normal(size=(n, 12)) * np.linspace(1.0, 3.0, 12)
    if kind == "attacked":
        x[:f] += 5.0
    elif kind == "copies":
        x[n // 2 :] = x[-1]

    compiled, plain = both(CAF(f=f), x)
    np.testing.assert_allclose(compiled.value, plain.value, rtol=0, atol=1e-8)
    np.testing.assert_allclose(compiled.weights, plain.weights, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "rule", [Flag(), Flag(mode="paper"), Flag(dimension=2, rescale="none"), Flag(dimension=1, iterations=30)], ids=repr
)
@given(n=st.integers(5, 40), seed=st.integers(0, 2**32), long=st.booleans())
@settings(deadline=None, max_examples=15)
def test_the_flag_of_products_is_that_of_coordinates(rule: Flag, n: int, seed: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6 * n)) + rng.normal(size=6 * n)
    x[: n // 5] += 3.0
    if long:
        x *= np.linspace(0.5, 3.0, n)[:, None]
    compiled, plain = both(rule, x)
    np.testing.assert_allclose(compiled.value, plain.value, rtol=0, atol=1e-9)
    np.testing.assert_allclose(compiled.weights, plain.weights, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "clear"), [("general", True), ("aligned", False), ("copies", False), ("short", False)]
)
def test_products_of_rows_are_not_asked_for_digits_that_they_lack(kind: str, clear: bool) -> None:
    x = np.random.default_rng(3).normal(size=(9, 40))
    if kind == "aligned":
        x = x * 1e-3 + 1.0
    elif kind == "copies":
        x[4:] = x[0]
    elif kind == "short":
        x[2] *= 1e-3
    gram = read_updates(x).source().gram
    limits = 5, False, 5, 1e-10, 1e-7, ROUNDING, CLEAR, STEEP
    lengths, weights = spectrum_loops().flag(gram.centred, 9, *limits)
    assert len(lengths) == len(weights) == (9 if clear else 0)
    np.testing.assert_allclose(lengths, np.linalg.norm(x, axis=1)[: len(lengths)], rtol=1e-12)


def both(rule: Aggregator, x: Matrix) -> list[Aggregation]:
    """The answer of a rule with compiled loops, and that without."""

    def answer(loops: Any) -> Aggregation:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gram_module, "gram_loops", loops)
            return rule.aggregate(x)

    return [answer(gram_loops), answer(lambda points: None)]
