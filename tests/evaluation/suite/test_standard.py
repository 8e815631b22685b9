"""Standard suites of attacks: how they are read and hashed, and that everything that plays attacks plays theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustfl import console, registry
from robustfl.aggregation import Aggregator, PreAggregation
from robustfl.attacks import AntiCGE, Clones
from robustfl.errors import ScenarioError, UnknownNameError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.run.checking import NO_CHECKS
from robustfl.evaluation.run.runner import Quiet, RunOptions, run_experiment
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.evaluation.suite.standard import load_standard, made_for
from robustfl.evaluation.trust.evidence import DefenseFacts, Threat
from robustfl.evaluation.trust.status import missing

MINE: dict[str, Any] = {
    "name": "mine-v1",
    "description": "For these tests.",
    "attacks": ["sign_flip", {"ipm": {"epsilon": 10}}],
    "tailored": ["anti_cge"],
}
SUITE: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean", "cge"],
    "attacks": ["alie"],
    "standard": "mine-v1",
    "seeds": 1,
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`mine(name="x", tailored=[...])` writes the suite `mine-v1`, with these values in place of others."""
    path = tmp_path / "mine_v1.yaml"
    monkeypatch.setattr(registry, "suite_files", lambda: {"mine-v1": path})

    def write(**changes: Any) -> None:
        path.write_text(json.dumps({**MINE, **changes}))

    write()
    return write


def test_the_hash_is_of_the_attacks_with_all_that_they_are_set_to(mine: Callable[..., None]) -> None:
    found = {"as it is": load_standard("mine-v1").hash}
    mine(attacks=[{"ipm": {"epsilon": 10.0, "every": 1}}, {"sign_flip": {}}], description="Another order.")
    found["the same"] = load_standard("mine-v1").hash
    for number, changes in enumerate(
        [{"attacks": ["sign_flip"]}, {"attacks": ["sign_flip", {"ipm": {"epsilon": 9}}]}, {"tailored": []}]
    ):
        mine(**changes)
        found[str(number)] = load_standard("mine-v1").hash
    assert found["the same"] == found["as it is"]
    assert len(set(found.values())) == 4
    assert all(len(digits) == 16 and int(digits, 16) >= 0 for digits in found.values())


def test_an_attack_is_among_the_tailored_or_among_the_others(mine: Callable[..., None]) -> None:
    before = load_standard("mine-v1").hash
    mine(attacks=[*MINE["attacks"], "anti_cge"], tailored=[])
    assert load_standard("mine-v1").hash != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mine-v2"}, "`name` should be that of its file. Found 'mine-v2'"),
        ({"atacks": []}, "atacks: Extra inputs"),
        ({"attacks": []}, "attacks: .*at least 1 item"),
        ({"attacks": ["sign_flop"]}, r"attacks\.0: There is no attack named 'sign_flop'\. Did you mean 'sign_flip'"),
        ({"attacks": ["sign_flip", "sign_flip"]}, "listed twice: SignFlip"),
        ({"attacks": ["dropout"]}, r"Dropout\(.*is no attack on the training"),
        ({"attacks": ["fgsm"]}, "is no attack on the training"),
        ({"tailored": ["alie"]}, r"ALIE\(.*made for no defense in particular: list it under `attacks`"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(changes: dict[str, Any], message: str, mine: Callable[..., None]) -> None:
    mine(**changes)
    with pytest.raises(ScenarioError, match=message):
        load_standard("mine-v1")


def test_unknown_names_are_told_with_the_nearest(mine: Callable[..., None]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mine-v1'"):
        load_standard("mine-v2")
    with pytest.raises(ValueError, match=r"standard\s+.*no standard suite named 'mine-v2'"):
        Experiment({**SUITE, "standard": "mine-v2"})


def test_what_an_attack_is_made_for_is_a_registered_name() -> None:
    assert made_for(AntiCGE()) == ("cge",)
    assert made_for(Clones() >> AntiCGE()) == ("cge",)
    for name, attack in registry.find("attack").items():
        assert set(made_for(attack)) <= set(registry.find("defense")), name


def test_a_suite_meets_the_standard_and_what_it_lists_itself(mine: Callable[..., None]) -> None:
    suite = Experiment(SUITE).suite
    assert [str(attack) for attack in suite.played] == ["SignFlip", "IPM(epsilon=10)", "AntiCGE", "ALIE(z=1.5)"]
    assert [str(attack) for attack in Experiment({**SUITE, "standard": None}).suite.played] == ["ALIE(z=1.5)"]
    with pytest.raises(ValueError, match="attacks that are listed twice: SignFlip"):
        Experiment({**SUITE, "attacks": ["sign_flip"]})
    claim = {"text": "t", "source": "s", "measure": "U(mean, attack=sign_flip, f=1)", "expect": "< 1"}
    assert Experiment({**SUITE, "claims": [claim]}).suite.claims


def test_the_hash_of_an_experiment_is_also_that_of_the_standard(mine: Callable[..., None]) -> None:
    before = Experiment(SUITE).hash
    mine(attacks=["sign_flip", {"ipm": {"epsilon": 9}}])
    assert Experiment(SUITE).hash != before


def test_tailored_attacks_meet_only_what_they_are_made_for(mine: Callable[..., None]) -> None:
    experiment = Experiment({**SUITE, "defenses": ["mean", "cge", ["nnm", {"CGE": {"f": 1}}]]})
    cells = [cell for cell in Plan(experiment).cells if cell.attack == "AntiCGE"]
    assert [cell.defense for cell in cells if cell.trial] == ["CGE", "NNM > CGE(f=1)"]
    (spared,) = (cell for cell in cells if cell.trial is None)
    assert spared.unfit == "AntiCGE is made for cge, and Mean has no such stage."
    listed = Experiment({**SUITE, "standard": None, "attacks": ["anti_cge"]})
    assert all(cell.trial for cell in Plan(listed).cells)  # whoever lists it wants it played


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with the suite `mine-v1`."""
    folder = tmp_path_factory.mktemp("standard")
    path = folder / "mine_v1.yaml"
    path.write_text(json.dumps(MINE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "suite_files", lambda: {"mine-v1": path})
        run_experiment(Experiment(SUITE), RunOptions(out=folder / "out", workers=0, checks=NO_CHECKS), Quiet())
    return folder / "out"


def test_a_run_says_which_standard_it_was_and_ranks_nobody_who_met_too_little(
    mine: Callable[..., None], run: Path
) -> None:
    summary = json.loads((run / "summary.json").read_text())
    frozen = {"name": "mine-v1", "hash": load_standard("mine-v1").hash}
    assert summary["suite"]["standard"] == frozen
    assert {"SignFlip", "AntiCGE"} <= set(summary["components"]["attacks"])
    assert [row["rank"] for row in summary["scores"]["ranking"]] == [None, None]
    assert all(row["status"] != "ADAPTIVE" and row["why"] for row in summary["scores"]["ranking"])
    assert all(row["R_mean"] is not None for row in summary["scores"]["ranking"])
    first, *reasons = console.status_lines(summary)
    assert frozen["hash"] in first
    assert "no white-box search for inner" in reasons[0]


def test_every_report_shows_the_standard_and_the_statuses(mine: Callable[..., None], run: Path) -> None:
    results = RunResults.load(run)
    files = {name: registry.build("report", name).files(results) for name in ("html", "markdown", "csv")}
    texts = {name: "\n".join(texts.values()) for name, texts in files.items()}
    status = results.summary["scores"]["ranking"][0]["status"].replace("_", r"\\?_")  # Markdown escapes it
    for name, text in texts.items():
        assert "no white-box search for inner" in text, name
        assert re.search(status, text), name
    assert load_standard("mine-v1").hash in texts["html"]
    assert load_standard("mine-v1").hash in texts["markdown"]
    assert "so none is ranked" in texts["markdown"]


def test_without_a_standard_everybody_is_ranked_whatever_the_status(tmp_path: Path) -> None:
    values = {**SUITE, "standard": None, "attacks": ["sign_flip"]}
    summary = run_experiment(Experiment(values), RunOptions(out=tmp_path, workers=0, checks=NO_CHECKS), Quiet())
    assert summary["suite"]["standard"] is None
    assert all(row["rank"] is not None and row["status"] for row in summary["scores"]["ranking"])
    assert console.status_lines(summary) == []


DENSE = [
    name
    for name, cls in registry.find("defense").items()
    if issubclass(cls, Aggregator | PreAggregation) and cls.channel == "dense"
]


@pytest.mark.parametrize(
    ("suite", "lacking"), [("standard-v1", ["no planned attack that knows everything"]), ("standard-v2", [])]
)
@pytest.mark.parametrize("name", DENSE)
def test_what_standard_suites_lack_for_defenses_of_dense_updates(name: str, suite: str, lacking: list[str]) -> None:
    cls = registry.get("defense", name)
    required = {p.name: 1 for p in cls.declared_parameters() if p.required and p.name != "f"}
    template = DefenseTemplate.read([{name: required}, *(["mean"] if issubclass(cls, PreAggregation) else [])])
    frozen = load_standard(suite)
    met = [*frozen.attacks, *(a for a in frozen.tailored if set(made_for(a)) & set(template.names))]
    assert missing([Threat.of(attack) for attack in met], DefenseFacts.of(template), rounds=20) == lacking


def test_scenarios_ask_for_standard_v1_by_name() -> None:
    experiment = read_experiment("smoke", ("standard=standard-v1", "attacks=[]"))
    assert experiment.suite.played == (*load_standard("standard-v1").attacks, *load_standard("standard-v1").tailored)


def test_the_command_lists_and_describes_suites(inside: Callable[..., Any], tmp_path: Path) -> None:
    assert "standard-v1 " in inside("list", "suites", cwd=tmp_path).stdout
    frozen = load_standard("standard-v1")
    text = inside("describe", "standard-v1", cwd=tmp_path).stdout
    assert text.startswith(f"standard-v1 (suite of attacks, hash {frozen.hash})")
    assert all(repr(attack) in text for attack in (*frozen.attacks, *frozen.tailored))
    facts = json.loads(inside("describe", "standard-v1", "--json", cwd=tmp_path).stdout)
    assert facts["hash"] == frozen.hash
    assert len(facts["attacks"]) == len(frozen.attacks)


FROZEN = [
    ("standard-v1", "a29c897024e67d5c"),
    ("standard-v2", "bffd8a88d3a2d027"),
    ("standard-peers-v1", "e8481cb1ad29c4d5"),
]


@pytest.mark.parametrize(("name", "frozen"), FROZEN)
def test_standard_suites_are_frozen(name: str, frozen: str) -> None:
    """Scores carry this hash. Whoever changes an attack of a suite, or one of its defaults, makes a new version."""
    assert load_standard(name).hash == frozen


def test_the_complete_leaderboard_holds_every_rule_for_updates_and_four_worlds() -> None:
    """With and without momentum, with equal and with unequal data."""
    experiment = read_experiment("leaderboard_complete", ())
    suite = experiment.suite
    rules = {rule for rule in registry.find("defense") if issubclass(registry.get("defense", rule), Aggregator)}
    dense = {rule for rule in rules if registry.get("defense", rule).channel == "dense"}
    assert len(dense) > 20
    assert {stages[0][0] for t in suite.defenses if len(stages := t.stages) == 1} == dense
    assert {"nnm", "arc"} <= {t.stages[0][0] for t in suite.defenses if len(t.stages) == 2}
    assert len(experiment.worlds) == 4
    assert suite.adversary.grid(15) == (0, 1, 3)
    assert suite.standard == "standard-v2"


@pytest.mark.parametrize(("name", "worlds"), [("leaderboard_digits", 1), ("leaderboard_fashion_mnist", 2)])
def test_leaderboards_are_a_part_of_the_complete_one(name: str, worlds: int) -> None:
    complete, part = read_experiment("leaderboard_complete", ()), read_experiment(name, ())
    assert {t.label for t in part.suite.defenses} < {t.label for t in complete.suite.defenses}
    assert {"Mean", "FLTrust", "Flag"} < {t.label for t in part.suite.defenses}
    assert len(part.worlds) == worlds
    assert part.suite.seeds >= 5
    assert part.suite.frozen_attacks == complete.suite.frozen_attacks


def test_the_worlds_of_the_first_leaderboard_are_still_there() -> None:
    """What was published for standard-v1, whose utilities are made from plain accuracy."""
    old = read_experiment("stress_digits", ())
    assert [(world.federation.rounds, world.federation.server.learning_rate) for world in old.worlds] == [(40, 0.8)] * 6
    assert old.suite.adversary.grid(15) == (0, 3)
    assert (old.suite.standard, old.suite.score.accuracy) == ("standard-v1", "plain_accuracy")
    assert old.suite.defenses == read_experiment("leaderboard_complete", ()).suite.defenses
