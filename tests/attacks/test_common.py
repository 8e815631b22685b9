"""What holds for every attack of the folder, whoever adds it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import robustfl.attacks
from robustfl import registry
from robustfl.components import Component
from robustfl.threats import (
    Attack,
    DataPoisoning,
    Evasion,
    Fault,
    Identities,
    Knowledge,
    Placement,
    PrivacyAttack,
    UpdateAttack,
)
from robustfl.threats.peers.space import Space
from tests.attacks.table import TABLE, UPDATE, Row, crafted, models, updates, walk

PAYLOADS = [np.nan, np.inf, -np.inf]


def test_every_attack_has_a_row() -> None:
    folder = {
        value
        for value in vars(robustfl.attacks).values()
        if inspect.isclass(value) and issubclass(value, Component) and not inspect.isabstract(value)
    }
    first = Identities | Placement | Space
    before = {value for value in folder if issubclass(value, first)}  # they stand before attacks
    assert folder - before == {type(row.attack) for row in TABLE}


@walk(list(TABLE))
def test_names_itself_and_comes_back_from_the_registry(row: Row) -> None:
    attack = row.attack
    again = registry.build("attack", repr(attack))
    assert type(again) is type(attack)
    assert again == attack
    assert registry.build("attack", {attack.name: attack.parameters()}) == attack
    assert str(attack)
    assert isinstance(attack, Attack | Evasion | Fault | PrivacyAttack)
    assert attack.surface in ("updates", "predictions", "rankings", "data", "evasion", "faults", "peers", "privacy")


@walk(UPDATE)
def test_shape_type_and_separate_rows(row: Row) -> None:
    pairs: list[tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]] = [
        (updates(), updates(3, seed=1)),
        (updates().astype(np.float32), updates(3, seed=1).astype(np.float32)),
    ]
    for honest, own in pairs:
        result = crafted(row.attack, honest, own)
        assert isinstance(result, np.ndarray)
        assert result.shape == (3, 5)
        assert result.dtype == honest.dtype
        before = result[1:].copy()
        result[0] = 42.0
        np.testing.assert_array_equal(result[1:], before)
        assert not np.shares_memory(result, honest)
        assert not np.shares_memory(result, own)


@walk(UPDATE)
def test_tensors_give_the_numbers_of_arrays(row: Row) -> None:
    honest, own = updates(), updates(2, seed=1)
    result: Any = crafted(row.attack, torch.as_tensor(honest), torch.as_tensor(own), rng=3)  # type: ignore[arg-type]
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.float64
    np.testing.assert_array_equal(result.numpy(), crafted(row.attack, honest, own, rng=3))


@walk(UPDATE)
def test_half_precision_is_kept(row: Row) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        honest, own = (torch.as_tensor(updates(rows)).to(dtype) for rows in (7, 2))
        result: Any = crafted(row.attack, honest, own)  # type: ignore[arg-type]
        assert result.dtype == dtype
        assert not row.finite or bool(result.isfinite().all())


@walk(UPDATE)
def test_nobody_malicious_sends_nothing(row: Row) -> None:
    for honest in (updates(), updates(0)):
        assert crafted(row.attack, honest, np.empty((0, 5))).shape == (0, 5)


@walk(UPDATE)
def test_one_attacker_one_honest_client_one_parameter(row: Row) -> None:
    result = crafted(row.attack, np.array([[0.5]]), np.array([[0.25]]))
    assert result.shape == (1, 1)
    assert bool(np.isfinite(result).all()) == row.finite


@walk(UPDATE)
def test_equal_generators_give_equal_updates(row: Row) -> None:
    honest, own = updates(), updates(3, seed=1)
    np.testing.assert_array_equal(crafted(row.attack, honest, own, rng=7), crafted(row.attack, honest, own, rng=7))


@walk(UPDATE)
def test_global_random_states_stay(row: Row) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    crafted(row.attack, updates(), updates(3, seed=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # type: ignore[index] # noqa: NPY002


@walk(UPDATE)
def test_reads_without_writing(row: Row) -> None:
    honest, own = updates(), updates(3, seed=1)
    kept = honest.copy(), own.copy()
    crafted(row.attack, honest, own)
    np.testing.assert_array_equal(honest, kept[0])
    np.testing.assert_array_equal(own, kept[1])


@walk(UPDATE)
def test_reversed_and_read_only_arrays_are_taken(row: Row, recwarn: pytest.WarningsRecorder) -> None:
    honest, own = updates(), updates(2, seed=1)
    expected = crafted(row.attack, honest.copy(), own.copy())
    honest.flags.writeable = own.flags.writeable = False
    np.testing.assert_array_equal(crafted(row.attack, honest, own), expected)
    np.testing.assert_array_equal(crafted(row.attack, honest[::-1].copy()[::-1], own), expected)
    assert not recwarn.list


@pytest.mark.parametrize("row", [row for row in UPDATE if row.symmetric], ids=lambda row: repr(row.attack))
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(7)))
def test_order_of_honest_clients_does_not_matter(row: Row, order: list[int]) -> None:
    honest, own = updates(), updates(3, seed=1)
    np.testing.assert_allclose(crafted(row.attack, honest[order], own), crafted(row.attack, honest, own), atol=1e-12)


def similar(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * (1.0 + float(np.abs(b).max())))


@pytest.mark.parametrize("row", [row for row in UPDATE if row.translates], ids=lambda row: repr(row.attack))
@settings(max_examples=15, deadline=None)
@given(shift=arrays(np.float64, 5, elements=st.floats(-100, 100)))
def test_moves_with_the_honest_cloud(row: Row, shift: npt.NDArray[np.float64]) -> None:
    honest, own = updates(), updates(3, seed=1)
    similar(crafted(row.attack, honest + shift, own + shift), crafted(row.attack, honest, own) + shift)


@pytest.mark.parametrize("row", [row for row in UPDATE if row.scales], ids=lambda row: repr(row.attack))
@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-3, 1e3))
def test_grows_with_the_honest_cloud(row: Row, factor: float) -> None:
    honest, own = updates(), updates(3, seed=1)
    history = [factor * model for model in models()]
    scaled = crafted(row.attack, factor * honest, factor * own, history=history)
    similar(scaled, factor * crafted(row.attack, honest, own))


@walk([row for row in UPDATE if row.finite])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_honest_rows_that_are_not_finite_do_not_count(row: Row, payload: float) -> None:
    honest, own = updates(), updates(3, seed=1)
    spoilt = np.insert(honest, 2, honest[0], axis=0)
    spoilt[2, 3] = payload
    expected = crafted(row.attack, honest, own)
    # `cancel` reverses the sum of all h honest rows, the spoilt one included.
    factor = 8 / 7 if "cancel" in repr(row.attack) else 1.0
    if repr(row.attack) == repr(robustfl.attacks.ALIE(z="formula", sign="plus")):  # z depends on n
        assert np.isfinite(crafted(row.attack, spoilt, own)).all()
    else:
        np.testing.assert_allclose(crafted(row.attack, spoilt, own), factor * expected, atol=1e-12)


@walk([row for row in UPDATE if row.finite])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_without_any_finite_honest_row_the_answer_is_finite(row: Row, payload: float) -> None:
    result = crafted(row.attack, np.full((4, 5), payload), updates(3, seed=1))
    assert np.isfinite(result).all()
    knowledge = row.attack.required_knowledge()  # type: ignore[attr-defined]
    if Knowledge.PEERS in knowledge and Knowledge.HISTORY not in knowledge:
        assert not result.any()


@walk(UPDATE)
def test_outside_its_window_it_sends_honest_updates(row: Row) -> None:
    from robustfl.threats import Adversary, Facts

    attack = replace(row.attack, start_round=2, stop_round=7, every=2)  # type: ignore[call-arg]
    assert isinstance(attack, UpdateAttack)
    own, first = torch.as_tensor(updates(3, seed=1)), torch.as_tensor(models()[0])
    adversary = Adversary(attack)
    honest_rounds = []
    for number in range(9):
        facts = Facts(
            round=number,
            f=3,
            declared_f=3,
            honest=torch.as_tensor(updates()),
            honest_ids=tuple(range(7)),
            own=lambda: own,
            relabelled=lambda change: -torch.as_tensor(updates()),
            weights=first + number,
            previous_weights=first + number - 1 if number else None,
            initial_weights=first,
            aggregate=lambda rows: rows[0],
            rng=np.random.default_rng(number),
        )
        if torch.equal(adversary.craft(facts), own):
            honest_rounds.append(number)
    assert honest_rounds == (list(range(9)) if row.sends_own else [0, 1, 3, 5, 7, 8])


@walk([row for row in TABLE if isinstance(row.attack, Attack)])
def test_rules_that_it_was_made_for_exist(row: Row) -> None:
    assert isinstance(row.attack, Attack)
    assert set(row.attack.made_for) <= set(registry.find("defense"))


@walk([row for row in TABLE if isinstance(row.attack, DataPoisoning)])
def test_poisoned_labels_are_labels_and_the_given_ones_stay(row: Row) -> None:
    assert isinstance(row.attack, DataPoisoning)
    labels = np.random.default_rng(0).integers(5, size=400)
    kept = labels.copy()
    poisoned = row.attack.poison_labels(labels, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(labels, kept)
    assert poisoned.shape == labels.shape
    assert poisoned.dtype == np.int64
    assert poisoned.min() >= 0
    assert poisoned.max() < 5
    assert (poisoned != labels).any()
    np.testing.assert_array_equal(poisoned, row.attack.poison_labels(labels, 5, np.random.default_rng(1)))


@walk([row for row in TABLE if isinstance(row.attack, Fault)])
def test_faults_leave_the_messages_they_are_given(row: Row) -> None:
    assert isinstance(row.attack, Fault)
    messages = torch.as_tensor(updates(200))
    kept = messages.clone()
    struck, senders = row.attack(messages)
    assert torch.equal(messages, kept)
    assert struck.shape == (len(senders), 5)
    assert struck.dtype == messages.dtype
    assert set(senders.tolist()) <= set(range(200))
    again, _ = row.attack(messages.numpy())
    np.testing.assert_array_equal(again, struck.numpy())
