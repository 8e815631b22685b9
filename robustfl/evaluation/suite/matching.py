"""Which worlds of two runs are the same: those with the same task and federation, whatever they are called.

The label of a world names what differs within its suite, so the same world has another label in a suite with more
worlds. What a world is made of stands in the summary of its run, and in every record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from robustfl.evaluation.hashing import content_hash
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.results.summaries import ScoredWorldReport
from robustfl.evaluation.suite.scenario import World


def world_content(settings: Mapping[str, Any]) -> str:
    """The hash of a task and a federation, with the defaults of this version for settings that did not exist before.

    Settings that this version does not know are hashed as they are.
    """
    own = {key: settings.get(key) for key in ("task", "federation")}
    try:
        known = World.model_validate({"label": "", **own}).model_dump(mode="json", exclude={"label"})
    except ValidationError:
        known = own
    return content_hash(known)


def with_settings(worlds: Sequence[ScoredWorldReport], records: Iterable[Record]) -> list[ScoredWorldReport]:
    """The worlds of a run, with the settings that its records hold where a summary of an older version has none."""
    lacking = {world["world"] for world in worlds if "settings" not in world}
    found: dict[str, dict[str, Any]] = {}
    if lacking:
        for record in records:
            label = record["labels"]["world"]
            if label in lacking and label not in found:
                found[label] = {key: record["scenario"][key] for key in ("task", "federation")}
    return [
        cast("ScoredWorldReport", {**world, "settings": found[world["world"]]}) if world["world"] in found else world
        for world in worlds
    ]


def matched(
    first: Sequence[ScoredWorldReport], second: Sequence[ScoredWorldReport]
) -> Iterator[tuple[ScoredWorldReport | None, ScoredWorldReport | None]]:
    """The worlds of two runs in pairs: by their content where both runs tell it, else by their labels.

    A world that only one run has is in a pair with None.
    """
    left = list(second)
    contents = [_content(world) for world in left]
    for world in first:
        own = _content(world)
        at = next((at for at, other in enumerate(contents) if own is not None and other == own), None)
        if at is None:
            named = (at for at, other in enumerate(left) if other["world"] == world["world"])
            at = next((at for at in named if own is None or contents[at] is None), None)
        if at is None:
            yield world, None
        else:
            contents.pop(at)
            yield world, left.pop(at)
    for world in left:
        yield None, world


def _content(world: ScoredWorldReport) -> str | None:
    return world_content(world["settings"]) if "settings" in world else None
