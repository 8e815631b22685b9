"""Shapes of stored JSON: a shape says what a value must look like, and the check compares the two.

A shape is written as an example of the values that it allows:

* ``{"key": shape}`` requires these keys; other keys are allowed too, and ``"key?"`` may be absent;
* ``{"*": shape}`` allows any keys with such values;
* ``[shape]`` allows a list of any length, and ``(a, b)`` a list of exactly two values;
* ``Maybe(shape)`` also allows null;
* ``float`` allows a finite number, and a literal such as ``1`` allows only this value.

:func:`shape_of` reads the shape of a ``TypedDict`` from its annotations, so that no list of fields is written twice.

>>> require_shape({"rows": [1, 2]}, {"rows": [int]}, "table")
>>> require_shape({"rows": [1, None]}, {"rows": [int]}, "table")
Traceback (most recent call last):
...
robustfl.errors.StoreError: `table.rows[1]` should be an integer. Found None. Repeat the run or its scoring with this \
version of robustfl.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from annotated_types import Len

from robustfl.errors import StoreError


@dataclass(frozen=True)
class Maybe:
    """The shape of a value that may be null."""

    shape: Any


@dataclass(frozen=True)
class Shape:
    """Says in an annotation what the type alone cannot say: ``Annotated[int, Shape(1)]`` allows only the value 1."""

    shape: Any


NUMBER = Maybe(float)


def shape_of(kind: Any) -> Any:
    """The shape of an annotation: a TypedDict, a list, a dict, a plain type, or the union of one of these with None.

    >>> shape_of(list[float | None])
    [Maybe(shape=<class 'float'>)]
    """
    origin, options = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        return dict(_field(name, hint) for name, hint in get_type_hints(kind, include_extras=True).items())
    if origin is Annotated:
        return _annotated(options[0], options[1:])
    if origin in (Union, types.UnionType):
        (single,) = (option for option in options if option is not type(None))
        return Maybe(shape_of(single))
    if origin is list:
        return [shape_of(options[0])]
    if origin is dict:
        return dict if options[1] is Any else {"*": shape_of(options[1])}
    if kind not in _WORDS:
        raise TypeError(f"A stored value should be of a TypedDict, a list, a dict or a plain type. Found {kind!r}.")
    return kind


def selected(shape: Any, names: Any) -> Any:
    """The part of a shape that `names` selects: ``{"key": names, ...}``, where None selects everything below a key.

    The selection passes through lists, mappings and values that may be null. A selected key is required unless its name
    ends with a question mark.
    """
    if names is None:
        return shape
    if isinstance(shape, Maybe):
        return Maybe(selected(shape.shape, names))
    if isinstance(shape, list):
        return [selected(shape[0], names)]
    if "*" in shape:
        return {"*": selected(shape["*"], names)}
    whole = {key.rstrip("?"): inner for key, inner in shape.items()}
    return {key: selected(whole[key.rstrip("?")], below) for key, below in names.items()}


def _field(name: str, hint: Any) -> tuple[str, Any]:
    """A key of a TypedDict with its shape; a question mark at its end says that it may be absent."""
    optional = get_origin(hint) is NotRequired
    return (f"{name}?", shape_of(get_args(hint)[0])) if optional else (name, shape_of(hint))


def _annotated(kind: Any, extras: tuple[Any, ...]) -> Any:
    for extra in extras:
        if isinstance(extra, Shape):
            return extra.shape
        if isinstance(extra, Len) and extra.min_length == extra.max_length:
            return (shape_of(get_args(kind)[0]),) * extra.min_length
    return shape_of(kind)


_WORDS = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false", dict: "an object"}


def require_shape(value: Any, shape: Any, path: str) -> None:
    """Check a value; raise :class:`StoreError` with the path of the first part that does not fit the shape."""
    if isinstance(shape, type):
        _require(_is(value, shape), path, _WORDS[shape], value)
    elif isinstance(shape, Maybe):
        if value is not None:
            require_shape(value, shape.shape, path)
    elif isinstance(shape, dict):
        _require(isinstance(value, dict), path, "an object", value)
        for key, inner in _expected(value, shape, path):
            found = value[key]
            if not _fits(found, inner):
                require_shape(found, inner, f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]")
    elif isinstance(shape, list | tuple):
        _require(isinstance(value, list), path, "a list", value)
        _require(isinstance(shape, list) or len(value) == len(shape), path, f"a list of {len(shape)}", value)
        inners = shape if isinstance(shape, tuple) else shape * len(value)
        for index, (item, inner) in enumerate(zip(value, inners, strict=True)):
            if not _fits(item, inner):
                require_shape(item, inner, f"{path}[{index}]")
    else:
        _require(type(value) is type(shape) and value == shape, path, repr(shape), value)


def _expected(value: Mapping[str, Any], shape: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    """The keys of `value` that the shape mentions, each with its shape."""
    if "*" in shape:
        return [(key, shape["*"]) for key in value]
    found = []
    for key, inner in shape.items():
        if key[-1] == "?":
            if key[:-1] in value:
                found.append((key[:-1], inner))
        elif key in value:
            found.append((key, inner))
        else:
            raise StoreError(f"`{path}.{key}` is missing. {_REMEDY}")
    return found


def _fits(value: Any, shape: Any) -> bool:
    """Whether a value is of a plain type, possibly null: most are, and need no path of their own."""
    if isinstance(shape, Maybe):
        return value is None or _fits(value, shape.shape)
    return isinstance(shape, type) and _is(value, shape)


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


_REMEDY = "Repeat the run or its scoring with this version of robustfl."


def _require(holds: bool, path: str, expected: str, value: Any) -> None:
    if not holds:
        found = repr(value)
        raise StoreError(
            f"`{path}` should be {expected}. Found {found if len(found) < 80 else found[:80] + '…'}. {_REMEDY}"
        )
