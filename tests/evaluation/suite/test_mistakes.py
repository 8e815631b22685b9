"""What is wrong in a suite is said at its key, in the words of suites."""

from __future__ import annotations

import pytest

from robustfl.errors import ScenarioError
from robustfl.evaluation.suite.reading import read_experiment
from tests.evaluation.suite.files import SUITE, Write, refusal


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tiny", "nmae: tiny", "nmae: unknown key. Did you mean 'name'?"),
        ("data: digits", "dta: digits", "task.dta: unknown key. Did you mean 'data'?"),
        ("data: digits", "dta: digits", "task.data: this key is required"),
        ("rounds: 2", "roundz: 2", "federation.roundz: unknown key. Did you mean 'rounds'?"),
        ("rounds: 2", "server: {momentun: 0.1}", "federation.server.momentun: unknown key. Did you mean 'momentum'"),
        ("f: [0, 1]", "fraction: [0]", "adversary.fraction: unknown key. Did you mean 'fractions'?"),
        ("name: tiny", "score: {tresh: 0.5}", "score.tresh: unknown key. Did you mean 'threshold'?"),
        ("[mean]", "[meen]", "defenses.0: There is no defense named 'meen'. Did you mean 'mean'"),
        ("[mean]", "[mean, {krum: {g: 1}}]", "defenses.1: Krum has no parameter 'g'"),
        (
            "[sign_flip]",
            "[{ipm: {epsilon: -1}}]",
            "attacks.0: IPM: `epsilon` should satisfy epsilon > 0. Found epsilon=-1",
        ),
        ("data: digits", "data: [digits, 3]", "task.data: A component is a name or a mapping. Found 3"),
        ("rounds: 2", "rounds: no", "federation.rounds: should be a number"),
        ("rounds: 2", "rounds: 2.5", "federation.rounds: should be an integer. Found 2.5 (line 3)"),
        ("rounds: 2", "rounds: [2, -1]", "federation.rounds: should be at least 1. Found -1 (line 3)"),
        ("rounds: 2", "rounds: .inf", "federation.rounds: should be a finite number. Found inf (line 3)"),
        (
            "{clients: 5, rounds: 2, algorithm: fedavg}",
            "fast",
            "federation: should be a mapping of keys to values. Found 'fast' (line 3)",
        ),
        ("[mean]", "mean", "defenses: should be a list. Found 'mean' (line 5)"),
        ("[mean]", "{}", "defenses: should be a list. Found {} (line 5)"),
        ("name: tiny", "1: 2", "1: a key should be a text"),
        ("name: tiny", "? [1, 2]\n: 3", "(1, 2): a key should be a text"),
        ("[mean]", "[]", "defenses: should be a list with at least 1 item. Found [] (line 5)"),
        ("name: tiny", "name: 3", "name: should be a text. Found 3 (line 1)"),
        (
            "name: tiny",
            "seeds: 1000000000000000000000",
            "seeds: should be at most 100000. Found 1000000000000000000000",
        ),
        ("f: [0, 1]", "f: [0, true]", "adversary.f: should be a number. Found True"),
        ("f: [0, 1]", "f: [0, '1']", "adversary.f: should be a number. Found '1'"),
        ("f: [0, 1]", "f: [0], declared: '1'", "adversary.declared: should be a number. Found '1'"),
        ("f: [0, 1]", "f: [0], breakdown: maybe", "adversary.breakdown: should be true or false. Found 'maybe'"),
        ("name: tiny", "score: {accuracy: x}", "score.accuracy: should be 'balanced_accuracy', 'plain_accuracy' or"),
        (
            "rounds: 2",
            "rounds: 2, topology: ring, peers: {mix_every: 0}",
            "federation.peers.mix_every: should be at least 1 or 'last'. Found 0 (line",
        ),
        (
            "rounds: 2",
            "rounds: 2, server: {staleness: often}",
            "federation.server.staleness: should be 'polynomial', 'constant' or 'hinge' or a mapping of keys to values",
        ),
        (
            "rounds: 2",
            "rounds: 2, server: {staleness: {method: inversion, patients: 1}}",
            "federation.server.staleness.patients: unknown key",
        ),
        (
            "name: tiny",
            "privacy: {attacks: [dlg], rounds: [often]}",
            "privacy.rounds.0: should be an integer or 'first', 'middle' or 'last'. Found 'often'",
        ),
    ],
)
def test_errors_name_the_key(old: str, new: str, message: str, write: Write) -> None:
    path = write(SUITE.replace(old, new))
    told = refusal(path)
    assert told.startswith(f"{path} is not a valid suite:\n")
    assert f"\n  {message}" in told


def test_all_errors_are_told_at_once(write: Write) -> None:
    told = refusal(write(SUITE.replace("rounds", "roundz").replace("sign_flip", "sine_flip").replace("f:", "g:")))
    assert [line.split(":")[0].strip() for line in told.splitlines()[1:]] == [
        "federation.roundz",
        "adversary.g",
        "attacks.0",
    ]


@pytest.mark.parametrize("override", ["seeds=true", 'seeds="2"', 'federation.rounds="10"', "federation.rounds=no"])
def test_texts_and_truth_values_are_no_numbers(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ScenarioError, match=rf"{key}: should be a number"):
        read_experiment("smoke", (override,))
