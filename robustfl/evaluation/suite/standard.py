"""Standard suites of attacks: frozen attack lists that every defense of a run must meet. Scores carry their hash.

A standard suite is a YAML file in the folder of the attacks, or in a package that another distribution names in the
entry points `robustfl.suites`. A suite asks for it by name, `standard: standard-v1`:

    name: standard-v1
    description: one line for the catalogue
    attacks: [...]    # against every defense whose messages they fit
    tailored: [...]   # each only against the defenses that it is made for

It has no parameters: its name fixes its content, and two scores can be compared only if the hashes are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from annotated_types import Len
from pydantic import ValidationError

from robustfl import registry
from robustfl.errors import ScenarioError, UnknownNameError, did_you_mean
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.specs import canonical, reader, writer
from robustfl.evaluation.suite.yaml import read_yaml
from robustfl.federation.settings import Settings
from robustfl.threats import Attack, PlacedAttack, SybilAttack
from robustfl.threats.staging import stages

Opponent = Attack | SybilAttack
PEERS = "standard-peers-v1"
"""The standard suite whose attacks an evaluation in a network without a server needs."""

_Opponent = Annotated[Any, reader("attack"), writer]


@dataclass(frozen=True, kw_only=True)
class Standard:
    """A standard suite: its attacks in order, and separately the attacks that are made for some defenses."""

    name: str
    description: str
    attacks: tuple[Opponent, ...]
    tailored: tuple[Opponent, ...]

    @cached_property
    def hash(self) -> str:
        """The hash of all attacks with their hyper-parameters and of which are tailored; the order does not matter."""
        lists = {"attacks": self.attacks, "tailored": self.tailored}
        return content_hash({key: sorted(content_hash(canonical(a)) for a in found) for key, found in lists.items()})

    def report(self) -> dict[str, Any]:
        """The standard suite as JSON values."""
        return {
            "name": self.name,
            "description": self.description,
            "hash": self.hash,
            "attacks": [canonical(attack) for attack in self.attacks],
            "tailored": [{"attack": canonical(attack), "made_for": made_for(attack)} for attack in self.tailored],
        }

    def __str__(self) -> str:
        lines = [f"{self.name} (suite of attacks, hash {self.hash})", "", self.description, "", "Against every defense"]
        lines += [f"  {attack!r}" for attack in self.attacks]
        if self.tailored:
            lines += ["", "Against the defenses that they are made for"]
            lines += [f"  {attack!r}: {', '.join(made_for(attack))}" for attack in self.tailored]
        return "\n".join(lines)


class _File(Settings):
    """The content of a standard suite's file."""

    name: str
    description: str
    attacks: Annotated[tuple[_Opponent, ...], Len(1)]
    tailored: tuple[_Opponent, ...] = ()


def load_standard(name: str) -> Standard:
    """The standard suite of that name.

    Raises
    ------
    UnknownNameError : there is no suite of that name
    ScenarioError : its file is not valid: it has unknown keys or another name, or an attack is listed twice, does not
        act on the training, or is listed as tailored but made for no defense
    """
    known = registry.suite_files()
    if name not in known:
        raise UnknownNameError(f"There is no standard suite named {name[:60]!r}. {did_you_mean(name, known)}")
    where = f"The standard suite {name}"
    try:
        content = _File.model_validate(read_yaml(known[name].read_text(encoding="utf-8"), where))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(map(str, first["loc"])) or "top level"
        raise ScenarioError(f"{where}: {path}: {first['msg'].removeprefix('Value error, ')}") from None
    if content.name != name:
        raise ScenarioError(f"{where}: `name` should be that of its file. Found {content.name!r}.")
    for attack in (*content.attacks, *content.tailored):
        if not isinstance(attack, Opponent | PlacedAttack):
            raise ScenarioError(f"{where}: {attack!r} is no attack on the training. Leave it out.")
    labels = [str(attack) for attack in (*content.attacks, *content.tailored)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ScenarioError(f"{where}: attacks that are listed twice: {', '.join(twice)}.")
    aimless = [attack for attack in content.tailored if not made_for(attack)]
    if aimless:
        raise ScenarioError(f"{where}: {aimless[0]!r} is made for no defense in particular: list it under `attacks`.")
    return Standard(name=name, description=content.description, attacks=content.attacks, tailored=content.tailored)


def made_for(attack: Any) -> tuple[str, ...]:
    """The registered names of the defenses for which an attack, or a stage of it, is made; none for most attacks."""
    parts = (attack,) if isinstance(attack, type) else stages(attack)
    named = [name for stage in parts for name in getattr(stage, "made_for", ())]
    return tuple(dict.fromkeys(map(_registered, named)))


def _registered(name: str) -> str:
    """The name under which a defense is registered, however an attack spells it; the given name if there is none."""
    try:
        return registry.get("defense", name).name
    except UnknownNameError:
        return name
