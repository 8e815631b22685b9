"""Defenses that are given in Python, as a class, an instance or a function, where a scenario would name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robustfl.aggregation import Defense, PreAggregation
from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.functions import accepted_names


@dataclass(frozen=True)
class GivenDefense(DefenseTemplate):
    """A defense that a function makes for each number of Byzantine rows; nothing has to be registered under a name."""

    make: Callable[[int], Any]
    title: str = ""
    """The label, where it is not that of the defense."""

    def build(self, f: int) -> Any:
        """The defense for `f` Byzantine rows."""
        return self.make(f)

    @property
    def classes(self) -> tuple[type[Component], ...]:
        """The classes of the stages."""
        return tuple(type(stage) for stage in self.build(0).stages)

    @property
    def label(self) -> str:
        """The short label of tables and plots."""
        return self.title


def given_defense(rule: Any) -> DefenseTemplate:
    """The template of a rule: a text or mapping as in a scenario, a class that is told f, or an instance as it is.

    A function, or another object that can be called, becomes a :class:`FromFunction`, which is told f if it has a
    parameter of this name.

    >>> from robustfl.defenses import MDA
    >>> [given_defense(rule).build(2).f for rule in (MDA, MDA(f=1), "mda")]
    [2, 1, 2]
    >>> given_defense(MDA).label, given_defense(MDA(f=1)).label
    ('MDA', 'MDA(f=1)')

    Raises
    ------
    ParameterError : it is none of these, no complete defense, or a class that needs more than f
    """
    if isinstance(rule, str | dict | list):
        return DefenseTemplate.read(rule)
    if inspect.isclass(rule) and issubclass(rule, Defense):
        known = [parameter.name for parameter in rule.declared_parameters()]
        missing = [p.name for p in rule.declared_parameters() if p.required and p.name != "f"]
        if missing or inspect.isabstract(rule):
            needed = f"It needs {', '.join(missing)}" if missing else "It is abstract"
            raise ParameterError(f"{rule.__name__} cannot be made from f alone. {needed}: give an instance.")
        return made(lambda f: rule(**({"f": f} if "f" in known else {})))
    if isinstance(rule, Defense):
        f = rule.byzantine
        return made(lambda _: rule, title=str(rule) if f is None else _with_f(str(rule), f))
    if callable(rule) and not inspect.isclass(rule):
        from robustfl.aggregation.function import FromFunction  # trials without functions do not depend on it

        told = "f" in accepted_names(rule)
        return made(lambda f: FromFunction(rule, f=f if told else None))
    raise ParameterError(
        "A rule is a text as in a scenario, a subclass of Aggregator, an instance of one, or a function from rows "
        f"[n, d] to one row. Found {rule!r}."
    )


def made(make: Callable[[int], Any], title: str = "") -> GivenDefense:
    """The template of what a function makes of f; its label is that of the defense itself where no title is given."""
    whole = make(0)
    if isinstance(whole, PreAggregation) or not isinstance(whole, Defense):
        raise ParameterError(f"{whole!r} is not a complete defense: end it with an aggregator, such as Mean().")
    stages = tuple((stage.name, tuple(stage.parameters().items())) for stage in whole.stages)
    return GivenDefense(stages=stages, make=make, title=title or str(whole))


def _with_f(label: str, f: int) -> str:
    return f"{label[:-1]}, f={f})" if label.endswith(")") else f"{label}(f={f})"
