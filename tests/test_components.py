"""Declared hyper-parameters: one declaration, from which validation, description and text follow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Doc

from robustfl.attacks import IPM, BadNets, Clones, ModelReplacement
from robustfl.components import ByzantineCount, Component, snake_case
from robustfl.defenses import NNM, Bucketing, Clipping, Krum, TrimmedMean
from robustfl.errors import ParameterError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class RichThing(Component):
    """A thing with every kind of parameter.

    And a longer story.
    """

    f: ByzantineCount
    share: Annotated[float, Gt(0), Le(1), Doc("a share")] = 0.5
    count: Annotated[int | None, Ge(1), Lt(100), Doc("a count")] = None
    mode: Annotated[Literal["auto"] | float, Gt(0), Doc("a radius")] = "auto"
    sizes: Annotated[tuple[int, ...], Doc("sizes")] = (1, 2)
    odds: Annotated[tuple[Annotated[float, Ge(0)], ...], Doc("odds")] = ()
    on: Annotated[bool, Doc("a switch")] = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Renamed(Component):
    name: ClassVar[str] = "other"
    label: ClassVar[str] = "Other thing"


def test_values_are_brought_to_their_kind_without_loss() -> None:
    thing = RichThing(f=np.int64(2), share=Fraction(1, 4), count=np.int32(3), mode=2, sizes=[3, 4])  # type: ignore[arg-type]
    assert thing == RichThing(f=2, share=0.25, count=3, mode=2.0, sizes=(3, 4))
    assert [type(value) for value in (thing.f, thing.share, thing.count, thing.mode)] == [int, float, int, float]
    assert hash(thing) == hash(RichThing(f=2, share=0.25, count=3, mode=2.0, sizes=(3, 4)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"f": -1}, "RichThing: `f` should satisfy f >= 0. Found f=-1."),
        ({"f": 1.0}, "RichThing: `f` should be an integer. Found f=1.0."),
        ({"f": True}, "RichThing: `f` should be an integer. Found f=True."),
        ({"f": "1"}, "`f` should be an integer. Found f='1'."),
        ({"f": None}, "`f` should be an integer. Found f=None."),
        ({"share": 0}, "`share` should satisfy share > 0. Found share=0"),
        ({"share": 1.5}, "`share` should satisfy share <= 1. Found share=1.5."),
        ({"share": float("nan")}, "`share` should be a number. Found share=nan."),
        ({"share": float("inf")}, "`share` should satisfy share <= 1. Found share=inf."),
        ({"share": 10**400}, "`share` should be a number. Found share=1000"),
        ({"share": 1j}, "`share` should be a number. Found share=1j."),
        ({"share": np.array([0.1, 0.2])}, "`share` should be a number"),
        ({"count": 0}, "`count` should satisfy count >= 1. Found count=0."),
        ({"count": 100}, "`count` should satisfy count < 100. Found count=100."),
        ({"count": 1.5}, "`count` should be an integer or nothing. Found count=1.5."),
        ({"mode": "automatic"}, "`mode` should be one of 'auto' or a number. Found mode='automatic'."),
        ({"mode": -1.0}, "`mode` should satisfy mode > 0. Found mode=-1.0."),
        ({"mode": np.array(["auto", "auto"])}, "`mode` should be one of 'auto' or a number"),
        ({"sizes": "12"}, "`sizes` should be a list of which each is an integer. Found sizes='12'."),
        ({"sizes": [1, 2.5]}, "`sizes` should be a list of which each is an integer. Found sizes=[1, 2.5]."),
        ({"sizes": 3}, "`sizes` should be a list of which each is an integer. Found sizes=3."),
        ({"odds": [0.5, -1.0]}, "RichThing: `odds[1]` should satisfy odds[1] >= 0. Found odds[1]=-1.0."),
        ({"on": 1}, "`on` should be true or false. Found on=1."),
        ({"note": 3}, "`note` should be a text. Found note=3."),
    ],
    ids=str,
)
def test_wrong_values_are_refused_with_name_constraint_and_value(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        RichThing(**{"f": 1, **wrong})
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


SIMPLE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())


@given(value=st.one_of(SIMPLE, st.lists(SIMPLE, max_size=3), st.dictionaries(st.text(), SIMPLE, max_size=2)))
def test_any_value_is_accepted_within_its_limits_or_is_a_parameter_error(value: Any) -> None:
    for name, allowed in {
        "f": lambda found: isinstance(found, int) and found >= 0,
        "share": lambda found: isinstance(found, float) and 0 < found <= 1,
        "count": lambda found: found is None or 1 <= found < 100,
        "mode": lambda found: found == "auto" or found > 0,
        "sizes": lambda found: all(type(item) is int for item in found),
        "odds": lambda found: all(isinstance(item, float) and item >= 0 for item in found),
        "on": lambda found: isinstance(found, bool),
        "note": lambda found: isinstance(found, str),
    }.items():
        try:
            thing = RichThing(**{"f": 0, name: value})
        except ParameterError:
            continue
        assert allowed(getattr(thing, name)), name


def test_what_is_not_declared_or_missing_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'g'"):
        RichThing(f=1, g=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'f'"):
        RichThing()  # type: ignore[call-arg]


def test_parameters_describe_themselves_as_json() -> None:
    described = {p.name: p.describe() for p in RichThing.declared_parameters()}
    assert list(described) == ["f", "share", "count", "mode", "sizes", "odds", "on", "note"]
    assert described["f"] == {
        "name": "f",
        "type": "an integer",
        "required": True,
        "limits": ["f >= 0"],
        "doc": "number of rows that may be Byzantine",
    }
    assert described["share"]["limits"] == ["share > 0", "share <= 1"]
    assert described["share"]["default"] == 0.5
    assert described["count"]["type"] == "an integer or nothing"
    assert json.loads(json.dumps(described))["mode"]["default"] == "auto"


def test_parameters_make_an_equal_object_even_through_json() -> None:
    thing = RichThing(f=3, share=0.125, count=7, mode=1.5, sizes=(4,), odds=(0.5,), on=True, note="x")
    assert RichThing(**json.loads(json.dumps(thing.parameters()))) == thing


def test_text_is_short_and_says_what_differs() -> None:
    assert str(RichThing(f=3)) == "RichThing"
    assert str(RichThing(f=3, share=0.25, on=True)) == "RichThing(share=0.25, on=True)"
    assert str(Renamed()) == "Other thing"
    assert repr(Renamed()) == "Renamed()"
    assert RichThing.summary() == "A thing with every kind of parameter."
    assert (RichThing.name, Renamed.name) == ("rich_thing", "other")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("MultiKrum", "multi_krum"), ("NNM", "nnm"), ("CIFAR10", "cifar10"), ("DnC", "dn_c"), ("FLTrust", "fl_trust")],
)
def test_names_in_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_suggestions_name_the_nearest_or_all() -> None:
    assert did_you_mean("Kurm", ["krum", "mean"]) == "Did you mean 'krum'?"
    assert did_you_mean("zzz", ["krum", "mean"]) == "Known: krum, mean."
    assert did_you_mean("zzz", []) == ""


def test_every_component_knows_its_stages_from_the_left() -> None:
    rule = NNM(f=1) >> Bucketing() >> TrimmedMean(f=1)
    assert rule.stages == (NNM(f=1), Bucketing(), TrimmedMean(f=1))
    assert (NNM(f=1) >> (Clipping() >> Bucketing())).stages == (NNM(f=1), Clipping(), Bucketing())
    attack = Clones(count=2) >> BadNets(target=7) >> ModelReplacement()
    assert attack.stages == (Clones(count=2), BadNets(target=7), ModelReplacement())
    for simple in (Krum(f=1), IPM()):
        assert simple.stages == (simple,)
