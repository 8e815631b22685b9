"""Clients that share samples: a small data set serves any number of them, and only those who take part cost time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl import registry
from robustfl.errors import ParameterError
from robustfl.federation.clients.momentum import Remembered
from robustfl.federation.data.overlapping import OverlappingParts, dirichlet
from robustfl.federation.data.partitions import MOST_CLIENTS, Overlapping, class_histogram
from robustfl.federation.engine import Simulation
from robustfl.federation.streams import Keyed
from robustfl.federation.task import Population
from tests.federation import worlds
from tests.federation.worlds import simulation, task

LABELS = np.repeat(np.arange(4), [40, 30, 20, 10])


def parts_of(clients: int, seed: int = 0, **values: Any) -> OverlappingParts:
    made = Overlapping(**values).split(LABELS, clients, np.random.default_rng(seed))
    assert isinstance(made, OverlappingParts)
    return made


def many(clients: int, seed: int = 0, **values: Any) -> Population:
    return task(partition=Overlapping(samples=6, **values)).prepare(clients=clients, seed=seed)


def sparse(clients: int = 2_000, alpha: float | None = None, **values: Any) -> Simulation:
    """A federation of many clients, ten of which take part in a round."""
    given = {"participation": 10 / clients, "clients": clients, **values}
    return simulation(world=many(clients, alpha=alpha), **given)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 400),
    st.integers(1, 12),
    st.sampled_from([None, 5e-324, 1e-3, 0.7, 1e6]),
    st.integers(0, 2**32),
    st.data(),
)
def test_what_a_client_has_depends_on_its_number_alone(
    clients: int, samples: int, alpha: float | None, seed: int, data: st.DataObject
) -> None:
    parts = parts_of(clients, seed, samples=samples, alpha=alpha)
    client = data.draw(st.integers(0, clients - 1))
    own = parts[client]
    assert len(parts) == clients
    assert parts.sizes.tolist() == [samples] * clients
    assert own.shape == (samples,)
    assert own.min() >= 0
    assert own.max() < len(LABELS)
    assert (np.diff(own) >= 0).all()
    assert own.tolist() == parts_of(clients + 3, seed, samples=samples, alpha=alpha)[client].tolist()
    together = parts.draw(np.arange(clients), Keyed(seed).uniform(np.arange(clients), 5))
    alone = parts.draw(np.array([client]), Keyed(seed).uniform(np.array([client]), 5))
    assert together[client].tolist() == alone[0].tolist()
    assert np.isin(alone[0], own).all()


def test_clients_read_as_a_list_does() -> None:
    parts = parts_of(7, samples=3)
    assert [part.tolist() for part in parts] == [parts[client].tolist() for client in range(7)]
    assert parts[-1].tolist() == parts[6].tolist()
    assert [part.tolist() for part in parts[2:4]] == [parts[2].tolist(), parts[3].tolist()]
    with pytest.raises(IndexError, match="There are 7 clients"):
        parts[7]


@pytest.mark.parametrize("clients", [0, MOST_CLIENTS + 1])
def test_the_number_of_clients_has_limits(clients: int) -> None:
    with pytest.raises(ParameterError, match=f"1 <= clients <= {MOST_CLIENTS}. Found clients={clients}"):
        parts_of(clients)


def test_partitions_that_split_name_the_one_that_does_not() -> None:
    with pytest.raises(ParameterError, match="the partition `overlapping`"):
        registry.build("partition", "iid").split(LABELS, 101, np.random.default_rng(0))


def test_classes_have_the_shares_of_the_data_and_alpha_skews_clients() -> None:
    shares = np.bincount(LABELS) / len(LABELS)
    classes = []
    for alpha in (None, 1e6, 1.0, 1e-3):
        counts = class_histogram(LABELS, parts_of(4_000, samples=8, alpha=alpha), 4)
        np.testing.assert_allclose(counts.sum(axis=0) / counts.sum(), shares, atol=0.03)
        classes.append(float((counts > 0).sum(axis=1).mean()))
    assert classes[0] == pytest.approx(classes[1], abs=0.05)
    assert classes[1] > classes[2] + 0.5 > classes[3] + 0.5
    assert classes[3] < 1.1


def test_mixes_have_the_moments_of_their_distribution() -> None:
    alpha = np.array([0.05, 0.3, 2.0, 0.15])
    drawn = dirichlet(alpha, Keyed(1).uniform(np.arange(60_000), 8))
    mean, total = alpha / alpha.sum(), alpha.sum()
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.005)
    np.testing.assert_allclose(drawn.var(axis=0), mean * (1 - mean) / (total + 1), rtol=0.06)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([None, 0.5]), st.booleans())
def test_samples_that_are_taken_away_are_gone(seed: int, alpha: float | None, numbered: bool) -> None:
    whole, chosen = parts_of(30, seed, samples=5, alpha=alpha), np.random.default_rng(seed).random(100) < 0.5
    places = np.cumsum(chosen) - 1 if numbered else np.arange(100)
    some = whole.kept(chosen, places if numbered else None)
    expected = [places[part[chosen[part]]].tolist() for part in whole]
    assert [part.tolist() for part in some] == expected
    assert some.sizes.tolist() == [len(part) for part in expected]
    assert some.held(np.arange(30)).tolist() == sorted({place for part in expected for place in part})
    labels = LABELS[chosen] if numbered else LABELS
    counts = [np.bincount(labels[part], minlength=4).tolist() for part in some]
    assert some.classes(labels, np.arange(30), 4).tolist() == counts
    ids = np.flatnonzero(some.sizes)
    drawn = some.draw(ids, Keyed(seed).uniform(ids, 9))
    assert all(set(row) <= set(expected[client]) for client, row in zip(ids, drawn.tolist(), strict=True))
    used = np.random.default_rng(seed + 1).random(len(labels)) < 0.4
    for client, row in zip(ids.tolist(), some.draw(ids, Keyed(seed).uniform(ids, 9), used).tolist(), strict=True):
        wanted = {place for place in expected[client] if used[place]} or set(expected[client])
        assert set(row) <= wanted


def test_numbers_of_clients_are_uniform_and_unlike_each_other() -> None:
    drawn = Keyed(3).uniform(np.arange(2_000), 50)
    assert 0.0 <= drawn.min() <= drawn.max() < 1.0
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 55  # beyond it lies 2e-5 of the chi-square distribution
    assert abs(np.corrcoef(drawn[:-1].reshape(-1), drawn[1:].reshape(-1))[0, 1]) < 0.02
    assert abs(np.corrcoef(drawn[:, :-1].reshape(-1), drawn[:, 1:].reshape(-1))[0, 1]) < 0.02
    other = Keyed(4).uniform(np.arange(2_000), 50)
    assert abs(np.corrcoef(drawn.reshape(-1), other.reshape(-1))[0, 1]) < 0.02


def test_words_are_those_of_split_mix() -> None:
    """The first words of the reference implementation, for the state 1234567."""
    start = (1234567 - 0x9E3779B97F4A7C15) % 2**64
    words = Keyed(start).words(np.array([0, 1, 2]), 1)
    finalised = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mixed(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    assert [mixed((1234567 + i * golden) & mask) for i in (1, 2, 3)] == finalised
    for i, word in enumerate(words[:, 0].tolist()):
        assert word == mixed((mixed((start + (i + 1) * golden) & mask) + golden) & mask)


def batches_of(sim: Simulation, rounds: int = 3) -> list[dict[int, list[int]]]:
    """For each round the samples of the members whose training was asked for."""
    found = []
    for number in range(rounds):
        lesson = sim.play(number).lesson
        assert lesson is not None
        found.append(dict(zip(lesson.ids.tolist(), lesson.index.flatten(1).tolist(), strict=True)))
    return found


def test_nobodys_batches_depend_on_who_else_is_there() -> None:
    """Some of the clients who take part in a small round take part in a large one, with the same batches."""
    few, more = batches_of(sparse(400)), batches_of(sparse(400, participation=0.5))
    shared = 0
    for small, large in zip(few, more, strict=True):
        assert (len(small), len(large)) == (10, 200)
        both = small.keys() & large.keys()
        shared += len(both)
        assert all(small[client] == large[client] for client in both)
    assert shared > 5
    assert len({tuple(batch) for round in more for batch in round.values()}) > 300


def test_the_same_clients_take_part_against_every_defense_and_attack() -> None:
    def heard(**values: Any) -> list[Any]:
        sim = sparse(f=400, **values)
        return [tuple(part.tolist() for part in (r.malicious, r.honest)) for r in map(sim.play, range(3))]

    plain = heard()
    assert plain == heard(attack=registry.build("attack", "sign_flip"))
    assert plain == heard(defense=registry.build("defense", {"trimmed_mean": {"f": 2}}), client_momentum=0.9)
    assert all((len(bad), len(good)) == (2, 8) for bad, good in plain)
    assert len({client for round in plain for part in round for client in part}) > 25


@pytest.mark.parametrize(
    "values",
    [
        {"f": 1},
        {"f": 1_999},
        {"f": 400, "malicious_per_round": "sampled"},
        {"f": 400, "malicious_per_round": "sampled", "participation_sampling": "poisson"},
        {"f": 400, "participation": 1.0},
        {"f": 400, "participation": 0.9},
    ],
    ids=["few malicious", "few honest", "sampled", "poisson", "everybody", "most"],
)
def test_who_takes_part_is_drawn_fairly(values: dict[str, Any]) -> None:
    sim = sparse(2_000, rounds=40, **values)
    counts, sizes, bad = np.zeros(2_000), [], []
    for number in range(40):
        round = sim.topology.sample(number)
        ids = np.concatenate([round.malicious, round.honest])
        assert len(np.unique(ids)) == len(ids)
        assert sim.setup.members.malicious[round.malicious].all()
        assert not sim.setup.members.malicious[round.honest].any()
        assert (np.diff(round.honest) > 0).all()
        counts[ids] += 1
        sizes.append(len(ids))
        bad.append(len(round.malicious))
    settings = sim.setup.settings
    if settings.participation_sampling == "poisson":
        assert len(set(sizes)) > 5
        assert np.mean(sizes) == pytest.approx(10, abs=2.5)
    else:
        assert set(sizes) == {settings.per_round}
    if settings.malicious_per_round == "fixed":
        assert set(bad) == {settings.malicious_rows(values["f"])}
    else:
        assert np.mean(bad) / np.mean(sizes) == pytest.approx(0.2, abs=0.08)
    halves = [counts[~sim.setup.members.malicious][half::2].sum() for half in (0, 1)]
    assert abs(halves[0] - halves[1]) <= 5 * np.sqrt(sum(halves) + 1)


@pytest.mark.parametrize(
    "values",
    [
        {"attack": "alie", "client_momentum": 0.9},
        {"attack": "label_flip"},
        {"attack": {"label_flip": {"fraction": 0.3}}, "alpha": 1.0},
        {"attack": "bad_nets", "malicious_per_round": "sampled", "participation_sampling": "poisson"},
        {"server": {"mode": "asynchronous", "buffer": 10}, "participation": 1.0, "attack": "sign_flip"},
        {"adversarial_training": {"epsilon": 0.1, "steps": 1}, "attack": "sign_flip"},
        {"algorithm": "fedavg", "local_steps": 2, "attack": "ipm"},
        {"faults": ["dropout", "straggler", "stale"], "attack": "sign_flip"},
        {"attack": [{"clones": {"count": 3}}, "label_flip"]},
        {"attack": [{"clones": {"count": 2, "outside": True, "shared": "data"}}, "label_flip"], "f": 20},
    ],
    ids=lambda values: str(values.get("attack")) + " " + " ".join(sorted(values.keys() - {"attack"})),
)
def test_everything_that_clients_do_can_be_done_by_many_of_them(values: dict[str, Any]) -> None:
    """And it is the same again, to the last bit."""

    def played() -> torch.Tensor:
        given = {"f": 400, "rounds": 3, **values}
        given["attack"] = registry.build("attack", given["attack"])
        given["faults"] = [registry.build("attack", fault) for fault in given.pop("faults", ())]
        sim = sparse(**given)
        trace = sim.run()
        assert len(trace.accuracy) >= 1
        assert trace.more["worst_class"] is not None
        weights: torch.Tensor = sim.topology.served()[0]
        return weights

    first = played()
    assert bool(first.isfinite().all())
    assert torch.equal(first, played())


def test_poisoned_labels_stay_with_the_attackers() -> None:
    sim = sparse(50, participation=1.0, f=25, attack=registry.build("attack", "label_flip"))
    lesson, clean = sim.play(0).lesson, sim.setup.population.labels
    assert lesson is not None
    bad = sim.setup.members.malicious[lesson.ids]
    same = (lesson.labels == clean[lesson.index]).flatten(1).all(dim=1).numpy()
    assert same[~bad].all()
    assert not same[bad].any()


def test_faults_of_data_are_refused() -> None:
    with pytest.raises(ParameterError, match="others hold the same samples"):
        sparse(faults=[registry.build("attack", "label_noise")])


def test_noise_for_single_examples_is_refused() -> None:
    rule = registry.build("defense", "DPSGD(clip=1.0, delta=1e-3, noise_multiplier=1.0) >> Mean()")
    with pytest.raises(ParameterError, match="several clients have the same ones"):
        sparse(defense=rule, algorithm="fedavg")


def test_others_are_those_who_hold_none_of_the_samples() -> None:
    made = many(30)
    others = made.others(np.array([3, 5]))
    assert not np.isin(others, made.held(np.array([3, 5]))).any()
    assert np.isin(np.setdiff1d(made.held(np.arange(30)), made.held(np.array([3, 5]))), others).all()
    split = worlds.population(clients=6)
    expected = np.concatenate([part for client, part in enumerate(split.parts) if client not in (3, 5)])
    assert split.others(np.array([3, 5])).tolist() == expected.tolist()


def test_momentum_is_what_it_is_in_a_full_matrix() -> None:
    rng, beta = np.random.default_rng(0), 0.8
    remembered, full = Remembered(50, torch.zeros(3), beta), torch.zeros(50, 3)
    for _ in range(30):
        ids = rng.permutation(50)[: rng.integers(0, 20)]
        messages = torch.tensor(rng.normal(size=(len(ids), 3)), dtype=torch.float32)
        full[ids] = full[ids].lerp(messages, 1 - beta)
        assert torch.equal(remembered(messages, ids), full[ids])
    assert torch.equal(remembered.of(np.arange(50)), full)


def test_momentum_of_the_same_members_in_every_round_is_theirs_to_keep() -> None:
    """All who ever took part come in their order, then in another one; what is answered is no view of the memory."""
    rng, beta = np.random.default_rng(1), 0.8
    remembered, full = Remembered(9, torch.zeros(3), beta), torch.zeros(9, 3)
    for ids in ([7, 2, 5], [7, 2, 5], [2, 7, 5], [7, 2, 5], [7, 2], [7, 2, 5, 0], [7, 2, 5, 0]):
        messages = torch.tensor(rng.normal(size=(len(ids), 3)), dtype=torch.float32)
        full[ids] = full[ids].lerp(messages, 1 - beta)
        found = remembered(messages, np.array(ids))
        assert torch.equal(found, full[ids])
        found.zero_()
    assert torch.equal(remembered.of(np.arange(9)), full)


def peak(make: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_a_few_numbers_for_each_client() -> None:
    """For 100 000 clients more than for 1000: at most 400 bytes each, where their samples alone would take 48."""

    def play(clients: int) -> None:
        sim = sparse(clients, f=clients // 5, client_momentum=0.9, attack=registry.build("attack", "sign_flip"))
        sim.play(0)

    play(1_000)  # what is loaded once does not count
    small, large = (peak(lambda clients=clients: play(clients)) for clients in (1_000, 100_000))
    assert large - small < 400 * 99_000
