"""Measurements of privacy above what the account of a defense allows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from robustfl.attacks import Analytic
from robustfl.defenses import LocalDP, Mean
from robustfl.evaluation.trust.evidence import Evidence
from robustfl.evaluation.trust.leaks import Beyond, allowed, beyond_bounds, leak_remarks, recognisable
from robustfl.evaluation.trust.remarks import suite_remarks
from robustfl.federation import Federation, Task, assemble
from robustfl.federation.data.data_sets import Digits
from robustfl.federation.data.partitions import IID
from robustfl.federation.mechanisms.contract import Protector
from robustfl.federation.models.architectures import MLP
from robustfl.federation.spying.plan import Spying
from robustfl.privacy import Account, Entry, Release, membership_bound, seen_by

ENTRY = Entry(rounds=(1, 1), release=Release(noise_multiplier=2.0), seen=seen_by("server"))
ACCOUNT = Account(unit="client", relation="replace_one", entries=(ENTRY,)).report(delta=1e-3)
BOUND = float(membership_bound(0.01, ACCOUNT["curve"]["public"]))


def trial(value: float, error: float | None = 0.01, *, observer: str = "public", account: Any = ACCOUNT) -> Any:
    """A record in which LiRA found this share of the members with 1 % false alarms."""
    errors = {} if error is None else {"LiRA": error}
    more = {"mia_tpr_1_by": {"LiRA": value, "Loss": 0.01}, "mia_tpr_1_error_by": {**errors, "Loss": 0.001}}
    privacy = None if observer is None else {"observer": observer}
    return {"trial": "a", "scenario": {"privacy": privacy}, "account": account, "metrics": {"more": more}}


def beyond(record: Any) -> tuple[Beyond, ...]:
    cell: Any = SimpleNamespace(world="w", defense="D", attack="none", f=0, trial=SimpleNamespace(id="a"))
    lost: Any = SimpleNamespace(**{**vars(cell), "trial": SimpleNamespace(id="lost")})
    unfit: Any = SimpleNamespace(**{**vars(cell), "trial": None})
    return beyond_bounds([lost, unfit, cell, cell], {"a": record})


def test_a_rate_above_the_bound_is_found_once_for_each_trial() -> None:
    assert 0.02 < BOUND < 0.2
    (found,) = beyond(trial(BOUND + 0.05))
    assert (found.world, found.defense, found.spy, found.observer) == ("w", "D", "LiRA", "public")
    assert (found.measure, found.value, found.bound) == ("mia_tpr_1", BOUND + 0.05, BOUND)


@pytest.mark.parametrize(
    "record",
    [
        trial(BOUND),
        trial(BOUND + 0.02),  # within three standard errors
        trial(1.0, error=None),  # a single target says nothing
        trial(1.0, observer="server"),  # the noise does not protect from it
        trial(1.0, account=None),
        trial(1.0, account={**ACCOUNT, "voids": [{"code": "DIVERGED", "round": 1, "text": "..."}]}),
        trial(1.0, account={**ACCOUNT, "unit": "example"}),  # exchanged examples say nothing of absent ones
        {**trial(1.0), "metrics": None},
        {**trial(1.0), "scenario": {}},
    ],
)
def test_nothing_is_found_where_nothing_is_proved(record: Any) -> None:
    assert beyond(record) == ()


def recognised(share: float, error: float | None = 0.01, messages: float = 100.0, **more: Any) -> Any:
    """A record in which an attack identified this share of the samples, where 1 in 100 would be chance."""
    found = trial(0.0)
    told = {"identified_by": {"A": share, "A, round 0": 1.0}, "identified_prior_by": {"A": 0.01}}
    errors = {} if error is None else {"A": error}
    more = {"identified_error_by": errors, "identified_messages_by": {"A": messages}, **more}
    return {**found, "metrics": {"more": {**found["metrics"]["more"], **told, **more}}}


def test_a_share_of_identified_samples_has_the_bound_of_guesses_with_the_same_chance() -> None:
    assert recognisable(recognised(0.5)) == {"A": BOUND}
    (found,) = beyond(recognised(0.5))
    assert (found.spy, found.measure, found.value, found.bound) == ("A", "identified", 0.5, BOUND)
    (remark,) = leak_remarks([found])
    assert remark["code"] == "PRIVACY_BOUND_BROKEN"
    assert "A reaches identified = 0.500 ± 0.010" in remark["message"]


@pytest.mark.parametrize(
    "record",
    [
        recognised(BOUND),
        recognised(BOUND + 0.02),
        recognised(0.5, error=None),
        recognised(1.0, error=0.0, messages=2.0),  # two of two, which may be chance
        recognised(0.5, privacy_oracles=["A"]),
        {**recognised(0.5), "account": None},
        {**recognised(0.5), "scenario": {"privacy": {"observer": "server"}}},
        {**recognised(0.5), "scenario": {"privacy": {"observer": "public"}, "federation": {"augment": {"flip": 0.5}}}},
    ],
    ids=["at", "near", "one", "few", "told", "no account", "other observer", "augmented"],
)
def test_a_share_that_may_be_chance_or_has_no_bound_proves_nothing(record: Any) -> None:
    assert beyond(record) == ()


def test_a_broken_mechanism_is_found_by_what_is_recognised_and_a_right_one_is_not() -> None:
    """The noise of a claim of ε = 1 at clients hides samples; the same claim without the noise does not."""

    def played(noise: float) -> Any:
        population = Task(data=Digits(), model=MLP(hidden=(24,)), partition=IID()).prepare(clients=6, seed=0)
        settings = Federation.model_validate({"clients": 6, "rounds": 2, "batch_size": 1})
        spying = Spying(observer="server", attacks=[Analytic()], rounds=("first", "last"), targets=6)
        rule = LocalDP(clip=1.0, noise_multiplier=4.0, delta=1e-2) >> Mean()
        simulation = assemble(population, settings, rule, spying=spying)
        for transform in simulation.transforms:
            if isinstance(transform, Protector):
                transform.noise_multiplier *= noise
                transform.sigma = lambda: 4.0 * noise  # type: ignore[attr-defined]
        trace = simulation.run()
        account = trace.account
        scenario = {"privacy": {"observer": "server"}, "federation": {}}
        return {"trial": "a", "scenario": scenario, "account": account, "metrics": {"more": trace.more}}

    right, broken = played(1.0), played(1e-6)
    broken["account"] = right["account"]  # what it claims
    assert recognisable(right)["Analytic"] < 0.1
    assert beyond(right) == ()
    (found,) = beyond(broken)
    assert (found.spy, found.measure) == ("Analytic", "identified")
    assert found.value > 0.9


def test_clients_that_join_count_twice_for_an_example() -> None:
    joining = Account(unit="client", relation="add_or_remove", entries=(ENTRY,)).report(delta=1e-3)
    once = allowed(trial(0.0, account={**joining, "unit": "example"}))
    twice = allowed(trial(0.0, account=joining))
    assert all(once[name] < twice[name] for name in once)
    assert allowed(trial(0.0))["mia_auc"] < 1.0


def test_the_remark_names_the_worst_measurement() -> None:
    (found,) = beyond(trial(BOUND + 0.05))
    worse = replace(found, spy="Online", value=0.9, error=0.0)
    elsewhere = replace(found, world="v", f=2)
    first, second = leak_remarks([found, worse, elsewhere])
    assert (first["code"], first["level"], first["world"], first["defense"]) == (
        "PRIVACY_BOUND_BROKEN",
        "error",
        "w",
        "D",
    )
    assert "Online reaches mia_tpr_1 = 0.900 ± 0.000 against D, as the observer `public`" in first["message"]
    assert (second["world"], second["f"]) == ("v", 2)
    codes = [remark["code"] for remark in suite_remarks([], evidence=Evidence(beyond=(found,)))]
    assert "PRIVACY_BOUND_BROKEN" in codes
