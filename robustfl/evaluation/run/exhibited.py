"""Pictures of what spies reconstructed: the best, the middle and the worst pair of each defense, for the report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.axes import Exhibited, ShownPair
from robustfl.evaluation.results.records import Record
from robustfl.evaluation.run.exhibits import Exhibits, Pairs
from robustfl.evaluation.run.pixels import levels, thinning
from robustfl.evaluation.run.played import Played


def exhibited(played: Played, exhibits: Exhibits) -> list[Exhibited]:
    """For each world and defense three pairs of the first trial without malicious clients that has an exhibit.

    There are none for samples that are no images, and where the folder of exhibits is gone, as in published runs.
    """
    if not exhibits.folder.is_dir():
        return []
    found: list[Exhibited] = []
    for world, defense, record in _first(played):
        pairs = exhibits.read(record)
        if pairs is not None and pairs.originals.ndim == 4 and pairs.originals.shape[1] in (1, 3):
            found.append(_shown(world, defense, pairs))
    return found


def _first(played: Played) -> Iterator[tuple[str, str, Record]]:
    seen: set[tuple[str, str]] = set()
    for cell in played.plan.cells:
        record = None if cell.trial is None or cell.attack != NO_ATTACK else played.records.get(cell.trial.id)
        if record is not None and record.get("exhibit") and (cell.world, cell.defense) not in seen:
            seen.add((cell.world, cell.defense))
            yield cell.world, cell.defense, record


def _shown(world: str, defense: str, pairs: Pairs) -> Exhibited:
    step = thinning(pairs.originals.shape[1:])
    originals, found = pairs.originals[:, :, ::step, ::step], pairs.found[:, :, ::step, ::step]
    _, channels, height, width = originals.shape
    chosen: list[ShownPair] = []
    for place in dict.fromkeys((0, len(originals) // 2, len(originals) - 1)):
        lacking = not bool(np.isfinite(found[place]).all())
        chosen.append(
            {
                "psnr": float(pairs.psnr[place]),
                "original": levels(originals[place], 0.0, 1.0),
                "found": None if lacking else levels(found[place], 0.0, 1.0),
            }
        )
    return {
        "world": world,
        "defense": defense,
        "attack": pairs.attack,
        "height": height,
        "width": width,
        "channels": channels,
        "pairs": chosen,
    }
