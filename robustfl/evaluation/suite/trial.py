"""A trial is one scenario and one seed; it is the unit of execution, of caching and of resuming a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from robustfl import __version__
from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.suite.scenario import Scenario
from robustfl.evaluation.suite.sources import Sources


@dataclass(frozen=True)
class Trial:
    """A scenario, a seed, and labels for people; the labels are not part of the trial's identity."""

    scenario: Scenario
    seed: int
    world: str
    defense: str
    attack: str

    @cached_property
    def id(self) -> str:
        """The hash of the complete scenario, the seed and the version of the records' schema."""
        return content_hash({"scenario": self.description, "seed": self.seed, "schema": SCHEMA})

    @cached_property
    def description(self) -> dict[str, Any]:
        """The scenario as JSON values, with every default written out."""
        return self.scenario.model_dump(mode="json")

    def fingerprint(self, data: str) -> str:
        """The hash of everything else that decides the result: the code, the versions, and the data.

        A stored record is reused only while its fingerprint is the same, so a trial that an edit may have changed is
        run again. The code is that of the parts and of the simulation, with everything that they import: helper modules
        count in the same way as the files that define the classes (:mod:`robustfl.evaluation.suite.sources`).
        """
        code = sorted({SOURCES.part(part) for part in self.parts})
        return content_hash([SOURCES.machine(), [*versions().values()], code, data])

    @property
    def parts(self) -> list[Any]:
        """Everything with code of its own: data, model, partition, attacks, faults and the defense."""
        scenario = self.scenario
        parts = [scenario.task.data, scenario.task.model, scenario.task.partition, *scenario.faults, *scenario.evasion]
        parts += [] if scenario.federation.topology is None else [scenario.federation.topology]
        parts += [] if scenario.privacy is None else [*scenario.privacy.attacks]
        return [*parts, *scenario.aims, scenario.defense, *(() if scenario.attack is None else (scenario.attack,))]


SOURCES = Sources()
"""The source files as this process has read them; each file is read once for all trials."""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The versions of robustfl and of the libraries that compute the results; empty for one that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"robustfl": __version__}
    for name in ("numpy", "torch", "scipy", "numba", "opacus"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # numba does not exist on every platform, opacus is an extra
            found[name] = ""
    return found
