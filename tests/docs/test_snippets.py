"""How to use each defense and attack: what pages show runs, is a suite that is played, or is taken by the adapter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from docs.snippets import CLIENTS, Snippet, snippets
from robustfl import registry
from robustfl.adapters.ddp import fit_rule
from robustfl.adapters.serving import served
from robustfl.aggregation import Aggregator
from robustfl.errors import RobustflError
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.reading import read_experiment
from tests.conftest import ROOT

EVERY = [
    (kind, name)
    for kind in ("defense", "attack")
    for name, cls in registry.find(kind).items()
    if cls.__module__.startswith("robustfl.")
]


def shown(kind: str, name: str) -> dict[str, Snippet]:
    return {snippet.title: snippet for snippet in snippets(registry.get(kind, name))}


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_what_is_shown_runs(kind: str, name: str, tmp_path: Path) -> None:
    for snippet in shown(kind, name).values():
        if snippet.language == "yaml":
            (tmp_path / "suite.yaml").write_text(snippet.code)
            _is_played(Plan(read_experiment(str(tmp_path / "suite.yaml"))), kind, registry.get(kind, name))
        elif "plain numpy" in snippet.title:
            assert f"{registry.get(kind, name).__name__}(" in snippet.code
            exec(compile(snippet.code, f"{name}: {snippet.title}", "exec"), {})
        else:
            _is_taken(snippet)


def _is_played(plan: Plan, kind: str, cls: Any) -> None:
    """At least one trial of the suite has the defense, or the attack, in it."""
    assert any(f'"name": "{cls.name}"' in json.dumps(_part(trial.description, kind)) for trial in plan.trials)


def _part(description: dict[str, Any], kind: str) -> Any:
    own = {"defense": ("defense",), "attack": ("attack", "faults", "evasion", "privacy")}[kind]
    return [description.get(key) for key in own]


def _is_taken(snippet: Snippet) -> None:
    """The names that are imported exist, and the adapter takes the rule from so many participants on."""
    tree = ast.parse(snippet.code)
    for node in (node for node in tree.body if isinstance(node, ast.ImportFrom)):
        source = ROOT / f"{(node.module or '').replace('.', '/')}.py"
        if source.exists():  # a framework may be absent, and with it what the module defines
            defined = {part.name for part in ast.parse(source.read_text()).body if hasattr(part, "name")}
            assert {alias.name for alias in node.names} <= defined
    (text,) = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    if "DDP" not in snippet.title:
        assert served(text, CLIENTS).rule is not None
        return
    (least,) = (int(word) for word in snippet.note.split() if word.isdigit())
    assert isinstance(fit_rule(text, least), Aggregator)
    with pytest.raises(RobustflError):
        fit_rule(text, least - 1)


def test_rules_are_shown_where_they_fit_and_nowhere_else() -> None:
    everywhere = ["In plain numpy", "In torch DDP", "In Flower", "In a suite"]
    assert list(shown("defense", "krum")) == list(shown("defense", "nnm")) == everywhere
    assert list(shown("defense", "fltrust")) == [
        "In plain numpy",
        "In a suite",
    ]  # whose update is it there?
    assert list(shown("defense", "nna")) == ["One peer, in plain numpy", "In a suite"]
    assert list(shown("defense", "mixup")) == list(shown("attack", "dropout")) == ["In a suite"]


def test_processes_and_parameters_are_those_that_a_rule_needs() -> None:
    assert shown("defense", "krum")["In torch DDP"].note == "In each of at least 5 processes:"
    assert 'register(model, "Krum(f=1)")' in shown("defense", "krum")["In torch DDP"].code
    assert "{norm_bound: {radius: 1.0}}" in shown("defense", "norm_bound")["In a suite"].code
    assert "aggregate=Krum(f=3)" in shown("attack", "white_box")["In plain numpy"].code
