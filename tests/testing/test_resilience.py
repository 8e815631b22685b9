"""Tests of resilience notice weaker rules, sleep through noise, remember trials, and know what they do not notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robustfl.defenses import NNM, Krum, Mean, TrimmedMean
from robustfl.errors import DataError, ParameterError, StoreError
from robustfl.evaluation.run.runner import RunOptions
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.testing.resilience import Memory, Played, Request, audited, judged, load_baseline, play, save_baseline
from robustfl.testing.resilience.judging import flawed
from robustfl.testing.resilience.mutants import mutants
from tests.testing.house import FAULT, SUITE, Fault, Nearest


@pytest.fixture(autouse=True)
def _no_fault() -> Iterator[None]:
    yield
    vars(FAULT).update(vars(Fault()))


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    file = tmp_path_factory.mktemp("house") / "house.yaml"
    file.write_text(SUITE)
    return Request(scenario=str(file), rule=Nearest)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def whole(request_: Request, kept: Path) -> Played:
    return play(request_, Memory(kept))


def with_fault(request: Request, **fault: Any) -> Played:
    vars(FAULT).update(fault)
    return play(request, Memory(None))


def test_unchanged_code_is_not_played_again(request_: Request, whole: Played, kept: Path) -> None:
    memory = Memory(kept)
    again = play(request_, memory)
    assert (whole.played, whole.remembered) == (whole.trials, 0)
    assert (again.played, again.remembered, memory.played) == (0, whole.trials, [])
    assert again.score == whole.score
    assert judged(request_, again, whole.summary, "changed").verdict == "PASS"


def test_a_rule_that_cannot_be_used_in_the_scenario_is_an_error_and_no_number(request_: Request) -> None:
    refused = replace(request_, rule="gossip")
    found = flawed(refused, play(refused, Memory(None)))
    assert found is not None
    assert found.verdict == "ERROR"
    assert found.message.startswith("Gossip cannot be used in this scenario, so that nothing is tested. Gossip mixes")


def test_a_memory_plays_what_it_cannot_use(request_: Request, whole: Played, kept: Path, tmp_path: Path) -> None:
    few = replace(request_, seeds=1)
    records = sorted(kept.iterdir())
    for number, file in enumerate(records):
        damaged = (b"", b"[]", b"{", file.read_bytes().replace(b'"schema":', b'"schema":1'))[number % 4]
        (tmp_path / file.name).write_bytes(damaged)
    assert play(few, Memory(tmp_path)).remembered == 0
    assert play(few, Memory(tmp_path)).played == 0
    assert play(few, Memory(tmp_path, fresh=True)).remembered == 0


def test_a_rule_that_is_told_one_less_is_a_regression_with_the_attack_by_name(request_: Request, whole: Played) -> None:
    found = judged(request_, with_fault(request_, fewer=1), whole.summary)
    assert found.verdict == "REGRESSION"
    assert "IPM(epsilon=10)" in found.worst
    assert "attack            f   change   95 % bounds\nIPM(epsilon=10)   2   -" in found.message
    assert "non_finite" not in found.message.lower()


def quiet(request: Request, whole: Played, noises: list[float]) -> list[str]:
    found = [judged(request, with_fault(request, noise=noise), whole.summary) for noise in noises]
    assert any(one.changed for one in found)
    return [one.verdict for one in found]


def test_noise_is_no_regression(request_: Request, whole: Played) -> None:
    assert quiet(request_, whole, [1e-6, 0.02]) == ["PASS"] * 2


@pytest.mark.parametrize(
    "runs",
    [pytest.param(1, id="four runs", marks=pytest.mark.slow), pytest.param(10, id="forty", marks=pytest.mark.nightly)],
)
def test_noise_is_no_regression_in_forty_runs(request_: Request, whole: Played, runs: int) -> None:
    noises = [sign * size * (1 + number / 10) for size in (1e-6, 0.01) for sign in (1, -1) for number in range(runs)]
    assert quiet(request_, whole, noises) == ["PASS"] * 4 * runs


def test_what_fails_can_be_chosen(request_: Request, whole: Played) -> None:
    noisy = with_fault(request_, noise=0.02)
    assert judged(request_, noisy, whole.summary, "regression").message == ""
    found = judged(request_, noisy, whole.summary, "changed")
    assert (found.verdict, found.message[:8]) == ("CHANGED", "CHANGED:")
    single = replace(request_, seeds=1)
    one = with_fault(single, noise=0.02)
    assert judged(single, one, whole.summary, "regression").message == ""
    open_ = judged(single, one, whole.summary, "inconclusive")
    assert open_.verdict == "INCONCLUSIVE"
    assert "one seed is not tested" in open_.message
    with pytest.raises(ParameterError, match="regression, changed, inconclusive"):
        judged(request_, noisy, whole.summary, "never")  # type: ignore[arg-type]


def test_a_rule_that_raises_shows_its_error_and_is_not_remembered(request_: Request, tmp_path: Path) -> None:
    FAULT.error = "oops"
    single = replace(request_, seeds=1)
    found = flawed(single, play(single, Memory(tmp_path)))
    assert found is not None
    assert found.verdict == "ERROR"
    assert "3 of 4 trials raised; the first: ValueError: oops" in found.message
    assert "raise ValueError(FAULT.error)" in found.message
    FAULT.error = ""
    again = play(single, Memory(tmp_path))
    assert (again.played, again.remembered) == (3, 1)


def test_a_resilience_that_is_too_small(request_: Request, whole: Played) -> None:
    assert whole.score is not None
    assert flawed(replace(request_, min_score=whole.score), whole) is None
    found = flawed(replace(request_, min_score=whole.score + 0.001), whole)
    assert found is not None
    assert found.message.startswith(f"BELOW: the resilience is {whole.score:.3f}, and it should be at least")


def test_a_baseline_is_a_file_to_review(request_: Request, whole: Played, tmp_path: Path) -> None:
    name = Path("test_house") / "test_rule.json"
    save_baseline(tmp_path / name, "tests/test_house.py::test_rule", request_, whole)
    text = (tmp_path / name).read_text()
    found = json.loads(text)
    assert (found["test"], found["R"]) == ("tests/test_house.py::test_rule", round(whole.score or 0, 6))
    assert found["scenario"]["federation"]["rounds"] == 4
    assert str(Path(request_.scenario).parent) not in text
    assert [line.strip().partition(":")[0] for line in text.splitlines() if '"accuracy": [' in line] == [
        '"none"',
        '"IPM(epsilon=10)"',
        '"NonFinite"',
    ]
    for place in (tmp_path, tmp_path / name):
        assert judged(request_, whole, load_baseline(place, name)[0], "changed").verdict == "PASS"
    save_baseline(tmp_path / "again.json", "tests/test_house.py::test_rule", request_, whole)
    assert (tmp_path / "again.json").read_text() == text


def test_what_is_no_baseline(request_: Request, whole: Played, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        load_baseline(tmp_path, Path("none.json"))
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(StoreError):
        load_baseline(tmp_path, Path("broken.json"))
    other = play(replace(request_, seeds=1, set=("federation.rounds=1",)), Memory(None))
    found = judged(request_, other, whole.summary)
    assert (found.verdict, "is another scenario" in found.message) == ("OTHER", True)


def test_an_audit_lists_what_a_test_would_not_notice(request_: Request, whole: Played, kept: Path) -> None:
    assert audited(request_, whole, whole.summary, Memory(kept)) == (3, [])
    blind = replace(request_, set=("attacks=[non_finite]",))
    played = play(blind, Memory(kept))
    count, survivors = audited(blind, played, played.summary, Memory(kept))
    assert (count, [one.what for one in survivors]) == (3, ["told f - 1", "told f = 0", "plain mean"])
    strict = replace(blind, min_score=2.0)
    assert audited(strict, played, played.summary, Memory(kept)) == (3, [])


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        ("mean", (1,), {}),
        ("krum", (0,), {"plain mean": Mean()}),
        ("krum", (1,), {"told f - 1": Krum(f=0), "plain mean": Mean()}),
        (
            "nnm >> trimmed_mean",
            (2,),
            {
                "told f - 1": NNM(f=1) >> TrimmedMean(f=1),
                "told f = 0": NNM(f=0) >> TrimmedMean(f=0),
                "without NNM": TrimmedMean(f=2),
                "plain mean": Mean(),
            },
        ),
        (
            "nnm >> mean",
            (0, 3),
            {"told f - 1": NNM(f=2) >> Mean(), "told f = 0": NNM(f=0) >> Mean(), "without NNM": Mean()},
        ),
    ],
)
def test_mutants_are_the_rule_with_one_fault(rule: str, counts: tuple[int, ...], expected: dict[str, Any]) -> None:
    template = DefenseTemplate.read(rule)
    found = dict(mutants(template, counts))
    assert {what: mutant.build(max(counts)) for what, mutant in found.items()} == expected
    assert {mutant.label for mutant in found.values()} <= {template.label}


@pytest.mark.parametrize("wrong", [{"seeds": "3"}, {"seeds": True}, {"set": "seeds=3"}, {"set": (3,)}], ids=str)
def test_requests_of_the_wrong_type(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Request(scenario="smoke", rule="mean", **wrong)


def test_an_executor_can_be_given_to_any_run(request_: Request, kept: Path, tmp_path: Path) -> None:
    from robustfl.evaluation.run.runner import run_experiment

    memory = Memory(kept)
    run_experiment(request_.experiment, RunOptions(out=tmp_path, workers=5, executor=memory))
    assert memory.remembered > 0
