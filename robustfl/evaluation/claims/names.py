"""What the names in a measure stand for: the defenses, attacks, worlds and numbers of clients of one suite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robustfl import registry
from robustfl.components import Component
from robustfl.errors import RobustflError, UnknownNameError, did_you_mean
from robustfl.evaluation.claims.language import Argument, Expression, Reading
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.measures import known_measures
from robustfl.evaluation.specs import DefenseTemplate
from robustfl.threats.staging import stages


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The cells of the results that a reading uses: labels, and the number of malicious clients in each world.

    With a `fault` of the fault suite nobody attacks, and the numbers of malicious clients mean nothing.
    """

    worlds: tuple[str, ...]
    defense: str
    attack: str
    f: Mapping[str, int]
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class Names:
    """Everything in a suite that a measure can name; `grids` are the numbers of malicious clients of each world.

    `faults` are those of the fault suite.
    """

    defenses: Sequence[DefenseTemplate]
    attacks: Sequence[Component]
    grids: Mapping[str, tuple[int, ...]]
    faults: Sequence[Component] = ()

    def place(self, measure: Expression, reading: Reading) -> Cells:
        """The cells that a reading of the measure asks for; :class:`MeasureError` if the suite has no such cells.

        Without `world` all worlds count. Without `attack` nobody attacks, and the default of `f` is the smallest number
        in the grid of each world.
        """
        given = reading.arguments
        if "name" in given and given["name"].text not in known_measures():
            known = did_you_mean(given["name"].text, known_measures())
            raise measure.error(f"There is no measure {given['name'].text!r}. {known}", given["name"])
        label = self._found(measure, given["defense"], "defense", [_Named.defense(t) for t in self.defenses])
        attack = NO_ATTACK
        if "attack" in given and given["attack"].text != NO_ATTACK:
            attack = self._found(measure, given["attack"], "attack", [_Named.attack(a) for a in self.attacks])
        worlds = self._worlds(measure, given.get("world"))
        if "fault" in given:
            for other in ("attack", "f"):
                if other in given:
                    problem = "Faults are played without an attack. Leave `attack` and `f` out."
                    raise measure.error(problem, given[other])
            fault = self._found(measure, given["fault"], "fault", [_Named.fault(one) for one in self.faults])
            return Cells(worlds=worlds, defense=label, attack=attack, f={}, fault=fault)
        return Cells(worlds=worlds, defense=label, attack=attack, f=self._counts(measure, reading, attack, worlds))

    def _found(self, measure: Expression, argument: Argument, kind: str, named: Sequence[_Named]) -> str:
        """The label of the defense, attack or fault that an argument means.

        It has this label or text, or exactly these parameters, or else it is the only one that fits the given ones.
        """
        spec = argument.text
        found = [name for name in named if _folded(spec) in (_folded(name.label), _folded(name.written))]
        try:
            stages = [] if found else registry.parse(spec)
            found = found or [name for name in named if name.fits(stages, exactly=True)]
            found = found or [name for name in named if name.fits(stages, exactly=False)]
        except UnknownNameError:
            found = []  # the error below names what the suite has, which helps more
        except RobustflError as error:
            raise measure.error(str(error), argument) from None
        if not found:
            bare = [name.bare for name in named]
            choices = [name.bare if bare.count(name.bare) == 1 else name.written for name in named]
            known = did_you_mean(spec, choices)
            raise measure.error(f"This suite has no {kind} {spec!r}. {known}".strip(), argument)
        if len(found) > 1:
            several = " or ".join(name.written for name in found)
            raise measure.error(f"This suite has several of that name. Write {several}.", argument)
        return found[0].label

    def _worlds(self, measure: Expression, argument: Argument | None) -> tuple[str, ...]:
        """The labels of all worlds, or of those whose label is or contains the argument."""
        labels = tuple(self.grids)
        if argument is None:
            return labels
        part = re.compile(rf"(?<![\w.]){re.escape(argument.text)}(?![\w.])")
        found = tuple(label for label in labels if argument.text == label or part.search(label))
        if not found or not argument.text:
            known = did_you_mean(argument.text, labels)
            raise measure.error(f"No world of this suite is called or has {argument.text!r}. {known}", argument)
        return found

    def _counts(self, measure: Expression, reading: Reading, attack: str, worlds: tuple[str, ...]) -> dict[str, int]:
        argument = reading.arguments.get("f")
        if argument is None:
            if attack != NO_ATTACK:
                problem = f"With an attack, say how many clients are malicious: f={max(self.grids[worlds[0]])}."
                raise measure.error(problem, reading.arguments["attack"])
            return {world: min(self.grids[world]) for world in worlds}
        f = int(argument.text)
        for world in worlds:
            if f not in self.grids[world]:
                grid = ", ".join(map(str, self.grids[world]))
                where = f" in {world!r}" if len(self.grids) > 1 else ""
                raise measure.error(f"f={f} is not played{where}. `f` should be one of {grid}.", argument)
        if f == 0 and attack != NO_ATTACK:
            raise measure.error("With f=0 nobody attacks. Leave `attack` out, or take a larger f.", argument)
        return dict.fromkeys(worlds, f)


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A defense, attack or fault of the suite: its label, and its stages with the parameters that it is given."""

    label: str
    kind: str
    stages: tuple[tuple[Component, Mapping[str, Any]], ...]

    @classmethod
    def defense(cls, template: DefenseTemplate) -> _Named:
        stages = [(registry.make("defense", name, dict(given), f=0), dict(given)) for name, given in template.stages]
        return cls(label=template.label, kind="defense", stages=tuple(stages))

    @classmethod
    def attack(cls, attack: Component) -> _Named:
        parts = tuple((part, _not_default(part)) for part in stages(attack))
        return cls(label=str(attack), kind="attack", stages=parts)

    @classmethod
    def fault(cls, fault: Component) -> _Named:
        return cls(label=str(fault), kind="attack", stages=((fault, _not_default(fault)),))

    @property
    def bare(self) -> str:
        """The names of the stages without their parameters."""
        return " >> ".join(component.name for component, _ in self.stages)

    @property
    def written(self) -> str:
        """A text with which a measure may name it."""
        return " >> ".join(_written(component.name, given) for component, given in self.stages)

    def fits(self, spec: Sequence[tuple[str, dict[str, Any]]], *, exactly: bool) -> bool:
        """Whether this has the stages and parameters of `spec`; with `exactly`, all other parameters are defaults."""
        if len(spec) != len(self.stages):
            return False
        for (name, given), (component, own) in zip(spec, self.stages, strict=True):
            if registry.get(self.kind, name) is not type(component):
                return False
            changed = registry.make(self.kind, name, {**component.parameters(), **given})
            same = _apart_from_f(changed) == _apart_from_f(component)
            open_ = "f" not in given and not exactly  # the suite fills f in, so only a given f is compared
            if not same or (not open_ and given.get("f") != own.get("f")):
                return False
            if exactly and not _is_default(component, given):
                return False
        return True


def _not_default(component: Component) -> dict[str, Any]:
    declared = [(parameter, getattr(component, parameter.name)) for parameter in component.declared_parameters()]
    return {p.name: value for p, value in declared if p.required or value != p.default}


def _is_default(component: Component, given: Mapping[str, Any]) -> bool:
    """Whether all parameters that are not given have their defaults, except for `f`, which a suite fills in."""
    left = [p for p in component.declared_parameters() if p.name not in given and p.name != "f"]
    return all(not p.required and getattr(component, p.name) == p.default for p in left)


def _apart_from_f(component: Component) -> dict[str, Any]:
    return {name: value for name, value in component.parameters().items() if name != "f"}


def _written(name: str, given: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return f"{name}({shown})" if shown else name


def _folded(text: str) -> str:
    return "".join(text.split()).lower()
