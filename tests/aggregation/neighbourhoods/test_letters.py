"""The contract of letters and neighbourhoods: what is refused, what becomes of it, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.aggregation.kernels.base import Floats
from robustfl.aggregation.neighbourhoods import Gathering, Hoods, Letters, LinearMixer, Mixer, Mixing, StarMixer
from robustfl.defenses import NNA, Bridge, Gossip
from robustfl.errors import ParameterError, RobustflError, UpdatesError
from tests.aggregation.neighbourhoods.networks import random_network

MODELS = np.arange(12.0).reshape(4, 3)
RING = np.array([[0, 1, 3], [1, 0, 2], [2, 1, 3], [3, 2, 0]])
THIRDS = np.full((4, 3), 1 / 3)


def ring(**changes: Any) -> Hoods:
    return Hoods(**{"index": RING, "weights": THIRDS, "bounds": np.ones(4, int), **changes})


# ---------------------------------------------------------------------------------------------------- hostile letters


def test_reasons_weights_and_bounds_of_hostile_letters() -> None:
    network = random_network(0, b=3)
    mixed = Gossip().mix(network.letters, network.hoods)
    first = [mixed.reasons[line][1] for line in range(7)]
    assert first == [
        "not finite",
        "not finite",
        "too large to sum",
        "unreadable (ndarray): of type complex128",
        "wrong layout: an array of shape [71], not [70]",
        "unreadable (str)",
        "missing",
    ]
    last = network.hoods.m - 1
    assert mixed.reasons[7] == {last: "no neighbour"}
    assert mixed.reasons[8] == {1: "duplicate id", last: "duplicate id"}
    assert mixed.info["kept"] == {11: "no usable letters"}
    heard = network.sound[:, 1:].sum(axis=1)
    expected = np.minimum([2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 0], heard)
    np.testing.assert_array_equal(mixed.info["bounds"], expected)
    assert mixed.weights is not None
    np.testing.assert_allclose(mixed.weights.sum(axis=1), 1.0, atol=1e-15)
    lost = np.where(network.sound, 0.0, network.hoods.weights).sum(axis=1)
    np.testing.assert_allclose(mixed.weights[:, 0], network.hoods.weights[:, 0] + lost, atol=1e-15)
    slots = (network.hoods.senders >= 0) & ~network.sound
    np.testing.assert_array_equal(mixed.rejected, slots)


def test_metropolis_weights_stay_doubly_stochastic_when_both_ends_miss_a_letter() -> None:
    index = RING.copy()
    index[0, 1] = index[1, 1] = -1
    mixed = Gossip().mix(Letters(MODELS), ring(index=index, senders=RING))
    np.testing.assert_allclose(mixed.models.mean(axis=0), MODELS.mean(axis=0))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308], ids=str)
def test_a_peer_whose_own_model_is_malformed_keeps_it_and_nobody_uses_it(value: float) -> None:
    models = MODELS.copy()
    models[2, 1] = value
    mixed = Gossip().mix(Letters(models), ring())
    np.testing.assert_array_equal(mixed.models[2], models[2])
    assert mixed.info["kept"] == {2: "its own model is " + ("too large to sum" if value == 1e308 else "not finite")}
    np.testing.assert_allclose(mixed.models[1], 2 / 3 * models[1] + 1 / 3 * models[0])


def test_a_letter_under_the_receivers_own_id_is_refused_and_the_own_model_stays() -> None:
    senders = np.array([[0, 0, 3], *RING[1:].tolist()])
    mixed = Gossip().mix(Letters(MODELS), ring(senders=senders))
    assert mixed.reasons == {0: {1: "duplicate id"}}
    np.testing.assert_allclose(mixed.models[0], 2 / 3 * MODELS[0] + 1 / 3 * MODELS[3])


def test_each_receiver_may_get_another_letter_from_one_sender() -> None:
    index = np.array([[0, 2], [1, 3]])
    mixed = Gossip().mix(Letters(MODELS), Hoods(index, np.full((2, 2), 0.5), [0, 0], np.array([[0, 9], [1, 9]])))
    np.testing.assert_array_equal(mixed.models, (MODELS[:2] + MODELS[2:]) / 2)


def test_a_single_peer_and_a_leaf_whose_only_neighbour_is_malicious_keep_their_models() -> None:
    alone = Hoods([[0]], np.ones((1, 1)), [0])
    np.testing.assert_array_equal(NNA().mix(Letters(MODELS[:1]), alone).models, MODELS[:1])
    leaf = Hoods([[0, 1]], np.full((1, 2), 0.5), [1])
    np.testing.assert_array_equal(NNA().mix(Letters(MODELS[:2]), leaf).models, MODELS[:1])


# ---------------------------------------------------------------------------------------------------- bounds


def test_a_bound_is_lowered_to_what_fits_or_the_own_model_is_kept() -> None:
    hoods = ring(bounds=np.array([2, 1, 0, 2]))
    lower = Bridge().mix(Letters(MODELS), hoods)
    assert lower.info["lowered"] == {0: 2, 3: 2}
    np.testing.assert_array_equal(lower.info["bounds"], [1, 1, 0, 1])
    np.testing.assert_array_equal(lower.models[0], np.median(MODELS[[0, 1, 3]], axis=0))
    own = Bridge().mix(Letters(MODELS), hoods, short="own")
    assert own.info["kept"] == dict.fromkeys((0, 3), "2 usable letters are too few for BRIDGE-T with b=2")
    np.testing.assert_array_equal(own.models[[0, 3]], MODELS[[0, 3]])
    np.testing.assert_array_equal(own.models[1:3], lower.models[1:3])
    with pytest.raises(ParameterError, match=r"`short` should be 'lower' or 'own'\. Found short='none'"):
        Bridge().mix(Letters(MODELS), hoods, short="none")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": RING.astype(float)}, r"`index` should hold row numbers \[n, m\]"),
        ({"index": RING - 2}, "`index` and `senders` should be at least -1"),
        ({"index": np.where(RING == 0, -1, RING)}, "The first slot of every line should hold the peer's own letter"),
        ({"senders": np.zeros((4, 3), int)}, "Two lines begin with the same id"),
        ({"senders": np.where(np.arange(3) > 1, -1, RING)}, "A letter should have a sender"),
        ({"weights": THIRDS - 0.4}, "`weights` should be finite and >= 0"),
        ({"weights": THIRDS * np.nan}, "`weights` should be finite and >= 0"),
        ({"weights": THIRDS / 2}, r"`weights` should sum to 1 in every line. Found 0.5 in line 0"),
        ({"weights": THIRDS[:, :2]}, r"`weights` should have shape \[4, 3\]. Found \[4, 2\]"),
        ({"strangers": RING == 3}, "should hold the peer's own letter|`weights` should be 0 in empty slots"),
        ({"bounds": np.full(4, -1)}, "`bounds` should satisfy b >= 0. Found -1"),
        ({"bounds": np.full(4, 1.5)}, "`bounds` should hold integers. Found float64"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_neighbourhoods_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ring(**changes)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([[1.0]], "list"),
        (np.ones(3), r"float64 \[3\]"),
        (np.ones((2, 3), int), r"int64 \[2, 3\]"),
        (np.ones((2, 3), np.float16), r"float16 \[2, 3\]"),
        (np.ones((0, 3)), r"shape \[0, 3\]"),
        (np.ones((2, 0)), r"shape \[2, 0\]"),
    ],
    ids=["list", "vector", "integers", "half", "rows", "columns"],
)
def test_letters_that_are_no_matrix_are_refused(rows: Any, found: str) -> None:
    with pytest.raises(UpdatesError, match=f"Letters should .*Found {found}"):
        Letters(rows)


def test_letters_may_be_a_tensor_and_share_its_memory() -> None:
    tensor = torch.arange(12.0).reshape(4, 3)
    assert np.shares_memory(Letters(tensor).rows, tensor.numpy())
    fortran = np.asfortranarray(MODELS)
    np.testing.assert_array_equal(
        Gossip().mix(Letters(fortran), ring()).models, Gossip().mix(Letters(MODELS), ring()).models
    )


def test_letters_and_neighbourhoods_have_to_fit_each_other_and_the_target() -> None:
    with pytest.raises(UpdatesError, match=r"`index` names row 3\. There are 3 letters"):
        Gossip().mix(Letters(MODELS[:3]), ring())
    with pytest.raises(UpdatesError, match="`faults` should name rows from 0 to 3"):
        Letters(MODELS, {4: "late"})
    letters = Letters(MODELS.copy())
    with pytest.raises(UpdatesError, match="line i of `hoods` has its own model in row i"):
        Gossip().mix(letters, ring().of([1, 0]), out=letters.rows)
    for out in (np.empty((3, 3)), np.empty((4, 3), np.float32), letters.rows[:4, ::-1]):
        with pytest.raises(UpdatesError, match="`out` should be the letters' own matrix, or one of float64"):
            Gossip().mix(letters, ring(), out=out)
    out = np.empty((3, 4)).T
    assert Gossip().mix(letters, ring(), out=out).models is not letters.rows
    np.testing.assert_array_equal(out, Gossip().mix(letters, ring()).models)


def test_letters_are_never_changed_unless_the_target_says_so() -> None:
    network = random_network(2)
    network.letters.rows.setflags(write=False)
    before = network.letters.rows.copy()
    Gossip().mix(network.letters, network.hoods)
    np.testing.assert_array_equal(network.letters.rows, before)


# ---------------------------------------------------------------------------------------------------- authors


@dataclass(frozen=True, kw_only=True)
class Wrong(LinearMixer):
    """Gives too few shares."""

    def shares(self, w: Floats, b: int) -> Floats:
        return w[:, :1]


@dataclass(frozen=True, kw_only=True)
class Infinite(StarMixer):
    """Gives shares that are not finite."""

    def weights(self, distances: Floats, w: Floats, b: int) -> Floats:
        return np.full((len(w), w.shape[1] + 1), np.nan)


@dataclass(frozen=True, kw_only=True)
class Nothing(Mixer):
    """Says nothing."""

    def _mix(self, gathering: Gathering) -> Mixing:
        return Mixing()


@dataclass(frozen=True, kw_only=True)
class Blows(Mixer):
    """Makes models that are not finite."""

    def _mix(self, gathering: Gathering) -> Mixing:
        return Mixing(fill=lambda out: out.fill(np.inf))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Wrong(), r"gave shares that are not \[4, 3\] finite numbers"),
        (Infinite(), r"gave shares that are not \[4, 3\] finite numbers"),
        (Nothing(), "gave neither shares nor models"),
        (Blows(), "made a model that is not finite"),
    ],
    ids=["shape", "nan", "nothing", "infinite"],
)
def test_a_rule_that_breaks_its_contract_is_found(rule: Mixer, message: str) -> None:
    with pytest.raises(RobustflError, match=message):
        rule.mix(Letters(MODELS), ring())


@dataclass(frozen=True, kw_only=True)
class Overwrites(Mixer):
    """Works on what it was given, and not on a copy."""

    what: str

    def _mix(self, gathering: Gathering) -> Mixing:
        group = gathering.groups[0]
        given = {"letters": gathering.rows, "weights": group.weights, "index": group.index, "lines": group.lines}
        given[self.what][:] = 0
        return Mixing([group.weights for group in gathering.groups])


@pytest.mark.parametrize("what", ["letters", "weights", "index", "lines"])
def test_a_rule_that_writes_to_what_it_is_given_is_found_and_nothing_has_changed(what: str) -> None:
    letters, hoods = Letters(MODELS.copy()), ring()
    expected = Gossip().mix(letters, hoods).models
    with pytest.raises(RobustflError, match=r"wrote to the letters or .*\. Let it work on a copy\."):
        Overwrites(what=what).mix(letters, hoods)
    np.testing.assert_array_equal(letters.rows, MODELS)
    np.testing.assert_array_equal(Gossip().mix(letters, hoods).models, expected)


@dataclass(frozen=True, kw_only=True)
class Keeps(Mixer):
    """Remembers a letter itself, in one of several forms."""

    state_keys: ClassVar[tuple[str, ...]] = ("last",)
    form: str

    def _mix(self, gathering: Gathering) -> Mixing:
        row = gathering.rows[0]
        kept = {"row": row, "list": [0, row[1:]], "nested": {3: (row,)}, "copy": row.copy()}[self.form]
        shares = [group.weights for group in gathering.groups]
        return Mixing(shares, state={"last": {int(gathering.groups[0].senders[0, 0]): kept}})


@pytest.mark.parametrize("form", ["row", "list", "nested"])
def test_a_rule_that_keeps_a_letter_and_no_copy_is_found_and_remembers_nothing(form: str) -> None:
    rule = Keeps(form=form)
    with pytest.raises(RobustflError, match=r"keeps a part of the letters in its state\. Let it keep a copy\."):
        rule.mix(Letters(MODELS.copy()), ring())
    assert rule.state_dict() == {}


def test_what_a_rule_has_copied_does_not_change_with_the_letters() -> None:
    rule, letters = Keeps(form="copy"), Letters(MODELS.copy())
    rule.mix(letters, ring(), out=letters.rows)
    assert not np.array_equal(letters.rows[0], MODELS[0])
    np.testing.assert_array_equal(rule.state_dict()["last"][0], MODELS[0])


def test_what_mixers_are_told_later_does_not_depend_on_what_others_did_with_their_answer() -> None:
    letters = Letters(MODELS)
    hoods = Hoods([[0, 1], [1, 0], [2, -1]], [[0.5, 0.5], [0.5, 0.5], [1, 0]], [0, 0, 0])
    first = Gossip().mix(letters, hoods)
    kept = dict(first.info["kept"])
    first.info["kept"].clear()
    first.reasons[0] = {1: "invented"}
    again = Gossip().mix(letters, hoods)
    assert again.info["kept"] == kept != {}
    assert again.reasons == {}


def test_neighbourhoods_do_not_change_with_the_arrays_they_were_made_from() -> None:
    index, strangers = np.array([[0, 1], [1, 0]], np.int32), np.zeros((2, 2), np.bool_)
    hoods = Hoods(index, np.full((2, 2), 0.5), [0, 0], strangers=strangers)
    index[:], strangers[:] = 0, True
    assert hoods.index.tolist() == [[0, 1], [1, 0]]
    assert not hoods.strangers.any()
    with pytest.raises(ValueError, match="read-only"):
        hoods.weights[0, 0] = 1.0


def test_the_same_neighbourhoods_are_known_already_and_others_are_not() -> None:
    hoods = ring()
    Gossip().mix(Letters(MODELS), hoods)
    assert ring().like(hoods) is hoods
    assert ring().like(None) is not hoods
    for change in ({"bounds": [1, 1, 1, 0]}, {"index": RING[:, [0, 2, 1]]}, {"senders": RING + 10}):
        other = ring(**change)
        assert other.like(hoods) is other


def test_what_is_known_of_neighbourhoods_stays_small_when_letters_differ_every_time() -> None:
    hoods, rng = random_network(0, hostile=False).hoods, np.random.default_rng(0)
    for _ in range(40):
        models = rng.standard_normal((hoods.last + 1, 5))
        models[rng.integers(len(models))] = np.nan
        Gossip().mix(Letters(models), hoods)
    assert len(hoods.known) <= 20
