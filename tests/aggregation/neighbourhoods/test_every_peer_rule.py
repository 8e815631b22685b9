"""What every defense of peers survives: all registered ones, all of their kinds, and every rule that peers may use."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from robustfl import registry
from robustfl.aggregation import Defense
from robustfl.aggregation.neighbourhoods import (
    HearsayMixer,
    Hoods,
    Letters,
    Mixed,
    Mixer,
    Rumour,
    for_peers,
    for_samples,
)
from robustfl.defenses import Mean, Median, SybilWall
from robustfl.errors import ParameterError
from robustfl.federation.peers.sampled import MiddleModel
from tests.aggregation.neighbourhoods.mixer_rules import OCCASION

Matrix = np.ndarray[Any, Any]

REQUIRED: dict[Any, Any] = {int: 1, float: 0.5}
MECHANISMS, CHANNELS = {"dp_fed_avg", "dp_sgd", "local_dp", "secure_sum_dp"}, {"frl", "kn_fu", "rffl"}
"""What adds noise for privacy, and what reads other messages than models."""


def kinds_of(cls: type[Defense]) -> Iterator[Defense]:
    """A defense with its defaults, and with every other value of those parameters that choose between ways."""
    told = {p.name: REQUIRED[p.kind] for p in cls.declared_parameters() if p.required}
    rule = cls(**told)
    yield rule
    for parameter in cls.declared_parameters():
        choices = get_args(parameter.kind) if get_origin(parameter.kind) is Literal else ()
        if parameter.kind is bool:
            choices = (False, True)
        for choice in choices:
            if choice != getattr(rule, parameter.name) and isinstance(rule, Mixer):
                yield replace(rule, **{parameter.name: choice})


def rules_of_peers() -> Iterator[tuple[str, Mixer]]:
    """Every registered defense as the rule of peers; stages that make no model stand before a median."""
    for name, cls in registry.find("defense").items():
        if name in MECHANISMS | CHANNELS:
            continue
        for rule in kinds_of(cls):
            try:
                yield str(rule), for_peers(rule)
            except ParameterError:
                yield f"{rule} >> Median", for_peers(rule >> Median())  # type: ignore[operator]  # a stage, or it fails
    yield "SybilWall(quorum=2, history=updates)", SybilWall(quorum=2, history="updates")
    yield "MiddleModel", MiddleModel()


def rules_of_samples() -> Iterator[tuple[str, Mixer]]:
    """Every registered defense as the rule of those who combine the models of a sample."""
    for name, cls in registry.find("defense").items():
        if name in MECHANISMS | CHANNELS:
            continue
        for rule in kinds_of(cls):
            try:
                yield f"sample: {rule}", for_samples(rule)
            except ParameterError:
                continue


RULES = dict(rules_of_peers())
SAMPLES = dict(rules_of_samples())
EVERY = {**RULES, **SAMPLES}
each_rule = pytest.mark.parametrize("name", EVERY)

PEERS, D, ROUNDS = 6, 70, 3
LIAR = PEERS
"""The id of the malicious neighbour of everybody."""


@dataclass(frozen=True)
class Course:
    """What happened to a rule over some rounds."""

    models: list[Matrix]
    mixed: list[Mixed]


def models_of(number: int) -> Matrix:
    return 3.0 + np.random.default_rng([7, number]).standard_normal((PEERS, D))


def around(letter: str, b: int) -> Hoods:
    """All peers hear each other, and the liar, of whom a letter is `sent`, `missing`, or sent `twice`."""
    index = np.array(
        [[peer, *(other for other in range(PEERS) if other != peer), PEERS + peer] for peer in range(PEERS)]
    )
    senders = np.where(index < PEERS, index, LIAR)
    weights = np.full(index.shape, 1.0 / (PEERS + 1))
    strangers = np.zeros(index.shape, np.bool_)
    if letter == "missing":
        index[:, -1] = -1
    elif letter != "sent":
        index, senders = np.column_stack([index, index[:, -1]]), np.column_stack([senders, senders[:, -1]])
        weights, strangers = (
            np.column_stack([weights, 0 * weights[:, -1]]),
            np.column_stack([strangers, strangers[:, -1]]),
        )
        if letter == "stranger":
            index[:, -2], senders[:, -1], strangers[:, -1] = -1, 99, True
    return Hoods(index, weights, np.full(PEERS, b), senders, strangers)


def course(rule: Mixer, hoods: Hoods, crafted: Any = None, told: Any = None) -> Course:
    """Some rounds t, in which the liar sends peer i `crafted[t][i]`, and tells it what is in `told[t][i]`."""
    rule = deepcopy(rule)
    rule.reset()
    found = Course([], [])
    for number in range(ROUNDS):
        models = models_of(number)
        says = models[:, ::-1] - models  # what everybody says of its own training
        letters = Letters.of(models, models + 1.0 if crafted is None else crafted[number])
        occasion = replace(
            OCCASION,
            number=number,
            rumours={} if told is None else dict(enumerate(told[number])),
            updates=lambda _, sender, says=says: says[sender % PEERS],
            draws=lambda peer, number=number: np.random.default_rng([peer, number]),
        )
        mixed = rule.mix(letters, hoods, occasion)
        found.models.append(mixed.models.copy())
        found.mixed.append(mixed)
    return found


def assert_same(one: Course, other: Course) -> None:
    for first, second in zip(one.models, other.models, strict=True):
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)


def test_every_registered_defense_is_here_or_no_rule_for_models() -> None:
    for name in MECHANISMS | CHANNELS:
        noise = {"clip": 1.0, "delta": 1e-3, "noise_multiplier": 1.0} if name in MECHANISMS else {}
        for lift in (for_peers, for_samples):
            rule: Any = registry.get("defense", name)(**noise)
            with pytest.raises(ParameterError):
                lift(rule)
            if name in MECHANISMS:
                with pytest.raises(ParameterError):
                    lift(rule >> Mean())
    left = set(registry.find("defense").values()) - {registry.get("defense", name) for name in MECHANISMS | CHANNELS}
    rules = {type(stage) for rule in RULES.values() for stage in getattr(rule, "rule", rule).stages}
    assert left <= rules, "each is asked below, alone or in front of a median"


# ---------------------------------------------------------------------------------------------------- hostile letters

REAL = torch.zeros(D)
MALFORMED: dict[str, Any] = {
    "nan": np.full(D, np.nan),
    "infinite": np.full(D, -np.inf),
    "one nan": np.where(np.arange(D) == D - 1, np.nan, 0.0),
    "too large": np.full(D, 1e308),
    "shorter": np.ones(D - 1),
    "longer": np.ones(D + 1),
    "another shape": np.ones((D, 1)),
    "text": "hello",
    "number": 3,
    "complex": np.full(D, 1j),
    "objects": np.array([None] * D),
    "ragged": [1.0, [2.0]],
    "huge integers": [10**400] * D,
    "state dict": {"weight": np.ones(D)},
    "sparse": REAL.to_sparse(),
    "no values": torch.zeros(D, device="meta"),
    "conjugate": torch.zeros(D, dtype=torch.complex64).conj(),
    "masked": np.ma.array(np.ones(D), mask=np.arange(D) == 0),
}


def dealt(things: list[Any]) -> list[list[Any]]:
    """One of them for each peer in each round, [t, i]."""
    assert len(things) == ROUNDS * PEERS
    return [things[number * PEERS : (number + 1) * PEERS] for number in range(ROUNDS)]


@each_rule
def test_malformed_letters_are_as_if_their_sender_had_said_nothing_and_were_one_fewer(name: str) -> None:
    found = course(EVERY[name], around("sent", 1), dealt([*MALFORMED.values()]))
    assert_same(found, course(EVERY[name], around("missing", 0)))
    for mixed in found.mixed:
        assert mixed.rejected[:, -1].all()
        assert set(mixed.reasons) == set(range(PEERS))


@each_rule
@pytest.mark.parametrize("kind", ["twice", "stranger"])
def test_letters_under_one_id_and_of_strangers_are_as_if_they_had_not_come(name: str, kind: str) -> None:
    crafted = dealt([100.0 * np.ones(D)] * (ROUNDS * PEERS))
    assert_same(course(EVERY[name], around(kind, 1), crafted), course(EVERY[name], around("missing", 1)))


@each_rule
def test_what_a_neighbour_sends_to_others_changes_nothing_for_a_peer(name: str) -> None:
    rng = np.random.default_rng(3)
    mine = 3.0 + rng.standard_normal(D)
    others: list[Any] = [np.full(D, np.nan), None, "hello", -5.0 * mine, 1e6 * rng.standard_normal(D)]
    one, other = (
        course(EVERY[name], around("sent", 1), dealt([mine, *sent] * ROUNDS))
        for sent in (others, [mine + 1.0] * (PEERS - 1))
    )
    for first, second in zip(one.models, other.models, strict=True):
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first[0], second[0])


@each_rule
def test_a_peer_with_no_neighbour_left_keeps_its_model(name: str) -> None:
    """Nobody writes, or nobody writes anything that can be used."""
    rule = deepcopy(EVERY[name])
    rule.reset()
    crafted = list(MALFORMED.values())
    index = np.array([[0, *range(PEERS, PEERS + len(crafted)), -1, 1, 1, 2]])
    senders = np.array([[0, *range(10, 10 + len(crafted)), 40, 50, 50, 60]])
    strangers = senders == 60
    weights = np.where(strangers, 0.0, 1.0)
    hoods = Hoods(index, weights / weights.sum(), [2], senders, strangers)
    for number in range(ROUNDS):
        models = models_of(number)
        for crowd in (hoods, Hoods([[0]], np.ones((1, 1)), [2])):
            mixed = rule.mix(
                Letters.of(models, crafted), crowd, replace(OCCASION, number=number, updates=lambda *_: None)
            )
            np.testing.assert_array_equal(mixed.models, models[:1])
            assert mixed.info["kept"] == {0: "no usable letters"}


@pytest.mark.parametrize("name", RULES)
def test_one_peer_in_a_loop_of_its_own_survives_the_same(name: str) -> None:
    rule, models = RULES[name], models_of(0)
    honest = {f"peer {other}": models[other] for other in range(1, PEERS)}
    occasion = replace(OCCASION, draws=lambda _: np.random.default_rng(0))
    says = {one: models[0] - model for one, model in honest.items()}

    def next_model(letters: Any, b: int) -> tuple[Matrix, Any]:
        weights = {**dict.fromkeys([*honest, "liar"], 1.0 / (PEERS + 1)), **dict.fromkeys(MALFORMED, 0.0)}
        return rule.mix_one(models[0], letters, b=b, weights=weights, occasion=occasion, updates=says)

    expected, _ = next_model(honest, 0)
    model, told = next_model({**honest, **MALFORMED}, len(MALFORMED))
    assert (set(told.rejected) - {"liar"}, told.b) == (set(MALFORMED), 0)
    np.testing.assert_array_equal(model, expected)
    silent, _ = next_model(honest, 1)
    for pairs in (
        [*honest.items(), ("liar", models[0]), ("liar", -models[0])],
        [*honest.items(), ("stranger", 100.0 * models[0])],
        [*honest.items(), ("liar", None)],
    ):
        np.testing.assert_array_equal(next_model(pairs, 1)[0], silent)
    for letters in ({}, MALFORMED):
        kept, told = rule.mix_one(models[0], letters, b=1, occasion=occasion, updates={})
        np.testing.assert_array_equal(kept, models[0])
        assert told.kept == "no usable letters"


# ---------------------------------------------------------------------------------------------------- hostile rumours


LISTS: list[Any] = []
LISTS.append(LISTS)
ODD: list[Any] = [None, "x", -1, 0.5, True, np.nan, 2**70, [1], {}, np.zeros(3), np.zeros(3, np.longdouble), LISTS]


def forged(teller: Any, numbered: bool) -> list[Any]:
    """Rumours of which none can be believed; where ids are numbers, none of these is one."""
    found = [Rumour(teller, 9, *pair, np.ones(D)) for one in ODD for pair in ((one, 2), (0, one))]
    found += [Rumour(teller, 9, 0, 2, letter) for letter in [None, *MALFORMED.values()]]
    found += [Rumour(teller, one, 0, 2, np.ones(D)) for one in (ODD if numbered else [np.nan, {}, LISTS, teller])]
    return [*ODD, *found]


@pytest.mark.parametrize("name", RULES)
def test_forged_rumours_of_hostile_form_change_nothing(name: str) -> None:
    rule, hoods = RULES[name], around("sent", 1)
    lies = [*forged(LIAR, numbered=True), *(Rumour(one, 9, 0, 2, np.ones(D)) for one in (*ODD, 99))]
    lies += [Rumour(LIAR, LIAR, 0, 2, np.ones(D))]
    expected = course(rule, hoods)
    assert_same(course(rule, hoods, told=[[lies] * PEERS] * ROUNDS), expected)
    if isinstance(rule, HearsayMixer):  # each on its own as well, where nobody tells too much
        while lies:
            several, lies = lies[: ROUNDS * PEERS], lies[ROUNDS * PEERS :]
            alone = [[one] for one in (several * (ROUNDS * PEERS))[: ROUNDS * PEERS]]
            assert_same(course(rule, hoods, told=dealt(alone)), expected)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if isinstance(rule, HearsayMixer)])
def test_hostile_rumours_by_name_change_nothing_in_a_loop_of_ones_own(name: str) -> None:
    rule, models = RULES[name], models_of(0)
    letters = {f"peer {other}": models[other] for other in range(1, PEERS)}
    updates = {one: model - models[0] for one, model in letters.items()}
    expected, _ = rule.mix_one(models[0], letters, updates=updates)
    lies = forged("peer 1", numbered=False)
    for said in [*([one] for one in lies), lies, None, 5, "hello", {"a": 1}, np.ones(3), [], [[]]]:
        model, answer = rule.mix_one(models[0], letters, rumours={"peer 1": said}, name="me", updates=updates)
        np.testing.assert_array_equal(model, expected)
        assert answer.info["believed"] == {0: 0}
