"""What is wrong in a suite, one line a key: its path, its line in the file, and what it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from robustfl.errors import did_you_mean
from robustfl.evaluation.suite.scenario import Suite
from robustfl.evaluation.suite.sections import item_at

KeyPath = tuple[int | str, ...]

_WANTED: Mapping[str, str] = {
    "model_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "too_short": "a list with at least {min_length} item",
    "literal_error": "{expected}",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
"""Kind of an error of pydantic -> what the value should be, with the limits that the error names."""

_OPTION = re.compile(r"literal\[.*\]|constrained-\w+|[A-Z]\w*|int|float|str|bool|none")
"""How pydantic names one of several things that a value may be, inside the path of an error; no key looks so."""


def explain(error: ValidationError, line: Callable[[KeyPath], int | None]) -> str:
    """The errors of a validation, one per line, each with the path to its key and a suggestion for an unknown key.

    Where a value may be one of several things, its errors are one: it should be this or that. `line(path)` is the line
    of the file that holds a key; None when it is not known.
    """
    told: dict[KeyPath, tuple[list[str], list[str], Any]] = {}
    items = [(_keys(item), item) for item in error.errors(include_url=False)]
    for path, item in items:
        if item["type"] == "too_short" and any(other[: len(path)] == path != other for other, _ in items):
            continue  # the items exist, and each was refused for its own reason
        wanted, others, _ = told.setdefault(path, ([], [], item["input"]))
        template = _WANTED.get(item["type"])
        if template is None:
            others.append(_message(path, item))
        else:
            wanted.append(template.format(**item.get("ctx", {})))
    lines = []
    for path, (wanted, others, value) in told.items():
        if wanted:
            others = [f"should be {' or '.join(dict.fromkeys(wanted))}. Found {_short(value)}", *others]
        for message in dict.fromkeys(others):
            found = line(path)
            first, *rest = message.split("\n")
            name = ".".join(str(part) for part in path) or "(top level)"
            lines.append("\n".join([f"  {name}: {first}{'' if found is None else f' (line {found})'}", *rest]))
    return "\n".join(lines)


def _keys(item: ErrorDetails) -> KeyPath:
    """The path of an error without the names of options; where a key itself is wrong, the last part may be anything."""
    path = item["loc"]
    own = 1 if item["type"] in ("extra_forbidden", "invalid_key") else 0
    inner = path[: len(path) - own]
    kept = (part for part in inner if not (isinstance(part, str) and _OPTION.fullmatch(part)))
    return (*kept, *path[len(inner) :])


def _message(path: KeyPath, item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return f"unknown key. {did_you_mean(str(path[-1]), _fields_at(path[:-1]))}"
    if item["type"] == "missing":
        return "this key is required"
    if item["type"] == "invalid_key":
        return "a key should be a text"
    return item["msg"].removeprefix("Value error, ")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _fields_at(path: KeyPath) -> list[str]:
    """The known keys of the model at a path of the suite."""
    model: type[BaseModel] | None = Suite
    for key in path:
        if not isinstance(key, int):  # an item of a list has the model of the list
            model = item_at(model, key)
    return list(getattr(model, "model_fields", {}))
