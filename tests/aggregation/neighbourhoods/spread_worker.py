"""One process of a group that mixes letters together: every rule by columns, against the same rule in one process.

Started by `test_spread.py` as `python -m tests.aggregation.neighbourhoods.spread_worker RANK SIZE STORE`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.distributed as dist

from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.aggregation.neighbourhoods import ColumnMixer, Gathering, Hoods, Letters, Mixed, Mixer, PerNeighbourhood
from robustfl.aggregation.neighbourhoods.mixer import Mixing
from robustfl.aggregation.neighbourhoods.spread import mix_spread, spread
from robustfl.defenses import (
    IOS,
    NNM,
    UBAR,
    Balance,
    GeometricMedian,
    LocalFoolsGold,
    Median,
    MultiKrum,
    SignGuard,
    TrimmedMean,
)
from robustfl.errors import ParameterError, RobustflError, StateError, UpdatesError
from tests.aggregation.neighbourhoods.mixer_rules import MIXERS
from tests.aggregation.neighbourhoods.networks import random_network

LIFTED: list[Mixer] = [
    PerNeighbourhood(rule=MultiKrum(f=1)),
    PerNeighbourhood(rule=GeometricMedian()),
    PerNeighbourhood(rule=NNM(f=1) >> TrimmedMean(f=1)),
    PerNeighbourhood(rule=Median()),
]
NARROW, WIDE = 70, 3 * 4096 + 77
"""All columns on one of three processes, and two, two and no block of columns on them."""


def split(rank: int, count: int) -> list[int]:
    """How many of the letters each process holds: the last one as many as are left, the first one none."""
    return [0, 5, count - 5]


def together(mixer: Mixer, rows: Array, hoods: Hoods, rank: int) -> Mixed:
    counts = split(rank, len(rows))
    first = sum(counts[:rank])
    return mix_spread(mixer, spread(torch.as_tensor(rows[first : first + counts[rank]]), counts), hoods)


def every_rule_gives_the_bits_of_one_process(rank: int) -> int:
    compared = 0
    for mixer in [*(case.rule for case in MIXERS), *LIFTED]:
        if not mixer.by_columns:
            continue
        for seed, (d, dtype) in enumerate([(NARROW, np.float32), (WIDE, np.float32), (WIDE, np.float64)]):
            network = random_network(seed, d=d, dtype=dtype)
            rows, hoods = network.letters.rows.copy(), network.hoods
            rows[3, d - 1] = np.nan  # only the process that holds the last column sees it
            alone, parted = replace(mixer), replace(mixer)
            for _ in range(2):  # what a rule remembers counts in the second mixing
                expected, found = alone.mix(Letters(rows), hoods), together(parted, rows, hoods, rank)
                owners = np.repeat(np.arange(3), split(rank, len(rows)))[hoods.index[:, 0]]
                np.testing.assert_array_equal(found.models, expected.models[owners == rank], err_msg=repr(mixer))
                np.testing.assert_array_equal(found.rejected, expected.rejected)
                assert found.reasons == expected.reasons
                assert 3 in found.info["kept"], "the peer whose own model is not finite keeps it"
                assert (found.weights is None) == (expected.weights is None)
                if found.weights is not None:
                    np.testing.assert_array_equal(found.weights, expected.weights)
            compared += 1
    return compared


def rules_that_need_whole_letters_are_refused(rank: int) -> None:
    network = random_network(0, hostile=False)
    for mixer in (UBAR(), PerNeighbourhood(rule=SignGuard())):
        with pytest.raises(ParameterError, match="needs whole letters"):
            together(mixer, network.letters.rows, network.hoods, rank)


def what_differs_between_processes_is_told_on_all(rank: int) -> None:
    network = random_network(0, hostile=False)
    rows, hoods = network.letters.rows, network.hoods
    with pytest.raises(ParameterError, match="one rule about the same neighbourhoods"):
        together(IOS() if rank else Balance(), rows, hoods, rank)
    other = replace(hoods, bounds=hoods.bounds + 1) if rank == 2 else hoods
    with pytest.raises(ParameterError, match="one rule about the same neighbourhoods"):
        together(IOS(), rows, other, rank)
    with pytest.raises(UpdatesError, match="the same d, type"):
        together(IOS(), rows[:, 1:] if rank == 1 else rows, hoods, rank)
    with pytest.raises(UpdatesError, match="names row"):
        together(IOS(), rows[: hoods.last], hoods, rank)


@dataclass(frozen=True, kw_only=True)
class Stumbles(ColumnMixer):
    """A median that fails where its first column has a value that one process alone has."""

    uses_bound: ClassVar[bool] = False
    error: type = StateError

    def columns(self, block: Array, b: int, ops: Kernels) -> Array:
        if dist.get_rank() == 0:
            raise self.error("on purpose")
        return ops.median(block)


@dataclass(frozen=True, kw_only=True)
class Overflows(Mixer):
    """A rule by columns whose models are not finite in the last column of all."""

    by_columns: ClassVar[bool] = True
    uses_bound: ClassVar[bool] = False

    def _mix(self, gathering: Gathering) -> Mixing:
        def fill(out: Array) -> None:
            out[:] = 0.0
            out[:, -1] = np.inf if dist.get_rank() == 0 else 0.0

        return Mixing(fill=fill)


def what_one_process_raises_all_processes_raise(rank: int) -> None:
    network = random_network(0, d=WIDE, hostile=False)
    rows, hoods = network.letters.rows, network.hoods
    with pytest.raises(StateError):
        together(Stumbles(), rows, hoods, rank)
    with pytest.raises(ZeroDivisionError if rank == 0 else RobustflError):
        together(Stumbles(error=ZeroDivisionError), rows, hoods, rank)
    with pytest.raises(RobustflError, match="not finite"):
        together(Overflows(), rows, hoods, rank)
    assert len(together(LocalFoolsGold(), rows, hoods, rank).models) in (0, 5, hoods.n - 5), "and go on"


if __name__ == "__main__":
    rank, size = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=size)
    compared = every_rule_gives_the_bits_of_one_process(rank)
    rules_that_need_whole_letters_are_refused(rank)
    what_differs_between_processes_is_told_on_all(rank)
    what_one_process_raises_all_processes_raise(rank)
    dist.destroy_process_group()
    sys.stdout.write(f"{compared} comparisons")
