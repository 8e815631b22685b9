"""What counting rankings costs at least: ways to lay the counters out, each against one reading of the rankings.

    python -m tests.benchmarks.voting_bound          # prints the table of reports/benchmarks/voting.md

Times are of one thread, by processor time, of calls that take turns, so that ratios mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from robustfl.aggregation.votes.compiled_counting import add_eight, add_positions, named_once, take_over
from tests.benchmarks.grid import Cell
from tests.benchmarks.peers.turns import Times, take_turns
from tests.benchmarks.voting import rankings, read

Counts = NDArray[np.int64]
NEAR = 4096
"""Counters that fit a first-level cache, in 32 bits."""
BLOCK = 13
"""Bits of an edge's number within its block."""
LOW = np.uint64(0xFFFFFFFF)


@njit(error_model="numpy")
def scatter(x: Any, sums: Any) -> None:
    """Positions are added up, and nothing is checked: not even that an entry is a number of an edge."""
    for voter in range(x.shape[0]):
        ranking = x[voter]
        for place in range(ranking.size):
            sums[np.uint32(ranking[place])] += place


@njit(error_model="numpy")
def stamped(x: Any, cells: Any) -> int:
    """A counter and the number of its last voter share 64 bits, so that one reading answers both questions."""
    entries = np.uint64(cells.size)
    for voter in range(x.shape[0]):
        ranking, stamp = x[voter], np.uint64(voter + 1)
        for place in range(ranking.size):
            entry = np.uint64(ranking[place])
            if entry >= entries:
                return voter
            cell = cells[entry]
            if cell >> np.uint64(32) == stamp:
                return voter
            cells[entry] = (stamp << np.uint64(32)) | ((cell + np.uint64(place)) & LOW)
    return int(x.shape[0])


@njit(error_model="numpy")
def by_blocks(x: Any, sums: Any, listed: Any, ends: Any) -> None:
    """Entries are first listed block by block of edges, and then counted into a block that fits the nearest cache."""
    for voter in range(x.shape[0]):
        ranking = x[voter]
        for block in range(ends.size):
            ends[block] = block << BLOCK
        for place in range(ranking.size):
            entry = np.uint32(ranking[place])
            block = entry >> np.uint32(BLOCK)
            listed[ends[block]] = (np.uint64(entry) << np.uint64(32)) | np.uint64(place)
            ends[block] += 1
        for at in range(ranking.size):
            sums[listed[at] >> np.uint64(32)] += np.int32(listed[at] & LOW)


@njit(error_model="numpy")
def inverted(x: Any, sums: Any, places: Any) -> int:
    """The place of each edge is stored, which reads no counter, and then added up; an edge without one is an error."""
    for voter in range(x.shape[0]):
        ranking, entries = x[voter], np.uint32(places.size)
        for place in range(ranking.size):
            entry = np.uint32(ranking[place])
            if entry >= entries:
                return voter
            places[entry] = place
        least = np.int32(0)
        for edge in range(places.size):
            least = min(least, places[edge])
            sums[edge] += places[edge]
            places[edge] = -1
        if least < 0:
            return voter
    return int(x.shape[0])


@njit(error_model="numpy")
def four_unchecked(x: Any, sums: Any) -> None:
    """Additions alone, of four rankings in turns: none waits for the counters of another."""
    for voter in range(0, x.shape[0] - 3, 4):
        first, second, third, fourth = x[voter], x[voter + 1], x[voter + 2], x[voter + 3]
        for place in range(first.size):
            sums[np.uint32(first[place])] += place
            sums[np.uint32(second[place])] += place
            sums[np.uint32(third[place])] += place
            sums[np.uint32(fourth[place])] += place


@njit(error_model="numpy")
def columns(x: Any, sums: Any) -> None:
    """Another message: the place of each edge, in the order of the edges. No counter is looked for."""
    for voter in range(x.shape[0]):
        for edge in range(x.shape[1]):
            sums[edge] += x[voter, edge]


def today(x: Any) -> Counts:
    """The kernels of robustfl: eight rankings with a check in the addition itself, and what is left one by one."""
    eights = len(x) - len(x) % 8
    sums, cells = one_by_one(x[eights:]).astype(np.int32), np.zeros(x.shape[1], np.uint32)
    for start in range(0, eights, 8):
        if not (add_eight(*[*x[start : start + 8], cells]) and named_once(cells)):
            raise ValueError("every row should be a ranking")
        take_over(cells, sums)
    return sums.astype(np.int64)


def by_listing(x: Any) -> Counts:
    sums, places = np.zeros(x.shape[1], np.int32), np.full(x.shape[1], -1, np.int32)
    inverted(x, sums, places)
    return sums.astype(np.int64)


def only_fours(x: Any) -> Counts:
    sums = np.zeros(x.shape[1], np.int32)
    four_unchecked(x, sums)
    scatter(x[len(x) - len(x) % 4 :], sums)
    return sums.astype(np.int64)


def one_by_one(x: Any) -> Counts:
    """The kernel of robustfl for what is no eight: scattered additions, and a bit for every edge that was named."""
    sums, seen = np.zeros(x.shape[1], np.int32), np.zeros(-(-x.shape[1] // 64), np.uint64)
    for ranking in x:
        add_positions(ranking, 0, sums, seen)
    return sums.astype(np.int64)


def only_scatter(x: Any) -> Counts:
    sums = np.zeros(x.shape[1], np.int32)
    scatter(x, sums)
    return sums.astype(np.int64)


def in_one_cell(x: Any) -> Counts:
    cells = np.zeros(x.shape[1], np.uint64)
    stamped(x, cells)
    return (cells & LOW).astype(np.int64)


def in_blocks(x: Any) -> Counts:
    blocks = (x.shape[1] - 1 >> BLOCK) + 1
    sums, listed = np.zeros(x.shape[1], np.int32), np.zeros(blocks << BLOCK, np.uint64)
    by_blocks(x, sums, listed, np.zeros(blocks, np.int64))
    return sums.astype(np.int64)


WAYS: dict[str, Callable[[Any], Counts]] = {
    "additions alone, unchecked": only_scatter,
    "additions alone, unchecked, of four rankings in turns": only_fours,
    "today: eight rankings in turns, the check in the addition": today,
    "one ranking, additions and a bit for each edge": one_by_one,
    "the place of each edge, then their sums": by_listing,
    "counter and stamp of the voter in one cell": in_one_cell,
    "blocks of edges": in_blocks,
}
"""All of them give the same sums."""


def measure(cell: Cell, seconds: float) -> dict[str, Times]:
    x = rankings(cell)
    near, places, few = x & (NEAR - 1), np.argsort(x, axis=1).astype(np.int32), np.zeros(NEAR, np.int32)
    sums = np.zeros(cell.d, np.int32)
    calls: dict[str, Callable[[], Any]] = {"reading": lambda: read(x)}
    calls["places by edge, a sum of columns"] = lambda: columns(places, sums)
    calls["additions alone, into 16 kB"] = lambda: scatter(near, few)
    calls |= {name: (lambda way=way: way(x)) for name, way in WAYS.items()}
    return take_turns(calls, seconds)


def table(cell: Cell, found: dict[str, Times]) -> str:
    """Markdown: nanoseconds for an entry, and times the reading."""
    lines = ["| way | ns an entry | times the reading | best turns |", "| --- | --- | --- | --- |"]
    reading, entries = found["reading"], cell.n * cell.d
    for name, times in found.items():
        ratios = f"{times.middle / reading.middle:.3g}x | {times.least / reading.least:.3g}x"
        lines.append(f"| {name} | {1e9 * times.middle / entries:.2f} | {ratios} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.voting_bound", description=__doc__)
    parser.add_argument("--voters", type=int, default=16, help="rankings")
    parser.add_argument("--edges", type=int, default=1_000_000, help="entries of a ranking")
    parser.add_argument("--seconds", type=float, default=3.0, help="for all turns")
    given = parser.parse_args(words)
    cell = Cell(given.voters, given.edges)
    sys.stdout.write(table(cell, measure(cell, given.seconds)))


if __name__ == "__main__":
    main()
