"""The pages of `robustfl describe`: text for a terminal, for everything that has a name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from annotated_types import Le
from typer.testing import CliRunner
from typing_extensions import Doc

from robustfl import registry
from robustfl.defenses import Mean
from robustfl.errors import UnknownNameError
from robustfl.evaluation.suite import reference
from robustfl.lookups import describe, described

KINDS = ("defense", "attack", "data", "model", "partition", "report")
NAMED = [(kind, name) for kind in KINDS for name in registry.find(kind)]


@pytest.mark.parametrize(("kind", "name"), NAMED, ids=lambda part: part)
def test_a_page_is_text_for_a_terminal_and_explains_every_parameter(kind: str, name: str) -> None:
    facts = registry.describe(registry.get(kind, name))
    page = described({"kind": kind, **facts})
    assert page.splitlines()[0] == f"{name} ({kind}, {facts['class']})"
    assert not re.search(r"``|:\w+:`|\(:", page)
    assert all(parameter["doc"] for parameter in facts["parameters"])
    assert not re.search(r"\d\.\d{9}", page), "a number with more digits than anybody reads"
    if kind == "defense":
        told = ("Family", "Requires", "Guarantee", "Breakdown", "Sensitivity", "Channel")
        assert all(f"\n{line}: " in page for line in told)
    if kind == "attack":
        assert "\nSurface: " in page


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("trimmed_mean", "2 clip/(n - 2f), which is 0.0125 for n=40, clip=0.2, f=4"),
        ("norm_bound", "2 min(clip, radius)/n, which is 0.01 for n=40, clip=0.2, radius=0.2"),
        ("bucketing", "2 clip/size/ceil(n/size) in front of the mean, which is 0.01 for n=40, clip=0.2"),
        ("median", "none known (median: two clusters of n/2, and the replaced row is the tie-breaker)"),
        ("frl", "none known (clients send rankings, which have no length that could be clipped)"),
    ],
)
def test_the_sensitivity_is_told_for_the_rows_that_are_asked_for(name: str, line: str) -> None:
    facts = registry.describe(registry.get("defense", name), rows=40, clip=0.2)
    assert f"\nSensitivity: {line}\n" in described({"kind": "defense", **facts})


@dataclass(frozen=True, kw_only=True)
class Tuned(Mean):
    """A rule whose parameters an example cannot guess."""

    secret: Annotated[str, Doc("a word")]


@dataclass(frozen=True, kw_only=True)
class Narrow(Mean):
    """A rule whose f is small."""

    f: Annotated[int, Le(2), Doc("number of Byzantine rows")]


def test_a_rule_without_an_example_says_so() -> None:
    assert "parameters that have no default" in registry.sensitivity(Tuned, 50, 1.0)["reason"]
    assert "f <= 2" in registry.sensitivity(Narrow, 50, 1.0)["reason"]
    assert registry.sensitivity(Narrow, 20, 1.0)["value"] == 0.1


EVERY = [
    (kind, name)
    for kind in ("defense", "attack")
    for name, cls in registry.find(kind).items()
    if cls.__module__.startswith("robustfl.")
]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_where_a_defense_or_an_attack_is_unfit_is_told(kind: str, name: str) -> None:
    facts = registry.describe(registry.get(kind, name))
    assert f"\nUnfit: do not use it {facts['unfit']}" in described({"kind": kind, **facts})
    assert re.match(r"(where|with|without|alone|in|for|as|against|when|beside)\w*\b", facts["unfit"])
    assert not facts["unfit"].endswith(".")
    assert len(facts["unfit"]) > 40  # it says why
    named = set(re.findall(r"`([a-z_]+)`", facts["unfit"])) - {parameter["name"] for parameter in facts["parameters"]}
    assert all(any(other == name for _, other in EVERY) or name == "attack_success" for name in named)


def test_what_derives_from_a_rule_says_for_itself_where_it_is_unfit() -> None:
    assert "similar data" in registry.describe(registry.get("defense", "fools_gold"))["unfit"]
    assert registry.describe(Tuned)["unfit"] == ""


def test_the_page_of_dp_fed_avg_says_in_one_line_which_number_epsilon_counts() -> None:
    page = described({"kind": "defense", **registry.describe(registry.get("defense", "dp_fed_avg"))}).splitlines()
    assert any(
        "rounds of the suite" in line and "Local steps and local epochs count for nothing." in line for line in page
    )


def invoked(*arguments: str) -> Any:
    return CliRunner().invoke(_app(), arguments)


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(describe)
    return app


def test_a_kind_before_a_name_says_which_is_meant() -> None:
    shown = {kind: invoked(f"{kind}:csv").stdout.splitlines()[0] for kind in ("data", "report", "reports")}
    assert shown["data"].startswith("csv (data, robustfl.federation.data")
    assert shown["report"] == shown["reports"]
    assert shown["report"].startswith("csv (report, robustfl.reports")
    assert invoked("csv").stdout.startswith(shown["data"])
    assert "Something else has the same name: robustfl describe report:csv." in invoked("csv").stdout
    assert invoked("data:fashion_mnist").stdout.startswith("fashion_mnist (data, ")
    assert "robustfl describe data:fashion_mnist" in invoked("fashion_mnist").stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [("data:krum", "No data is named 'krum'"), ("nothing:csv", "Nothing is named 'nothing:csv'")],
)
def test_what_is_not_of_the_kind_is_not_found(name: str, reason: str) -> None:
    with pytest.raises(UnknownNameError, match=reason):
        CliRunner().invoke(_app(), [name], catch_exceptions=False)


@pytest.mark.parametrize("name", ["suite", "task", "federation", "adversary", "score", "privacy", "server"])
def test_every_key_of_a_suite_is_explained(name: str) -> None:
    path = reference.found(name)
    assert path is not None
    page = reference.page(path)
    for model in reference.subjects()[path]:
        for key, field in model.model_fields.items():
            (line,) = [line for line in page.splitlines() if line.startswith(f"  {key}: ")]
            assert " ".join((field.description or "").split()) in line
            assert field.description
            assert re.search(rf"  {key}: .+, (required|default.*)\. ", line)
    assert set(reference.report(path)["keys"]) >= set(reference.subjects()[path][0].model_fields)


@pytest.mark.parametrize("path", ["federation.topology", "federation.peers.bound", "adversary.space", "seeds"])
def test_a_single_key_is_explained_by_its_path_and_by_its_last_word(path: str) -> None:
    for name in (path, path.rpartition(".")[2], f"key:{path}"):
        page = invoked(name).stdout
        assert re.match(rf"{path}: .+, default .+\. \S", page), name
        told = json.loads(invoked(name, "--json").stdout)
        assert (told["name"], told["kind"], told["required"]) == (path, "key", False)
        assert told["doc"] in page
    assert "Names: robustfl list partitions" in invoked("task.partition").stdout
    assert reference.single("clip") is None, "several keys end in it"


def test_the_reference_says_what_may_be_written_and_where_more_is() -> None:
    federation = reference.page("federation")
    assert "\n  clients: a whole number >= 1 and <= 1000000, default 15. " in federation
    assert "\n  algorithm: fedsgd or fedavg, default 'fedsgd'. " in federation
    message = "gradient or delta, default 'gradient' for fedsgd and 'delta' for fedavg and among peers. "
    assert f"\n  message: {message}" in federation
    assert reference.report("federation")["keys"]["message"]["required"] is False
    assert [key for key, facts in reference.report("task")["keys"].items() if facts["required"]]
    assert "robustfl describe federation.server" in federation.splitlines()[-1]
    assert "\n  data: a data set, required. " in reference.page("task")
    assert "\n  attacks: a list of an attack, default nothing. " in reference.page("suite")
    assert reference.found("nothing") is None
