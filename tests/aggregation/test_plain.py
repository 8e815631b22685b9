"""Plain matrices are answered without a description of their parts; what is not plain, is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregator
from robustfl.aggregation.kernels.choice import host_kernels
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.updates.gram import ROUNDING, Gram, row_medians
from robustfl.aggregation.updates.plain import plain_source
from robustfl.aggregation.updates.source import ALIKE, FAR, _typical
from robustfl.defenses import CAF, NNM, CenteredClipping, GeometricMedian, Krum, Mean, Median
from robustfl.defenses import centered_clipping as clipping
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, UpdatesError
from tests.aggregation.test_short_way import bits, matrix

LARGE = 1 << 20
few = settings(deadline=None, max_examples=12)
compiled = pytest.mark.skipif(type(host_kernels(LARGE)) is Host, reason="needs numba")
RULES: dict[str, Aggregator] = {
    "mean": Mean(),
    "krum": Krum(f=2),
    "median": Median(),
    "caf": CAF(f=2),
    "nnm, geometric median": NNM(f=2) >> GeometricMedian(),
}


def forms(x: Any) -> dict[str, Any]:
    """A matrix in the forms that are plain."""
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    return {
        "array": x,
        "rows of others": np.repeat(x, 2, axis=0)[::2],
        "columns": np.asfortranarray(x),
        "read-only": np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
        "tensor": torch.from_numpy(x),
        "leaf": leaf,
        "transposed": torch.from_numpy(np.ascontiguousarray(x.T)).T,
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(13, 3), (13, 1400)], ids=["13x3", "13x1400"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_matrices_get_the_answer_of_the_long_way(rule: str, size: tuple[int, int], dtype: str) -> None:
    for name, x in forms(matrix(size, 5, dtype, "general")).items():
        assert plain_source(x) is not None, name
        short, long = RULES[rule].aggregate(x), RULES[rule].aggregate(x, ids=range(len(x)))
        assert type(short.value) is type(long.value), name
        for one, other in zip(vars(short).values(), vars(long).values(), strict=True):
            assert bits(one) == bits(other), name
        assert bits(RULES[rule](x)) == bits(long.value)


@pytest.mark.parametrize("rule", RULES)
def test_plain_rows_with_plain_names_get_the_answer_of_the_long_way(rule: str) -> None:
    """What is given as an iterator goes the long way."""
    x = torch.from_numpy(matrix((13, 200), 5, "float32", "general"))
    for names in ([100 - row for row in range(13)], [f"client {row}" for row in range(13)], (*range(12), "last")):
        source = plain_source(x, names)
        assert source is not None
        assert source.ids == tuple(names)
        short, long = RULES[rule].aggregate(x, ids=names), RULES[rule].aggregate(x, ids=iter(names))
        assert short.info["ids"] == long.info["ids"] == tuple(names)
        for one, other in zip(vars(short).values(), vars(long).values(), strict=True):
            assert bits(one) == bits(other), names


def test_names_that_are_not_plain_are_described() -> None:
    x = matrix((3, 4), 5, "float32", "general")
    found: list[Any] = [
        [1, 2], [1, 1, 2], [1, 2, 3, 4], [1, 2, np.int64(3)], [1, 2, 3.0], [1, 2, None], [True, 2, 3], [1, [2], 3],
        "abc", range(3), np.arange(3), torch.arange(3), {1: 0, 2: 0, 3: 0},
    ]  # fmt: skip
    assert [plain_source(x, names) for names in found] == [None] * len(found)


def test_what_is_not_plain_is_described(tmp_path: Path) -> None:
    x = matrix((13, 3), 5, "float32", "general")
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=x.shape)
    freed = torch.ones(3, 2)
    freed.untyped_storage().resize_(0)
    found = [
        mapped, np.asarray(mapped), mapped[:5].view(np.ndarray), np.ma.masked_invalid(x), x.astype(">f4"),
        x.astype(np.float16), x.astype(int), x[0], x[None], x[:0], x[:, :0], list(x), x.view(np.matrix), None,
        np.ones((3, 1 << 15), np.float32), torch.ones(3, 2).bfloat16(), torch.ones(3, 2).to_sparse(),
        torch.ones(3, 2, dtype=torch.int32), torch.complex(torch.ones(3, 2), -torch.ones(3, 2)).conj().imag,
        torch.nn.Parameter(torch.ones(3, 2)), torch.empty(3, 2, device="meta"), freed,
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    ]  # fmt: skip
    assert [plain_source(updates) for updates in found] == [None] * len(found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("place", [(0, 0), (7, 700), (12, 1399)], ids=["first", "middle", "last"])
def test_hostile_values_are_found_wherever_they_are(bad: float, place: tuple[int, int]) -> None:
    x = matrix((13, 1400), 5, "float32", "general")
    x[place] = bad
    for rule in RULES.values():
        answer = rule.aggregate(x)
        assert np.flatnonzero(answer.rejected).tolist() == [place[0]]
        assert list(answer.info["reasons"]) == [place[0]]
        assert bits(answer.value) == bits(rule(np.delete(x, place[0], axis=0)))
        with pytest.raises(UpdatesError, match=f"row {place[0]}"):
            rule(x, hostile="raise")


def test_errors_are_those_of_the_long_way() -> None:
    x = matrix((13, 3), 5, "float64", "general")
    with pytest.raises(InfeasibleError, match="Krum needs n >= 2f"):
        Krum(f=6)(x)
    with pytest.raises(ParameterError, match="hostile="):
        Mean()(x, hostile="ignore")  # type: ignore[arg-type]

    class Endless(Mean):
        def weights(self, gram: Gram) -> Any:
            return np.full(gram.n, 1e300)

    with pytest.raises(RobustflError, match="not finite from 13 finite rows"), np.errstate(all="ignore"):
        Endless()(x * 1e20)


def test_answers_can_be_changed_without_harm_to_the_memory_of_a_rule() -> None:
    rule = CenteredClipping(radius=1.0)
    x = matrix((13, 1400), 5, "float32", "general")
    answer = rule(x)
    before = rule.state_dict()
    answer[...] = 7.0
    assert bits(rule.state_dict()) == bits(before)


@given(seed=st.integers(0, 2**32), n=st.integers(1, 9), d=st.integers(1, 150), at=st.integers(0, 10**6))
@few
@compiled
def test_one_value_that_does_not_fit_is_seen(seed: int, n: int, d: int, at: int) -> None:
    kernels = host_kernels(LARGE)
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)
        for one in (kernels, Host()):
            assert one.fits(x, 100.0)
            assert not one.fits(x, float(np.abs(x).max()) * 0.999)
            for bad in (np.nan, -np.inf, -101.0):
                worse = x.copy()
                worse.flat[at % x.size] = bad
                assert not one.fits(worse, 100.0)
                assert one.clean_combine(np.ones(n), worse, 100.0) is None
            assert bits(one.clean_combine(np.ones(n), x, 100.0)) == bits(one.combine(np.ones(n), x))


@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 20), d=st.integers(1, 300), apart=st.sampled_from([0.0, 1.0, 1e4, 1e9])
)
@few
@compiled
def test_one_call_finds_what_several_found(seed: int, n: int, d: int, apart: float) -> None:
    """A quarter of the rows is apart, so now and then the reference is far from rows that are close together."""
    kernels, rng = host_kernels(LARGE), np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32).round(1)
    x[rng.random(n) < 0.25] += np.float32(apart)
    found = kernels.clean_gram(x, 1e30, x[:1], ALIKE, FAR, ROUNDING)
    assert found is not None
    assert found.clean
    extent = kernels.row_extent(x)
    assert bits(found.extent[0]) + bits(found.extent[1]) == bits(extent[0]) + bits(extent[1])
    place = _typical(extent[1])
    gram = Gram(kernels.centred_gram(x, np.zeros(d, np.float32) if place is None else x[place], x[:1]), n)
    assert bits(found.centred) == bits(gram.centred)
    assert bits(found.squared_distances) == bits(gram.squared_distances)
    offset = gram.centred[gram.central, gram.central]
    assert found.far or not offset > FAR * row_medians(gram.squared_distances[gram.central, None])[0]
    spoilt = kernels.clean_gram(np.where(x == x[-1, -1], np.float32(np.nan), x), 1e30, None, ALIKE, FAR, ROUNDING)
    assert spoilt is not None
    assert not spoilt.clean


@pytest.mark.parametrize("radius", ["median", 0.7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@compiled
def test_clipping_needs_no_gram(radius: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = matrix((15, 1131), 3, dtype, "general")
    rules = [CenteredClipping(radius=radius, iterations=4) for _ in range(2)]
    told = []
    for rule, least in zip(rules, (1, 10**6), strict=True):
        monkeypatch.setattr(clipping, "QUICK", least)
        told.append([rule.aggregate(rows) for rows in (x, x + 1.0)])
    for direct, by_gram in zip(*told, strict=True):
        np.testing.assert_allclose(direct.value, by_gram.value, rtol=0, atol=1e-6)
        np.testing.assert_allclose(direct.weights, by_gram.weights, rtol=0, atol=1e-9)


@given(seed=st.integers(0, 2**32), n=st.integers(3, 30), steps=st.integers(1, 4))
@few
def test_the_nearest_rows_are_the_lower_ones_where_distances_tie(seed: int, n: int, steps: int) -> None:
    x = np.random.default_rng(seed).integers(0, steps + 1, (n, 2)).astype(float)
    f = (n - 1) // 2
    distances = ((x[:, None] - x) ** 2).sum(axis=2)
    np.fill_diagonal(distances, -1.0)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : n - f]
    np.testing.assert_allclose(np.stack(NNM(f=f)(x)), x[nearest].mean(axis=1), rtol=0, atol=1e-12)
