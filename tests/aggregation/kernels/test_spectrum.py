"""Compiled rules that ask for eigenpairs give the answers of numpy, also for few rows, ties and huge numbers."""

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


@given(n=st.integers(5, 120), seed=st.integers(0, 2**32), kind=st.sampled_from(["general", "attacked", "copies"]))
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


SPECIAL = {
    "ties": np.eye(9),
    "pairs of ties": np.kron(np.diag([1.0, 1.1, 1.2, 1.3]), np.array([[1.0, 0.2], [0.2, 1.0]])),
    "rank 1": np.outer(np.arange(1.0, 8.0), np.linspace(-1.0, 2.0, 30)),
    "all equal": np.tile(np.linspace(-1.0, 2.0, 30), (7, 1)),
    "huge": 1e38 * np.random.default_rng(0).normal(size=(11, 200)),
    "two rows": np.random.default_rng(1).normal(size=(2, 30)),
    "three rows": np.random.default_rng(2).normal(size=(3, 30)),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("rule", [Flag(), Flag(dimension=1), Flag(dimension=2, rescale="none")], ids=repr)
def test_the_compiled_flag_is_that_of_numpy_where_eigenvalues_tie_or_rows_are_few_or_huge(
    rule: Flag, kind: str
) -> None:
    x = SPECIAL[kind]
    compiled, plain = both(rule, x)
    np.testing.assert_allclose(compiled.value, plain.value, rtol=0, atol=1e-11 * np.abs(x).max())
    np.testing.assert_allclose(compiled.weights, plain.weights, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if "ties" not in kind])
def test_the_compiled_filter_is_that_of_numpy_where_rows_are_alike_or_few_or_huge(kind: str) -> None:
    x = SPECIAL[kind]
    compiled, plain = both(CAF(f=(len(x) - 1) // 2), x)
    np.testing.assert_allclose(compiled.value, plain.value, rtol=0, atol=1e-11 * np.abs(x).max())
    np.testing.assert_allclose(compiled.weights, plain.weights, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", ["ties", "pairs of ties"])
def test_the_filter_ends_where_directions_of_most_variance_tie(kind: str) -> None:
    for answer in both(CAF(f=3), SPECIAL[kind]):
        assert answer.weights is not None
        assert answer.weights.sum() == pytest.approx(1.0)
        assert (answer.weights >= 0.0).all()


@pytest.mark.parametrize("n", [3, 8, 15, 50, 100])
def test_rows_in_general_position_are_not_left_to_lapack(n: int) -> None:
    """LAPACK takes several times as long, and nobody would notice."""
    x = np.random.default_rng(n).normal(size=(n, 20 * n))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    dimension, size = n // 2 + 1, -(-n // 4) * 4
    _, parts, vectors = spectrum_loops().outside(x @ x.T, np.ones(n), dimension, ROUNDING, np.zeros((size, size)))
    assert len(vectors) == size
    assert parts.sum() == n - dimension


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
