"""RFFL over rounds: the published recursion, who is excluded and when, absence, and what clients are told to get."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustfl.aggregation import Aggregation
from robustfl.attacks import FreeRider, RandomRescaling, SignFlip, SignRandomising, ValueInverting
from robustfl.defenses import NNM, RFFL, Clipping
from robustfl.errors import InfeasibleError, ParameterError, StateError
from robustfl.reputation.rewards import reward
from robustfl.threats import UpdateAttack

Matrix = NDArray[np.float64]


class Published:
    """The recursion as published, in coordinates, one index order, everybody present in every round.

    Only the aggregate's length is bounded, as the rule promises, where negative reputations would stretch it.
    """

    def __init__(self, sizes: list[float], cap: float, alpha: float, beta: float, grace: int) -> None:
        self.sizes, self.cap, self.alpha, self.beta, self.grace = sizes, cap, alpha, beta, grace
        self.reputation = [0.0] * len(sizes)
        self.left = list(range(len(sizes)))
        self.round = 0

    def play(self, x: Matrix) -> Matrix:
        g = [row * min(1.0, self.cap / np.linalg.norm(row)) for row in x]
        first = [size / sum(self.sizes) for size in self.sizes]
        share = first if self.round == 0 else list(self.reputation)
        present = list(self.left)
        u = np.sum([share[i] * g[i] for i in present], axis=0)
        for i in self.left:
            cosine = float(g[i] @ u / (np.linalg.norm(g[i]) * np.linalg.norm(u)))
            self.reputation[i] = self.alpha * self.reputation[i] + (1 - self.alpha) * cosine
        self._normalise()
        if self.round >= self.grace:
            threshold = self.beta / len(self.left)
            for i in list(self.left):
                if self.reputation[i] < threshold:
                    self.left.remove(i)
                    self.reputation[i] = 0.0
            self._normalise()
        self.round += 1
        longest = max(float(np.linalg.norm(g[i])) for i in present)
        return np.asarray(u * min(1.0, longest / float(np.linalg.norm(u))))

    def _normalise(self) -> None:
        total = sum(self.reputation)
        self.reputation = [value / total for value in self.reputation]

    @property
    def quotas(self) -> list[float]:
        return [max(value, 0.0) / max(self.reputation) for value in self.reputation]


def spread_out(rng: np.random.Generator, honest: int, hostile: int, d: int) -> Matrix:
    """Honest rows of growing noise around a direction, and hostile ones that are noise or turned around."""
    direction = rng.normal(size=d)
    noise = rng.normal(size=(honest, d)) * np.linspace(0.2, 2.0, honest)[:, None]
    away = rng.normal(size=(hostile, d)) - rng.integers(2, size=(hostile, 1)) * direction
    return np.vstack([direction + noise, away])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    honest=st.integers(4, 8),
    hostile=st.integers(0, 2),
    grace=st.integers(0, 4),
    alpha=st.sampled_from([0.0, 0.5, 0.95]),
    cap=st.sampled_from([0.5, 5.0, 1e3]),
    sized=st.booleans(),
)
def test_the_published_recursion(
    seed: int, honest: int, hostile: int, grace: int, alpha: float, cap: float, sized: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = honest + hostile
    sizes = rng.integers(1, 50, size=n).astype(float).tolist() if sized else [1.0] * n
    naive = Published(sizes, cap, alpha, beta=1 / 3, grace=grace)
    rule = RFFL(clip=cap, alpha=alpha, grace=grace)
    if sized:
        rule.begin(dict(enumerate(sizes)))
    for _ in range(8):
        x = spread_out(rng, honest, hostile, d=300)
        expected = naive.play(x)
        answer = rule.aggregate(x)
        np.testing.assert_allclose(answer.value, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(list(answer.info["reputations"].values()), naive.reputation, atol=1e-12)
        np.testing.assert_allclose(list(answer.info["quotas"].values()), naive.quotas, atol=1e-12)
        assert set(answer.info["excluded"]) == set(range(n)) - set(naive.left)


ADVERSARIES: list[UpdateAttack] = [FreeRider(), RandomRescaling(), SignRandomising(), ValueInverting(), SignFlip()]


def toy(rule: RFFL, attack: UpdateAttack | None, rounds: int, seed: int = 0) -> list[Aggregation]:
    """Ten honest clients of growing noise, and two adversaries that would be as good as the better of them."""
    rng, d = np.random.default_rng(seed), 2000
    noise = np.linspace(0.5, 2.0, 10)[:, None]
    answers = []
    for number in range(rounds):
        direction = rng.normal(size=d)
        honest = direction + noise * rng.normal(size=(10, d))
        own = direction + rng.normal(size=(2, d))
        hostile = np.empty((0, d)) if attack is None else attack(honest, f=2, own=own, rng=number)
        ids = [f"bad {i}" for i in range(len(hostile))] + [f"good {i}" for i in range(10)]
        answers.append(rule.aggregate(np.vstack([hostile, honest]), ids=ids))
    return answers


@pytest.mark.parametrize("clip", [0.5, "median"])
@pytest.mark.parametrize("attack", ADVERSARIES, ids=repr)
def test_adversaries_are_excluded_at_the_first_chance_and_nobody_else_ever(attack: UpdateAttack, clip: Any) -> None:
    answers = toy(RFFL(clip=clip), attack, rounds=20)
    assert [answer.info["excluded"] for answer in answers[:10]] == [()] * 10
    assert all(set(answer.info["excluded"]) == {"bad 0", "bad 1"} for answer in answers[10:])
    quotas = answers[-1].info["quotas"]
    honest = [quotas[f"good {i}"] for i in range(10)]
    assert honest == sorted(honest, reverse=True)
    assert honest[0] == 1.0
    assert 0.4 < honest[-1] < 0.8
    assert quotas["bad 0"] == quotas["bad 1"] == 0.0
    assert answers[-1].weights is not None
    assert not answers[-1].weights[:2].any()
    actions = [decision.action for decision in answers[-1].info["decisions"]]
    assert actions == ["excluded"] * 2 + ["weighted"] * 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clip", [0.5, "median"])
def test_without_an_attack_nobody_is_excluded(clip: Any, seed: int) -> None:
    assert toy(RFFL(clip=clip), None, rounds=40, seed=seed)[-1].info["excluded"] == ()


def test_an_excluded_client_stays_out_whatever_it_sends_and_whenever_it_returns() -> None:
    rule = RFFL(grace=1)
    good = {name: np.array([1.0, shift]) for name, shift in (("a", 0.1), ("b", -0.1), ("c", 0.0))}
    for _ in range(3):
        answer = rule.aggregate({**good, "eve": np.array([-0.1, 1.0])})
    assert answer.info["excluded"] == ("eve",)
    for _ in range(5):
        rule(good)
    back = rule.aggregate({**good, "eve": np.array([1.0, 0.0])})
    assert back.info["excluded"] == ("eve",)
    assert back.weights is not None
    assert back.weights[3] == 0.0
    assert back.info["decisions"][3].action == "excluded"
    with pytest.raises(InfeasibleError, match=r"has excluded all 1 clients .* call reset\(\)"):
        rule({"eve": np.array([1.0, 0.0])})
    rule.reset()
    assert rule.aggregate({"eve": np.array([1.0, 0.0])}).info["excluded"] == ()


def test_an_excluded_row_has_no_part_in_the_median_length() -> None:
    rule = RFFL(grace=0)
    good = {name: np.array([1.0, shift]) for name, shift in (("a", 0.1), ("b", -0.3), ("c", 0.0))}
    rule({**good, "eve": np.array([-1.0, 0.0])})
    answer = rule.aggregate({**good, "eve": np.array([-1e6, 0.0])})
    assert answer.info["excluded"] == ("eve",)
    median = np.linalg.norm(good["a"])  # of the three; with the excluded row it would be longer
    assert answer.info["kept"]["a"] == answer.info["kept"]["c"] == 1.0
    assert answer.info["kept"]["eve"] == pytest.approx(median / 1e6)


def test_absence_neither_costs_nor_earns() -> None:
    rng = np.random.default_rng(0)
    rule = RFFL()
    for _ in range(4):
        rule(spread_out(rng, 6, 0, 50))
    before = rule.aggregate(spread_out(rng, 6, 0, 50)).info["reputations"]
    for _ in range(20):
        after = rule.aggregate(spread_out(rng, 4, 0, 50), ids=[0, 1, 2, 5]).info["reputations"]
    assert (after[3], after[4]) == pytest.approx((before[3], before[4]), rel=1e-12)
    assert sum(after.values()) == pytest.approx(1.0)
    assert after[0] != pytest.approx(before[0])


def test_a_newcomer_has_no_say_at_first_earns_it_and_has_a_grace_period_of_its_own() -> None:
    rng = np.random.default_rng(1)
    rule = RFFL(grace=5)
    for _ in range(8):
        rule(spread_out(rng, 6, 0, 400))
    weights, excluded = [], []
    for _ in range(12):
        x = np.vstack([spread_out(rng, 6, 0, 400), np.zeros((2, 400))])
        x[6], x[7] = x[0] + rng.normal(size=400), rng.normal(size=400)
        answer = rule.aggregate(x, ids=[*range(6), "able", "useless"])
        assert answer.weights is not None
        weights.append(answer.weights[6])
        excluded.append(answer.info["excluded"])
    assert weights[0] == 0.0
    assert weights[-1] > 0.1
    assert excluded[4] == ()
    assert excluded[5] == excluded[-1] == ("useless",)


def test_a_first_decision_is_a_trial_and_later_ones_show_their_evidence() -> None:
    x = {"a": np.array([1.0, 0.0]), "b": np.array([1.0, 0.2])}
    rule = RFFL()
    first, second = rule.aggregate(x), rule.aggregate(x)
    assert [decision.action for decision in first.info["decisions"]] == ["explored"] * 2
    decision = second.info["decisions"][0]
    assert (decision.client, decision.action) == ("a", "weighted")
    assert decision.score == second.info["reputations"]["a"]
    assert decision.evidence == {
        "cosine": pytest.approx(float(np.cos(0.5 * np.arctan(0.2))), abs=1e-3),
        "weight": pytest.approx(0.5, abs=1e-3),
        "quota": second.info["quotas"]["a"],
        "threshold": pytest.approx(1 / 6),
    }


def test_reputations_that_cancel_start_anew_instead_of_blowing_up() -> None:
    rule = RFFL()
    rule([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1e-3]])
    answer = rule.aggregate([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert np.isfinite(answer.value).all()
    opposed = RFFL()
    for _ in range(12):
        answer = opposed.aggregate([[1.0, 0.0], [-1.0, 0.0]])
        assert answer.value.tolist() == [0.0, 0.0]
        assert answer.info["reputations"] == {0: 0.5, 1: 0.5}
    assert answer.info["excluded"] == ()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), clip=st.sampled_from(["median", 0.7]))
def test_the_aggregate_is_never_longer_than_the_longest_cut_row(seed: int, clip: Any) -> None:
    """Also with negative reputations, whose shares add up to more than 1."""
    rng = np.random.default_rng(seed)
    rule, direction = RFFL(clip=clip, grace=100), rng.normal(size=5)
    for _ in range(6):
        signs = rng.choice([1.0, 1.0, -1.0], size=(7, 1))
        x = signs * direction + 0.3 * rng.normal(size=(7, 5))
        answer = rule.aggregate(x, ids=list(range(7)))
        longest = max(np.linalg.norm(row) * part for row, part in zip(x, answer.info["kept"].values(), strict=True))
        assert np.linalg.norm(answer.value) <= longest * (1 + 1e-9)
        assert sum(answer.info["reputations"].values()) == pytest.approx(1.0)
        assert set(answer.info["quotas"].values()) <= {q for q in answer.info["quotas"].values() if 0 <= q <= 1}


def test_rows_that_are_zero_or_refused() -> None:
    rule = RFFL()
    answer = rule.aggregate({"a": [1.0, 0.0], "nan": [np.nan, 0.0], "idle": [0.0, 0.0], "b": [1.0, 0.1]})
    assert answer.rejected.tolist() == [False, True, False, False]
    assert set(answer.info["quotas"]) == {"a", "idle", "b"}
    assert answer.info["quotas"]["idle"] == 0.0
    assert answer.info["kept"]["idle"] == 1.0
    assert "nan" not in answer.info["reputations"]
    silent = RFFL().aggregate(np.zeros((3, 4)))
    assert silent.value.tolist() == [0.0] * 4
    assert list(silent.info["reputations"].values()) == pytest.approx([1 / 3] * 3)


def test_a_state_survives_pickling_in_the_middle() -> None:
    rng = np.random.default_rng(3)
    rounds = [spread_out(rng, 6, 2, 40) for _ in range(14)]
    rule, heir = RFFL(grace=5), RFFL(grace=5)
    rule.begin(dict.fromkeys(range(8), 7.0))
    for x in rounds[:7]:
        rule(x)
    heir.load_state_dict(pickle.loads(pickle.dumps(rule.state_dict())))
    for x in rounds[7:]:
        one, other = rule.aggregate(x), heir.aggregate(x)
        np.testing.assert_array_equal(one.value, other.value)
        assert one.info == other.info


def test_sizes_count_only_while_nobody_has_a_reputation() -> None:
    x = np.eye(3)
    rule = RFFL(clip=1.0)
    rule.begin({0: 1, 1: 1, 2: 2})
    first = rule.aggregate(x)
    assert first.weights is not None
    assert first.weights.tolist() == [0.25, 0.25, 0.5]
    reputations = list(first.info["reputations"].values())
    second = rule.aggregate(x)
    assert second.weights is not None
    assert second.weights.tolist() == pytest.approx(reputations)
    rule.begin({0: 1, 1: 3})  # not everybody: all alike
    unknown = rule.aggregate(x)
    assert unknown.weights is not None
    assert unknown.weights.tolist() == pytest.approx([1 / 3] * 3)
    for size in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ParameterError, match="positive number"):
            rule.begin({"a": size})


def test_what_was_forgotten_leaves_reputations_whole() -> None:
    rng = np.random.default_rng(5)
    rule = RFFL(remembered=4, grace=2)
    for number in range(30):
        x = spread_out(rng, 3, 0, 20)
        answer = rule.aggregate(x, ids=[(number + shift) % 9 for shift in range(3)])
        assert len(answer.info["reputations"]) <= 4
        assert sum(answer.info["reputations"].values()) == pytest.approx(1.0)
        assert np.isfinite(answer.value).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whoever_comes_and_goes_the_books_balance(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rule = RFFL(grace=data.draw(st.integers(0, 3)), remembered=data.draw(st.sampled_from([5, 100])))
    gone: set[int] = set()
    for _ in range(data.draw(st.integers(1, 12))):
        ids = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True))
        x = rng.normal(size=(len(ids), 3)) * 10.0 ** rng.integers(-3, 3)
        try:
            answer = rule.aggregate(x, ids=ids)
        except InfeasibleError:
            assert set(ids) <= gone
            continue
        reputations = answer.info["reputations"]
        assert sum(reputations.values()) == pytest.approx(1.0)
        assert all(reputations[client] == 0.0 for client in answer.info["excluded"])
        assert set(answer.info["quotas"]) == set(ids)
        assert all(0.0 <= quota <= 1.0 for quota in answer.info["quotas"].values())
        if rule.remembered == 100:
            assert gone <= set(answer.info["excluded"])
        gone = set(answer.info["excluded"])


def test_rewards_are_cut_from_every_layer_in_the_callers_form() -> None:
    rng = np.random.default_rng(2)
    updates = {
        name: {"w": torch.tensor(rng.normal(size=(2, 3)) + 1), "b": torch.tensor(rng.normal(size=3) + 1)}
        for name in "abc"
    }
    rule = RFFL()
    answer = rule.aggregate(updates)
    rewards = rule.rewards(answer)
    assert set(rewards) == {"a", "b", "c"}
    for name, quota in answer.info["quotas"].items():
        for layer, size in (("w", 6), ("b", 3)):
            assert int((rewards[name][layer] != 0).sum()) == int(np.ceil(quota * size - 1e-9))
            assert torch.equal(rewards[name][layer], reward(answer.value[layer], quota))
    best = max(answer.info["quotas"], key=lambda name: answer.info["quotas"][name])
    assert torch.equal(rewards[best]["w"], answer.value["w"])


def test_clipping_may_stand_before_it_and_mixing_may_not() -> None:
    x = spread_out(np.random.default_rng(0), 6, 0, 10)
    alone = RFFL(clip=1e9)
    for _ in range(2):
        np.testing.assert_allclose((Clipping(radius=1e9) >> alone).preview(x).value, alone(x), rtol=1e-12)
    with pytest.raises(StateError, match="was given mixtures"):
        (NNM(f=1) >> RFFL())(x)
