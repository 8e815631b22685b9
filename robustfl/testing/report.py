"""The result of an examination: one finding per property, and the report of all findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustfl.errors import RobustflError

Status = Literal["held", "violated", "not applicable", "not claimed"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one property.

    Attributes
    ----------
    name, statement : the name of the property, and what it promises
    status : `held` (no counter-example was found), `violated`, `not applicable` or `not claimed`
    reason : what is wrong, or why the property was not examined; empty if it held
    counterexample : the smallest question that shows the violation, as Python code that uses `rule`; else empty
    """

    name: str
    statement: str
    status: Status
    reason: str = ""
    counterexample: str = ""

    def __str__(self) -> str:
        line = f"{self.status:>14}  {self.name}: {self.statement}"
        if self.status == "held":
            return line
        if self.status != "violated":
            return f"{line} ({self.reason})"
        return "\n".join(
            [line, f"    {self.reason.rstrip('.')}:", *("        " + row for row in self.counterexample.split("\n"))]
        )


@dataclass(frozen=True)
class ConformanceReport:
    """All findings about one rule, in the order of the examination.

    Attributes
    ----------
    rule : the text (`repr`) of the rule
    f, least : the number of Byzantine rows and the smallest number of rows with which it was examined
    findings : one finding per property
    """

    rule: str
    f: int
    least: int
    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Finding:
        """The finding about the property with this name."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def named(self, status: Status) -> tuple[str, ...]:
        """The names of the properties with this status."""
        return tuple(finding.name for finding in self.findings if finding.status == status)

    @property
    def violated(self) -> tuple[str, ...]:
        """The names of the violated properties."""
        return self.named("violated")

    @property
    def conforms(self) -> bool:
        """Whether no examined property is violated."""
        return not self.violated

    def summary(self) -> str:
        """One line: how many of the examined properties hold, and at which sizes they were examined."""
        held, violated = len(self.named("held")), len(self.violated)
        return f"{self.rule}: {held} of {held + violated} examined properties hold (f={self.f}, n >= {self.least})"

    def __str__(self) -> str:
        return "\n".join([self.summary(), *map(str, self.findings)])


class ConformanceError(RobustflError, AssertionError):
    """A rule breaks a promise. Test runners see this as a failed assertion; `report` holds all findings."""

    def __init__(self, report: ConformanceReport) -> None:
        broken = [str(finding) for finding in report.findings if finding.status == "violated"]
        super().__init__("\n".join([report.summary(), *broken]))
        self.report = report

    def __reduce__(self) -> tuple[type[ConformanceError], tuple[ConformanceReport]]:
        return ConformanceError, (self.report,)
