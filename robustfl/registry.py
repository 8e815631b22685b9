"""Finds defenses, attacks, data sets, models, partitions, topologies, report formats and scenarios by name.

Names come from the project's own folders and from entry points of other distributions. An entry point names one class
in the groups `robustfl.defenses`, `robustfl.attacks`, `robustfl.data`, `robustfl.models`, `robustfl.partitions`,
`robustfl.topologies` and `robustfl.reports`, and one package with YAML files in the groups `robustfl.scenarios` and
`robustfl.suites` (attack lists). `file.py:Class` names a class in a file, which is registered nowhere.

>>> from robustfl import registry
>>> registry.build("defense", "NNM(f=2) >> TrimmedMean(f=2)")
NNM(f=2) >> TrimmedMean(f=2)
>>> registry.get("attack", "ipm").__name__
'IPM'
"""

from __future__ import annotations

import ast
import inspect
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, cast

from robustfl.components import Component
from robustfl.errors import ParameterError, RobustflError, UnknownNameError, did_you_mean
from robustfl.own_files import Reference, is_reference, named

_FOLDERS = {
    "defense": "robustfl.defenses",
    "attack": "robustfl.attacks",
    "report": "robustfl.reports",
    "data": "robustfl.federation.data.data_sets",
    "model": "robustfl.federation.models.architectures",
    "partition": "robustfl.federation.data.partitions",
    "topology": "robustfl.federation.graphs",
}
_CONTRACTS = {
    "defense": ("robustfl.aggregation.defense", ("Defense",)),
    "attack": ("robustfl.threats", ("Attack", "Evasion", "Fault", "Identities", "Placement", "PrivacyAttack")),
    "report": ("robustfl.evaluation.results.reporting", ("ReportFormat",)),
    "data": ("robustfl.federation.data.dataset", ("Data",)),
    "model": ("robustfl.federation.models.architectures", ("Model",)),
    "partition": ("robustfl.federation.data.partitions", ("Partition",)),
    "topology": ("robustfl.federation.graphs", ("GraphFamily",)),
}
"""The classes, of which an entry point of a kind has to be a subclass of at least one, with their module."""
_FILES = {"scenario": "robustfl.scenarios", "suite": "robustfl.attacks"}
"""The kinds of things that are YAML files, and the packages that hold the project's own files."""
_PLURALS = {"data": "data", "topology": "topologies"}
"""The plural words that are not the kind with an s."""


def plural(kind: str) -> str:
    """The word for several things of a kind, as in `robustfl list defenses` and in the names of entry points."""
    return _PLURALS.get(kind, f"{kind}s")


_BEFORE = {
    "defense": "pre-aggregations and mechanisms stand before a rule that makes one update of many, as in nnm >> krum.",
    "attack": "identities, placements and poisonings of data stand before an attack, as in clones >> alie.",
}
"""Kind -> what a list of its components is for; of other kinds there are no lists."""

_GROUPS = {kind: f"robustfl.{plural(kind)}" for kind in (*_FOLDERS, *_FILES)}


def kinds() -> tuple[str, ...]:
    """The kinds of things that have names."""
    return (*_FOLDERS, *_FILES)


def component_kinds() -> tuple[str, ...]:
    """The kinds of things that are classes, not files."""
    return tuple(_FOLDERS)


@cache
def find(kind: str) -> dict[str, type[Component]]:
    """All classes of a kind by name: first the project's own, then those of other distributions."""
    if kind not in _FOLDERS:
        raise UnknownNameError(f"There is no kind {kind!r} of component. {did_you_mean(kind, _FOLDERS)}")
    found: dict[str, type[Component]] = {}
    for value in vars(import_module(_FOLDERS[kind])).values():
        if inspect.isclass(value) and issubclass(value, Component) and not _is_contract(value):
            found.setdefault(value.name, value)
    for point in entry_points(group=_GROUPS[kind]):
        loaded = _load(point, kind)
        if loaded is None:
            continue
        if loaded.name in found and found[loaded.name] is not loaded:
            warnings.warn(f"{point.group}: {point.value} is ignored, {loaded.name!r} is taken.", stacklevel=2)
            continue
        found[loaded.name] = loaded
    return found


def get(kind: str, name: str) -> type[Component]:
    """The class with this name; `TrimmedMean`, `trimmed_mean` and `trimmed-mean` are the same name.

    `file.py:Class` is a class of a file. Raises UnknownNameError when there is no such class, ParameterError when there
    is no such file, or what it defines is of another kind.
    """
    if is_reference(name):
        return _own(kind, Reference.read(name))
    wanted = folded(name)
    for known, cls in find(kind).items():
        if folded(known) == wanted or folded(cls.__name__) == wanted:
            return cls
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    hint = did_you_mean(name, find(kind))
    if ":" in name or ".py" in name:
        hint = "A class of a file is `file.py:Class`, with parameters `{file.py:Class: {parameter: value}}`."
    raise UnknownNameError(f"There is no {kind} named {shown!r}. {hint}")


def build(kind: str, spec: Any, **defaults: Any) -> Any:
    """A component from a name, an expression like `NNM(f=2) >> Krum(f=2)`, or `{name: {parameter: value}}`.

    `defaults` gives values for parameters that the component has but the specification does not mention.
    """
    stages: list[Any] = [make(kind, name, parameters, **defaults) for name, parameters in parse(spec)]
    whole = stages[-1]
    for stage in reversed(stages[:-1]):
        try:
            whole = stage >> whole
        except TypeError as error:  # what Python raises where neither of the two knows the other
            reason = _BEFORE.get(kind, f"nothing stands before a {kind}.")
            raise ParameterError(f"{stage} cannot stand before {whole}: {reason}") from error
    return whole


def make(kind: str, name: str, parameters: dict[str, Any], **defaults: Any) -> Component:
    """One component from its name and parameters.

    Raises ParameterError when a parameter is missing or unknown, and names the nearest known parameters.
    """
    cls = get(kind, name)
    known = [parameter.name for parameter in cls.declared_parameters()]
    for given in parameters:
        if given not in known:
            raise ParameterError(f"{cls.__name__} has no parameter {given!r}. {did_you_mean(given, known)}".strip())
    missing = [p.name for p in cls.declared_parameters() if p.required and p.name not in {**parameters, **defaults}]
    if missing:
        raise ParameterError(f"{cls.__name__} needs {', '.join(f'`{name}`' for name in missing)}.")
    filled = {key: value for key, value in defaults.items() if key in known}
    return cls(**{**filled, **parameters})


def parse(spec: Any) -> list[tuple[str, dict[str, Any]]]:
    """The stages of a specification as (name, parameters); only literals are evaluated."""
    if isinstance(spec, list | tuple):
        if not spec:
            raise ParameterError("An empty list is no pipeline.")
        return [stage for part in spec for stage in parse(part)]
    if isinstance(spec, dict):
        if len(spec) != 1:
            found = ", ".join(repr(key) for key in spec) or "none"
            raise ParameterError(f"A component is `name` or `{{name: {{parameter: value}}}}`. Found the keys {found}.")
        name, parameters = next(iter(spec.items()))
        if parameters is not None and not isinstance(parameters, dict):
            raise ParameterError(
                f"The parameters of {name!r} should be a mapping, as in `{{{name}: {{parameter: value}}}}`. Found "
                f"{parameters!r}. `robustfl describe {name}` lists them."
            )
        return [(str(name), {str(key): value for key, value in (parameters or {}).items()})]
    if not isinstance(spec, str):
        raise ParameterError(f"A component is a name or a mapping. Found {spec!r}.")
    try:
        return _stages(ast.parse(spec.strip(), mode="eval").body)
    except ParameterError:
        raise
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # the last two come from extreme nesting
        return [(spec, {})]


def scenario_files() -> dict[str, Traversable]:
    """The files of the catalogue of scenarios by name: the project's own, then those of other distributions."""
    return _files("scenario")


def suite_files() -> dict[str, Traversable]:
    """The files of the frozen attack lists by name: the project's own, then those of other distributions.

    The name of `standard_v1.yaml` is `standard-v1`.
    """
    return {name.replace("_", "-"): file for name, file in _files("suite").items()}


def _files(kind: str) -> dict[str, Traversable]:
    packages = [import_module(_FILES[kind])]
    packages += [module for point in entry_points(group=_GROUPS[kind]) if (module := _module(point)) is not None]
    found: dict[str, Traversable] = {}
    for package in packages:
        for entry in sorted(files(package).iterdir(), key=lambda item: item.name):
            if entry.name.endswith(".yaml"):
                found.setdefault(entry.name.removesuffix(".yaml"), entry)
    return found


def _stages(node: ast.expr) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.RShift):
        return _stages(node.left) + _stages(node.right)
    if isinstance(node, ast.Name):
        return [(node.id, {})]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
        given = [str(keyword.arg) for keyword in node.keywords]
        for name in given:
            if given.count(name) > 1:
                raise ParameterError(f"{node.func.id} is given `{name}` more than once.")
        return [(node.func.id, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords})]
    raise ValueError


def _load(point: EntryPoint, kind: str) -> type[Component] | None:
    """The class behind an entry point, or None after a warning, so that one broken plug-in does not break the rest."""
    loaded = _module(point)
    if loaded is None:
        return None
    lacking = _lacking(kind, loaded)
    if lacking:
        warnings.warn(f"{point.group}: {point.value} is ignored, it is no concrete {lacking}.", stacklevel=3)
        return None
    return cast(type[Component], loaded)


def _own(kind: str, reference: Reference) -> type[Component]:
    """The class of a file."""
    if kind not in _FOLDERS:
        raise UnknownNameError(f"There is no kind {kind!r} of component. {did_you_mean(kind, _FOLDERS)}")
    loaded = reference.load()
    lacking = _lacking(kind, loaded)
    where = f"{reference.file}: `{reference.name}`"
    if lacking:
        raise ParameterError(f"{where} should be a concrete {lacking}. {_found(loaded)}.")
    undeclared = _undeclared(loaded)
    if undeclared:
        raise ParameterError(
            f"{where} has {undeclared}, which only a dataclass tells. Write @dataclass(frozen=True, kw_only=True) "
            "above the class, and its parameters as fields."
        )
    return cast(type[Component], loaded)


def _found(loaded: Any) -> str:
    """What is in a file in place of a class of the right kind, in words."""
    if not inspect.isclass(loaded):
        return "Found a function" if inspect.isfunction(loaded) else f"Found {loaded!r}"
    lacking = sorted(getattr(loaded, "__abstractmethods__", ()))
    if lacking:
        return f"Found a class that lacks {', '.join(lacking)}"
    return f"Found a class that derives from {', '.join(base.__name__ for base in loaded.__bases__)}"


def _undeclared(cls: Any) -> str:
    """What a class of a file takes or holds without being a dataclass, in words; empty if that is nothing.

    Nobody could tell its parameters: suites would not fill in `f`, and records not hold it.
    """
    for own in cls.__mro__:
        if named(own.__module__, own.__qualname__) is None or "__dataclass_fields__" in vars(own):
            continue
        told = inspect.get_annotations(own).items()
        fields = [name for name, kind in told if "ClassVar" not in str(kind)]
        if fields or "__init__" in vars(own):
            return f"the parameters {', '.join(fields)}" if fields else "an __init__ of its own"
    return ""


def _lacking(kind: str, loaded: Any) -> str:
    """The contracts of a kind, if what was loaded fulfils none of them; else an empty text."""
    module, names = _CONTRACTS[kind]
    contracts = tuple(getattr(import_module(module), name) for name in names)
    if inspect.isclass(loaded) and issubclass(loaded, contracts) and not inspect.isabstract(loaded):
        return ""
    return " or ".join(f"{module}.{name}" for name in names)


def _module(point: EntryPoint) -> Any:
    """What an entry point names, or None after a warning, also when the code exits while it is imported."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        warnings.warn(f"{point.group}: {point.value} cannot be loaded ({type(error).__name__}: {error}).", stacklevel=3)
        return None


def _is_contract(cls: type[Component]) -> bool:
    return inspect.isabstract(cls) or cls is Component


def folded(name: str) -> str:
    """A name without what does not tell names apart: `TrimmedMean`, `trimmed_mean` and `trimmed-mean` are one."""
    return name.replace("_", "").replace("-", "").lower()


def describe(cls: type[Component], rows: int = 100, clip: float = 1.0) -> dict[str, Any]:
    """The facts about a component as JSON values: name, docstring, parameters and the metadata of its kind.

    The sensitivity of a defense is that for so many rows, each clipped to a length.
    """
    facts: dict[str, Any] = {
        "name": cls.name,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "summary": cls.summary(),
        "documentation": inspect.cleandoc(cls.__doc__ or ""),
        "parameters": [parameter.describe() for parameter in cls.declared_parameters()],
        "reference": cls.reference,
    }
    requires = getattr(cls, "requires", None)
    if requires is not None:
        a, b = requires
        facts |= {key: getattr(cls, key) for key in ("family", "guarantee", "breakdown", "channel")}
        facts["needs_f"] = any(parameter["name"] == "f" for parameter in facts["parameters"])
        facts["requires"] = f"n >= {a}f + {b}" if a else f"n >= {b}"
        facts["stateful"] = bool(getattr(cls, "state_keys", ()))
        facts["sensitivity"] = sensitivity(cls, rows, clip)
        against = [name for name, attack in find("attack").items() if cls.name in getattr(attack, "made_for", ())]
        facts |= {"attacks_made_for_it": against} if against else {}
    knowledge = getattr(cls, "knowledge", None)
    if knowledge is not None:
        facts |= {"knowledge": knowledge.names(), "surface": getattr(cls, "surface", "")}
        made_for = getattr(cls, "made_for", ())
        facts |= {"made_for": list(made_for)} if made_for else {}
    elif getattr(cls, "surface", ""):  # identities, faults
        facts["surface"] = getattr(cls, "surface", "")
    if requires is not None or "surface" in facts:  # what derives from a rule may have mended what it is unfit for
        facts["unfit"] = vars(cls).get("unfit", "")
    return facts


def sensitivity(cls: Any, rows: int, clip: float) -> dict[str, Any]:
    """How far one of `rows` rows can move the answer of a defense, as JSON values; see `Aggregator.sensitivity`.

    Parameters without a default get an example: a tenth of the rows for a whole number such as f, and the clip for a
    length. A pre-aggregation is told in front of the mean.
    """
    from robustfl.aggregation import Aggregator, PreAggregation

    needed = [parameter for parameter in cls.declared_parameters() if parameter.required]
    given = {p.name: rows // 10 if p.kind is int else clip for p in needed if p.kind in (int, float)}
    facts: dict[str, Any] = {"n": rows, "clip": clip, "parameters": given}
    facts |= {"value": None, "formula": "", "reason": cls.no_sensitivity, "public": []}
    if not issubclass(cls, Aggregator | PreAggregation):
        return facts
    if len(given) < len(needed):
        return {**facts, "reason": "it depends on parameters that have no default; ask `sensitivity` of a rule"}
    try:
        made = cls(**given)
    except ParameterError as error:  # the example is outside of what the parameter may be
        return {**facts, "reason": f"there is none for this example: {error}"}
    rule = made >> build("defense", "mean") if isinstance(made, PreAggregation) else made
    found = rule.sensitivity_bound(rows, clip)
    told = {"value": found.value, "formula": found.formula, "reason": found.reason, "public": list(found.public)}
    return {**facts, **told, "in_front_of": "mean" if rule is not made else ""}


def catalogue(kind: str) -> list[tuple[str, str]]:
    """The name and the one-line summary of everything of a kind."""
    if kind in _FILES:
        found = scenario_files() if kind == "scenario" else suite_files()
        return [(name, _file_summary(file)) for name, file in found.items()]
    if kind not in _FOLDERS:
        raise UnknownNameError(f"There is no kind {kind!r}. {did_you_mean(kind, kinds())}")
    return [(name, cls.summary()) for name, cls in find(kind).items()]


def traits() -> list[dict[str, str]]:
    """The rows of the list of defenses: a few words per column that tell one defense from another."""
    return [
        {
            "defense": name,
            "family": facts["family"],
            "requires": facts["requires"],
            "breakdown": facts["breakdown"],
            "needs f": "yes" if facts["needs_f"] else "",
            "memory": "yes" if facts["stateful"] else "",
            "channel": facts["channel"],
            "": facts["summary"].partition(":")[0].removesuffix("."),
        }
        for name, cls in find("defense").items()
        for facts in (describe(cls),)
    ]


def _file_summary(file: Traversable) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("description:"):
            return line.removeprefix("description:").strip().strip("\"'")
    raise RobustflError(f"The file {file.name} has no `description:` line.")
