"""Shapes are read from the types that code is written against, so that nothing is declared twice."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import pytest
from annotated_types import Len

from robustfl.errors import StoreError
from robustfl.evaluation.results.schema import RECORD, SUMMARY
from robustfl.evaluation.results.shapes import Maybe, Shape, require_shape, selected, shape_of


class Inner(TypedDict):
    number: float
    text: NotRequired[str | None]


class Outer(Inner):
    version: Annotated[int, Shape(7)]
    pair: Annotated[list[float], Len(2, 2)] | None
    inner: NotRequired[list[Inner]]
    by_name: dict[str, Inner]
    anything: dict[str, Any]


def test_a_shape_is_that_of_the_type() -> None:
    inner = {"number": float, "text?": Maybe(str)}
    assert shape_of(Outer) == {
        **inner,
        "version": 7,
        "pair": Maybe((float, float)),
        "inner?": [inner],
        "by_name": {"*": inner},
        "anything": dict,
    }
    with pytest.raises(TypeError, match="should be of a TypedDict"):
        shape_of(set[int])


VALID: dict[str, Any] = {"number": 1, "version": 7, "pair": [0, 1], "by_name": {"x": {"number": 2.5}}, "anything": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": True}, r"`o\.number` should be a finite number\. Found True"),
        ({"number": float("inf")}, "should be a finite number"),
        ({"version": 8}, r"`o\.version` should be 7\. Found 8"),
        ({"pair": [1]}, r"`o\.pair` should be a list of 2"),
        ({"inner": [{}]}, r"`o\.inner\[0\]\.number` is missing"),
        ({"by_name": {"x": None}}, r"`o\.by_name\.x` should be an object"),
        ({"text": 3}, r"`o\.text` should be a text"),
        ({"anything": []}, "should be an object"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    require_shape(VALID, shape_of(Outer), "o")
    with pytest.raises(StoreError, match=message):
        require_shape({**VALID, **change}, shape_of(Outer), "o")


def test_a_part_of_a_shape_is_selected_by_names_and_required() -> None:
    found = selected(shape_of(Outer), {"inner": {"text": None}, "pair": None, "by_name": {"number": None}})
    assert found == {
        "inner": [{"text": Maybe(str)}],
        "pair": Maybe((float, float)),
        "by_name": {"*": {"number": float}},
    }
    with pytest.raises(KeyError):
        selected(shape_of(Outer), {"other": None})


def test_what_older_versions_may_lack_is_optional() -> None:
    assert {key for key in SUMMARY if key.endswith("?")} == {
        f"{key}?" for key in ("side_effects", "targeted", "faults", "privacy", "exhibits", "triggers", "claims")
    }
    assert {key for key in RECORD if not key.endswith("?")} == {"schema", "trial", "status", "labels", "seed", "f"}
