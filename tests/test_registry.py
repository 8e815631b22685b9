"""Names, expressions and mappings become components; what is wrong is told with the nearest right thing."""

from __future__ import annotations

import copy
import itertools
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl import registry
from robustfl.aggregation import Mechanism
from robustfl.attacks import IPM
from robustfl.components import Component
from robustfl.defenses import NNM, Bucketing, Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError, RobustflError, UnknownNameError

COMPONENTS = registry.component_kinds()
NAMED = [(kind, name) for kind in COMPONENTS for name in registry.find(kind)]

SAMPLES: dict[Any, Any] = {int: 1, float: 0.5, str: "x"}
"""A value for each declared type that a required hyper-parameter has."""


@pytest.mark.parametrize("name", ["TrimmedMean", "trimmed_mean", "trimmed-mean", "TRIMMED_MEAN", "trimmedmean"])
def test_spellings_of_one_name(name: str) -> None:
    assert registry.get("defense", name) is TrimmedMean


@pytest.mark.parametrize(
    "spec",
    [
        "NNM(f=2) >> TrimmedMean(f=2)",
        ["nnm", "trimmed_mean"],
        [{"nnm": {"f": 2}}, {"trimmed_mean": None}],
        "nnm >> trimmedmean(f=2)",
        ["nnm(f=2)", {"TrimmedMean": {}}],
    ],
)
def test_forms_of_one_specification(spec: Any) -> None:
    assert registry.build("defense", spec, f=2) == NNM(f=2) >> TrimmedMean(f=2)


def test_building_leaves_what_it_is_given() -> None:
    given: list[tuple[str, Any]] = [
        ("attack", {"ipm": {"epsilon": 0.5}}),
        ("attack", [{"clones": {"count": 2}}, {"label_flip": {"mode": "cyclic"}}]),
        ("defense", [{"nnm": None}, {"trimmed_mean": {}}]),
    ]
    before = copy.deepcopy(given)
    built = [registry.build(kind, spec, f=2) for kind, spec in given]
    assert given == before
    assert built == [registry.build(kind, spec, f=2) for kind, spec in given]


def test_pipelines_nest_flat() -> None:
    flat = registry.build("defense", "nnm >> bucketing(size=2) >> krum", f=1)
    nested = registry.build("defense", ["nnm", ["bucketing(size=2)", "krum"]], f=1)
    assert flat == nested == NNM(f=1) >> Bucketing(size=2) >> Krum(f=1)


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("defense", ["nnm", "gossip"], "NNM cannot stand before Gossip: pre-aggregations and mechanisms stand before"),
        ("defense", "krum >> median", "Krum cannot stand before Median: pre-aggregations and mechanisms stand before"),
        ("attack", ["alie", "clones"], "cannot stand before Clones(count=5): identities, placements and poisonings"),
        ("model", ["softmax", "mlp"], "Softmax cannot stand before MLP(hidden=24): nothing stands before a model."),
    ],
)
def test_lists_in_an_order_that_means_nothing_say_which_orders_do(kind: str, spec: Any, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        registry.build(kind, spec, f=1, hidden=(24,))
    assert told in str(caught.value)


@pytest.mark.parametrize("kind", ["defense", "attack"])
def test_two_components_make_a_whole_or_an_error_of_robustfl(kind: str) -> None:
    wholes, parts = 0, registry.find(kind)
    firsts = [name for name, cls in parts.items() if hasattr(cls, "__rshift__")]
    for first, then in itertools.product(firsts, parts):
        try:
            registry.build(kind, [first, then], f=1, clip=1.0, delta=1e-5, noise_multiplier=1.0)
        except RobustflError:
            continue
        wholes += 1
    assert wholes > 100


def test_what_is_given_wins_over_defaults_and_surplus_defaults_are_dropped() -> None:
    assert registry.build("defense", "krum(f=1)", f=3) == Krum(f=1)
    assert registry.build("defense", "mean", f=3) == Mean()


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_every_component_survives_its_repr_and_is_described(kind: str, name: str) -> None:
    cls = registry.get(kind, name)
    required = [parameter for parameter in cls.declared_parameters() if parameter.required]
    noise = {"noise_multiplier": 2.0} if issubclass(cls, Mechanism) else {}  # or a target: one of them is required
    component = registry.make(kind, name, {parameter.name: SAMPLES[parameter.kind] for parameter in required} | noise)
    assert registry.build(kind, repr(component)) == component
    assert cls(**component.parameters()) == component
    facts = registry.describe(cls)
    assert facts["name"] == name
    assert facts["summary"]
    assert not facts["summary"].startswith(f"{cls.__name__}("), "the generated docstring of a dataclass says nothing"
    assert json.loads(json.dumps(facts, allow_nan=False)).keys() == facts.keys()
    assert all(parameter["doc"] for parameter in facts["parameters"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("krumm", "Did you mean 'krum'"),
        ("krum(2)", "Did you mean 'krum'"),
        ("krum(g=2)", "Krum has no parameter 'g'"),
        ("krum(f=1, f=2)", "krum is given `f` more than once"),
        ("krum(f={[]: 1})", "There is no defense named"),
        ("krum(f=__import__('os').getpid())", "There is no defense named"),
        ("trimmed_mean", "TrimmedMean needs `f`"),
        ("mean >> krum(f=1)", "Mean cannot stand before Krum: pre-aggregations"),
        ("bucketing(sise=2) >> mean", "Did you mean 'size'"),
        ("", "There is no defense named ''"),
        ([], "An empty list is no pipeline"),
        ({}, "Found the keys none"),
        ({"a": None, "b": None}, "Found the keys 'a', 'b'"),
        ({"krum": 3}, "parameters of 'krum' should be a mapping"),
        (3, "A component is a name or a mapping. Found 3"),
        (None, "A component is a name or a mapping. Found None"),
    ],
)
def test_what_is_wrong_is_said(spec: Any, message: str) -> None:
    with pytest.raises(RobustflError, match="(?i)" + message.replace("(", r"\(").replace("?", r"\?")):
        registry.build("defense", spec)


@pytest.mark.parametrize("spec", ["(" * 5000, "a >> " * 5000 + "mean", "-" * 200_000 + "x", "f" * 100_000])
def test_expressions_beyond_reason_are_refused_briefly(spec: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.build("defense", spec)
    assert len(str(caught.value)) < 2000


@given(st.text(max_size=40))
def test_no_text_crashes_the_parser(text: str) -> None:
    try:
        stages = registry.parse(text)
    except ParameterError:
        return
    assert all(isinstance(name, str) and isinstance(parameters, dict) for name, parameters in stages)


@given(epsilon=st.floats(min_value=0, exclude_min=True, allow_infinity=False), start=st.integers(0, 10**9))
def test_parameters_survive_their_repr(epsilon: float, start: int) -> None:
    attack = IPM(epsilon=epsilon, start_round=start)
    assert registry.build("attack", repr(attack)) == attack


def test_unknown_kinds() -> None:
    for ask in (registry.catalogue, registry.find):
        with pytest.raises(UnknownNameError, match="Did you mean 'defense'"):
            ask("defence")


def test_the_catalogue_tells_a_line_about_everything() -> None:
    for kind in registry.kinds():
        entries = registry.catalogue(kind)
        assert entries
        assert all(name and line and "\n" not in line for name, line in entries), kind


@pytest.fixture
def entries(fresh_registry: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_entries(*points: EntryPoint) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])

    return set_entries


def point(value: str, kind: str = "defense") -> EntryPoint:
    return EntryPoint("x", value, f"robustfl.{kind}s")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:X", r"cannot be loaded \(ModuleNotFoundError"),
        ("robustfl.defenses:NoSuchClass", r"cannot be loaded \(AttributeError"),
        ("json:dumps", "no concrete robustfl.aggregation.defense.Defense"),
        ("robustfl.attacks:IPM", "no concrete robustfl.aggregation.defense.Defense"),
        ("robustfl.aggregation:Aggregator", "no concrete robustfl.aggregation.defense.Defense"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_reported_and_left_out(value: str, reason: str, entries: Any) -> None:
    own = set(registry.find("defense"))
    registry.find.cache_clear()
    entries(point(value))
    with pytest.warns(UserWarning, match=reason):
        found = registry.find("defense")
    assert set(found) == own


def test_a_module_that_exits_when_imported_is_only_a_broken_entry_point(
    entries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exits_when_imported.py").write_text("raise SystemExit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries(point("exits_when_imported:X"))
    with pytest.warns(UserWarning, match=r"cannot be loaded \(SystemExit: 7\)"):
        assert "krum" in registry.find("defense")


def test_a_taken_name_stays_with_the_project(entries: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usurper_of_krum.py").write_text("from robustfl.defenses import Mean\nclass Krum(Mean): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries(point("usurper_of_krum:Krum"))
    with pytest.warns(UserWarning, match="'krum' is taken"):
        assert registry.find("defense")["krum"] is Krum


def test_a_class_that_is_named_twice_is_no_conflict(entries: Any, recwarn: pytest.WarningsRecorder) -> None:
    entries(point("robustfl.defenses:Krum"))
    assert registry.find("defense")["krum"] is Krum
    assert not recwarn.list


def test_broken_scenario_packages_leave_the_catalogue_whole(entries: Any) -> None:
    entries(point("no_such_package", "scenario"))
    with pytest.warns(UserWarning, match="robustfl.scenarios: no_such_package cannot be loaded"):
        assert "smoke" in registry.scenario_files()


def test_components_only_in_the_folders() -> None:
    for kind in COMPONENTS:
        assert all(issubclass(cls, Component) for cls in registry.find(kind).values())
