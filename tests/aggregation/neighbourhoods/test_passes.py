"""The passes over the letters: the compiled ones agree with numpy's, at every size and scale."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from robustfl.aggregation.kernels.base import Kernels
from robustfl.aggregation.kernels.host import Host
from robustfl.aggregation.neighbourhoods import Hoods, Letters, host_passes, passes
from robustfl.aggregation.neighbourhoods.gathering import all_pairs
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.neighbourhoods.tiles import tiled
from robustfl.aggregation.updates.source import HostileRows
from robustfl.defenses import IOS, NNA, Gossip
from tests.aggregation.neighbourhoods.mixer_rules import MIXERS, OCCASION
from tests.aggregation.neighbourhoods.networks import random_network

each_type = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
each_width = pytest.mark.parametrize("d", [1, 63, 64, 700, 5000], ids=lambda d: f"d{d}")


def both(rows: Any) -> tuple[Passes, Passes]:
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    one, other = Passes(rows), Passes(rows)
    one.passes, other.passes = compiled, host_passes
    return one, other


def drawn(dtype: Any, d: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(d)
    rows = rng.standard_normal((11, d)).astype(dtype)
    index = np.stack([rng.permutation(11)[:5] for _ in range(9)]).astype(np.int32)
    weights = rng.random((9, 5))
    return rows, index, weights / weights.sum(axis=1, keepdims=True)


@each_type
@each_width
def test_compiled_passes_agree_with_numpy(dtype: Any, d: int) -> None:
    rows, index, weights = drawn(dtype, d)
    weights[0] = [0, 0, 1, 0, 0]
    weights[1] = [0.5, 0, 0.2, 0, 0]
    maps = np.random.default_rng(1).random((9, 4, 5))
    pairs = np.array([[0, 1], [0, 2], [0, -1], [3, 9], [4, 4]], np.int32)
    lines = np.random.default_rng(2).permutation(9)
    found = []
    for one in both(rows):
        jobs = [
            one.medians(index, None),
            one.medians(index, maps),
            one.trimmed_means(index, None, 1),
            one.trimmed_means(index, maps, 1),
        ]
        combined = np.empty((9, d), dtype)
        one.combine(index, weights, lines, combined)
        models = [np.empty((9, d), dtype) for _ in jobs]
        for job, out in zip(jobs, models, strict=True):
            one.write([(lines, job)], out)
        found.append([combined, *models, one.squared_distances(pairs), one.passes.squared_distances(rows, pairs, True)])
    for compiled, plain in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=3e-6 if dtype == np.float32 else 1e-12, atol=1e-6)
    np.testing.assert_array_equal(found[0][0][lines[0]], rows[index[0, 2]])


@each_type
def test_magnitudes_never_miss_what_is_not_finite(dtype: Any) -> None:
    rows = np.ones((5, 300), dtype)
    rows[0, 299], rows[1, 0], rows[2, 130], rows[3, 7] = np.nan, -np.inf, -7.0, np.nan
    rows[3, 8] = np.inf
    for one in both(rows):
        np.testing.assert_array_equal(one.passes.peaks(rows, np.arange(5)), [np.nan, np.inf, 7.0, np.nan, 1.0])


@each_type
@pytest.mark.parametrize("value", [np.nan, -np.inf, -7.0])
def test_the_largest_magnitude_is_found_wherever_it_stands(dtype: Any, value: float) -> None:
    rows = np.random.default_rng(4).uniform(-1.0, 1.0, (1, 140)).astype(dtype)
    for place in range(140):
        changed = rows.copy()
        changed[0, place] = value
        for one in both(changed):
            np.testing.assert_array_equal(one.passes.peaks(changed, np.arange(1)), np.abs([value]))


@pytest.mark.parametrize("rule", [Gossip(), NNA(), IOS()], ids=str)
@pytest.mark.parametrize("d", [700, 1033, 2500])
def test_a_tile_changes_no_bit_and_hides_no_hostile_letter(rule: Any, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    models = np.random.default_rng(5).standard_normal((9, d)).astype(np.float32)
    index = (np.arange(9)[:, None] + np.arange(9)) % 9
    hoods, found = Hoods(index, np.full((9, 9), 1 / 9), np.full(9, 2)), []
    hostile = models.copy()
    hostile[index[0, 1], d - 1] = np.inf
    for often in (0, 1 << 40):
        monkeypatch.setattr(compiled, "OFTEN", often)
        found.append(rule.mix(Letters(models), hoods).models)
        assert rule.mix(Letters(hostile), hoods).rejected[0, 1]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("m", [1, 2, 3, 8, 9])
def test_all_pairs_of_letters_meet_once(m: int) -> None:
    met = sorted(tuple(sorted(ends)) for ends in zip(*(end.tolist() for end in all_pairs(m)), strict=True))
    assert met == list(combinations(range(m), 2))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e18, 1e30], ids=str)
def test_distances_neither_vanish_nor_overflow_at_any_scale(scale: float) -> None:
    rng = np.random.default_rng(3)
    models = (rng.standard_normal((5, 400)) * scale).astype(np.float32)
    models[4] = -models[:4].mean(axis=0)
    around = Hoods([[0, 1, 2, 3, 4]], np.full((1, 5), 0.2), [1])
    for rule in (NNA(), IOS()):
        expected = rule.mix(Letters(models.astype(np.float64) / scale), around).weights
        np.testing.assert_allclose(rule.mix(Letters(models), around).weights, expected, atol=1e-6)


def test_equal_rows_have_distance_zero_and_the_sum_is_that_of_differences() -> None:
    """Models far from the origin and near each other: products of float32 numbers would lose their distance."""
    rows = np.full((3, 4000), 100.0, np.float32)
    rows[1, ::2] += 1e-3
    for one in both(rows):
        found = one.squared_distances(np.array([[0, 1], [0, 2]], np.int32))
        exact = float(((rows[1].astype(np.float64) - rows[0]) ** 2).sum())
        np.testing.assert_allclose(found, [exact, 0.0], rtol=1e-6)


def test_the_cut_for_sums_is_the_same_for_any_number_of_letters() -> None:
    rows = np.random.default_rng(4).standard_normal((200, 20_000)).astype(np.float32)
    pair = np.array([[0, 1]], np.int32)
    few, many = Passes(rows[:2]), Passes(rows)
    assert few.passes is many.passes
    assert few.width > many.width
    assert few.squared_distances(pair)[0] == many.squared_distances(pair)[0]


@pytest.mark.parametrize(
    ("work", "known"),
    [
        (lambda block, ops: ops.median(block), True),
        (lambda block, ops: ops.trimmed_mean(block, (len(block) - 1) // 2), True),
        (lambda block, ops: ops.trimmed_mean(block, len(block)), False),
        (lambda block, ops: ops.median(block, exact=True), False),
        (lambda block, ops: ops.median(block) / 2, False),
        (lambda block, ops: ops.median(block + 1), False),
        (lambda block, ops: ops.median(block[1:]), False),
        (lambda block, ops: np.sign(block).sum(axis=0), False),
        (lambda block, ops: np.median(block, axis=0), False),
        (lambda block, ops: ops.mean_around(block, ops.median(block), 3), False),
        (lambda block, ops: ops.mean_around(block, ops.median(block, exact=True), 3), False),
        (lambda block, ops: ops.mean_around(block, ops.median(block, exact=True), 6), False),
        (lambda block, ops: ops.mean_around(block, ops.median(block, exact=True), 5), True),
        (lambda block, ops: block[0], False),
        (lambda block, ops: np.zeros(3), False),
    ],
    ids=[
        *("median", "trimmed", "too-much", "exact", "half", "sum", "part", "sign", "numpy"),
        *("around", "small-around", "too-many-around", "mean", "own", "nothing"),
    ],
)
def test_a_kernel_steps_in_only_for_a_rule_that_is_one_order_statistic(work: Any, known: bool) -> None:
    rows, index, _ = drawn(np.float64, 10)
    write = tiled(work, 5, Passes(rows), index, None)
    assert (write is not None) == known


def test_a_rule_by_columns_is_told_blocks_of_its_own_neighbourhood() -> None:
    rows, index, _ = drawn(np.float64, 3000)
    one, seen = Passes(rows), []

    def work(block: Any, ops: Kernels) -> Any:
        seen.append(block.shape)
        return ops.combine(np.arange(5.0), block)

    out = np.empty((9, 3000))
    one.write([(np.arange(9), one.one_by_one(index, None, work))], out, 2048)
    np.testing.assert_allclose(out, np.einsum("m,nmd->nd", np.arange(5.0), rows[index]))
    assert sorted(set(seen)) == [(5, 952), (5, 2048)]


def test_numpy_steps_in_where_kernels_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(0)
    expected = [case.rule.preview(network.letters, network.hoods, OCCASION).models for case in MIXERS]
    monkeypatch.setattr(passes, "kernels_for", lambda *_: Host())
    assert Passes(network.letters.rows).passes is host_passes
    for case, models in zip(MIXERS, expected, strict=True):
        found = case.rule.preview(network.letters, network.hoods, OCCASION).models
        np.testing.assert_allclose(found, models, atol=1e-4, err_msg=case.name)


@each_type
@pytest.mark.parametrize("d", [1, 15, 64, 700, 1600, 5008], ids=lambda d: f"d{d}")
@pytest.mark.parametrize("start", [0, 4, 5], ids=["aligned", "shifted", "odd"])
def test_neither_the_way_past_the_caches_nor_the_cut_nor_an_unrolled_network_changes_a_bit(
    dtype: Any, d: int, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    rows, index, weights = drawn(dtype, d)
    lines = np.random.default_rng(2).permutation(9)

    def made(suspects: Any) -> list[Any]:
        results = []
        for what in ("combine", "median", "trimmed"):
            space = np.zeros(9 * d + 64, dtype)
            first = -space.ctypes.data % 64 // space.itemsize + start
            out, one = space[first : first + 9 * d].reshape(9, d), Passes(rows, suspects)
            if what == "combine":
                one.combine(index, weights, lines, out)
            else:
                work = one.medians(index, None) if what == "median" else one.trimmed_means(index, None, 1)
                one.write([(lines, work)], out)
            assert not space[:first].any(), "nothing is written beside the target"
            assert not space[first + 9 * d :].any()
            results.append(out)
        return results

    expected = made(np.zeros(0, np.int64))
    monkeypatch.setattr(compiled, "STREAMED", 0)
    monkeypatch.setattr(compiled, "UNROLLED", 0)
    monkeypatch.setattr(passes, "COMBINED", 192)
    monkeypatch.setattr(passes, "MOST", 64)
    monkeypatch.setattr(passes, "FEWEST", 64)
    for suspects in (np.zeros(0, np.int64), np.arange(11)):
        for one, other in zip(made(suspects), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def refused(*_: Any) -> None:
    raise AssertionError("the other kernel was to be called")


@pytest.mark.parametrize("m", [1, 2, 9, 32])
@pytest.mark.parametrize("what", ["median", "trimmed"])
def test_an_unrolled_network_gives_the_same_bits_for_all_kinds_of_numbers(
    m: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    rng, dtype = np.random.default_rng(m), np.float64 if m == 2 else np.float32
    rows = rng.standard_normal((40, 1000)).astype(dtype)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max, -np.finfo(dtype).max, 1e-40], dtype)
    rows[:, :500] = rng.choice(special, (40, 500))
    rows[:, 500:600] = rng.integers(-1, 2, (40, 100))
    index, lines = np.stack([rng.permutation(40)[:m] for _ in range(9)]).astype(np.int32), rng.permutation(9)

    def made() -> Any:
        one, out = Passes(rows, np.zeros(0, np.int64)), np.empty((9, 1000), dtype)
        work = one.medians(index, None) if what == "median" else one.trimmed_means(index, None, m // 4)
        one.write([(lines, work)], out)
        out[np.isnan(out)] = np.nan  # which of two NaN a sum becomes, the compiler may choose
        return out.view(np.int64 if dtype is np.float64 else np.int32)

    with monkeypatch.context() as patched:
        patched.setattr(compiled, "unrolled_ranks", refused)
        expected = made()
    monkeypatch.setattr(compiled, "UNROLLED", 0)
    monkeypatch.setattr(compiled.loops, "ranks", refused)
    np.testing.assert_array_equal(made(), expected)


@each_type
@pytest.mark.parametrize(("m", "kept"), [(2, 1), (3, 2), (8, 6), (9, 7), (9, 8), (16, 11)])
def test_unrolled_means_around_the_median_have_the_bits_of_those_that_are_made_one_by_one(
    m: int, kept: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    rng = np.random.default_rng(m)
    rows = rng.standard_normal((40, 1000)).astype(dtype)
    special = np.array([0.0, -0.0, 1.0, 1e-40, np.finfo(dtype).tiny, 3e37, -3e37, 1.0 + np.finfo(dtype).eps], dtype)
    rows[:, :300] = rng.choice(special, (40, 300))
    rows[:, 300:600] = rng.integers(-3, 4, (40, 300))  # with ties, also of numbers on both sides of the median
    rows[:, 600:700] *= 10.0 ** rng.integers(-12, 12, (40, 100))
    index, lines = np.stack([rng.permutation(40)[:m] for _ in range(9)]).astype(np.int32), rng.permutation(9)

    def work(block: Any, ops: Kernels) -> Any:
        return ops.mean_around(block, ops.median(block, exact=True), kept)

    monkeypatch.setattr(compiled, "UNROLLED", 0)
    one, found = Passes(rows, np.zeros(0, np.int64)), []
    quick = tiled(work, m, one, index, None)
    assert quick is not None
    for write in (quick, one.one_by_one(index, None, work)):
        out = np.empty((9, 1000), dtype)
        one.write([(lines, write)], out)
        found.append(out.view(np.int32 if dtype is np.float32 else np.int64))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("m", "width", "unrolled"), [(9, 2048, True), (9, 2047, False), (33, 2048, False)])
def test_few_rows_of_large_models_alone_get_a_kernel_of_their_own(
    m: int, width: int, unrolled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How large models are does not depend on how much of them a block has, or on where the results go."""
    compiled = pytest.importorskip("robustfl.aggregation.neighbourhoods.compiled_passes")
    monkeypatch.setattr(compiled, "UNROLLED", 40 * 2048 * 4)
    owner, other = (compiled.loops, "ranks") if unrolled else (compiled, "unrolled_ranks")
    monkeypatch.setattr(owner, other, refused)
    rows = np.random.default_rng(6).standard_normal((40, width)).astype(np.float32)
    index, expected = (np.arange(40)[:, None] + np.arange(m)).astype(np.int32) % 40, rows.copy()
    for place, line in enumerate(index):
        expected[place] = np.median(rows[line], axis=0)
    for out in (np.empty_like(rows), rows):
        one = Passes(rows)
        one.write([(np.arange(40), one.medians(index, None))], out, 256)
        np.testing.assert_array_equal(out, expected)


@each_type
def test_distances_depend_neither_on_the_order_of_pairs_nor_on_that_of_their_ends(dtype: Any) -> None:
    rows, _, _ = drawn(dtype, 9000)
    rows[3, 1000:6000], rows[5] = 0.0, rows[5] * dtype(1e-14)
    pairs = np.array([[p, q] for p in range(11) for q in (*range(p + 1, 11), -1)], np.int32)
    one = Passes(rows)
    first = one.squared_distances(pairs)
    backwards = Passes(rows).squared_distances(pairs[::-1])[::-1]
    swapped = Passes(rows).squared_distances(np.where(pairs[:, 1:] < 0, pairs, pairs[:, ::-1]))
    np.testing.assert_array_equal(first, backwards)
    np.testing.assert_array_equal(first, swapped)
    exact = np.concatenate([rows, np.zeros((1, 9000))]).astype(np.float64)
    np.testing.assert_allclose(first, ((exact[pairs[:, 0]] - exact[pairs[:, 1]]) ** 2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38], ids=["nan", "inf", "huge"])
@pytest.mark.parametrize("column", [0, 4096, 8999], ids=["first", "middle", "last"])
def test_every_kind_of_first_pass_finds_hostile_rows(value: float, column: int) -> None:
    rows, index, weights = drawn(np.float32, 9000)
    rows[4, column] = value
    pairs, lines, out = np.array([[0, 1], [2, 3]], np.int32), np.arange(9), np.empty((9, 9000), np.float32)
    for passes_ in both(rows):
        kind = passes_.passes
        for first in (
            lambda one: one.combine(index, weights, lines, out),
            lambda one: one.squared_distances(pairs),
            lambda one: one.write([(lines, one.medians(index, None))], out),
            lambda one: one.verify(),
        ):
            one = Passes(rows, np.arange(11), 1e37)
            one.passes = kind
            with pytest.raises(HostileRows) as found:
                first(one)
            assert found.value.reasons == {4: "too large to sum" if value == 3e38 else "not finite"}
