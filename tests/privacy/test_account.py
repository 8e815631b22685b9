"""The account: one price for each observer, rebuilt from facts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from robustfl.errors import ParameterError
from robustfl.privacy import (
    Account,
    Entry,
    FixedCohort,
    Poisson,
    Release,
    Sight,
    epsilon,
    merged,
    noise_multiplier,
    seen_by,
)

NOISY = Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2))


def times(release: Release, rounds: int) -> Release:
    return replace(release, rounds=rounds)


def entry(first: int, last: int, release: Release = NOISY, noise: str = "server", **more: object) -> Entry:
    return Entry(rounds=(first, last), release=release, seen=seen_by(noise), **more)  # type: ignore[arg-type]


def test_noise_of_the_server_does_not_protect_from_the_server() -> None:
    account = Account(unit="client").with_entry(entry(1, 50))
    for observer in ("server", "sum", "active", "wire"):
        assert account.epsilon(observer, 1e-3) == math.inf
    for observer in ("participant", "public"):
        assert account.epsilon(observer, 1e-3) == pytest.approx(2.3555, abs=2e-4)


def test_sampling_hides_nobody_from_those_who_know_who_took_part() -> None:
    account = Account(unit="client").with_entry(entry(1, 50, noise="clients"))
    plain = epsilon([Release(noise_multiplier=2.0, rounds=50)], 1e-3)
    assert account.epsilon("server", 1e-3) == plain
    assert account.epsilon("public", 1e-3) < plain / 3
    bounded = Account(unit="client").with_entry(entry(1, 50, noise="clients", participations=10))
    assert bounded.epsilon("server", 1e-3) == epsilon([Release(noise_multiplier=2.0, rounds=10)], 1e-3)


def test_which_examples_a_client_draws_only_the_client_knows() -> None:
    examples = Entry(rounds=(1, 100), release=NOISY, seen=seen_by("clients", "example"))
    account = Account(unit="example").with_entry(examples)
    assert account.epsilon("server", 1e-3) == account.epsilon("public", 1e-3) < math.inf


def test_shares_of_noise_protect_in_the_sum_alone() -> None:
    account = Account(unit="client").with_entry(entry(1, 5, noise="shares"))
    assert account.epsilon("server", 1e-3) == math.inf
    assert account.epsilon("public", 1e-3) < account.epsilon("sum", 1e-3) < math.inf


def test_steps_of_a_round_are_releases_for_examples_and_none_for_clients() -> None:
    for steps in (1, 2, 4):
        account = Account(unit="example").with_entry(entry(1, 10, steps=steps))
        assert account.epsilon("public", 1e-3) == epsilon(
            [NOISY.__class__(**{**vars(NOISY), "rounds": 10 * steps})], 1e-3
        )


def test_equal_rounds_become_one_entry_and_others_do_not() -> None:
    account = Account(unit="client")
    for number in range(1, 6):
        account = account.with_entry(entry(number, number))
    assert [one.rounds for one in account.entries] == [(1, 5)]
    account = account.with_entry(entry(7, 7)).with_entry(entry(8, 8, steps=2)).with_entry(entry(9, 9, steps=2))
    assert [one.rounds for one in account.entries] == [(1, 5), (7, 7), (8, 9)]
    assert account.epsilon("public", 1e-3) == pytest.approx(epsilon([times(NOISY, 10)], 1e-3), rel=1e-9)


def test_asking_changes_nothing() -> None:
    account = Account(unit="client").with_entry(entry(1, 20)).with_entry(entry(21, 30, noise="clients"))
    first, second = account.report(1e-3), account.report(1e-3)
    assert first == second
    assert account.epsilon("public", 1e-3) == account.epsilon("public", 1e-3) == first["epsilon"]["public"]["pld"]


def test_a_budget_is_asked_before_the_round_that_would_break_it() -> None:
    noisy, budget = Release(noise_multiplier=10.0), {"public": 1.0}
    account, played = Account(unit="client"), 0
    while account.allows(entry(played + 1, played + 1, noisy), budget, 1e-3):
        account = account.with_entry(entry(played + 1, played + 1, noisy))
        played += 1
    assert account.epsilon("public", 1e-3) <= 1.0 < epsilon([times(noisy, played + 1)], 1e-3)
    assert played == sum(epsilon([times(noisy, rounds)], 1e-3) <= 1.0 for rounds in range(1, 60)) > 3
    assert not Account(unit="client").allows(entry(1, 1), {"server": 1e9}, 1e-3)


def test_a_void_claim_has_no_price() -> None:
    account = Account(unit="client").with_entry(entry(1, 2)).with_void("COUNTED_DENOMINATOR", 2, "divided by who came")
    assert account.epsilon("public", 1e-3) == math.inf
    report = account.report(1e-3)
    assert report["epsilon"]["public"]["pld"] is None
    assert report["epsilon"]["public"]["why"] == "The claim is void: COUNTED_DENOMINATOR."
    assert report["voids"] == [{"code": "COUNTED_DENOMINATOR", "round": 2, "text": "divided by who came"}]
    assert report["curve"] == {}


def test_cohorts_of_fixed_size_are_about_an_exchanged_record() -> None:
    cohort = Release(noise_multiplier=2.0, sampling=FixedCohort(size=20, population=100))
    account = Account(unit="client").with_entry(entry(1, 50, cohort))
    report = account.report(1e-3)
    assert report["relation"] == "replace_one"
    assert report["epsilon"]["public"]["pld"] == pytest.approx(7.8596, abs=2e-4)
    local = Account(unit="client").with_entry(entry(1, 50, cohort, noise="clients"))
    assert local.epsilon("server", 1e-3) == epsilon([Release(noise_multiplier=1.0, rounds=50)], 1e-3)


def test_the_report_is_plain_json_and_complete() -> None:
    account = Account(unit="client").with_entry(entry(1, 3, clip=0.3, denominator=20.0, rule="mean", formula="C/(qN)"))
    report = account.report(1e-3)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["tuning"] == "not accounted"
    assert report["epsilon"]["server"] == {
        "pld": None,
        "rdp": None,
        "prv": None,
        "why": "This observer sees the values before the noise.",
    }
    (event,) = report["events"]
    assert (event["rounds"], event["kind"], event["rate"], event["sigma"]) == ([1, 3], "poisson", 0.2, 2.0)
    assert event["sensitivity"] == {"rule": "mean", "formula": "C/(qN)", "value": None}
    assert len(report["curve"]["public"]) == 6
    assert "server" not in report["curve"]


def test_nothing_seen_costs_nothing_and_nothing_noised_everything() -> None:
    hidden = Entry(rounds=(1, 9), release=NOISY, seen={"outside": Sight.NOTHING})
    assert Account(unit="client").with_entry(hidden).epsilon("outside", 1e-5) == 0.0
    bare = entry(1, 1, Release(noise_multiplier=0.0))
    report = Account(unit="client").with_entry(bare).report(1e-3)
    assert report["epsilon"]["public"]["why"] == "Nothing was noised."


def test_accounts_of_many_clients_are_summed_up_by_the_worst_and_the_median() -> None:
    accounts = [Account(unit="example").with_entry(entry(1, rounds)) for rounds in (5, 40, 10, 20)]
    prices = sorted(account.epsilon("public", 1e-3) for account in accounts)
    assert merged(accounts, "public", 1e-3) == (prices[3], (prices[1] + prices[2]) / 2)
    assert merged(accounts[:1], "public", 1e-3) == (prices[0], prices[0])


def test_a_calibrated_run_has_the_price_it_was_made_for() -> None:
    sigma = noise_multiplier(target_epsilon=2.0, delta=1e-3, rounds=25)
    account = Account(unit="client").with_entry(entry(1, 25, Release(noise_multiplier=sigma)))
    assert 1.99 <= account.epsilon("public", 1e-3) <= 2.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: entry(3, 2), "first <= last"),
        (lambda: entry(1, 2, times(NOISY, 2)), "should be a single one"),
        (lambda: entry(1, 2, steps=0), "steps >= 1"),
        (lambda: seen_by("nobody"), "who adds it. Found noise='nobody'"),  # type: ignore[arg-type]
        (lambda: Account(unit="client").with_entry(entry(1, 1)).epsilon("publik", 1e-3), "Did you mean 'public'"),
        (lambda: merged([], "public", 1e-3), "at least one account"),
    ],
)
def test_refusals_say_what_is_wrong(wrong: object, says: str) -> None:
    with pytest.raises(ParameterError) as refused:
        wrong()  # type: ignore[operator]
    assert says in str(refused.value)
