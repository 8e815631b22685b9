"""Attacks that ask the defense: what they find, what they ask, and that asking leaves no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.aggregation import Aggregator
from robustfl.attacks import ALIE, IPM, ROP, ConsistentWhiteBox, MinMax, MinSum, OptALIE, OptIPM, WhiteBox
from robustfl.attacks.updates.white_box import FIXED
from robustfl.defenses import (
    NNM,
    CenteredClipping,
    FLTrust,
    FoolsGold,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)
from robustfl.errors import KnowledgeError
from robustfl.threats import Adversary, Facts, Knowledge, View

F, H, D = 3, 8, 12
RULES: list[Aggregator] = [
    Mean(),
    Median(),
    TrimmedMean(f=F),
    Krum(f=F),
    MultiKrum(f=F),
    GeometricMedian(),
    CenteredClipping(),
    NNM(f=F) >> Krum(f=F),
]


def honest_rows(seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(0.5, 1.0, size=(H, D)))


def facts(rule: Aggregator, number: int = 1, **changes: Any) -> Facts:
    honest = changes.pop("honest", honest_rows())
    asked: list[Tensor] = changes.pop("asked", [])

    def aggregate(rows: Tensor) -> Tensor:
        asked.append(rows.clone())
        answer: Tensor = rule.preview(rows, ids=list(range(len(rows)))).value
        return answer

    values: dict[str, Any] = {
        "round": number,
        "f": F,
        "declared_f": F,
        "honest": honest,
        "honest_ids": tuple(range(F, F + len(honest))),
        "own": lambda: honest[:F],
        "weights": torch.ones(D, dtype=torch.float64),
        "previous_weights": torch.full((D,), 0.9, dtype=torch.float64),
        "initial_weights": torch.zeros(D, dtype=torch.float64),
        "fresh": lambda rng: torch.as_tensor(rng.normal(size=D)),
        "aggregate": aggregate,
        "rotation_equivariant": rule.rotation_equivariant,
        "message": "delta",
        "rng": np.random.default_rng(0),
    }
    return Facts(**{**values, **changes})


def answer(rule: Aggregator, crafted: Tensor, honest: Tensor) -> Tensor:
    value: Tensor = rule.preview(torch.cat([crafted, honest])).value
    return value


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("harm", ["inner", "l2"])
def test_no_fixed_attack_does_more_harm_in_the_same_objective(rule: Aggregator, harm: Any) -> None:
    honest = honest_rows()
    mean = honest.mean(dim=0)

    def done(crafted: Tensor) -> float:
        found = answer(rule, crafted, honest)
        return float((found - mean).norm()) if harm == "l2" else -float(found @ mean)

    searched = done(Adversary(WhiteBox(harm=harm)).craft(facts(rule)))
    for attack in FIXED:
        assert searched >= done(Adversary(attack).craft(facts(rule))) - 1e-7, attack


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_consistent_search_goes_at_least_as_far_as_honest_behaviour(rule: Aggregator) -> None:
    honest = honest_rows()
    unit = torch.ones(D, dtype=torch.float64) / D**0.5
    crafted = Adversary(ConsistentWhiteBox()).craft(facts(rule))
    tame = honest.mean(dim=0).repeat(F, 1)
    assert float(answer(rule, crafted, honest) @ unit) >= float(answer(rule, tame, honest) @ unit) - 1e-9


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.rotation_equivariant], ids=str)
@pytest.mark.parametrize("diversify", ["none", "pairs"])
def test_fewer_dimensions_do_not_change_what_is_found(rule: Aggregator, diversify: Any) -> None:
    attack = WhiteBox(diversify=diversify)
    small, full = list[Tensor](), list[Tensor]()
    wide = {"honest": torch.as_tensor(np.random.default_rng(1).normal(0.5, 1.0, size=(H, 300)))}
    wide |= {name: torch.full((300,), value).double() for name, value in (("weights", 1.0), ("previous_weights", 0.9))}
    first = Adversary(attack).craft(facts(rule, asked=small, **wide))
    second = Adversary(attack).craft(facts(rule, asked=full, **{**wide, "rotation_equivariant": False}))
    assert len(small) == len(full) > 100
    assert small[0].shape[1] < 40 < full[0].shape[1]
    harm = [-float(answer(rule, rows, wide["honest"]) @ wide["honest"].mean(dim=0)) for rows in (first, second)]
    assert harm[0] == pytest.approx(harm[1], rel=1e-5)


def test_the_search_asks_about_the_rows_that_are_sent() -> None:
    """FoolsGold ignores clones altogether; only perturbed rows can move it."""
    rule, honest, asked = FoolsGold(), honest_rows(), list[Tensor]()
    rule.aggregate(torch.cat([honest[:F], honest]), ids=list(range(F + H)))
    crafted = Adversary(WhiteBox(diversify="pairs")).craft(facts(rule, asked=asked))
    assert all(len({tuple(row) for row in rows[:F].tolist()}) == F for rows in asked if rows[:F].any())
    assert any(bool(torch.allclose(rows[:F], crafted)) for rows in asked)


@pytest.mark.parametrize("rule", [CenteredClipping(), FoolsGold()], ids=str)
def test_asking_leaves_the_state_alone(rule: Aggregator) -> None:
    rows = torch.cat([honest_rows()[:F], honest_rows()])
    rule.aggregate(rows, ids=list(range(F + H)))
    before = rule.state_dict()
    Adversary(WhiteBox()).craft(facts(rule))
    after = rule.state_dict()
    assert before.keys() == after.keys()
    assert repr(before) == repr(after)
    rule.reset()


def test_the_rounds_between_two_searches_repeat_the_last_find() -> None:
    adversary, calls = Adversary(WhiteBox(search_every=3)), []
    for number in range(5):
        asked: list[Tensor] = []
        adversary.craft(facts(Median(), number=number, asked=asked))
        calls.append(len(asked))
    assert calls[0] == calls[3] > 50
    assert calls[1] == calls[2] == calls[4] == 2


def test_a_find_that_has_lost_its_effect_is_searched_again() -> None:
    adversary, calls = Adversary(WhiteBox(search_every=9)), []
    for rule in (Mean(), Mean(), Median()):
        asked: list[Tensor] = []
        adversary.craft(facts(rule, asked=asked))
        calls.append(len(asked))
    assert calls[1] == 2
    assert calls[2] > 50


def test_more_candidates_ask_more_and_find_no_less() -> None:
    few, many = list[Tensor](), list[Tensor]()
    rule, honest = TrimmedMean(f=F), honest_rows()
    single: dict[str, Any] = {"directions": ("mean",), "pool": False, "harm": "l2"}
    first = Adversary(WhiteBox(candidates=20, **single)).craft(facts(rule, asked=few))
    Adversary(WhiteBox(candidates=40, **single)).craft(facts(rule, asked=many))
    assert (len(few), len(many)) == (20, 40)
    assert float((answer(rule, first, honest) - honest.mean(dim=0)).norm()) > 0


def test_the_first_round_has_no_previous_aggregate() -> None:
    crafted = Adversary(WhiteBox(directions=("previous", "mean"))).craft(facts(Median(), previous_weights=None))
    assert bool(crafted.isfinite().all())


def test_the_loss_is_asked_for_the_model_after_the_step() -> None:
    seen: list[Tensor] = []

    def loss(weights: Tensor) -> float:
        seen.append(weights)
        return float(weights.sum())

    attack = WhiteBox(harm="loss", directions=("mean",), pool=False)
    assert Knowledge.OWN in attack.required_knowledge()
    crafted = Adversary(attack).craft(facts(Mean(), loss=loss, server_rate=0.5))
    honest = honest_rows()
    best = max(seen, key=lambda weights: float(weights.sum()))
    torch.testing.assert_close(best, 1.0 + 0.5 * answer(Mean(), crafted, honest))


def test_objectives_that_do_not_ask_for_own_data_may_not_use_it() -> None:
    given = facts(Mean(), loss=lambda weights: 0.0)
    attack = WhiteBox()
    view = View(given, attack.required_knowledge(), "test", {})
    with pytest.raises(KnowledgeError):
        view.loss(given.honest[0])


@pytest.mark.parametrize("attack", [WhiteBox(), ConsistentWhiteBox(), OptIPM(), OptALIE()], ids=str)
@pytest.mark.parametrize("rule", [Krum(f=F), Median()], ids=str)
def test_odd_honest_updates_are_survived(attack: Any, rule: Aggregator) -> None:
    equal, broken, zero = honest_rows(), honest_rows(), honest_rows() * 0
    equal[:] = equal[0].clone()
    broken[2, 1], broken[4] = float("nan"), float("inf")
    for honest in (equal, broken, zero):
        assert bool(Adversary(attack).craft(facts(rule, honest=honest)).isfinite().all())


def test_a_trimmed_mean_saturates_along_the_mean() -> None:
    """However far the malicious rows go, as many as are trimmed move the answer by one and the same amount."""
    honest = torch.tensor([[1, 0], [1.2, 0.2], [0.8, -0.2], [1.1, 0.1], [0.9, -0.1]], dtype=torch.float64)
    rule, mean = TrimmedMean(f=2), honest.mean(dim=0)
    for tau in (0.0, 0.5, 1.0, 10.0):
        crafted = (-tau * mean).repeat(2, 1)
        assert float((answer(rule, crafted, honest) - mean).norm()) == pytest.approx(0.1)


@pytest.mark.parametrize(("attack", "fixed"), [(OptIPM(), IPM(epsilon=1.0)), (OptALIE(), ALIE(sign="plus"))])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_line_searches_stay_on_their_line(attack: Any, fixed: Any, rule: Aggregator) -> None:
    honest = honest_rows()
    base = honest.mean(dim=0) if isinstance(attack, OptALIE) else torch.zeros(D, dtype=torch.float64)
    step = Adversary(attack).craft(facts(rule))[0] - base
    line = Adversary(fixed).craft(facts(rule))[0] - base
    cosine = float(step @ line) / max(float(step.norm() * line.norm()), 1e-300)
    assert float(step.norm()) == 0.0 or cosine == pytest.approx(1.0)


def test_line_searches_count_the_standard_deviations_they_are_told() -> None:
    honest = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    for ddof, spread in ((0, 1.0), (1, 2**0.5)):
        rows = OptALIE(evaluations=2, ddof=ddof)(honest, f=1, aggregate=Mean())
        torch.testing.assert_close(rows, torch.tensor([[2.0 + 10 * spread]], dtype=torch.float64))


def test_the_pool_holds_what_the_search_would_miss() -> None:
    kinds = {type(attack) for attack in FIXED}
    assert kinds == {IPM, ALIE, MinMax, MinSum, ROP}


def test_the_search_starts_from_no_attack_and_the_published_one_from_zero() -> None:
    honest = honest_rows()
    for attack, first in (
        (WhiteBox(directions=("mean",), pool=False), honest.mean(dim=0)),
        (OptIPM(), torch.zeros(D, dtype=torch.float64)),
    ):
        asked: list[Tensor] = []
        Adversary(attack).craft(facts(Median(), asked=asked))
        torch.testing.assert_close(asked[0][:F], first.repeat(F, 1))


def test_a_trusted_update_is_asked_about_in_full() -> None:
    rule, honest = FLTrust(), honest_rows()
    asked: list[Tensor] = []

    def aggregate(rows: Tensor) -> Tensor:
        asked.append(rows.clone())
        value: Tensor = rule.preview(rows, trusted=honest.mean(dim=0)).value
        return value

    Adversary(WhiteBox()).craft(facts(rule, aggregate=aggregate))
    assert {rows.shape[1] for rows in asked} == {D}
