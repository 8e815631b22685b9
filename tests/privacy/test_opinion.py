"""The second opinion: Opacus agrees, and disagreement is an error."""

from __future__ import annotations

import sys

import pytest

from robustfl.errors import DisagreementError, MissingExtraError, ParameterError, RobustflError
from robustfl.privacy import Account, Entry, FixedCohort, Opinion, Poisson, Release, second_opinion, seen_by
from robustfl.privacy import accountant as ours


@pytest.mark.parametrize(
    ("stages", "delta", "rdp", "prv"),
    [
        ([(1.0, 0.1, 50)], 1e-3, 4.0173, 3.3243),
        ([(2.4, 1.0, 25)], 1e-3, 8.8759, 8.0109),
        ([(1.0, 0.2, 10), (2.0, 0.2, 40)], 1e-3, 4.5823, 3.8241),
        ([(1.0, 0.05, 100)], 1e-5, 4.0383, 3.5124),
    ],
)
def test_three_programs_agree(stages: list[tuple[float, float, int]], delta: float, rdp: float, prv: float) -> None:
    releases = [Release(noise_multiplier=s, sampling=Poisson(rate=q), rounds=t) for s, q, t in stages]
    opinion = second_opinion(releases, delta)
    assert opinion.rdp == pytest.approx(rdp, abs=2e-4)
    assert opinion.prv == pytest.approx(prv, abs=2e-4)
    assert opinion.epsilon < opinion.prv < opinion.rdp


def test_an_exchanged_record_without_sampling_is_more_noise() -> None:
    once = second_opinion([Release(noise_multiplier=2.0)], 1e-5, "replace_one")
    assert once.epsilon == pytest.approx(4.37718, abs=1e-5)
    assert once.rdp == pytest.approx(4.7285, abs=2e-4)


@pytest.mark.parametrize("wrong", [0.95, 1.3])
def test_a_wrong_price_is_an_error(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ours.epsilon
    monkeypatch.setattr(ours, "epsilon", lambda *arguments: wrong * right(*arguments))
    with pytest.raises(DisagreementError, match="Do not publish any of these numbers"):
        second_opinion([Release(noise_multiplier=1.0, sampling=Poisson(rate=0.1), rounds=50)], 1e-3)


def test_margins_are_what_they_say() -> None:
    Opinion(epsilon=1.0, rdp=0.995, prv=None).agree()
    Opinion(epsilon=1.0, rdp=1.5, prv=1.02).agree()
    for opinion in (
        Opinion(epsilon=1.0, rdp=0.98, prv=None),
        Opinion(epsilon=1.0, rdp=1.5, prv=1.04),
        Opinion(epsilon=1.0, rdp=1.5, prv=0.98),
    ):
        with pytest.raises(DisagreementError):
            opinion.agree()


def test_prv_is_not_asked_where_it_would_stall() -> None:
    opinion = second_opinion([Release(noise_multiplier=0.1, rounds=3)], 1e-5)
    assert opinion.prv is None
    assert opinion.epsilon < opinion.rdp


def test_what_opacus_does_not_know_is_refused_and_left_out_of_reports() -> None:
    cohort = Release(noise_multiplier=2.0, sampling=FixedCohort(size=20, population=100))
    with pytest.raises(ParameterError, match="far too small here"):
        second_opinion([cohort], 1e-3)
    with pytest.raises(ParameterError, match="far too small here"):
        second_opinion([Release(noise_multiplier=2.0, sampling=Poisson(rate=0.5))], 1e-3, "replace_one")
    with pytest.raises(ParameterError, match="without noise"):
        second_opinion([Release(noise_multiplier=0.0)], 1e-3)
    entry = Entry(rounds=(1, 5), release=cohort, seen=seen_by("server"))
    assert Account(unit="client").with_entry(entry).report(1e-3, opinions=True)["epsilon"]["public"]["rdp"] is None


def test_reports_store_both() -> None:
    entry = Entry(
        rounds=(1, 50), release=Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2)), seen=seen_by("server")
    )
    price = Account(unit="client").with_entry(entry).report(1e-3, opinions=True)["epsilon"]["public"]
    assert (price["pld"], price["rdp"], price["prv"]) == pytest.approx((2.3555, 2.7342, 2.3658), abs=3e-4)


def test_without_opacus_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'robustfl\[privacy\]'") as missing:
        second_opinion([Release(noise_multiplier=1.0)], 1e-5)
    assert isinstance(missing.value, RobustflError)
    assert isinstance(missing.value, ImportError)
