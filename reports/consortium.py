"""A report for partners who decide together: what was measured, and blanks for what only people can say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from robustfl.evaluation.results.reporting import ReportPage, RunResults
from robustfl.wording import counted

from .markdown import page, told, written
from .markup import escaped
from .sections import Document, Part, document
from .sections.content import Bullets, Facts, Run

RESULTS = ("ranking", "worlds", "claims")
"""The keys of the sections that say what was found, in the order in which they are told here."""

IN_WORLDS = ("targeted", "faults", "privacy", "evasion", "costs", "detection")
"""The keys of those that say it world by world."""

LIMITS = ("statuses", "remarks", "failures")
"""The keys of the sections that say how far that can be trusted."""

KNOWLEDGE = {
    "own": "their own data",
    "updates": "what honest participants send",
    "everything": "everything there is",
}
"""What attackers know, by the keys of the levels."""


@dataclass(frozen=True, kw_only=True)
class Consortium(ReportPage):
    """A Markdown document for a consortium: threat model, who was tested, results, limits, decision.

    It is filled in from the records where they say something. What only people can say, such as who the participants
    are and what follows from the numbers, is a blank that names the question. It is written only when it is asked for.
    """

    filename: ClassVar[str] = "consortium.md"
    asked: ClassVar[bool] = True

    def render(self, results: RunResults) -> str:
        """The document; equal results give equal bytes."""
        run, shown = Run(results=results), document(results)
        return page(
            [
                f"# How robust is it? A report on {escaped(shown.title)}",
                escaped(shown.description),
                _blank("the system that is to be decided about, who asked for this report, who wrote it, and when"),
                "## In short",
                escaped(" ".join(shown.answer)),
                _blank("what follows from that for this consortium, in two sentences"),
                "## Threat model",
                *written([Bullets(entries=tuple((line, ()) for line in _threats(run)))]),
                _blank("which participants could be malicious, and why so many and no more"),
                _blank("what such participants would want, and what they would know of the others"),
                _blank("what is out of scope: who is trusted, and with what"),
                "## Who and what was tested",
                *written([Facts(entries=shown.facts)]),
                *_sections(shown, ("contestants",)),
                _blank(
                    "who the participants are, what data they hold, and how far those resemble the data of this test"
                ),
                "## Results",
                *_sections(shown, RESULTS),
                *(text for part in shown.parts if part.parts for text in _world(part)),
                "## Limits",
                "These numbers hold for the attacks, data and settings that were played, and for no others. They come "
                "from a simulation: implementation, network and people of the real system were not attacked.",
                *_sections(shown, LIMITS),
                _blank("attacks that were discussed and not tried, and why"),
                _blank("differences between this test and the real system that matter"),
                "## Decision",
                _blank("the defense that will be used, with its parameters, f among them"),
                _blank("what is watched while it runs, who looks at it, and what makes the consortium decide again"),
                _blank("names, roles and dates of those who agree"),
                "## How to repeat it",
                *_sections(shown, ("reproduce",)),
            ]
        )


def _blank(question: str) -> str:
    """A place to be filled in by people."""
    return f"> **To be filled in:** {question}.\n>\n> \\_\\_\\_\\_"


def _sections(shown: Document, keys: Sequence[str]) -> list[str]:
    """The sections of these keys that the run has, in this order."""
    found = {part.key: part for part in shown.parts}
    return [text for key in keys if key in found for text in told(found[key], "###")]


def _world(world: Part) -> list[str]:
    """What was found in one world, besides the score."""
    chosen = tuple(part for part in world.parts if part.key.rpartition("-")[2] in IN_WORLDS)
    return told(replace(world, parts=chosen), "###")


def _threats(run: Run) -> Iterator[str]:
    """What the records say about attackers."""
    for world in run.worlds:
        grid = ", ".join(map(str, world.grid))
        yield f"{world.label}: of {counted(world.clients, 'participant')}, {grid} are malicious."
    yield f"{counted(len(run.attacks), 'attack')} were played. All attackers may know the defense."
    last = [own["curve"][-1] for world in run.worlds for own in world.defenses if own["curve"]]
    for level, known in KNOWLEDGE.items():
        counts = [(point.get("levels") or {}).get(level) for point in last]
        met = max((found["attacks"] for found in counts if found), default=0)
        if met:
            yield f"Up to {counted(met, 'attack')} against a defense are of attackers who know no more than: {known}."
