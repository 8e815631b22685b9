"""Stored runs with which later runs are compared: the summary of a run, or only what a comparison reads of it.

A run is read from its folder, from its ``summary.json`` under any name, or from the compact file that
:func:`save_stored` writes. The compact file has the same shape, but holds only what a comparison reads (about a fifth
of the size). For each cell this is the accuracy of every seed, the ids of the trials, which are hashes of their
scenarios, and their statuses. In addition the file holds the settings of the score, the hash of the suite, the
command, the versions and the machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from robustfl.errors import DataError, StoreError
from robustfl.evaluation.results.schema import SUMMARY
from robustfl.evaluation.results.shapes import require_shape, selected
from robustfl.evaluation.results.store import content, write_atomically
from robustfl.evaluation.results.summaries import ScoredWorldReport, Summary

_CELL = dict.fromkeys(("accuracy", "trials", "status"))
_POINT = {"f": None, "W": None, "worst_attack": None, "attacks": _CELL}
_WORLD = {
    **dict.fromkeys(("world", "settings?", "seeds", "chance", "test_size", "informative")),
    "baseline": {"per_seed": None},
    "defenses": {"defense": None, "curve": _POINT},
}
STORED: dict[str, Any] = selected(
    SUMMARY,
    {
        "schema": None,
        "suite": dict.fromkeys(("name", "hash", "command")),
        "provenance": None,
        "scores": {"settings": None, "worlds": _WORLD},
    },
)
"""The part of a summary that a comparison reads."""


def load_stored(path: Path) -> Summary:
    """Read a run from its folder or from a file.

    Raises
    ------
    DataError : there is no such file
    StoreError : the file does not hold the results of a run
    """
    file = path / "summary.json" if path.is_dir() else path
    try:
        value = json.loads(content(file))
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}. Name the folder that `robustfl run --out` wrote, or a file that "
            "`robustfl compare --save` wrote."
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise StoreError(f"{file} is not valid JSON ({reason}). Run the suite again.") from None
    require_shape(value, STORED, str(file))
    for world in value["scores"]["worlds"]:
        _require_columns(world, file)
    return cast("Summary", value)


def save_stored(run: Summary, path: Path) -> None:
    """Write only what a comparison reads of a run, in one step."""
    write_atomically(path, json.dumps(stored_part(run), separators=(",", ":"), allow_nan=False).encode() + b"\n")


def stored_part(run: Summary) -> dict[str, Any]:
    """Only what a comparison reads of a run."""
    kept: dict[str, Any] = _projected(run, STORED)
    return kept


def _require_columns(world: ScoredWorldReport, file: Path) -> None:
    """Check that every cell has one value per seed, and that no seed occurs twice."""
    seeds = world["seeds"]
    if len(set(seeds)) != len(seeds) or len(world["baseline"]["per_seed"]) not in (0, len(seeds)):
        raise StoreError(
            f"{file}, world {world['world']!r}: `seeds` should be distinct, with one baseline each. Found {seeds} and "
            f"{len(world['baseline']['per_seed'])} baselines. Run the suite again."
        )
    for defense in world["defenses"]:
        for point in defense["curve"]:
            for attack, cell in point["attacks"].items():
                lengths = {
                    "accuracy": len(cell["accuracy"]),
                    "trials": len(cell["trials"]),
                    "status": len(cell["status"]),
                }
                if set(lengths.values()) != {len(seeds)}:
                    raise StoreError(
                        f"{file}: {defense['defense']} under {attack!r} with f={point['f']} in {world['world']!r} "
                        f"should have one value for each of {len(seeds)} seeds. Found {lengths}. Run the suite again."
                    )


def _projected(value: Any, shape: Any) -> Any:
    """The part of a value that the shape mentions."""
    if isinstance(shape, dict):
        if "*" in shape:
            return {key: _projected(inner, shape["*"]) for key, inner in value.items()}
        named = {key.rstrip("?"): inner for key, inner in shape.items()}
        return {key: _projected(value[key], inner) for key, inner in named.items() if key in value}
    if isinstance(shape, list):
        return [_projected(item, shape[0]) for item in value]
    return value
