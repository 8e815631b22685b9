"""From a YAML file to an experiment: strict reading, `extends`, overrides, and errors that name the key."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from robustfl import registry
from robustfl.errors import RobustflError, ScenarioError, did_you_mean
from robustfl.evaluation.specs import DefenseTemplate, from_canonical
from robustfl.evaluation.suite.mistakes import KeyPath, explain
from robustfl.evaluation.suite.scenario import Experiment, Suite
from robustfl.evaluation.suite.sections import section_at
from robustfl.evaluation.suite.yaml import line_of, read_yaml
from robustfl.own_files import located

_LARGEST_FILE = 100_000  # bytes; reading a file of this size takes a few seconds
_EITHER = {"f", "fractions"}
_CLAIMED = {"task", "federation", "adversary", "defenses", "attacks"}
"""The keys that decide which names a claim may use."""
_TEXTS = {"name", "description", "extends", "claims"}
"""The keys whose values name no parts to build."""


def read_experiment(
    name: str,
    overrides: tuple[str, ...] = (),
    *,
    defenses: Sequence[DefenseTemplate] = (),
    attacks: Sequence[Any] = (),
) -> Experiment:
    """Read the suite of the catalogue with this name, or the suite in the file at this path.

    Parameters
    ----------
    name : a name of the catalogue, or the path of a YAML 1.2 file
    overrides : texts `key.path=value`, whose values are read as YAML; they are applied before anything is checked. A
        section that is given as a mapping is merged with the existing section, at any depth. A component, such as a
        model, is replaced as a whole, even by one of the same name, while a path into it, such as
        `task.model.mlp.hidden=[8]`, keeps its other parameters. `extends` merges in the same way.
    defenses : defenses in place of those of the suite, also such as no name is registered for; its claims, which are
        about its own defenses, are then left out
    attacks : attacks in place of those that the suite lists: texts and mappings as in a file, instances, or functions
        (:class:`~robustfl.threats.updates.function.AttackFromFunction`); its claims are then left out, too

    A part may be `file.py:Class`, a class of a file in the folder of the suite's file, or below; for a suite of the
    catalogue, in that of the process. Reading the suite runs that file.

    Raises
    ------
    ScenarioError : the file is not found, is not YAML, or is not a valid suite; the message names the file and the
        path to each key
    """
    source = _source(name)
    text = _text(source)
    values = _parsed(text, source)
    base = values.get("extends")
    if base is not None:
        extended = _base(base, source)
        parent = _parsed(_text(extended), extended)
        if parent.get("extends") is not None:
            raise ScenarioError(f"{source}: {base!r} itself extends another suite; one level is the limit.")
        parent.pop("claims", None)  # claims are about the worlds, defenses and attacks of that suite
        values = _merged(parent, values)
    for override in overrides:
        values = _overridden(values, override)
    if defenses:
        values = {**values, "defenses": list(defenses), "claims": []}
    if attacks:
        values = {**values, "attacks": list(attacks), "claims": []}
    values.setdefault("name", Path(str(source)).stem)
    folder = source.resolve().parent if isinstance(source, Path) else None
    beside = Path.cwd() if folder is None or name in registry.scenario_files() else folder
    values = {key: value if key in _TEXTS else located(value, beside) for key, value in values.items()}
    keys = [override.partition("=")[0].strip().split(".") for override in overrides]
    try:
        return Experiment(values, changed=any(key[0] in _CLAIMED for key in keys), folder=folder)
    except ValidationError as error:
        raise ScenarioError(f"{source} is not a valid suite:\n{explain(error, _lines(text, keys))}") from None


def _source(name: str) -> Path | Traversable:
    catalogue = registry.scenario_files()
    if name in catalogue:
        return catalogue[name]
    path = Path(name)
    try:
        mode = path.stat().st_mode  # `is_file` tells no reasons, from Python 3.14 on
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        mode = None
    except OSError as error:
        raise ScenarioError(f"There is no scenario named {name[:60]!r}...: {error.strerror}.") from None
    if mode is not None and stat.S_ISREG(mode):
        return path
    if path.suffix in (".yaml", ".yml") or mode is not None:
        raise ScenarioError(f"There is no scenario file at {path}.")
    raise ScenarioError(f"There is no scenario named {name!r}. {did_you_mean(name, catalogue)}")


def _lines(text: str, overridden: list[list[str]]) -> Callable[[KeyPath], int | None]:
    """A function that finds the line of a key, if the text itself holds the key and no override replaced it."""

    def line(path: KeyPath) -> int | None:
        keys = [str(key) for key in path]
        own = not any(keys[: len(key)] == key[: len(keys)] for key in overridden)
        return line_of(text, path) if own else None

    return line


def _base(name: Any, source: Path | Traversable) -> Path | Traversable:
    """The suite that another one extends: it is in the catalogue or in the same folder, never in another folder."""
    catalogue = registry.scenario_files()
    if isinstance(name, str):
        if name in catalogue:
            return catalogue[name]
        if isinstance(source, Path) and name not in ("", "..") and "\\" not in name and Path(name).name == name:
            beside = source.parent / name
            if beside.is_file():
                return beside
    raise ScenarioError(
        f"{source}: `extends` should name a suite of the catalogue or a file in the same folder. Found {name!r}. "
        f"{did_you_mean(str(name), catalogue)}"
    )


def _text(source: Path | Traversable) -> str:
    """The content of a file, which is checked to be small enough for a suite."""
    try:
        with source.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ScenarioError(f"{source} cannot be read: {error.strerror or error}.") from None
    if len(content) > _LARGEST_FILE:
        raise ScenarioError(f"{source} is larger than {_LARGEST_FILE} bytes, which no suite needs.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ScenarioError(f"{source} is not UTF-8 text.") from None


def _parsed(text: str, source: Path | Traversable) -> dict[str, Any]:
    """The text as plain data: YAML 1.2 without tags, aliases or duplicate keys."""
    values = read_yaml(text, str(source))
    if not isinstance(values, dict):
        raise ScenarioError(f"{source} should hold a mapping of keys to values. Found {type(values).__name__}.")
    return values


def _merged(base: dict[str, Any], own: dict[str, Any], model: type[BaseModel] | None = Suite) -> dict[str, Any]:
    """Merge `own` into `base`: sections are merged at any depth, and all other values of `own` replace those of `base`.

    Lists and components are replaced: a component that is written out is complete, and parameters that it leaves out
    have their defaults. If `own` has one of `fractions` and `f`, the other is dropped from the base.
    """
    dropped = _EITHER if _EITHER & own.keys() else set()
    result = {key: value for key, value in base.items() if key not in dropped}
    for key, value in own.items():
        below, section = result.get(key), section_at(model, key)
        if section is not None and isinstance(below, dict) and isinstance(value, dict):
            value = _merged(below, value, section)
        result[key] = value
    return result


def _overridden(values: dict[str, Any], override: str) -> dict[str, Any]:
    """The values after an override replaced the one at its path; a section that is given as a whole is merged."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not path.strip():
        raise ScenarioError(f"--set takes key.path=value. Found {override!r}.")
    return _merged(values, _within_component(values, keys, read_yaml(text, f"--set {override}")))


def _within_component(values: Any, keys: list[str], value: Any) -> dict[str, Any]:
    """A path and a value as nested mappings; a path into a component keeps the component's other parameters.

    `task.model.mlp.hidden=[8]` changes one parameter if the model is an MLP. If it is another model, the path means
    `{mlp: {hidden: [8]}}`.
    """
    nested: Any = value
    model: type[BaseModel] | None = Suite
    for depth, key in enumerate(keys):
        section, below = section_at(model, key), values.get(key) if isinstance(values, dict) else None
        if section is None and len(keys) == depth + 3:
            name, parameter = keys[depth + 1 :]
            nested = {name: {**_parameters(below, name), parameter: value}}
            keys = keys[: depth + 1]
            break
        model, values = section, below
    for key in reversed(keys):
        nested = {key: nested}
    return dict(nested)


def _parameters(spec: Any, name: str) -> dict[str, Any]:
    """The parameters in a specification of the component of this name; none if it specifies another component."""
    try:
        stages = registry.parse(from_canonical(spec))
    except RobustflError:  # it is not a specification, so nothing of it can be kept
        return {}
    return stages[0][1] if len(stages) == 1 and registry.folded(stages[0][0]) == registry.folded(name) else {}
