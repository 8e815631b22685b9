"""Backdoors and how they are trained: triggers, labels, local steps, the stages of an attack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustfl import registry
from robustfl.attacks import (
    ALIE,
    DBA,
    AlternatingMinimisation,
    BadNets,
    Clones,
    EdgeCase,
    LabelFlip,
    ModelReplacement,
    Neurotoxin,
    PGDConstrained,
)
from robustfl.errors import ParameterError
from robustfl.evaluation.specs import canonical
from robustfl.threats import Backdoor, Knowledge, LocalAttack, PoisonedAttack, SybilAttack
from robustfl.threats.data.backdoors import Samples
from robustfl.threats.staging import aimed, poisoning_of, stages
from robustfl.threats.updates.local_training import Start, within

IMAGES = (BadNets(), BadNets(corner="top_left", size=1, value=0.5), DBA(), DBA(length=3, gap=1))


def marked(attack: Backdoor, side: int = 28, channels: int = 1, part: int | None = None) -> Tensor:
    """Which pixels [side, side] of a black image the trigger changes."""
    changed = attack.stamp(torch.zeros(1, channels, side, side), part)[0] != 0
    assert torch.equal(changed, changed[:1].expand_as(changed))  # all channels alike
    return changed[0]


def test_the_square_lies_at_the_bottom_right_unless_told_otherwise() -> None:
    assert marked(BadNets()).nonzero().tolist() == [[y, x] for y in (25, 26, 27) for x in (25, 26, 27)]
    for corner, place in (("top_left", [0, 0]), ("top_right", [0, 7]), ("bottom_left", [7, 0])):
        attack = BadNets(corner=corner, size=1)  # type: ignore[arg-type]
        assert marked(attack, side=8, channels=3).nonzero().tolist() == [place]


def test_the_published_bars() -> None:
    def bars(rows: tuple[int, int], columns: tuple[range, range]) -> set[tuple[int, int]]:
        return {(y, x) for y in rows for span in columns for x in span}

    for attack, side, expected in (
        (DBA(), 28, bars((0, 3), (range(4), range(6, 10)))),
        (DBA(length=6, gap=3), 32, bars((0, 4), (range(6), range(9, 15)))),
        (DBA(), 8, bars((0, 3), (range(3), range(5, 8)))),
    ):
        assert {(y, x) for y, x in marked(attack, side).nonzero().tolist()} == expected


def test_four_attackers_hold_the_parts_of_the_whole_trigger() -> None:
    parts = [marked(DBA(), part=k) for k in range(4)]
    assert torch.equal(sum(part.int() for part in parts), marked(DBA()).int())  # each pixel once
    assert torch.equal(marked(DBA(), part=6), parts[2])
    assert torch.equal(marked(BadNets(), part=3), marked(BadNets()))


@pytest.mark.parametrize("attack", IMAGES, ids=repr)
def test_a_stamp_is_new_idempotent_and_small(attack: Backdoor) -> None:
    images = torch.rand(3, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    once = attack.stamp(images)
    assert torch.equal(images, before)
    assert torch.equal(attack.stamp(once), once)
    touched = marked(attack, side=9)
    assert torch.equal(once[:, :, ~touched], images[:, :, ~touched])
    assert bool((once[:, :, touched] == attack.value).all())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("attack", "shape", "message"),
    [
        (BadNets(), (5, 30), r"BadNets marks images \[channels, height, width\]\. Found samples of shape \[30\]"),
        (DBA(), (5, 30), "DBA marks images"),
        (BadNets(size=5), (1, 1, 4, 9), r"size <= height and width\. Found size=5 with images of 4 x 9"),
        (DBA(length=4), (1, 1, 8, 8), r"2 length \+ gap <= width .* Found length=4, gap=2 with images of 8 x 8"),
        (DBA(), (1, 1, 3, 28), "gap=2 with images of 3 x 28"),
        (DBA(), (1, 1, 28, 3), "Found length=0"),
    ],
)
def test_samples_that_cannot_hold_a_trigger_are_refused(attack: Backdoor, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        attack.stamp(torch.zeros(shape))


# -- labels


LABELS = np.arange(5).repeat(2)


@pytest.mark.parametrize(
    ("attack", "labels", "changed"),
    [
        (BadNets(target=3, ratio=1.0), [3] * 10, LABELS != 3),
        (BadNets(mode="all2all", ratio=1.0), ((LABELS + 1) % 5).tolist(), LABELS >= 0),
        (BadNets(mode="source", source=2, ratio=1.0), [0, 0, 1, 1, 0, 0, 3, 3, 4, 4], LABELS == 2),
        (BadNets(mode="clean_label", target=4, ratio=1.0), LABELS.tolist(), LABELS == 4),
        (EdgeCase(source=2, target=1, ratio=1.0), [1] * 10, LABELS >= 0),
    ],
)
def test_whose_labels_and_features_change(attack: Backdoor, labels: list[int], changed: Any) -> None:
    found = attack.poison(LABELS, 5, np.random.default_rng(0))
    assert found[0].tolist() == labels
    np.testing.assert_array_equal(found[1], changed)


@settings(max_examples=20, deadline=None)
@given(ratio=st.floats(0.05, 1.0))
def test_a_share_of_the_eligible_samples_is_poisoned(ratio: float) -> None:
    labels = np.arange(8000) % 4
    poisoned, changed = BadNets(target=1, ratio=ratio).poison(labels, 4, np.random.default_rng(0))
    assert not changed[labels == 1].any()
    assert changed[labels != 1].mean() == pytest.approx(ratio, abs=0.03)
    np.testing.assert_array_equal(poisoned != labels, changed)


def test_a_tenth_is_poisoned_unless_told_otherwise() -> None:
    labels = np.arange(8000) % 4
    _, changed = BadNets(target=1).poison(labels, 4, np.random.default_rng(0))
    assert changed[labels != 1].mean() == pytest.approx(0.1, abs=0.015)


def test_success_is_not_measured_on_the_target_class() -> None:
    samples = Samples(torch.zeros(10, 1, 4, 4), LABELS, torch.zeros(10, 1, 4, 4), LABELS)
    assert BadNets(target=3).tested(samples, 5).tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
    assert BadNets(mode="source", source=2).tested(samples, 5).tolist() == [4, 5]
    assert len(BadNets(mode="all2all").tested(samples, 5)) == 10
    assert BadNets(mode="clean_label", target=3).tested(samples, 5).tolist() == [0, 1, 2, 3, 4, 5, 8, 9]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (BadNets(target=5), "BadNets: `target` should be a class of the data, 0 to 4. Found 5"),
        (BadNets(mode="source", source=9), "`source` should be a class"),
        (EdgeCase(source=9, target=1), "EdgeCase: `source` should be a class"),
    ],
)
def test_classes_that_the_data_do_not_have(attack: Backdoor, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        attack.poison_labels(LABELS, 5, np.random.default_rng(0))
    BadNets(source=9).require_classes(5)  # a source that is not used does not matter


@pytest.mark.parametrize(
    "build",
    [lambda: BadNets(mode="source", source=3, target=3), lambda: EdgeCase(source=1, target=1)],
)
def test_source_and_target_differ(build: Any) -> None:
    with pytest.raises(ParameterError, match="`target` should differ from `source`"):
        build()


# -- edge cases


def rare(count: int) -> tuple[EdgeCase, Samples]:
    """Training samples of class 2 around 0, and test samples of it farther and farther away."""
    test_y = np.array([2, 0, 2, 2, 1, 2, 2])
    test_x = torch.tensor([[1.0], [90.0], [6.0], [3.0], [80.0], [-9.0], [2.0]])
    train = torch.tensor([[0.0], [0.1], [-0.1], [50.0]])
    return EdgeCase(source=2, target=0, count=count), Samples(train, np.array([2, 2, 2, 1]), test_x, test_y)


def test_the_rarest_samples_are_divided_between_training_and_test() -> None:
    attack, samples = rare(4)
    assert attack.substitutes(samples).ravel().tolist() == [-9.0, 3.0]  # 1st and 3rd of -9, 6, 3, 2
    assert attack.tested(samples, 3).tolist() == [2, 6]
    assert torch.equal(attack.stamp(samples.test_x), samples.test_x)


def test_more_rare_samples_than_there_are() -> None:
    attack, samples = rare(6)
    with pytest.raises(ParameterError, match=r"Found count=6, 5 in the test set, 3 in the training data"):
        attack.tested(samples, 3)


# -- local training


def start(**values: Any) -> Start:
    given: dict[str, Any] = {
        "round": 0,
        "steps": 1,
        "rate": 0.5,
        "weights": torch.zeros(4),
        "previous_aggregate": None,
        "layers": (slice(0, 2), slice(2, 4)),
        "reach": 1.0,
        "message": "delta",
        "clean_gradient": lambda: torch.tensor([-9.0, 0.1, 2.0, -0.2]),
    }
    return Start(**{**given, **values})


def test_replacement_makes_the_mean_end_at_the_attackers_model() -> None:
    """n = 10, one attacker, a server with steps of 1, honest deltas of zero: the new model is X exactly."""
    weights, attacker = np.array([1.0, 2.0]), np.array([4.0, -1.0])
    honest = np.zeros((9, 2))
    sent = ModelReplacement()(honest, f=1, own=(attacker - weights)[None])
    np.testing.assert_array_equal(weights + np.vstack([sent, honest]).mean(axis=0), attacker)
    change = torch.tensor([[1.0, 2.0]])
    assert torch.equal(ModelReplacement().finish(change, start(reach=0.5)), 2 * change)
    assert torch.equal(ModelReplacement(boost=3.0).finish(change, start(reach=0.5)), change)


def test_train_and_scale_reaches_the_bound_and_a_zero_update_stays() -> None:
    own = np.array([[3.0, -4.0], [0.0, 0.0], [0.3, 0.4]])
    sent = ModelReplacement(bound=2.0)(np.ones((5, 2)), f=3, own=own)
    np.testing.assert_allclose(np.linalg.norm(sent, axis=1), [2.0, 0.0, 2.0])
    with pytest.raises(ParameterError, match="`boost` or `bound`, not both"):
        ModelReplacement(boost=2.0, bound=2.0)


def test_constrain_and_scale_pulls_towards_the_global_model() -> None:
    change, gradient = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    moved = ModelReplacement(alpha=0.6).follow(change, gradient, 0, start(rate=1.0))
    assert torch.allclose(moved, torch.tensor([[3.0 - 0.6 - 0.24, 4.0 - 0.32], [-0.6, 0.0]]))


@settings(max_examples=25, deadline=None)
@given(radius=st.floats(0.1, 5.0), scale=st.floats(0.01, 100.0))
def test_projection_is_the_nearest_point_of_the_ball(radius: float, scale: float) -> None:
    rows = scale * torch.tensor([[3.0, -4.0], [0.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
    found = within(rows, radius)
    lengths = rows.norm(dim=1)
    assert torch.allclose(found.norm(dim=1), lengths.clamp(max=radius))
    assert torch.allclose(found * lengths[:, None], rows * found.norm(dim=1)[:, None])  # the same direction
    assert torch.equal(within(rows, radius, "linf"), rows.clamp(-radius, radius))


def test_projection_comes_every_few_steps_and_after_the_last() -> None:
    attack, change, gradient = PGDConstrained(radius=1.0, project_every=3), torch.zeros(1, 2), torch.tensor([[-2.0, 0]])
    lengths = []
    for step in range(5):
        change = attack.follow(change, gradient, step, start(steps=5, rate=1.0))
        lengths.append(float(change.norm()))
    assert lengths == [2.0, 4.0, 1.0, 3.0, 1.0]
    late = PGDConstrained(radius=1.0, decay=0.5).follow(torch.zeros(1, 2), gradient, 0, start(round=3))
    assert float(late.norm()) == 0.125


def test_neurotoxin_writes_where_the_clean_gradient_is_smallest_in_magnitude() -> None:
    """Sorted with their signs, -9 would be the smallest."""
    gradient = torch.ones(2, 4)
    for attack, expected in (
        (Neurotoxin(keep=0.5), [0.0, -0.5, 0.0, -0.5]),
        (Neurotoxin(keep=0.75), [0.0, -0.5, -0.5, -0.5]),
        (Neurotoxin(keep=0.5, per_layer=True), [0.0, -0.5, 0.0, -0.5]),
        (Neurotoxin(keep=0.25), [0.0, -0.5, 0.0, 0.0]),
        (Neurotoxin(keep=0.25, per_layer=True), [0.0, -0.5, 0.0, -0.5]),  # one of two at least
    ):
        assert attack.follow(torch.zeros(2, 4), gradient, 0, start()).tolist() == [expected] * 2
    previous = torch.tensor([0.0, 1.0, 2.0, 3.0])
    by_aggregate = Neurotoxin(keep=0.5, guide="aggregate")
    assert by_aggregate.follow(torch.zeros(1, 4), gradient[:1], 0, start(previous_aggregate=previous)).tolist() == [
        [-0.5, -0.5, 0.0, 0.0]
    ]
    first = by_aggregate.follow(torch.zeros(1, 4), gradient[:1], 0, start())
    assert first.tolist() == [[0.0, -0.5, 0.0, -0.5]]


@settings(max_examples=25, deadline=None)
@given(keep=st.floats(0.01, 1.0), d=st.integers(1, 200))
def test_neurotoxin_keeps_its_share(keep: float, d: int) -> None:
    guide = torch.randn(d, generator=torch.Generator().manual_seed(d))
    mask = Neurotoxin(keep=keep).mask(guide)
    assert int(mask.sum()) == max(1, int(keep * d + 1e-9))
    assert bool((guide[mask].abs().max() <= guide[~mask].abs()).all())


def test_neurotoxin_keeps_95_percent_by_default_and_its_mask_for_a_round() -> None:
    assert int(Neurotoxin().mask(torch.arange(100.0)).sum()) == 95
    asked: list[int] = []

    def gradient() -> Tensor:
        asked.append(1)
        return torch.arange(4.0)

    begun = start(steps=3, clean_gradient=gradient)
    change = torch.zeros(1, 4)
    for step in range(3):
        change = Neurotoxin(keep=0.5, radius=0.1).follow(change, torch.ones(1, 4), step, begun)
    assert len(asked) == 1
    assert float(change.norm()) == pytest.approx(0.1)


def test_alternating_steps_are_boosted_or_pulled_back() -> None:
    attack = AlternatingMinimisation(boost=4.0, rho=0.25, malicious_steps=2, benign_steps=1)
    change, gradient = torch.ones(1, 4), torch.ones(1, 4)
    assert attack.follow(change, gradient, 1, start()).tolist() == [[1 - 0.5 * 4] * 4]
    assert attack.follow(change, gradient, 2, start()).tolist() == [[1 - 0.5 * (1 + 2 * 0.25)] * 4]
    assert (attack.steps(7), AlternatingMinimisation(local_steps=4).steps(7), PGDConstrained().steps(7)) == (3, 4, 7)


# -- stages


def test_stages_compose_in_any_order_of_brackets_and_come_back_from_their_text() -> None:
    whole = Clones(count=2) >> BadNets(target=7) >> ModelReplacement()
    assert whole == Clones(count=2) >> (BadNets(target=7) >> ModelReplacement())
    assert isinstance(whole, SybilAttack)
    assert stages(whole) == (Clones(count=2), BadNets(target=7), ModelReplacement())
    assert str(whole) == "Clones(count=2) > BadNets(target=7) > ModelReplacement"
    spec = [{"clones": {"count": 2}}, {"bad_nets": {"target": 7}}, "model_replacement"]
    for said in (spec, repr(whole), [{part.pop("name"): part} for part in canonical(whole)]):
        assert registry.build("attack", said) == whole


def test_a_pair_needs_fits_and_acts_as_both_do() -> None:
    pair = BadNets(start_round=2, stop_round=9) >> Neurotoxin(every=3)
    assert isinstance(pair, PoisonedAttack)
    assert [number for number in range(12) if pair.active(number)] == [3, 6]
    assert pair.required_knowledge() == Knowledge.OWN | Knowledge.HISTORY
    assert (BadNets() >> ALIE()).required_knowledge() == Knowledge.OWN | Knowledge.PEERS
    assert (pair.fits("dense"), pair.fits("rankings"), (BadNets() >> ALIE()).fits("rewards")) == (True, False, True)
    assert (LabelFlip(mode="targeted") >> ModelReplacement()).confusion() == (0, 1)
    assert pair.surface == "updates"


@pytest.mark.parametrize(
    "build",
    [
        lambda: BadNets() >> LabelFlip(),
        lambda: BadNets() >> (BadNets() >> ALIE()),
        lambda: Clones() >> ALIE() >> ALIE(),
        lambda: registry.build("attack", "ALIE() >> BadNets()"),
        lambda: registry.build("attack", "BadNets() >> FGSM()"),
    ],
)
def test_what_does_not_compose(build: Any) -> None:
    with pytest.raises(ParameterError):
        build()


def test_aims_are_told_once_and_harm_is_none() -> None:
    flip = LabelFlip(mode="targeted")
    attacks = [BadNets(), Clones() >> BadNets() >> ALIE(), flip, LabelFlip(), ALIE(), Clones() >> flip]
    assert aimed(attacks) == (BadNets(), flip)
    assert poisoning_of(Clones() >> ALIE()) is None


def test_attacks_that_train_send_what_they_trained_unless_they_scale_it() -> None:
    own = np.arange(6.0).reshape(2, 3)
    unscaled: tuple[LocalAttack, ...] = (Neurotoxin(), AlternatingMinimisation(), PGDConstrained())
    for attack in unscaled:
        np.testing.assert_array_equal(attack(np.ones((3, 3)), f=2, own=own), own)
    np.testing.assert_array_equal(PGDConstrained(boost=2.0)(np.ones((3, 3)), f=2, own=own), 2 * own)
