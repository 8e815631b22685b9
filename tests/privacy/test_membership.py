"""Statistics of membership inference, on data whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from robustfl.errors import ParameterError
from robustfl.privacy.membership import Shadows, confidence, log_likelihood
from robustfl.privacy.rates import area, true_positive_rate
from robustfl.privacy.rotation import Rotation

Floats = NDArray[np.float64]
Statistic = Callable[[Shadows, Floats], Floats]

STATISTICS: dict[str, Statistic] = {
    "one-sided": lambda shadows, target: shadows.one_sided(target),
    "one-sided, each sample": lambda shadows, target: shadows.one_sided(target, pooled=False),
    "two models": lambda shadows, target: shadows.two_models(target),
    "relative": lambda shadows, target: shadows.relative(target, np.zeros((len(shadows.inside), 9)), np.zeros(9)),
}


def federations(
    rng: np.random.Generator, *, gain: float, spread: float = 6.0, runs: int = 17, samples: int = 1347
) -> tuple[Rotation, Floats]:
    """Confidences [runs, samples]: samples differ far more than models, and members gain a little."""
    rotation = Rotation.draw(runs=runs, samples=samples, rng=rng)
    easy = spread * rng.standard_normal(samples)
    return rotation, easy + rng.standard_normal((runs, samples)) + gain * rotation.inside


def against_all(rotation: Rotation, known: Floats, statistic: Statistic) -> list[Floats]:
    """The scores of every target against its shadows."""
    return [
        statistic(
            Shadows(confidences=known[rotation.shadows(j)], inside=rotation.inside[rotation.shadows(j)]), known[j]
        )
        for j in range(len(rotation))
    ]


def measured(rotation: Rotation, scores: list[Floats]) -> tuple[float, float]:
    """The mean true positive rate at 1 % and the mean area."""
    pairs = list(zip(scores, rotation.inside, strict=True))
    return float(np.mean([true_positive_rate(*p, fpr=0.01) for p in pairs])), float(np.mean([area(*p) for p in pairs]))


def test_confidence_is_the_logit_of_the_true_class() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (2, 50, 7)), rng.integers(0, 7, 50)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    p = p[:, np.arange(50), labels]
    assert confidence(logits, labels) == pytest.approx(np.log(p / (1 - p)))
    assert log_likelihood(confidence(logits, labels)) == pytest.approx(np.log(p))


def test_confidence_keeps_apart_what_probabilities_round_to_one() -> None:
    """float32 makes 1 of both probabilities, and both losses 0; so does the difference of logits beyond 1e38."""
    logits = np.array([[60.0, 0.0, 0.0], [61.0, 0.0, 0.0], [1e38, -1e38, 0.0], [-3e38, 3e38, 3e38]], dtype=np.float32)
    found = confidence(logits, np.zeros(4, dtype=np.int64))
    assert found[:2] == pytest.approx([60 - np.log(2), 61 - np.log(2)])
    assert found[2:] == pytest.approx([1e38, -6e38])
    assert (np.diff(log_likelihood(found[:2])) > 0).all()


@pytest.mark.parametrize(
    ("logits", "labels", "match"),
    [
        (np.full((1, 2), np.nan), np.zeros(1, dtype=int), "diverged"),
        (np.array([[np.inf, 0.0]]), np.zeros(1, dtype=int), "diverged"),
        (np.zeros((1, 2)), np.array([2]), "0 to 1"),
        (np.zeros((1, 2)), np.array([-1]), "0 to 1"),
        (np.zeros((1, 2)), np.array([0.0]), "whole numbers"),
        (np.zeros((1, 1)), np.zeros(1, dtype=int), "2 classes"),
        (np.zeros((2, 2)), np.zeros(1, dtype=int), "labels"),
        (np.zeros(2), np.zeros(1, dtype=int), "logits"),
    ],
)
def test_confidence_refuses_nonsense(logits: Any, labels: Any, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        confidence(logits, labels)


def test_no_samples_are_no_error() -> None:
    assert confidence(np.empty((3, 0, 5)), np.empty(0, dtype=int)).shape == (3, 0)


@pytest.mark.parametrize("statistic", STATISTICS.values(), ids=STATISTICS)
def test_without_signal_the_area_is_a_half_and_both_rates_are_equal(statistic: Statistic) -> None:
    found = []
    for seed in range(4):
        rotation, known = federations(np.random.default_rng(seed), gain=0.0)
        found.append(measured(rotation, against_all(rotation, known, statistic)))
    rate, whole = np.mean(found, axis=0)
    assert whole == pytest.approx(0.5, abs=0.01)
    assert rate == pytest.approx(0.01, abs=0.004 if statistic is not STATISTICS["relative"] else 0.01)


def test_shadows_find_members_that_the_loss_hides() -> None:
    """Samples differ far more than membership does, so a threshold on the loss finds almost nobody (acceptance G)."""
    rotation, known = federations(np.random.default_rng(0), gain=0.8)
    loss, loss_area = measured(rotation, [log_likelihood(one) for one in known])
    for name in ("one-sided", "two models"):
        rate, whole = measured(rotation, against_all(rotation, known, STATISTICS[name]))
        assert rate > 2 * loss
        assert whole > loss_area + 0.1


def test_ratios_of_probabilities_find_members_where_these_are_not_rounded_to_0_or_1() -> None:
    rotation, known = federations(np.random.default_rng(0), gain=0.8, spread=2.0)
    _, loss = measured(rotation, [log_likelihood(one) for one in known])
    others = 2 * np.random.default_rng(1).standard_normal(400) + np.random.default_rng(2).standard_normal((17, 400))
    scores = [
        Shadows(confidences=known[chosen], inside=rotation.inside[chosen]).relative(known[j], others[chosen], others[j])
        for j, chosen in enumerate(map(rotation.shadows, range(17)))
    ]
    assert measured(rotation, scores)[1] > loss + 0.04


def test_the_two_sided_density_is_weaker() -> None:
    """It also accuses those of whom the target is unusually unsure: a mistake that public code has made."""
    rotation, known = federations(np.random.default_rng(0), gain=0.8)
    scores = against_all(rotation, known, STATISTICS["one-sided"])
    one_sided, two_sided = measured(rotation, scores), measured(rotation, [-stats.norm.logpdf(z) for z in scores])
    assert one_sided[0] > 1.4 * two_sided[0]
    assert one_sided[1] - 0.5 > 1.7 * (two_sided[1] - 0.5)


def test_few_shadows_need_a_common_deviation() -> None:
    rotation, known = federations(np.random.default_rng(0), gain=0.8)
    common, each = (
        measured(rotation, against_all(rotation, known, STATISTICS[name]))
        for name in ("one-sided", "one-sided, each sample")
    )
    assert common[0] > 1.2 * each[0]


def test_scores_by_hand() -> None:
    shadows = Shadows(
        confidences=np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 9.0], [7.0, 1.0]]),
        inside=np.array([[False, False], [False, True], [True, False], [False, True]]),
    )
    target = np.array([5.0, 5.5])
    # Outside: (0, 2, 7) and (2, 9); their squares around the means are 26 and 24.5, with 2 + 1 degrees of freedom.
    sigma_out = np.sqrt(50.5 / 3)
    assert shadows.deviation() == pytest.approx(sigma_out)
    assert shadows.one_sided(target) == pytest.approx([3 / sigma_out, 0.0])
    assert shadows.one_sided(target, pooled=False) == pytest.approx([3 / np.sqrt(13), 0.0])
    # Inside: (4,) and (4, 1); the second has the only spread.
    sigma_in = np.sqrt(4.5)
    expected = stats.norm.logpdf(target, [4, 2.5], sigma_in) - stats.norm.logpdf(target, [3, 5.5], sigma_out)
    assert shadows.two_models(target) == pytest.approx(expected)
    p = lambda phi: 1 / (1 + np.exp(-np.asarray(phi)))  # noqa: E731
    ratio = p(5.0) / ((1.3 * p([0.0, 2.0, 7.0]).mean() + 0.7) / 2)
    others = p([0.0, 1.0, 2.0]) / ((1.3 * p([[0.0, 1, 2]] * 4).mean(axis=0) + 0.7) / 2)
    found = shadows.relative(target, np.array([[0.0, 1, 2]] * 4), np.array([0.0, 1, 2]))
    assert found[0] == (others <= ratio).mean()


def test_models_that_agree_leave_the_plain_difference() -> None:
    shadows = Shadows(confidences=np.ones((3, 2)), inside=np.array([[True, False], [False, True], [False, False]]))
    assert shadows.one_sided([3.0, 1.0]) == pytest.approx([2.0, 0.0])
    assert shadows.one_sided([3.0, 1.0], pooled=False) == pytest.approx([2.0, 0.0])
    assert shadows.two_models([3.0, 1.0]) == pytest.approx([0.0, 0.0])


def test_huge_confidences_do_not_overflow() -> None:
    shadows = Shadows(confidences=np.array([[1e38, -1e38], [-1e38, 6e38]]), inside=np.zeros((2, 2), dtype=bool))
    assert np.isfinite(shadows.one_sided([6e38, -6e38])).all()
    nobody = np.full((3, 3), -6e38)
    assert shadows.relative([6e38, -6e38], nobody[:2], nobody[2]).tolist() == [1.0, 1.0]
    assert shadows.relative([6e38, -6e38], nobody[:2], nobody[2], a=1.0).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("known", "inside", "match"),
    [
        (np.array([[np.nan]]), np.array([[False]]), "finite"),
        (np.array([[np.inf]]), np.array([[False]]), "finite"),
        (np.zeros((1, 1)), np.array([[True]]), "1 samples that all 1 models know"),
        (np.zeros((1, 1)), np.array([[0]]), "truth value"),
        (np.zeros((2, 1)), np.array([[False]]), "truth value"),
        (np.zeros(2), np.zeros(2, dtype=bool), "models, samples"),
        (np.zeros((0, 2)), np.zeros((0, 2), dtype=bool), "models, samples"),
    ],
)
def test_shadows_refuse_nonsense(known: Any, inside: Any, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        Shadows(confidences=known, inside=inside)


def test_statistics_refuse_what_does_not_fit() -> None:
    shadows = Shadows(confidences=np.zeros((2, 3)), inside=np.zeros((2, 3), dtype=bool))
    with pytest.raises(ParameterError, match="3 samples without one"):
        shadows.two_models(np.zeros(3))
    with pytest.raises(ParameterError, match="not finite"):
        shadows.one_sided([0.0, np.nan, 0.0])
    with pytest.raises(ParameterError, match="3 samples"):
        shadows.one_sided(np.zeros(2))
    with pytest.raises(ParameterError, match="same models"):
        shadows.relative(np.zeros(3), np.zeros((1, 4)), np.zeros(4))
    with pytest.raises(ParameterError, match="a <= 1"):
        shadows.relative(np.zeros(3), np.zeros((2, 4)), np.zeros(4), a=2.0)


def test_pairs_complete_each_other_and_are_never_shadows_of_each_other() -> None:
    rotation = Rotation.draw(runs=17, samples=500, rng=np.random.default_rng(0))
    assert len(rotation) == 17
    assert (rotation.inside[0:16:2] ^ rotation.inside[1:16:2]).all()
    assert 0.4 < rotation.inside[16].mean() < 0.6
    for target in range(17):
        shadows = rotation.shadows(target)
        assert len(shadows) == (16 if target == 16 else 15)
        count = rotation.inside[shadows].sum(axis=0)  # it must not tell who is a member of the target
        assert set(count.tolist()) <= {7, 8}
    with pytest.raises(ParameterError, match="runs >= 4"):
        Rotation.draw(runs=3, samples=10, rng=np.random.default_rng(0))


def test_the_other_half_of_a_pair_would_give_the_answer_away() -> None:
    """Nobody gains from being a member here, but models are alike where their data are: also to the other half's model.

    With that model among the shadows members seem to be found. The shadows of a rotation find nobody.
    """
    rng = np.random.default_rng(0)
    fair, unfair = [], []
    for _ in range(3):
        rotation = Rotation.draw(runs=16, samples=1000, rng=rng)
        luck = rng.standard_normal((8, 1000))
        known = 0.5 * rng.standard_normal((16, 1000)) + np.stack([luck, -luck], axis=1).reshape(16, 1000)
        for target in range(16):
            for found, chosen in (
                (fair, rotation.shadows(target)),
                (unfair, [run for run in range(16) if run != target]),
            ):
                shadows = Shadows(confidences=known[chosen], inside=rotation.inside[chosen])
                found.append(area(shadows.two_models(known[target]), rotation.inside[target]))
    assert np.mean(fair) == pytest.approx(0.5, abs=0.015)
    assert np.mean(unfair) > 0.55
