"""Asking the defense in few dimensions, and what searches make of the answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.aggregation import Aggregator
from robustfl.defenses import (
    ARC,
    CAF,
    MDA,
    NNM,
    Bucketing,
    Bulyan,
    CenteredClipping,
    ClientMomentum,
    Flag,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MoNNA,
    MultiKrum,
    TrimmedMean,
)
from robustfl.threats import Facts, Knowledge, View
from robustfl.threats.updates.candidates import SearchLine, climb, swing, worst_of
from robustfl.threats.updates.probing import Probe
from robustfl.threats.updates.view import finite_vectors

F, H, D = 2, 9, 200

REDUCED: list[Aggregator] = [
    Krum(f=F),
    MultiKrum(f=F),
    GeometricMedian(),
    CAF(f=F),
    MDA(f=F),
    Mean(),
    Flag(),
    NNM(f=F) >> Krum(f=F),
    ARC(f=F) >> GeometricMedian(),
    NNM(f=F) >> Bucketing(size=2) >> Krum(f=F - 1),
]
FULL: list[Aggregator] = [
    Median(),
    TrimmedMean(f=F),
    CenteredClipping(),
    Bulyan(f=F),
    ClientMomentum() >> Krum(f=F),
    NNM(f=F) >> TrimmedMean(f=F),
    MoNNA(f=F),
]


def view_of(rule: Aggregator, honest: Tensor, asked: list[tuple[int, ...]] | None = None) -> View:
    def aggregate(rows: Tensor) -> Tensor:
        if asked is not None:
            asked.append(tuple(rows.shape))
        answer: Tensor = rule.preview(rows, trusted=honest[0] if rule.wants_trusted else None).value
        return answer

    facts = Facts(
        round=0,
        f=F,
        declared_f=F,
        honest=honest,
        honest_ids=tuple(range(len(honest))),
        own=lambda: honest[:F],
        aggregate=aggregate,
        rotation_equivariant=rule.rotation_equivariant,
    )
    return View(facts, Knowledge.PEERS | Knowledge.DEFENSE, "test", {})


def honest_rows(seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(0.3, 1.0, size=(H, D)), dtype=torch.float64)


def vectors(honest: Tensor) -> dict[str, Tensor]:
    return {"mean": honest.mean(dim=0), "std": honest.std(dim=0), "other": torch.linspace(-1, 1, D).double()}


@pytest.mark.parametrize("rule", REDUCED, ids=str)
@pytest.mark.parametrize("paired", [False, True], ids=["tiled", "paired"])
def test_the_answer_in_few_dimensions_is_that_in_full(rule: Aggregator, paired: bool) -> None:
    honest, asked = honest_rows(), list[tuple[int, ...]]()
    named = vectors(honest)
    offsets = torch.stack([named["other"], -named["other"]]) / named["other"].norm() if paired else None
    view = view_of(rule, honest, asked)
    small, full = Probe(view, named, offsets), Probe(view, named, offsets, full=True)
    assert small.dimensions <= H + 4 + (F if paired else 0) < full.dimensions == D
    for base, direction, tau in [("mean", "std", 1.5), ("mean", "other", -3.0), ("other", "mean", 0.1)]:
        line = SearchLine(base, direction)
        little, whole = small.answer(line.at(tau, small.vectors)), full.answer(line.at(tau, full.vectors))
        assert little is not None
        assert whole is not None
        for name in named:
            assert float(little @ small.vectors[name]) == pytest.approx(float(whole @ full.vectors[name]), abs=1e-6)
        assert float(little.norm()) == pytest.approx(float(whole.norm()), rel=1e-6)
    assert asked[0] == (F + H, small.dimensions)


@pytest.mark.parametrize("rule", FULL, ids=str)
def test_other_rules_are_asked_in_full(rule: Aggregator) -> None:
    probe = Probe(view_of(rule, honest_rows()), vectors(honest_rows()))
    assert probe.dimensions == D
    assert probe.answer(probe.vectors["mean"]) is not None


def test_rows_that_are_not_finite_meet_the_defense_as_they_are() -> None:
    honest = honest_rows()
    honest[3, 7] = float("nan")
    rule = Krum(f=F)
    named = {"mean": honest[:3].mean(dim=0)}
    small = Probe(view_of(rule, honest), named)
    full = Probe(view_of(rule, honest), named, full=True)
    little, whole = small.answer(small.vectors["mean"]), full.answer(full.vectors["mean"])
    assert little is not None
    assert whole is not None
    assert float(little.norm()) == pytest.approx(float(whole.norm()), rel=1e-9)


def test_values_too_large_for_products_are_asked_in_full() -> None:
    huge = torch.ones(D, dtype=torch.float64)
    huge[0] = 1e200
    assert Probe(view_of(Krum(f=F), honest_rows()), {"mean": huge}).dimensions == D


def test_an_honest_row_that_is_too_large_to_sum_is_refused_in_a_small_space_as_well() -> None:
    honest, ones = honest_rows(), torch.ones(D, dtype=torch.float64)
    honest[0, 0] = 1e200
    small, whole = (Probe(view_of(Krum(f=F), honest), {"mean": ones}, full=full) for full in (False, True))
    assert small.dimensions < D == whole.dimensions
    one, other = small.answer(small.vectors["mean"]), whole.answer(ones)
    assert one is not None
    assert other is not None
    assert float(one.norm()) == pytest.approx(float(other.norm()), rel=1e-9)


def test_a_round_that_cannot_be_aggregated_has_no_answer() -> None:
    honest = honest_rows()[:2]
    probe = Probe(view_of(Krum(f=F), honest), {"mean": honest.mean(dim=0)})
    assert probe.answer(probe.vectors["mean"]) is None
    found = worst_of(probe, [SearchLine("mean")], lambda answer: 1.0, 5)
    assert found.harm == float("-inf")


def parabola(tau: float) -> float:
    return -((tau - 7.0) ** 2)


class Along:
    """A stand-in for the defense that answers with the candidate itself."""

    def __init__(self) -> None:
        self.vectors = {"zero": torch.zeros(1), "one": torch.ones(1), "nine": torch.tensor([9.0])}
        self.calls = 0

    def answer(self, candidate: Tensor) -> Tensor:
        self.calls += 1
        return candidate


def test_the_grid_is_refined_around_its_best_point() -> None:
    probe: Any = Along()
    found = worst_of(probe, [SearchLine("zero", "one")], lambda answer: parabola(float(answer)), 19)
    assert probe.calls == 19
    assert abs(found.tau - 7.0) < 0.6
    more = worst_of(probe, [SearchLine("zero", "one")], lambda answer: parabola(float(answer)), 76)
    assert more.harm > found.harm


def test_the_grid_finds_what_lies_left_of_the_first_step_upwards() -> None:
    probe: Any = Along()
    found = worst_of(probe, [SearchLine("zero", "one")], lambda answer: parabola(float(answer)), 19)
    assert climb(parabola, evaluations=19, start=0.0, step=10.0) == 10.0
    assert found.tau < 8.0


def test_the_best_line_wins_and_a_base_alone_costs_one_call() -> None:
    probe: Any = Along()
    found = worst_of(probe, [SearchLine("zero", "one"), SearchLine("nine")], lambda a: 1.0 - abs(float(a) - 9.0), 4)
    assert (found.line, found.tau) == (SearchLine("nine"), 0.0)
    assert probe.calls == 5


def test_an_answer_that_is_not_finite_is_the_greatest_harm() -> None:
    probe: Any = Along()
    found = worst_of(probe, [SearchLine("zero", "one")], lambda a: float("nan") if float(a) > 40 else 0.0, 10)
    assert found.tau == 50.0
    assert found.harm == float("inf")


@pytest.mark.parametrize("search", [climb, swing])
def test_line_searches_spend_their_evaluations_and_come_close(search: Any) -> None:
    asked: list[float] = []

    def harm(tau: float) -> float:
        asked.append(tau)
        return parabola(tau)

    best = search(harm, evaluations=40, start=0.0, step=1.0)
    assert len(asked) == 40
    assert best in asked
    assert parabola(best) == max(map(parabola, asked))
    assert abs(best - 7.0) < 0.3


def test_climbing_only_looks_to_the_right() -> None:
    asked: list[float] = []

    def harm(tau: float) -> float:
        asked.append(tau)
        return -tau

    assert climb(harm, evaluations=10, start=2.0, step=1.0) == 2.0
    assert min(asked) == 2.0
    assert swing(harm, evaluations=10, start=2.0, step=1.0) < 2.0


def test_the_first_steps_double_and_then_shrink() -> None:
    asked: list[float] = []

    def harm(tau: float) -> float:
        asked.append(tau)
        return parabola(tau)

    climb(harm, evaluations=7, start=0.0, step=1.0)
    # 0, then 1, 3, 7 (steps 1, 2, 4), 15 fails: steps 6.4, 5.12, ...
    np.testing.assert_allclose(asked, [0, 1, 3, 7, 15, 13.4, 12.12])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_vectors_are_finite_where_their_rows_are(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max / 2
    vectors = {
        "plain": torch.ones(3, dtype=dtype),
        "rows": torch.ones((2, 3), dtype=dtype),
        "large": torch.tensor([largest, largest, largest], dtype=dtype),
    }
    plain = {"plain": vectors["plain"], "rows": vectors["rows"]}
    assert list(finite_vectors(plain)) == ["plain", "rows"]
    squares = ["large"] if dtype == torch.float32 else []  # those of float64 would overflow
    assert list(finite_vectors(vectors)) == ["plain", "rows", *squares]
    for bad in (float("nan"), float("inf")):
        broken = {"row": torch.tensor([[1.0, 2.0], [bad, 1.0]], dtype=dtype), **vectors}
        broken["minus"] = torch.tensor([-bad, 1.0], dtype=dtype)
        assert list(finite_vectors(broken)) == ["plain", "rows", *squares]
