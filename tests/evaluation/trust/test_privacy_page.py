"""The guide to privacy claims says what the machine computes: its tables, its lists and its numbers."""

from __future__ import annotations

import re

import pytest

from robustfl import registry
from robustfl.aggregation import Aggregator
from robustfl.evaluation.trust import explain as explaining
from robustfl.privacy import Account, Entry, FixedCohort, Poisson, Release, Sampling, seen_by
from robustfl.privacy.account import OBSERVERS
from robustfl.privacy.compatibility import CODES, MECHANISMS, Place
from tests.evaluation.trust import privacy_page as expected

PAGE = explaining.page("privacy")
SECTIONS = dict(PAGE.sections)
DELTA = 1e-3


def blocks(section: str) -> list[list[str]]:
    """The lists and tables of a section, as lines."""
    return [text.splitlines() for text in SECTIONS[section] if text.startswith(("|", "- "))]


def test_the_table_of_observers_is_that_of_the_accountant() -> None:
    (table,) = blocks("Who is protected against whom")
    assert table == expected.observers()
    prose = " ".join(SECTIONS["Who is protected against whom"])
    assert all(f"`{observer}`" in prose for observer in OBSERVERS)


def test_the_lists_of_combinations_are_the_table_of_compatibility() -> None:
    *lists, always = blocks("Which combinations hold")
    for (place, name), found in zip(MECHANISMS.items(), lists, strict=True):
        assert found == expected.combinations(place), name
    assert always == expected.always()
    prose = [text for text in SECTIONS["Which combinations hold"] if text.startswith("With ")]
    assert [re.findall("`(.+?)`", text)[0] for text in prose] == list(MECHANISMS.values())


def test_the_rules_and_their_bounds_are_those_of_the_registry() -> None:
    table, reasons = blocks("Which rules can be noised at the server")
    assert table == expected.sensitivities()
    assert reasons == expected.reasons()


def test_every_rule_for_updates_is_in_one_of_both_lists() -> None:
    named = " ".join(expected.sensitivities() + expected.reasons())
    for name, cls in registry.find("defense").items():
        if issubclass(cls, Aggregator) and name != "server_alone":  # it hears no client: there is nothing to noise
            assert re.search(rf"\b{name}\b", named), name


@pytest.mark.parametrize(
    ("noise", "sampling", "participations", "observer", "epsilon"),
    [
        ("server", Poisson(rate=0.2), None, "public", "2.36"),
        ("server", Poisson(rate=0.2), None, "server", "inf"),
        ("shares", Poisson(rate=0.2), None, "sum", "16.46"),
        ("shares", Poisson(rate=0.2), 10, "sum", "5.59"),
        ("server", FixedCohort(size=20, population=100), None, "public", "7.86"),
    ],
)
def test_the_example_of_amplification_is_priced_by_the_accountant(
    noise: str, sampling: Sampling, participations: int | None, observer: str, epsilon: str
) -> None:
    release = Release(noise_multiplier=2.0, sampling=sampling)
    seen = seen_by(noise)  # type: ignore[arg-type]
    entry = Entry(rounds=(1, 50), release=release, seen=seen, participations=participations)
    account = Account(unit="client").with_entry(entry)
    assert f"{account.epsilon(observer, DELTA):.2f}" == epsilon
    text = " ".join(SECTIONS["Amplification needs a secret"])
    assert (epsilon if epsilon != "inf" else "no bound against `server`") in text


def test_a_poisson_sample_is_cheaper_than_a_cohort_also_for_the_relation_that_both_have() -> None:
    """The guide calls the replacement of a record the dearer relation."""
    poisson = Account(unit="client", relation="replace_one").with_entry(
        Entry(rounds=(1, 50), release=Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2)), seen=seen_by("server"))
    )
    assert 2.36 < poisson.epsilon("public", DELTA) < 7.85


def test_whoever_knows_who_took_part_never_gets_a_price_with_sampling() -> None:
    """The observers that the table marks as without sampling pay for all rounds, whatever the rate."""
    for place in MECHANISMS:
        noise, unit = expected.NOISE[place]
        seen = seen_by(noise, unit)
        prices = {
            observer: {
                Account(unit=unit)
                .with_entry(
                    Entry(
                        rounds=(1, 4),
                        release=Release(noise_multiplier=3.0, sampling=Poisson(rate=rate)),
                        seen=seen,
                    )
                )
                .epsilon(observer, DELTA)
                for rate in (0.1, 0.5)
            }
            for observer in OBSERVERS
        }
        for observer, found in prices.items():
            assert len(found) == (2 if expected.WORDS[seen[observer]] == "yes" else 1), (place, observer)


def test_the_guide_names_only_codes_that_exist_and_all_of_them() -> None:
    spoken = {word for word in re.findall(r"`([A-Z_]{4,})`", PAGE.text) if "_" in word or word in CODES}
    assert spoken == set(CODES)
    titles = {code: explaining.page(code).title for code in CODES}
    assert titles == {code: code if code in explaining.codes() else "PRIVACY" for code in CODES}


def test_the_guide_is_written_as_other_pages_are() -> None:
    assert PAGE.title == "PRIVACY"
    assert PAGE.summary.endswith(".")
    prose = [line for line in PAGE.text.splitlines() if not line.startswith(("|", "- "))]
    assert max(map(len, prose)) <= 120
    assert PAGE.text.count("`") % 2 == 0
    assert set(explaining.GUIDES).isdisjoint(explaining.codes())


def test_places_of_the_guide_are_those_of_the_table() -> None:
    places: set[Place] = set(MECHANISMS)
    assert places == set(expected.NOISE)
