"""What is stored of a training: the account, its prices, and the budget that ends it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from robustfl.attacks import Dropout
from robustfl.defenses import DPSGD, DPFedAvg, LocalDP, Mean, SecureSumDP, TrimmedMean
from robustfl.federation import Task
from robustfl.federation.data.partitions import IID
from robustfl.federation.mechanisms.accounts import EVERYBODY, Accounts
from robustfl.federation.mechanisms.choosing import course_of
from robustfl.federation.mechanisms.contract import Protector
from robustfl.federation.mechanisms.planning import sampling_of
from robustfl.federation.models.architectures import Softmax
from robustfl.federation.settings import Federation
from robustfl.privacy import Everyone, FixedCohort, Poisson
from tests.federation.mechanisms.audited import POISSON
from tests.federation.worlds import Blobs, simulation

HUNDRED: dict[str, Any] = {"clients": 100, "rounds": 50, "participation": 0.2, "evaluate_every": 50}


HUNDRED_CLIENTS = Task(data=Blobs(samples=200), model=Softmax(), partition=IID()).prepare(clients=100, seed=0)


def private(**given: Any) -> DPFedAvg:
    return DPFedAvg(**{"clip": 0.3, "delta": 1e-3, "noise_multiplier": 2.0, **given})


def after(defense: Any, released: int, **settings: Any) -> Protector:
    """The mechanism when so many rounds have been released, none of which was played."""
    many = settings.get("clients", 6) > 90
    sim = simulation(defense, world=HUNDRED_CLIENTS if many else None, **settings)
    (part,) = [transform for transform in sim.transforms if isinstance(transform, Protector)]
    for number in range(released):
        part.accounts.release(part.entry(number))
    return part


@pytest.mark.parametrize(
    ("rule", "sampling", "expected"),
    [(Mean(), "fixed", 7.8596), (Mean(), "poisson", 2.3555), (TrimmedMean(f=3), "fixed", 7.8596)],
    ids=["mean-fixed", "mean-poisson", "trimmed_mean-fixed"],
)
def test_the_sampler_decides_the_price_and_nothing_else_has_to_be_edited(
    rule: Any, sampling: str, expected: float
) -> None:
    """Why do you account for sampling that you do not do? A cohort of fixed size is not a Poisson sample."""
    part = after(private() >> rule, 50, **HUNDRED, participation_sampling=sampling, malicious_per_round="sampled")
    account = part.accounts.report()
    assert account["epsilon"]["participant"]["pld"] == pytest.approx(expected, abs=5e-5)
    assert account["relation"] == {"fixed": "replace_one", "poisson": "add_or_remove"}[sampling]
    (event,) = account["events"]
    assert (event["kind"], event["rounds"], event["steps"]) == (sampling, [1, 50], 1)


def test_settings_say_who_takes_part() -> None:
    def of(**values: Any) -> Any:
        return sampling_of(Federation.model_validate({"clients": 10, **values}), 10)

    assert of() == Everyone() == of(**{**POISSON, "participation": 1.0})
    assert of(participation=0.5) == FixedCohort(size=5, population=10)
    assert of(**POISSON) == Poisson(rate=0.5)
    assert of(server={"mode": "asynchronous", "buffer": 3}) == Everyone()


@pytest.mark.parametrize("values", [{"malicious_per_round": "fixed"}, {"participation": 1.0, "server": "asynchronous"}])
def test_poisson_sampling_leaves_the_number_of_malicious_clients_to_chance(values: dict[str, Any]) -> None:
    if "server" in values:
        values = {**values, "server": {"mode": values["server"]}}
    with pytest.raises(ValueError, match="malicious_per_round: sampled"):
        Federation.model_validate({**POISSON, **values})


def test_members_take_part_independently_of_each_other() -> None:
    """Pairs take part together in the share q^2 of the rounds; with a fixed cohort that would be less."""
    sim = simulation(clients=6, **{**POISSON, "participation": 0.3}, rounds=1)
    there = np.zeros((6000, 6), dtype=np.bool_)
    for row in there:
        row[np.concatenate(sim.topology.schedule.sample(0))] = True  # type: ignore[attr-defined]
    assert np.abs(there.mean(axis=0) - 0.3).max() < 4 * np.sqrt(0.3 * 0.7 / 6000)
    pairs = (there.T.astype(float) @ there) / 6000
    assert np.abs(pairs[~np.eye(6, dtype=bool)] - 0.09).max() < 4.5 * np.sqrt(0.09 * 0.91 / 6000)


def settings_at_random() -> Iterator[tuple[Any, dict[str, Any]]]:
    rng = np.random.default_rng(3)
    for number in range(20):
        target, delta = float(rng.uniform(0.5, 8)), float(10 ** rng.uniform(-5, -2))
        given = {"clip": 1.0, "delta": delta, "target_epsilon": target}
        rounds, share = int(rng.integers(1, 60)), float(rng.choice([0.2, 0.5, 1.0]))
        values: dict[str, Any] = {"clients": 20, "rounds": rounds, "participation": share}
        values |= {"malicious_per_round": "sampled"} if number % 2 else {}
        kinds: list[Any] = [DPFedAvg, DPFedAvg, LocalDP, SecureSumDP, DPSGD]
        kind = kinds[number % 5]
        poisson = {"participation_sampling": "poisson"} if number % 2 else {}
        rule = TrimmedMean(f=1) if kind is DPFedAvg and not poisson else Mean()
        yield kind(**given) >> rule, values | poisson


@pytest.mark.parametrize("settings", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_the_noise_for_a_target_costs_the_target(settings: int) -> None:
    for defense, values in islice(settings_at_random(), settings):
        part = after(defense, values["rounds"], **values)
        priced = part.accounts.told()["epsilon"]
        aimed = {"server": "participant", "clients": "server", "shares": "sum", "steps": "server"}
        found = priced[aimed[defense.protection.place]]
        assert defense.protection.target_epsilon - 0.01 <= found <= defense.protection.target_epsilon


def test_asking_for_the_price_changes_nothing() -> None:
    part = after(private() >> Mean(), 7)
    assert part.accounts.report() == part.accounts.report()
    assert part.accounts.told() == part.accounts.told()


def test_a_training_ends_before_the_round_that_the_budget_does_not_pay_for() -> None:
    defense = private(max_epsilon=5.0) >> Mean()
    trace = simulation(defense, rounds=20).run()
    played = trace.more["rounds_played"]
    assert trace.more["stopped_by"] == "budget"
    assert trace.more["plain_accuracy"] is not None
    assert trace.accuracy[-1][0] == played < 20
    prices = [after(private() >> Mean(), n).accounts.told()["epsilon_participant"] for n in (played, played + 1)]
    assert prices[0] <= 5.0 < prices[1]
    assert trace.more["epsilon_participant"] == prices[0]
    assert "stopped_by" not in simulation(private(max_epsilon=50.0) >> Mean()).run().more


def test_a_budget_is_kept_when_rounds_cost_more_than_planned() -> None:
    """With fewer honest messages than planned, a round is dearer, and the training ends earlier."""
    defense = SecureSumDP(clip=0.3, delta=1e-3, noise_multiplier=4.0, max_epsilon=6.0, honest=1.0) >> Mean()
    planned = simulation(defense, rounds=30).run()
    trace = simulation(defense, rounds=30, faults=[Dropout(probability=0.4)]).run()
    assert trace.more["rounds_played"] < planned.more["rounds_played"] < 30
    assert trace.more["stopped_by"] == planned.more["stopped_by"] == "budget"


def test_a_course_is_settled_from_the_plan() -> None:
    sim = simulation(private(max_epsilon=5.0) >> Mean(), rounds=20)
    defense = sim.channel.defense
    course = course_of(defense.protection, sim.setup, defense)
    assert (course.noise_multiplier, course.rounds) == (2.0, sim.setup.settings.rounds)


@pytest.mark.slow
def test_a_second_opinion_is_asked_where_there_is_one() -> None:
    pytest.importorskip("opacus")
    part = after(private() >> Mean(), 50, **HUNDRED, participation_sampling="poisson", malicious_per_round="sampled")
    price = part.accounts.report(opinions=True)["epsilon"]["participant"]
    assert price["rdp"] == pytest.approx(2.7342, abs=1e-4)
    assert price["prv"] == pytest.approx(2.3658, abs=1e-3)


def test_clients_who_share_an_account_share_it_until_their_releases_differ() -> None:
    part = after(LocalDP(clip=0.3, delta=1e-3, noise_multiplier=2.0) >> Mean(), 0)
    together, alone = (Accounts(part.protection, part.relation) for _ in range(2))
    for number, clients in enumerate([[0, 1, 2], [0, 1, 2], [2], [1, 2, 0], [0, 3, 3]]):
        together.release(part.entry(number), clients)
        for client in clients:
            alone.release(part.entry(number), [client])
    assert together.prices("server") == alone.prices("server")
    assert together._of == alone._of, "a client that is named twice has released twice"
    assert together._of[1] is not together._of[0]
    assert together._of[1].entries != together._of[0].entries


@pytest.mark.parametrize("rule", [Mean(), TrimmedMean(f=1)], ids=str)
def test_an_entry_follows_the_clip_and_the_members_though_it_is_kept(rule: Any) -> None:
    part: Any = after(private() >> rule, 0)
    first, second = part.entry(0), part.entry(1)
    assert (first.rounds, second.rounds) == ((1, 1), (2, 2))
    assert first.followed_by(second).rounds == (1, 2)
    part.length.value *= 2
    wider = part.entry(2)
    assert wider.value == pytest.approx(2 * first.value)
    assert second.followed_by(wider) is None
    part.length.value /= 2
    assert part.entry(7) == first.again(8)
    part.accounts.release(part.entry(0))
    assert [*part.accounts._of] == [EVERYBODY]
