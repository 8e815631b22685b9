"""What all things with a name and hyper-parameters have in common.

A component (a defense, an attack, a data set, a model, a partition, a topology) is a frozen keyword-only dataclass.
Each hyper-parameter declares its range and its meaning once, in its annotation. Validation, ``robustfl describe``, the
scenario schema and the tests all read this declaration:

>>> from dataclasses import dataclass
>>> from typing import Annotated
>>> from annotated_types import Gt
>>> from typing_extensions import Doc
>>> @dataclass(frozen=True, kw_only=True)
... class Shrink(Component):
...     factor: Annotated[float, Gt(0), Doc("multiplier")] = 0.5
>>> Shrink(factor=2)
Shrink(factor=2.0)
>>> Shrink(factor=-1)
Traceback (most recent call last):
...
robustfl.errors.ParameterError: Shrink: `factor` should satisfy factor > 0. Found factor=-1.
"""

from __future__ import annotations

import inspect
import math
import numbers
import operator
import re
import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.own_files import named

ByzantineCount = Annotated[int, Ge(0), Doc("number of rows that may be Byzantine")]
"""The annotation of `f` in every rule that needs it."""

_LIMITS: dict[type, tuple[str, str, Callable[[float, float], bool]]] = {
    Ge: (">=", "ge", operator.ge),
    Gt: (">", "gt", operator.gt),
    Le: ("<=", "le", operator.le),
    Lt: ("<", "lt", operator.lt),
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The declaration of one hyper-parameter, as data."""

    name: str
    kind: Any
    required: bool
    default: Any
    limits: tuple[str, ...]
    doc: str

    def describe(self) -> dict[str, Any]:
        """The parameter as plain JSON values, for ``robustfl describe --json``."""
        shown = {"name": self.name, "type": _type_name(self.kind), "required": self.required}
        default = {} if self.required else {"default": _plain(self.default)}
        return {**shown, **default, "limits": list(self.limits), "doc": self.doc}


@dataclass(frozen=True, kw_only=True)
class Component:
    """A thing with a name and with hyper-parameters that are declared and validated.

    Subclasses are frozen keyword-only dataclasses. `name` is the class name in snake case unless a subclass sets it,
    and `file.py:Class` for the class of a file beside a suite (:mod:`robustfl.own_files`).
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    unfit: ClassVar[str] = ""
    """Where it should not be used, as the rest of a sentence that begins with "do not use it"."""
    label_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that the short label shows even when they have their default values."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = named(cls.__module__, cls.__qualname__)
        if own is not None or "name" not in cls.__dict__:
            cls.name = own or snake_case(cls.__name__)
        if "label" not in cls.__dict__:
            cls.label = cls.__name__

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for parameter, limits in _declared(cls):
            value = checked(getattr(self, parameter.name), parameter.kind, limits, cls.__name__, parameter.name)
            object.__setattr__(self, parameter.name, value)

    @classmethod
    def declared_parameters(cls) -> tuple[Parameter, ...]:
        """The declared hyper-parameters in the order of the constructor."""
        own: Any = cls
        return tuple(parameter for parameter, _ in _declared(own))

    def parameters(self) -> dict[str, Any]:
        """The values of the hyper-parameters as JSON values; `type(self)(**parameters)` makes an equal object."""
        return {p.name: _plain(getattr(self, p.name)) for p in self.declared_parameters()}

    @property
    def stages(self) -> tuple[Component, ...]:
        """The simple components that this one is made of, in the order in which they act.

        A simple component is its own only stage; one that is composed with `>>` has the stages of its parts.
        """
        return (self,)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that decide what it does besides those of its classes, such as that of a function it calls."""
        return ()

    def __str__(self) -> str:
        """The short label for tables and plots; it shows `label_parameters` and non-default values, but never `f`."""
        own = [(p, getattr(self, p.name)) for p in self.declared_parameters() if p.name != "f"]
        told = [(p, value) for p, value in own if p.required or p.name in self.label_parameters or value != p.default]
        shown = ", ".join(f"{p.name}={_short(value)}" for p, value in told)
        return f"{self.label}({shown})" if shown else self.label

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return inspect.cleandoc(cls.__doc__ or "").split("\n", 1)[0]


def snake_case(name: str) -> str:
    """A class name in snake case: `multi_krum` for `MultiKrum`, `nnm` for `NNM`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@cache
def _declared(cls: Any) -> tuple[tuple[Parameter, tuple[Any, ...]], ...]:
    """Every constructor field of a component class with its limits; computed once per class."""
    hints = get_type_hints(cls, include_extras=True)
    declared = []
    for field in fields(cls):
        if not field.init:
            continue
        kind, *extras = (
            get_args(hints[field.name]) if get_origin(hints[field.name]) is Annotated else [hints[field.name]]
        )
        limits = tuple(extra for extra in extras if type(extra) in _LIMITS)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        parameter = Parameter(
            name=field.name,
            kind=kind,
            required=default is MISSING,
            default=None if default is MISSING else default,
            limits=tuple(_limit_text(field.name, limit) for limit in limits),
            doc=next((extra.documentation for extra in extras if isinstance(extra, Doc)), ""),
        )
        declared.append((parameter, limits))
    return tuple(declared)


def checked(value: Any, kind: Any, limits: tuple[Any, ...], owner: str, name: str) -> Any:
    """`value` as the declared kind; raises :class:`ParameterError` when it has another kind or exceeds the limits."""
    try:
        result = _cast(value, kind, owner, name)
    except ParameterError:  # it comes from an item of a list, and already says what is wrong
        raise
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{owner}: `{name}` should be {_type_name(kind)}. Found {name}={value!r}.") from None
    if isinstance(result, int | float):
        for limit in limits:
            symbol, attribute, holds = _LIMITS[type(limit)]
            bound = getattr(limit, attribute)
            if not holds(result, bound):
                wanted = f"{name} {symbol} {bound}"
                raise ParameterError(f"{owner}: `{name}` should satisfy {wanted}. Found {name}={value}.")
    return result


def _cast(value: Any, kind: Any, owner: str, name: str) -> Any:
    """`value` converted to a declared kind without loss; raises TypeError or ValueError when that is not possible."""
    origin, options = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return checked(value, options[0], tuple(o for o in options[1:] if type(o) in _LIMITS), owner, name)
    if origin is Literal:
        if value not in options:
            raise ValueError
        return value
    if origin in (Union, types.UnionType):
        return _cast_union(value, options, owner, name)
    if origin is tuple:
        if isinstance(value, str):
            raise TypeError
        return tuple(_cast(item, options[0], owner, f"{name}[{place}]") for place, item in enumerate(value))
    return _cast_scalar(value, kind)


def _cast_union(value: Any, options: tuple[Any, ...], owner: str, name: str) -> Any:
    for option in options:
        try:
            return _cast(value, option, owner, name)
        except (TypeError, ValueError):
            continue
    raise TypeError


def _cast_scalar(value: Any, kind: Any) -> Any:
    if kind is type(None):
        if value is not None:
            raise TypeError
        return None
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError
        return value
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError
        return int(value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or math.isnan(value):
            raise TypeError
        return float(value)
    if not isinstance(value, kind):
        raise TypeError
    return value


def _limit_text(name: str, limit: Any) -> str:
    symbol, attribute, _ = _LIMITS[type(limit)]
    return f"{name} {symbol} {getattr(limit, attribute)}"


def _type_name(kind: Any) -> str:
    """A declared kind in words, such as `an integer` or `one of 'a', 'b'`."""
    simple = {int: "an integer", float: "a number", str: "a text", bool: "true or false", type(None): "nothing"}
    origin, options = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_name(options[0])
    if origin is Literal:
        return "one of " + ", ".join(repr(option) for option in options)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(option) for option in options)
    if origin is tuple:
        return f"a list of which each is {_type_name(options[0])}"
    return simple.get(kind, getattr(kind, "__name__", str(kind)))


def _short(value: Any) -> str:
    """A value as labels show it: `10` for 10.0, `64-32` for (64, 32)."""
    if isinstance(value, tuple):
        return "-".join(_short(item) for item in value) or "none"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
