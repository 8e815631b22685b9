"""Whether a score hangs on knowing f exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustfl.evaluation.suite.plan import Misdeclared
from robustfl.evaluation.trust.declaration import HANGS, ToldOff, declaration_remarks

WHERE = Misdeclared(world="w", defense="D", attack="IPM", f=3, declared=3, told=4, cells=())
CASE = ToldOff(case=WHERE, exact=(0.8, 0.82, 0.78), off=(0.3, 0.35, 0.32))


def test_a_loss_beyond_noise_is_told_with_both_numbers() -> None:
    (remark,) = declaration_remarks([CASE])
    assert (remark["code"], remark["level"], remark["world"], remark["defense"]) == ("F_EXACT", "warning", "w", "D")
    assert (remark["attack"], remark["f"]) == ("IPM", 3)
    assert "keeps 80% of its usefulness when it is told exactly" in remark["message"]
    assert "32% when it is told 4" in remark["message"]


@pytest.mark.parametrize(
    "off",
    [(0.75, 0.77, 0.73), (0.9, 0.9, 0.9), (0.8 - HANGS, 0.82 - HANGS, 0.78 - HANGS), (0.8, 0.82, 0.3)],
    ids=["small", "a gain", "just as much as allowed", "one seed alone"],
)
def test_small_losses_and_noise_are_not_told(off: tuple[float, ...]) -> None:
    assert list(declaration_remarks([replace(CASE, off=off)])) == []


def test_the_worse_of_two_wrong_numbers_is_told_once() -> None:
    worse = replace(CASE, case=replace(WHERE, told=2), off=(0.1, 0.12, 0.11))
    (remark,) = declaration_remarks([CASE, worse])
    assert "11% when it is told 2" in remark["message"]
    elsewhere = replace(CASE, case=replace(WHERE, world="v"))
    assert {remark["world"] for remark in declaration_remarks([CASE, worse, elsewhere])} == {"w", "v"}


def test_one_seed_needs_a_difference_alone() -> None:
    assert len(list(declaration_remarks([replace(CASE, exact=(0.8,), off=(0.5,))]))) == 1
    assert list(declaration_remarks([replace(CASE, exact=(0.8,), off=(0.75,))])) == []


def test_noise_alone_is_rarely_told_of_a_defense_in_however_many_worlds() -> None:
    rng, families = np.random.default_rng(0), 1000
    told = 0
    for _ in range(families):
        utilities = rng.normal(0.6, 0.2, size=(16, 2, 5)).tolist()  # 8 worlds, told one more and one less
        cases = [
            replace(CASE, case=replace(WHERE, world=str(number // 2)), exact=tuple(exact), off=tuple(off))
            for number, (exact, off) in enumerate(utilities)
        ]
        told += bool(list(declaration_remarks(cases)))
    assert told <= 0.05 * families


def test_a_loss_in_one_of_eight_worlds_is_found() -> None:
    rng, families = np.random.default_rng(1), 200
    found = 0
    for _ in range(families):
        utilities = rng.normal(0.6, 0.05, size=(16, 2, 5))
        utilities[3, 1] -= 0.4
        cases = [
            replace(CASE, case=replace(WHERE, world=str(number // 2)), exact=tuple(exact), off=tuple(off))
            for number, (exact, off) in enumerate(utilities.tolist())
        ]
        found += [remark["world"] for remark in declaration_remarks(cases)] == ["1"]
    assert found >= 0.9 * families
