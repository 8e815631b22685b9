"""What a report shows, one subject per file; the formats lay it out and know no section by name.

A new section is a file here, with a :class:`~.content.Section` that says when it applies and what it shows, and a line
in :data:`SECTIONS`. Its place in this list is its place on every page. :mod:`.content` describes the parts of content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from robustfl.evaluation.results.reporting import RunResults

from . import head
from .claims import CLAIMS
from .client_data import CLIENT_DATA
from .content import Content, Run, Section, Sheet, World
from .contestants import CONTESTANTS
from .costs import COSTS
from .curves import CURVES
from .detection import DETECTION
from .effort import EFFORT
from .evasion import EVASION
from .failures import FAILURES
from .faults import FAULTS
from .further import FURTHER
from .guide import GUIDE
from .heat_map import HEAT_MAP
from .peers import NETWORKS, PEERS
from .privacy import PRIVACY
from .ranking import RANKING
from .remarks import REMARKS
from .reproduce import REPRODUCE
from .statuses import STATUSES
from .targeted import TARGETED
from .timing import TIMING
from .training import TRAINING
from .worlds import WORLDS

SECTIONS: tuple[Section, ...] = (
    GUIDE,
    RANKING,
    WORLDS,
    NETWORKS,
    STATUSES,
    CLAIMS,
    HEAT_MAP,
    CURVES,
    PEERS,
    TIMING,
    TRAINING,
    CLIENT_DATA,
    EVASION,
    TARGETED,
    FAULTS,
    PRIVACY,
    COSTS,
    DETECTION,
    FURTHER,
    EFFORT,
    REMARKS,
    FAILURES,
    CONTESTANTS,
    REPRODUCE,
)
"""All sections in their order. Neighbouring sections of worlds are shown together under the heading of each world."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section, or a world with the sections about it."""

    key: str
    content: Content
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report: the part above all sections, and the sections that apply."""

    title: str
    description: str
    answer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]


def document(results: RunResults) -> Document:
    """The report of some results, which consists of the sections that apply to them."""
    covered = frozenset(name for section in SECTIONS for name in section.measures)
    run = Run(results=results, covered=covered)
    suite = run.summary["suite"]
    return Document(
        title=suite["name"],
        description=suite["description"] or "",
        answer=tuple(head.answer(run)),
        facts=head.of_run(run),
        parts=tuple(_parts(run)),
    )


def sheets(results: RunResults) -> list[Sheet]:
    """The tables for spreadsheets and data frames; those of sections that do not apply have no rows."""
    run = Run(results=results)
    return [section.sheet(run) for section in SECTIONS if section.sheet is not None]


def _parts(run: Run) -> Iterator[Part]:
    """The sections that apply; neighbouring sections of worlds are grouped by world."""
    for worldly, group in groupby(SECTIONS, key=lambda section: section.of_world is not None):
        own = tuple(group)
        if worldly:
            yield from (_world(world, own) for world in run.worlds)
        else:
            found = ((section.key, section.of_run(run)) for section in own if section.of_run is not None)
            yield from (Part(key=key, content=content) for key, content in found if content is not None)


def _world(world: World, sections: Sequence[Section]) -> Part:
    found = ((section.key, section.of_world(world)) for section in sections if section.of_world is not None)
    parts = (Part(key=f"{world.key}-{key}", content=content) for key, content in found if content is not None)
    return Part(key=world.key, content=head.of_world(world), parts=tuple(parts))
