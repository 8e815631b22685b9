"""A readable reference of the keys of suites, from the models that read them: nothing is written twice.

>>> page("score").splitlines()[0]
'score: how the records become a score'
>>> "federation.server" in subjects()
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from robustfl import registry
from robustfl.evaluation.specs import PartSchema
from robustfl.evaluation.suite.scenario import Suite
from robustfl.federation.settings import Derived, Settings

REQUIRED = "required"
"""What stands in place of the default of a key that has to be given."""


@cache
def subjects() -> dict[str, tuple[type[Settings], ...]]:
    """The models behind keys, by their paths: `federation`, `federation.server`; `suite` is the whole."""
    return {"suite": (Suite,), **dict(_beneath(Suite, ""))}


def found(name: str) -> str | None:
    """The path of a key that holds keys of its own, given whole or by its last word where that is one key alone."""
    if name in subjects():
        return name
    ends = [path for path in subjects() if path.rpartition(".")[2] == name]
    return ends[0] if len(ends) == 1 else None


def page(path: str) -> str:
    """The keys beneath a path as text: each with its type, its default and what it means."""
    models = subjects()[path]
    lines = [f"{path}: {_lower(_sentence(models[0]))}"]
    for model in models:
        if len(models) > 1:
            lines += ["", _sentence(model)]
        lines += [""]
        lines += [f"  {_line(key, field)}" for key, field in model.model_fields.items()]
    inner = [other for other in subjects() if other.rpartition(".")[0] == ("" if path == "suite" else path)]
    if inner := [other for other in inner if other != "suite"]:
        lines += ["", f"More: {', '.join(f'robustfl describe {other}' for other in inner)}"]
    return "\n".join(lines)


def report(path: str) -> dict[str, Any]:
    """The same as JSON values."""
    keys = {key: _facts(field) for model in subjects()[path] for key, field in model.model_fields.items()}
    return {"name": path, "kind": "key", "documentation": _sentence(subjects()[path][0]), "keys": keys}


def single(name: str) -> tuple[dict[str, Any], str] | None:
    """One key as JSON values and as text, given by its path or by its last word where that is one key alone.

    >>> single("gossip_steps")[1].partition(",")[0]
    'federation.peers.gossip_steps: a whole number >= 1 and <= 1000'
    """
    fields = {
        key if path == "suite" else f"{path}.{key}": field
        for path, models in subjects().items()
        for model in models
        for key, field in model.model_fields.items()
    }
    ends = [name] if name in fields else [path for path in fields if path.rpartition(".")[2] == name]
    if len(ends) != 1:
        return None
    field = fields[ends[0]]
    text = _line(ends[0], field)
    for part in field.metadata:
        if isinstance(part, PartSchema):
            text += f"\n\nNames: robustfl list {registry.plural(part.kind)}"
    return {"name": ends[0], "kind": "key", **_facts(field)}, text


def _line(key: str, field: FieldInfo) -> str:
    return f"{key}: {_kind(field)}, {_default(field)}. {' '.join((field.description or '').split())}"


def _facts(field: FieldInfo) -> dict[str, Any]:
    default = _default(field)
    return {
        "type": _kind(field),
        "required": default == REQUIRED,
        **({} if default == REQUIRED else {"default": default.removeprefix("default ")}),
        "doc": " ".join((field.description or "").split()),
    }


def _beneath(model: type[Settings], path: str) -> Iterator[tuple[str, tuple[type[Settings], ...]]]:
    for key, field in model.model_fields.items():
        inner = tuple(_models(field.annotation))
        if inner:
            own = f"{path}.{key}".lstrip(".")
            yield own, inner
            for one in inner:
                yield from _beneath(one, own)


def _models(annotation: Any) -> Iterator[type[Settings]]:
    """The models in an annotation, which may be optional, one of several, or a tuple of them."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _sentence(model: type[Settings]) -> str:
    """The first line of the documentation of a model."""
    return (model.__doc__ or "").strip().splitlines()[0].rstrip(".")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _default(field: FieldInfo) -> str:
    derived = [one for one in field.metadata if isinstance(one, Derived)]
    if derived:
        return f"default {derived[0].default}"
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Settings):
        return "default: all of its defaults"
    shown = "none" if value is None else "nothing" if value == () else repr(value) if isinstance(value, str) else value
    return f"default {shown}"


def _kind(field: FieldInfo) -> str:
    """The type of a key in words, with its limits."""
    parts = [one for one in field.metadata if isinstance(one, PartSchema)]
    words = _named(parts[0].kind) if parts else _words(field.annotation)
    return _limited(words, field.metadata)


def _named(kind: str) -> str:
    return "a data set" if kind == "data" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kinds = [one.kind for one in arguments[1:] if isinstance(one, PartSchema)]
        return _limited(_named(kinds[0]) if kinds else _words(arguments[0]), arguments[1:])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is tuple:
        return f"a list of {_words(arguments[0])}"
    if origin is not None:
        return " or ".join(dict.fromkeys(_words(one) for one in arguments))
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "keys"
    named = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "none"}
    return named.get(annotation, "a name with its parameters")


def _limited(words: str, metadata: Iterable[Any]) -> str:
    limits = " and ".join(text for one in metadata for text in _limits(one))
    return f"{words} {limits}" if limits else words


def _limits(one: Any) -> Iterator[str]:
    for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        value = getattr(one, attribute, None)
        if isinstance(value, int | float):
            yield f"{sign} {value}"
