"""Claims of papers as data: expectations, the names that they may speak of, and how they are read from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robustfl.errors import ScenarioError
from robustfl.evaluation.claims.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Expectation
from robustfl.evaluation.claims.language import Expression
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment
from tests.evaluation.claiming import SAID, STRONG, SUITE, claiming, judge


def refusal(*measures: str, **changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Experiment(claiming(*measures, **changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">= 0.9", (0.9, 5), (0.899, -1)),
        ("> -1e-1", (-0.09,), (-0.1, -2)),
        ("<=.05", (0.05, -3), (0.051,)),
        ("  <  2 ", (1.99,), (2, 3)),
        ("between 0.5 and 0.8", (0.5, 0.6, 0.8), (0.49, 0.81)),
        ("between 1 and 1", (1,), (0.99, 1.01)),
    ],
)
def test_expectations(text: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    expected = Expectation.read(text)
    assert all(expected.holds(value) and expected.verdict(value, value) == CONFIRMED for value in inside)
    assert not any(expected.holds(value) or expected.verdict(value, value) != REFUTED for value in outside)
    assert all(expected.distance(value) >= 0 for value in inside)
    assert all(expected.distance(value) <= 0 for value in outside)


@pytest.mark.parametrize(
    "text", ["", "0.9", "= 1", "> x", ">= 1e999", "< -1e999", "between 2 and 1", "between 1", "> 1 and < 2", ">> 1"]
)
def test_expectations_that_are_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"`expect` should be like '>= 0\.9'"):
        Expectation.read(text)


@given(
    limits=st.tuples(st.integers(-4, 4), st.integers(-4, 4)).map(sorted),
    interval=st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(sorted),
    form=st.sampled_from([">= {0}", "> {0}", "<= {0}", "< {0}", "between {0} and {1}"]),
)
def test_a_verdict_speaks_for_every_number_of_the_interval(limits: list[int], interval: list[int], form: str) -> None:
    expected = Expectation.read(form.format(*limits))
    held = {expected.holds(value) for value in np.arange(interval[0], interval[1] + 0.25, 0.5)}
    assert expected.verdict(*interval) == {(True,): CONFIRMED, (False,): REFUTED}.get(tuple(held), UNDECIDED)


@pytest.mark.parametrize(
    "argument",
    ["nnm >> krum", "NNM() >> Krum()", "'NNM > Krum'", "NNM > Krum", "nnm>>krum(neighbours='n-f-2')", "'nnm >> krum'"],
)
def test_a_defense_may_be_written_in_many_ways(argument: str) -> None:
    assert judge(f"U({argument})")["per_seed"] == pytest.approx(STRONG)


@pytest.mark.parametrize(
    ("kind", "argument", "label"),
    [
        ("defense", "krum", "Krum(f=1)"),
        ("defense", "krum(f=1)", "Krum(f=1)"),
        ("defense", "centered_clipping", "CenteredClipping(radius=3)"),
        ("defense", "CenteredClipping(radius=3)", "CenteredClipping(radius=3)"),
        ("attack", "alie", "ALIE(z=2)"),
        ("attack", "'ALIE(z=2)'", "ALIE(z=2)"),
        ("attack", "ipm", "IPM(epsilon=0.5)"),
        ("attack", "ipm(epsilon=0.5)", "IPM(epsilon=0.5)"),
        ("attack", "ipm(epsilon=10)", "IPM(epsilon=10)"),
        ("attack", "none", "none"),
    ],
)
def test_a_short_name_means_the_only_one_that_fits_or_the_one_with_defaults(
    kind: str, argument: str, label: str
) -> None:
    text = f"W({argument}, f=1)" if kind == "defense" else f"U(mean, attack={argument}, f=1)"
    experiment = Experiment(claiming(text))
    measure = Expression.read(text)
    (reading,) = measure.readings()
    place = experiment.names.place(measure, reading)
    assert (place.defense if kind == "defense" else place.attack) == label


@pytest.mark.parametrize(
    ("measure", "message", "pointer"),
    [
        ("R(meen)", "This suite has no defense 'meen'. Did you mean 'mean'?", "  ^^^^"),
        ("1 - W(median, f=1)", "This suite has no defense 'median'.", "      ^^^^^^"),
        ("R(nnm)", "This suite has no defense 'nnm'.", "  ^^^"),
        ("R(krum(f=2))", "This suite has no defense 'krum(f=2)'.", "  ^^^^^^^^^"),
        ("R(krum(g=2))", "Krum has no parameter 'g'", "  ^^^^^^^^^"),
        ("R(centered_clipping(radius=-1))", "`radius` should satisfy radius > 0", "  ^"),
        ("U(mean, attack=imp, f=1)", "Did you mean", "               ^^^"),
        ("U(mean, attack=ipm(epsilon=3), f=1)", "This suite has no attack 'ipm(epsilon=3)'.", "               ^"),
        ("U(mean, attack=mean, f=1)", "This suite has no attack 'mean'.", "               ^^^^"),
        ("W(mean, f=2)", "f=2 is not played. `f` should be one of 0, 1, 3.", "          ^"),
        ("U(mean, attack=alie)", "With an attack, say how many clients are malicious: f=3.", "               ^^^^"),
        ("U(mean, attack=alie, f=0)", "With f=0 nobody attacks.", "                       ^"),
        (
            "R(mean, world=CNN)",
            "No world of this suite is called or has 'CNN'. Known: Digits, Softmax, IID",
            "        ",
        ),
        ("R(mean, world='')", "No world of this suite", "              ^^"),
        ("U(mean, fault=crash)", "This suite has no fault 'crash'.", "              ^^^^^"),
        ("R(mean, world=oftma)", "No world of this suite", "              ^^^^^"),
    ],
)
def test_names_that_the_suite_does_not_have_are_found_before_a_run(measure: str, message: str, pointer: str) -> None:
    told = refusal(measure)
    assert "claims.0.measure" in told
    assert message in told
    assert any(line.removeprefix("      ").startswith(pointer) for line in told.splitlines() if "^" in line)


@pytest.mark.parametrize(
    ("argument", "label"),
    [
        ("dropout", "Dropout(probability=0.1)"),
        ("crash(probability=0.5)", "Crash(probability=0.5)"),
        ("'Crash(probability=0.2)'", "Crash(probability=0.2)"),
    ],
)
def test_a_fault_of_the_fault_suite_is_named_like_an_attack(argument: str, label: str) -> None:
    text = f"accuracy(mean, fault={argument})"
    suite = ["dropout", "crash", {"crash": {"probability": 0.5}}]
    experiment, measure = Experiment(claiming(text, fault_suite=suite)), Expression.read(text)
    (reading,) = measure.readings()
    assert experiment.names.place(measure, reading).fault == label


def test_a_fault_is_played_without_an_attack() -> None:
    for more in ("f=1", "attack=ipm"):
        told = refusal(f"U(mean, fault=dropout, {more})", fault_suite=["dropout"])
        assert "Faults are played without an attack. Leave `attack` and `f` out." in told


def test_the_grid_of_every_world_counts() -> None:
    told = refusal("W(mean, f=1)", adversary={"fractions": [0.1]}, federation={"clients": [10, 4], "rounds": 2})
    assert "f=1 is not played in 'Digits, Softmax, IID, clients=4'. `f` should be one of 0." in told


def test_a_name_that_several_bear_is_refused_with_the_choice() -> None:
    told = refusal("U(mean, attack=ipm, f=1)", attacks=[{"ipm": {"epsilon": 10}}, {"ipm": {"epsilon": 2}}])
    assert "This suite has several of that name. Write ipm(epsilon=10.0) or ipm(epsilon=2.0)." in told


def test_every_wrong_name_of_every_claim_is_told() -> None:
    told = refusal("R(meen) - W(mean, f=2)", "R(mean)", "V(mean)")
    assert ("claims.2.measure" in told, "claims.0.measure" in told) == (True, False), "first the language, then names"
    told = refusal("R(meen) - W(mean, f=2)", "R(mean)", "R(medan)")
    assert [told.count(f"claims.{number}.measure") for number in range(3)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n "}, "text"),
        ({"source": "\x1b[2J"}, "source"),
        ({"source": "x" * 1001}, "source"),
        ({"measure": 3}, "measure"),
        ({"measure": "R(mean"}, "measure"),
        ({"expect": "more"}, "expect"),
        ({"expects": "> 0"}, "expects"),
    ],
)
def test_claims_are_checked_as_data(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Claim.model_validate({**SAID, "measure": "R(mean)", "expect": "> 0", **changes})
    assert {error["loc"] for error in caught.value.errors()} == {(key,)}


def test_claims_are_on_one_line_and_say_nothing_about_the_score() -> None:
    claim = Claim(text="It\n holds. ", source="S", measure=" R( mean )\n - 1", expect="  between 1   and 2")
    assert (claim.text, claim.measure, claim.expect) == ("It holds.", "R( mean ) - 1", "between 1 and 2")
    assert Experiment(claiming("R(mean)")).hash == Experiment(SUITE).hash


def write(folder: Path, text: str, name: str = "suite.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


FILE = """\
name: tiny
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 5, rounds: 2}
adversary: {f: [0, 1]}
defenses: [mean, median]
attacks: [sign_flip]
seeds: 2
claims:
  - text: Holds.
    source: Somebody, 2024
    measure: R(mean) - R(median)
    expect: "> 0"
"""


def test_errors_in_a_file_come_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, FILE.replace("R(median)", "R(medan)"))
    with pytest.raises(ScenarioError) as caught:
        read_experiment(path)
    assert str(caught.value).splitlines() == [
        f"{path} is not a valid suite:",
        "  claims.0.measure: This suite has no defense 'medan'. Did you mean 'median' or 'mean'? (line 11)",
        "      R(mean) - R(medan)",
        "                  ^^^^^",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expect:", "expects:", "claims.0.expects: unknown key. Did you mean 'expect' or 'text'? (line 12)"),
        ("source: Somebody, 2024", "", "claims.0.source: this key is required (line 9)"),
        ('"> 0"', "> 0", "A text that begins with > or | belongs in quotes."),
        ('"> 0"', "more", "claims.0.expect: `expect` should be like '>= 0.9'"),
    ],
)
def test_slips_in_a_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_experiment(write(tmp_path, FILE.replace(old, new)))
    assert message in str(caught.value)


def test_what_a_run_leaves_out_by_override_is_not_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    assert len(read_experiment(path, ("defenses=[mean]",)).suite.claims) == 1
    broken = write(tmp_path, FILE.replace("R(median)", "R(medan)"), "broken.yaml")
    with pytest.raises(ScenarioError, match="no defense 'medan'"):
        read_experiment(broken, ("seeds=3",))


def test_claims_stay_with_the_suite_that_makes_them(tmp_path: Path) -> None:
    write(tmp_path, FILE)
    child = write(tmp_path, "extends: suite.yaml\ndefenses: [krum]\n", "child.yaml")
    assert read_experiment(child).suite.claims == ()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """`finished("defenses=[mean]")`: the summary of a run of the file with these overrides."""
    folder = tmp_path_factory.mktemp("claims")
    path = write(folder, FILE)

    def run(*overrides: str) -> dict[str, Any]:
        experiment = read_experiment(path, overrides)
        summary = run_experiment(experiment, RunOptions(out=folder / "out", workers=0, checks=NO_CHECKS), Quiet())
        assert json.loads((folder / "out" / "summary.json").read_text()) == summary
        return summary

    return run


def test_a_run_judges_its_claims_and_does_so_again(finished: Callable[..., dict[str, Any]]) -> None:
    summary = finished()
    (claim,) = summary["claims"]
    rows = {row["defense"]: row["R_mean"] for row in summary["scores"]["ranking"]}
    assert claim["value"] == pytest.approx(rows["Mean"] - rows["Median"])
    assert claim["parts"] == {"R(mean)": rows["Mean"], "R(median)": rows["Median"]}
    assert len(claim["per_seed"]) == 2
    assert finished()["claims"] == summary["claims"]


def test_a_run_of_one_defense_alone_says_what_it_could_not_measure(finished: Callable[..., dict[str, Any]]) -> None:
    (claim,) = finished("defenses=[mean]")["claims"]
    assert claim["verdict"] == "not measured"
    assert claim["reason"].startswith("This suite has no defense 'median'.")
    assert claim["parts"]["R(mean)"] is not None
