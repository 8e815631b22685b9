"""Compares the code, the versions and the data of a machine with those of the driver, before anything is played there.

The fingerprint of a trial tells only whether something differs. A :class:`Look` tells what.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from robustfl.evaluation.run.provenance import data_fingerprint
from robustfl.evaluation.suite.trial import SOURCES, Trial, versions

MOST_NAMED = 6
"""The largest number of differences that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a machine is looked at for: the parts of trials that have code of their own, and the data, by name."""

    parts: Mapping[str, Any]
    data: Mapping[str, Any]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Subject:
        """Everything that these trials use; each class and each data set once."""
        parts: dict[str, Any] = {}
        data: dict[str, Any] = {}
        for trial in trials:
            for part in trial.parts:
                for stage in getattr(part, "stages", (part,)):
                    parts.setdefault(type(stage).__name__, stage)
            source = trial.scenario.task.data
            data.setdefault(str(source), source)
        return cls(parts=parts, data=data)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one machine has: versions by package, hashes of code by the name of a part, and hashes of data by name.

    `machine` is the hash of the code of robustfl that plays any trial.
    """

    versions: Mapping[str, str]
    machine: str
    parts: Mapping[str, str]
    data: Mapping[str, str]

    @classmethod
    def at(cls, subject: Subject, root: Path | None) -> Look:
        """The look of this process.

        Raises DataError where data cannot be read.
        """
        return cls(
            versions={"Python": platform.python_version(), **versions()},
            machine=SOURCES.machine(),
            parts={name: SOURCES.part(part) for name, part in subject.parts.items()},
            data={name: fingerprint_of(data, root) for name, data in subject.data.items()},
        )

    def against(self, other: Look) -> str:
        """What `other` has in another form, in words; empty if nothing differs.

        Of the version of Python, only the first two numbers count.
        """
        found = []
        for name, version in self.versions.items():
            there = other.versions.get(name, "")
            same = _minor(version) == _minor(there) if name == "Python" else version == there
            if not same:
                found.append(f"{name} {there or 'not installed'} in place of {version or 'none'}")
        if self.machine != other.machine:
            found.append("other code of robustfl itself")
        for what, mine, theirs in (("code", self.parts, other.parts), ("data", self.data, other.data)):
            found += [f"other {what} of {name}" for name in mine if mine[name] != theirs.get(name)]
        rest = len(found) - MOST_NAMED
        return ", ".join(found[:MOST_NAMED]) + (f", and {rest} more" if rest > 0 else "")


@lru_cache(maxsize=4)
def fingerprint_of(data: Any, root: Path | None) -> str:
    """The hash of the samples that this process reads, which is computed once."""
    return data_fingerprint(data, root)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
