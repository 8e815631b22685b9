"""Votes over rankings: the published example, what counts as a ranking, orders, sizes, and who may be heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.kernels import compiled_votes
from robustfl.aggregation.kernels.threads import limit_threads
from robustfl.aggregation.votes import counting as votes
from robustfl.aggregation.votes.coding import Coding, ranking_bits
from robustfl.aggregation.votes.counting import stable_order, sum_positions
from robustfl.attacks import ReverseRanking
from robustfl.defenses import FRL, NNM
from robustfl.errors import ExceededError, InfeasibleError, ParameterError, UpdatesError

Ints = npt.NDArray[np.int64]

SCORES = np.array([[0.9, -0.2, 0.4, 0.1, 0.7, -0.5], [0.3, 0.2, 0.8, -0.1, 0.6, 0.0], [-0.4, 0.5, 0.9, 0.2, 0.1, 0.3]])
EXAMPLE = np.array([[5, 1, 3, 2, 4, 0], [3, 5, 1, 0, 4, 2], [0, 4, 3, 5, 1, 2]])

LENET = (32 * 9, 64 * 32 * 9, 12_544 * 128, 128 * 10)
LENET_62 = (*LENET[:3], 128 * 62)
CONV8 = tuple(9 * a * b for a, b in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)])
CONV8 += (9 * 512 * 512, 2048 * 256, 256 * 256, 256 * 10)


def permutations(seed: int, n: int, edges: int) -> Ints:
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(edges) for _ in range(n)])


def oracle(rankings: Ints) -> Ints:
    """Sum of inverse permutations, ordered stably: the definition."""
    return np.argsort(np.argsort(rankings, axis=1).sum(axis=0), kind="stable")


# ------------------------------------------------------------------------------------------------- the vote


def test_the_worked_example() -> None:
    np.testing.assert_array_equal(stable_order(SCORES), EXAMPLE)
    (sums,), faults = sum_positions({row: [ranking] for row, ranking in enumerate(EXAMPLE)}, [6])
    assert (sums.tolist(), faults) == ([8, 7, 13, 4, 9, 4], {})
    answer = FRL().aggregate(EXAMPLE)
    assert answer.value.tolist() == [3, 5, 1, 0, 4, 2], "edges 3 and 5 tie, and 3 comes first"
    assert set(answer.value[3:].tolist()) == {0, 2, 4}
    assert answer.weights is None
    assert not answer.rejected.any()
    assert answer.info == {"ids": (0, 1, 2), "reasons": {}, "exceeded": 0}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 9), edges=st.integers(1, 40), threads=st.integers(1, 3))
def test_a_vote_is_the_stable_order_of_summed_positions(seed: int, n: int, edges: int, threads: int) -> None:
    rankings = permutations(seed, n, edges)
    with limit_threads(threads):
        np.testing.assert_array_equal(FRL()(rankings), oracle(rankings))


def test_large_votes_are_compiled_and_spread_over_threads() -> None:
    rankings = permutations(1, 7, 5000)
    for threads in (1, 2, 3, 8):
        with limit_threads(threads):
            np.testing.assert_array_equal(FRL()(rankings), oracle(rankings))
            np.testing.assert_array_equal(FRL()(rankings.astype(np.int32)), oracle(rankings))


def test_everybody_alike_is_followed_and_opposites_cancel() -> None:
    ranking = permutations(2, 1, 50)
    np.testing.assert_array_equal(FRL()(np.repeat(ranking, 4, axis=0)), ranking[0])
    assert FRL()(np.concatenate([ranking, ranking[:, ::-1]])).tolist() == list(range(50)), "all edges tie"


COUNTING: list[Callable[..., Any]] = [compiled_votes.add_positions, votes.add_positions]
UNDOING: list[Callable[..., Any]] = [compiled_votes.take_back, votes.take_back]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_kernel_and_numpy_count_alike_up_to_the_first_wrong_entry(data: st.DataObject) -> None:
    edges = data.draw(st.integers(1, 70))
    entries = st.integers(-2, edges + 1) | st.sampled_from([-(2**63), 2**63 - 1, 2**31, 2**32])
    ranking = np.array(data.draw(st.lists(entries, min_size=1, max_size=edges)), dtype=np.int64)
    fine = next(
        (q for q, e in enumerate(ranking) if not 0 <= e < edges or e in ranking[:q].tolist()), len(ranking)
    )  # what the words say
    first = edges - len(ranking)
    expected = np.arange(edges, dtype=np.int32)
    for place in range(fine):
        expected[ranking[place]] += first + place
    for add, undo in zip(COUNTING, UNDOING, strict=True):
        sums = np.arange(edges, dtype=np.int32)
        assert add(ranking, first, sums, np.zeros(2, np.uint64)) == fine
        np.testing.assert_array_equal(sums, expected)
        undo(ranking, first, fine, sums)
        np.testing.assert_array_equal(sums, np.arange(edges))


def test_sums_beyond_32_bits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    rankings = permutations(3, 9, 100)
    monkeypatch.setattr(votes, "MOST_ENTRIES", 250)  # two rankings of 100 edges at most in one partial sum
    (sums,), _ = sum_positions({row: [ranking] for row, ranking in enumerate(rankings)}, [100])
    np.testing.assert_array_equal(sums, np.argsort(rankings, axis=1).sum(axis=0))


# ------------------------------------------------------------------------------------------------- orders


@settings(deadline=None, max_examples=60)
@given(
    keys=st.lists(st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf]), min_size=1)
)
def test_orders_of_floats_are_stable(keys: list[float]) -> None:
    for values in (np.array(keys, np.float32), np.array(keys)):
        np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


@settings(deadline=None, max_examples=60)
@given(keys=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), min_size=1))
def test_orders_of_integers_are_stable_whatever_their_range(keys: list[int]) -> None:
    values = np.array(keys, np.int64)
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


def test_numbers_that_are_none_still_give_a_ranking() -> None:
    values = np.array([[np.nan, 1.0, -np.inf, np.nan, 0.0]], np.float32)
    (order,) = stable_order(values)
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert [e for e in order.tolist() if e not in (0, 3)] == [2, 4, 1]


# ------------------------------------------------------------------------------------------------- forms


def test_every_form_gives_the_same_answer_in_its_own_type() -> None:
    layers = [permutations(4, 5, 12), permutations(5, 5, 7)]
    expected = [oracle(layer).tolist() for layer in layers]
    clients = [[layer[row] for layer in layers] for row in range(5)]
    for form in (layers, clients, {f"client {row}": client for row, client in enumerate(clients)}):
        answer = FRL()(form)
        assert [ranking.tolist() for ranking in answer] == expected
        assert all(ranking.dtype == np.int64 for ranking in answer)
    tensors = FRL()([[torch.as_tensor(ranking, dtype=torch.int32) for ranking in client] for client in clients])
    assert all(isinstance(ranking, torch.Tensor) and ranking.dtype == torch.int32 for ranking in tensors)
    assert [ranking.tolist() for ranking in tensors] == expected
    assert FRL()(list(layers[0])).tolist() == expected[0], "a network of one layer may do without lists"
    assert FRL()(torch.as_tensor(layers[0])).tolist() == expected[0]


def test_rankings_are_not_changed_and_may_be_views() -> None:
    wide = permutations(6, 4, 30)
    rankings = np.asfortranarray(wide)
    rankings.flags.writeable = False
    np.testing.assert_array_equal(FRL()(rankings), oracle(wide))
    np.testing.assert_array_equal(FRL()(wide[:, ::-1]), oracle(wide[:, ::-1]))
    np.testing.assert_array_equal(FRL()(wide.astype(">i8")), oracle(wide))


@pytest.mark.parametrize("rankings", [[], np.zeros((3, 0), int), "abc", 7, np.zeros(3, int), np.zeros((2, 3)), [None]])
def test_what_is_no_collection_of_rankings_is_an_error(rankings: Any) -> None:
    with pytest.raises(UpdatesError):
        FRL()(rankings)


def test_layers_for_different_numbers_of_clients_are_an_error() -> None:
    with pytest.raises(UpdatesError, match=r"a row for each client. Found \[3, 4\]"):
        FRL()([permutations(0, 3, 5), permutations(0, 4, 5)])


# ------------------------------------------------------------------------------------------------- hostile clients

HOSTILE: dict[str, tuple[Any, str]] = {
    "missing": (None, "missing"),
    "a text": ("0123", "unreadable"),
    "one layer": ([np.arange(8)], r"layers of \[8, 5\]"),
    "a layer too many": ([np.arange(8), np.arange(5), np.arange(3)], r"layers of \[8, 5\]"),
    "an edge twice": ([np.arange(8), np.array([0, 1, 2, 3, 3])], "layer 1.*Found 3 a second time at place 4"),
    "an edge too far": ([np.array([0, 1, 2, 3, 4, 5, 6, 8]), np.arange(5)], "layer 0.*Found 8 at place 7"),
    "a negative edge": ([np.array([-1, 1, 2, 3, 4, 5, 6, 7]), np.arange(5)], "layer 0.*Found -1 at place 0"),
    "huge": ([np.array([2**63 - 1, 1, 2, 3, 4, 5, 6, 7]), np.arange(5)], "layer 0.*at place 0"),
    "beyond int64": ([np.array([2**64 - 1, 1, 2, 3, 4, 5, 6, 7], np.uint64), np.arange(5)], "layer 0.*at place 0"),
    "2**32 more": ([np.arange(8) + 2**32, np.arange(5)], "layer 0.*at place 0"),
    "floats": ([np.arange(8.0), np.arange(5)], "layer 0.*edge numbers"),
    "truths": ([np.arange(8) > 3, np.arange(5)], "layer 0.*edge numbers"),
    "nan": ([np.full(8, np.nan), np.arange(5)], "layer 0.*edge numbers"),
    "objects": ([np.array([None] * 8), np.arange(5)], "layer 0.*edge numbers"),
    "a matrix": ([np.arange(8).reshape(2, 4), np.arange(5)], "layer 0.*edge numbers"),
    "sparse": ([torch.arange(8).to_sparse(), torch.arange(5)], "layer 0.*edge numbers"),
    "numbers": ([3, 4], "layer 0 is unreadable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_is_refused_with_a_reason_and_leaves_no_trace(name: str) -> None:
    bad, reason = HOSTILE[name]
    honest = [[first, second] for first, second in zip(permutations(7, 4, 8), permutations(8, 4, 5), strict=True)]
    answer = FRL().aggregate([*honest[:2], bad, *honest[2:]], ids="abcde")
    assert answer.rejected.tolist() == [False, False, True, False, False]
    assert answer.info["ids"] == tuple("abcde")
    with pytest.raises(UpdatesError, match=f"row 2: .*{reason}"):
        FRL()([*honest[:2], bad, *honest[2:]], hostile="raise")
    for found, expected in zip(answer.value, FRL()(honest), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_hostile_clients_leave_no_trace_in_large_votes_either() -> None:
    honest, bad = permutations(9, 5, 5000), permutations(10, 1, 5000)
    bad[0, 4000] = bad[0, 17]
    layers = [np.concatenate([bad, honest]), np.concatenate([permutations(11, 1, 900), permutations(12, 5, 900)])]
    for order in (layers, layers[::-1]):  # the wrong layer is the first one, or the last
        answer = FRL().aggregate(order)
        assert answer.rejected.tolist() == [True, False, False, False, False, False]
        for found, layer in zip(answer.value, order, strict=True):
            np.testing.assert_array_equal(found, oracle(layer[1:]))


def test_a_client_votes_once_or_not_at_all() -> None:
    rankings = permutations(13, 3, 9)
    again = np.concatenate([rankings, rankings[:1, ::-1]])
    answer = FRL().aggregate(again, ids=["a", "b", "c", "a"])
    assert answer.info["reasons"] == {0: "duplicate id 'a'", 3: "duplicate id 'a'"}
    assert answer.info["exceeded"] == 1
    np.testing.assert_array_equal(answer.value, oracle(rankings[1:]))
    with pytest.raises(ExceededError, match=r"f=0\. Found 1\. row 0: duplicate id 'a'"):
        FRL()(again, ids=["a", "b", "c", "a"], hostile="stop")
    copied = FRL().aggregate(np.concatenate([rankings, rankings[:1]]), ids=["a", "b", "c", "a"], hostile="stop")
    assert copied.info["reasons"] == {3: "a copy of row 0"}
    np.testing.assert_array_equal(copied.value, oracle(rankings))


def test_too_few_rankings_are_an_error_that_says_why_the_others_do_not_count() -> None:
    with pytest.raises(InfeasibleError, match=r"2 of 2 rows were rejected.*a second time"):
        FRL()(np.zeros((2, 4), int))
    assert FRL().infeasible(4, f=2) == "FRL needs n >= 2f + 1 rows. Found n=4, f=2."
    with pytest.raises(UpdatesError, match="none has a majority"):
        FRL()([[np.arange(3)], [np.arange(4)]])
    with pytest.raises(InfeasibleError, match="should have layers"):
        FRL()([[np.arange(3)], [np.arange(3)]], edges=[4])


def test_dense_pre_aggregations_cannot_stand_before_a_vote() -> None:
    with pytest.raises(ParameterError, match="changes updates and cannot stand before FRL"):
        NNM(f=1) >> FRL()  # type: ignore[operator]


def test_unknown_ways_with_hostile_rows_are_an_error() -> None:
    with pytest.raises(ParameterError, match="'reject', 'stop' or 'raise'"):
        FRL()(EXAMPLE, hostile="ignore")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="`edges` should be numbers"):
        FRL()(EXAMPLE, edges=[0])


# ------------------------------------------------------------------------------------------------- sparse votes


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 7), edges=st.integers(1, 30), share=st.floats(0.05, 1.0))
def test_sparse_votes_keep_the_positions_of_full_ones(seed: int, n: int, edges: int, share: float) -> None:
    rule, rankings = FRL(sparse=share), permutations(seed, n, edges)
    sent = rule.sent(edges)
    expected = np.zeros(edges, np.int64)
    for ranking in rankings:
        expected[ranking[edges - sent :]] += np.arange(edges - sent, edges)
    found = rule(rankings[:, edges - sent :], edges=[edges])
    np.testing.assert_array_equal(found, np.argsort(expected, kind="stable"))


def test_sparse_votes_of_everything_are_full_votes_and_others_need_the_number_of_edges() -> None:
    np.testing.assert_array_equal(FRL(sparse=1.0)(EXAMPLE), FRL()(EXAMPLE))
    with pytest.raises(ParameterError, match=r"edges=\[...\]"):
        FRL(sparse=0.5)(EXAMPLE[:, 3:])
    answer = FRL(sparse=0.5).aggregate([row[3:] for row in EXAMPLE[:2]] + [EXAMPLE[2]], edges=[6])
    assert answer.rejected.tolist() == [False, False, True], "nobody may name more edges than the others"


# ------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize(
    ("edges", "parameters", "mebibytes"),
    [
        (CONV8, 5_275_840, (13.07, 12.61, 11.70)),
        (LENET, 1_625_632, (4.05, 3.98, 3.70)),
        (LENET_62, 1_632_288, (4.07, 3.99, 3.71)),
    ],
    ids=["conv8", "lenet", "lenet 62"],
)
def test_bytes_of_the_published_networks(edges: tuple[int, ...], parameters: int, mebibytes: tuple[float, ...]) -> None:
    assert sum(edges) == parameters
    codings: tuple[Coding, ...] = ("plain", "entropy", "floor")
    for coding, expected in zip(codings, mebibytes, strict=True):
        assert FRL().upload_bytes(edges, coding) / 2**20 == pytest.approx(expected, abs=0.005)
        assert FRL().download_bytes(edges, coding) == FRL().upload_bytes(edges, coding)
    assert FRL().upload_bytes(edges) == -(-sum(n * (n - 1).bit_length() for n in edges) // 8)


def test_sparse_uploads_shrink_and_downloads_do_not() -> None:
    half, tenth = FRL(sparse=0.5), FRL(sparse=0.1)
    assert half.upload_bytes(CONV8, "entropy") / 2**20 == pytest.approx(6.30, abs=0.01)
    assert tenth.upload_bytes(CONV8, "entropy") / 2**20 == pytest.approx(1.26, abs=0.005)
    assert tenth.download_bytes(CONV8) == FRL().download_bytes(CONV8)


@given(edges=st.integers(1, 500), share=st.floats(0.01, 1.0))
def test_no_code_beats_the_floor(edges: int, share: float) -> None:
    sent = FRL(sparse=share).sent(edges)
    floor, entropy, plain = (ranking_bits(sent, edges, coding) for coding in ("floor", "entropy", "plain"))
    assert floor <= entropy + 1e-6
    assert entropy <= plain + 1e-6


def test_bits_of_impossible_rankings_are_an_error() -> None:
    with pytest.raises(ParameterError, match="1 <= sent <= edges"):
        ranking_bits(7, 6)
    with pytest.raises(ParameterError, match="`coding` should be"):
        ranking_bits(6, 6, "zip")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- margins


@pytest.mark.parametrize(
    ("noise", "overlaps"),
    [
        (0.33, {0: 0.975, 2: 0.976, 5: 0.967, 8: 0.950, 10: 0.899}),  # honest clients nearly agree
        (6.0, {0: 0.708, 2: 0.690, 5: 0.573, 8: 0.452, 10: 0.424, 12: 0.375}),  # and hardly
    ],
)
def test_what_is_left_of_the_true_upper_half_as_reversers_become_more(noise: float, overlaps: dict[int, float]) -> None:
    """Of 25 clients with noisy scores some pool their rankings and send the reverse."""
    for reversers, expected in overlaps.items():
        rng = np.random.default_rng(0)
        truth = rng.normal(size=2000)
        rankings = stable_order((truth + noise * rng.normal(size=(25, 2000))).astype(np.float32))
        own, honest = rankings[:reversers], rankings[reversers:]
        malicious = ReverseRanking()([honest], f=reversers, own=[own])[0]
        voted = FRL()(np.concatenate([honest, malicious]))
        overlap = len(np.intersect1d(np.argsort(truth)[1000:], voted[1000:])) / 1000
        assert overlap == pytest.approx(expected, abs=0.03), reversers


def test_a_majority_of_reversers_wins() -> None:
    ranking = np.arange(100)
    votes_cast = np.concatenate([np.tile(ranking, (12, 1)), np.tile(ranking[::-1], (13, 1))])
    np.testing.assert_array_equal(FRL()(votes_cast), ranking[::-1])
    np.testing.assert_array_equal(FRL()(votes_cast[:23]), ranking)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 8), edges=st.integers(2, 30))
def test_one_client_moves_no_edge_by_more_than_n_minus_1_positions(seed: int, n: int, edges: int) -> None:
    rankings, other = permutations(seed, n, edges), permutations(seed + 1, 1, edges)
    (before,), _ = sum_positions({row: [ranking] for row, ranking in enumerate(rankings)}, [edges])
    (after,), _ = sum_positions({row: [ranking] for row, ranking in enumerate([*rankings[1:], other[0]])}, [edges])
    assert np.abs(after - before).max() <= edges - 1
