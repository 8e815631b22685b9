"""Functions of other people as parts: what they are called in records, and which modules decide what they do.

A trial is named after its parts, so a part has to have a name that says what it computes: the same in every process and
on every machine. A function at the top of a module has one. A `functools.partial` of it has one too, if its arguments
are plain values, and so has an object that can be called, by its class and its pickled state,
and so do its methods.

>>> from functools import partial
>>> import numpy as np
>>> name_of(np.median), name_of(partial(np.median, axis=0))
('numpy:median', 'numpy:median(axis=0)')
"""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from robustfl.errors import ParameterError
from robustfl.own_files import named

_REMEDY = "Define a function at the top of a module, or a class whose objects can be pickled."


def name_of(function: Any) -> str:
    """What a function is called in records.

    Raises
    ------
    ParameterError : it has no name that says what it computes, such as a lambda or a function inside another one
    """
    if isinstance(function, partial):
        return f"{name_of(function.func)}({_arguments(function)})"
    if inspect.ismethod(function) and not inspect.isclass(function.__self__):
        return f"{name_of(function.__self__)}.{function.__name__}"
    if _is_function(function):
        found = _at_the_top(function)
        if found is None:
            where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
            raise ParameterError(
                f"Trials are named after functions, and {where} cannot be found by its name. {_REMEDY}"
            )
        return found
    try:
        state = hashlib.sha256(pickle.dumps(function, protocol=4)).hexdigest()[:8]
    except Exception as error:  # whatever an object of somebody else does when it is pickled
        raise ParameterError(f"{type(function).__name__} cannot be pickled: {error}. {_REMEDY}") from None
    cls = type(function)
    return f"{named(cls.__module__, cls.__qualname__) or f'{cls.__module__}:{cls.__qualname__}'}#{state}"


def label_of(function: Any) -> str:
    """The short label of tables: the function's own name, with what a partial fixes."""
    if isinstance(function, partial):
        return f"{label_of(function.func)}({_arguments(function)})"
    if inspect.ismethod(function):
        return f"{label_of(function.__self__)}.{function.__name__}"
    return str(getattr(function, "__name__", None) or type(function).__name__)


def modules_of(function: Any) -> tuple[str, ...]:
    """The modules in which a function, or the class of an object that can be called, is defined."""
    if isinstance(function, partial):
        return modules_of(function.func)
    if inspect.ismethod(function):
        return modules_of(function.__self__)
    owner = inspect.unwrap(function) if _is_function(function) else type(function)
    module = getattr(owner, "__module__", None)
    return () if module is None else (str(module),)


def given_function(given: Any) -> Any:
    """The function that is given, itself or as `module:function`.

    Raises ParameterError when it is no function, and no object to call.
    """
    found = function_named(given) if isinstance(given, str) else given
    if not callable(found) or isinstance(found, type):
        raise ParameterError(f"`function` should be a function, or an object to call. Found {found!r}.")
    return found


def function_named(name: str) -> Callable[..., Any]:
    """The function with a name `module:function`.

    Raises
    ------
    ParameterError : there is none, or the name is that of a partial or an object, which is more than a name
    """
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ParameterError(f"`module:function` should name a function. Found {name!r}: {error}.") from None
    if not callable(found) or inspect.isclass(found):
        raise ParameterError(f"`module:function` should name a function. {name!r} is {type(found).__name__}.")
    function: Callable[..., Any] = found
    return function


def accepted_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a function; none where it does not tell them, as compiled ones do not."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _is_function(function: Any) -> bool:
    return inspect.isroutine(function) or hasattr(function, "__qualname__")


def _at_the_top(function: Any) -> str | None:
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or "<" in path or "." in path:
        return None
    try:
        if getattr(import_module(module), path, None) is not function:
            return None
    except ImportError:
        return None
    return named(module, path) or f"{module}:{path}"


def _arguments(function: partial[Any]) -> str:
    """The arguments that a partial fixes, as text."""
    try:
        told = [json.dumps(value, allow_nan=False) for value in function.args]
        told += [f"{name}={json.dumps(value, allow_nan=False)}" for name, value in sorted(function.keywords.items())]
    except (TypeError, ValueError):
        raise ParameterError(
            f"A partial should fix plain values, which records can hold. Found {function!r}."
        ) from None
    return ", ".join(told)
