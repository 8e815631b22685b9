"""Finds the keys of a suite that hold sections of their own; the models say so, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def section_at(model: type[BaseModel] | None, key: Any) -> type[BaseModel] | None:
    """The model of the section that a key of a model holds, even if it may be left out; None for a single value.

    A list of sections, such as `claims`, is a single value: its items have no keys of their own.
    """
    return _section(_annotation(model, key))


def item_at(model: type[BaseModel] | None, key: Any) -> type[BaseModel] | None:
    """The model of the section, or of each section of the list, that a key of a model holds."""
    found = _annotation(model, key)
    return _section(found) or next((one for option in get_args(found) if (one := _section(option)) is not None), None)


def sections_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """All sections of a model, including those inside sections."""
    for key in model.model_fields:
        section = section_at(model, key)
        if section is not None:
            yield section
            yield from sections_below(section)


def _annotation(model: type[BaseModel] | None, key: Any) -> Any:
    field = None if model is None else model.model_fields.get(key)
    return None if field is None else field.annotation


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of `Section` or of `Section | None`."""
    options = (annotation, *(get_args(annotation) if type(None) in get_args(annotation) else ()))
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)
