"""Rules of other libraries as their users would write them down: a function at the top of a module, which is told f.

byzfl's submodules are imported alone, as in the benchmarks: `import byzfl` also imports its runner, which needs
torchvision, of which there is no build for a torch without CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.peers.libraries import LIBRARIES, find

MISSING = {found.name: found.missing for found in map(find, LIBRARIES)}


def byzfl_trimmed(rows: Any, f: int) -> Any:
    from byzfl.aggregators import TrMean

    return TrMean(f=f)(rows)


def byzfl_mixed_krum(rows: Any, f: int) -> Any:
    from byzfl.aggregators import NNM, Krum

    return Krum(f=f)(NNM(f=f)(rows))


def byzpy_trimmed(rows: Any, f: int) -> Any:
    from byzpy.aggregators.coordinate_wise import CoordinateWiseTrimmedMean

    return CoordinateWiseTrimmedMean(f=f).aggregate(listed(rows))


def byzpy_geometric_median(rows: Any) -> Any:
    from byzpy.aggregators.geometric_wise import GeometricMedian

    return GeometricMedian().aggregate(listed(rows))


def torchjd_trimmed(rows: Any, f: int) -> Any:
    from torchjd.aggregation import TrimmedMean

    return TrimmedMean(f)(torch.from_numpy(rows))


def torchjd_krum(rows: Any, f: int) -> Any:
    from torchjd.aggregation import Krum

    return Krum(f, len(rows) - f)(torch.from_numpy(rows))


def listed(rows: Any) -> list[Tensor]:
    return list(torch.from_numpy(rows).unbind())
