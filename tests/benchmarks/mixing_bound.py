"""What mixing costs at least: arithmetic on numbers in the nearest cache, and moving models, beside whole rules.

    python -m tests.benchmarks.mixing_bound          # prints the table of reports/benchmarks/mixing.md

Times are of one thread, by processor time, of calls that take turns, so that ratios mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from robustfl.aggregation.kernels.compiled import aligned
from robustfl.aggregation.kernels.compiled_vectors import LINE, address_of, lanes, load, store
from robustfl.aggregation.kernels.compiling import kernel
from robustfl.aggregation.kernels.threads import limit_threads
from robustfl.aggregation.neighbourhoods import compiled_loops as loops
from robustfl.aggregation.neighbourhoods import compiled_passes as passes
from robustfl.aggregation.neighbourhoods.compiled_streams import PAIR, STRIP, settled, stream, strip, take
from robustfl.aggregation.neighbourhoods.gathering import Groups
from robustfl.aggregation.neighbourhoods.passes import Passes
from robustfl.aggregation.neighbourhoods.sanitising import grouped, sanitised
from tests.benchmarks.peers.turns import Times, take_turns
from tests.benchmarks.test_mixing import TIERS, network

NEAR = 5
"""Rows of a chunk that fit a first-level cache, with room for others."""


@kernel
def sums_alone(strips: int, tile: Any, starts: Any, rows: Any, weights: Any, scales: Any, out: Any) -> None:
    """All sums of as many strips, with rows from a tile that never changes, and nothing written but to one place."""
    zero = strip(tile)
    for _ in range(strips):
        for i in range(scales.size):
            store(out, 0, loops.line_sum(zero, address_of(tile), STRIP, i, starts, rows, weights, scales))


@kernel
def strips_alone(columns: int, address: int, stride: int, rows: int, out: Any) -> None:
    """All models read strip by strip, and not row by row; nothing is done with them."""
    zero = strip(out)
    for at in range(0, columns * out.itemsize, STRIP):
        for r in range(rows):
            store(out, 0, take(zero, address + r * stride + at))


@kernel
def writing(out: Any, value: Any, wide: int) -> None:
    """The models written past the caches."""
    vector = load(value, 0)
    for at in range(0, out.size - wide + 1, wide):
        stream(out, at, vector)
    settled()


def squares_alone(columns: int, pairs: Any, starts: Any) -> None:
    """All comparisons of as many columns, with rows that are in the nearest cache."""
    origin, wide = np.zeros(passes.SUMMED, np.float32), lanes(np.dtype(np.float32))
    tile, lane, found = aligned(NEAR * origin.size, origin.dtype), aligned(4 * wide, origin.dtype), np.zeros(len(pairs))
    tile[:] = 1.0
    steps = origin.size // wide
    for _ in range(columns // origin.size):
        memory = tile.ctypes.data, origin.nbytes, steps, PAIR, steps * PAIR, wide
        loops.squares(*memory, origin, starts, pairs, lane, found)


def compared(rows: Any, pairs: Any) -> Any:
    """The distances of pairs of models that nobody has looked at yet."""
    return Passes(rows).squared_distances(pairs)


def ways(peers: int, parameters: int) -> dict[str, Callable[[], Any]]:
    """Parts of mixing, and rules of every tier, by name; each is one pass over all models, or as much arithmetic."""
    letters, hoods = network(peers, parameters)
    rows, wide = letters.rows, lanes(letters.rows.dtype)
    out, other = np.empty_like(rows), np.empty_like(rows)
    clean = sanitised(letters, hoods, {})
    groups: Groups = grouped(hoods, clean, np.arange(peers), clean.bounds)
    everybody, index = np.arange(peers), groups.rows
    starts = np.arange(peers + 1) * index.shape[1]
    sums = passes.shares(everybody, starts, index.ravel(), np.full(index.size, 1 / index.shape[1]), rows.dtype)
    tile, place = aligned(peers * STRIP // rows.itemsize, rows.dtype), aligned(wide, rows.dtype)
    tile[:], place[:] = 1.0, 0.0
    flat = out.reshape(-1)[-out.ctypes.data % LINE // out.itemsize :]
    found: dict[str, Callable[[], Any]] = {
        "copying all models": partial(np.copyto, other, rows),
        "reading them, row by row": lambda: Passes(rows).verify(),
        "reading them, strip by strip": partial(
            strips_alone, parameters - parameters % 32, rows.ctypes.data, rows.strides[0], peers, place
        ),
        "writing them": partial(writing, flat, place, wide),
        "sums alone, from the nearest cache": partial(
            sums_alone,
            parameters * rows.itemsize // STRIP,
            tile,
            sums.starts,
            sums.rows,
            sums.weights,
            sums.scales,
            place,
        ),
    }
    for tier, meetings in (("star", groups.edges), ("Gram", groups.pairs)):
        met = passes.meeting(everybody, meetings.pairs)
        found[f"distances alone, {tier}, from the nearest cache"] = partial(
            squares_alone, parameters, met.pairs % NEAR, met.starts
        )
        found[f"distances, {tier}"] = partial(compared, rows, meetings.pairs)
    for tier, (rule, _) in TIERS.items():
        found[f"a whole rule, {tier}"] = partial(rule.mix, letters, hoods, out=out)
    return found


def table(found: dict[str, Times]) -> str:
    """Markdown: milliseconds, and times the copy."""
    lines = ["| what | ms | times the copy | best turns |", "| --- | --- | --- | --- |"]
    copying = found["copying all models"]
    for name, times in found.items():
        ratios = f"{times.middle / copying.middle:.3g}x | {times.least / copying.least:.3g}x"
        lines.append(f"| {name} | {1e3 * times.middle:.3g} | {ratios} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.mixing_bound", description=__doc__)
    parser.add_argument("--peers", type=int, default=200, help="peers, with eight neighbours each")
    parser.add_argument("--parameters", type=int, default=100_000, help="numbers of a model")
    parser.add_argument("--seconds", type=float, default=6.0, help="for all turns")
    given = parser.parse_args(words)
    with limit_threads(1), threadpool_limits(1):
        sys.stdout.write(table(take_turns(ways(given.peers, given.parameters), given.seconds)))


if __name__ == "__main__":
    main()
