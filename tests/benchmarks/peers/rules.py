"""Rules that robustfl shares with other libraries, each with the parameters that make both the same rule.

Where that is impossible, `differs` says what the other library does instead; its answer is then not compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from robustfl.aggregation import Aggregator
from robustfl.defenses import (
    CAF,
    CGE,
    MDA,
    NNM,
    SMEA,
    CenteredClipping,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)

Tensor = Any
Prepared = Callable[[], Any]
"""A call that gives the aggregate; what it needs in the library's own form is made beforehand, outside of the time."""

RADIUS, STEPS = 10.0, 3
"""Radius and steps of centered clipping."""


@dataclass(frozen=True)
class Peer:
    """A rule of another library: how to prepare it for rows and f, and in what it differs."""

    prepare: Callable[[Tensor, int], Prepared]
    differs: str = ""


@dataclass(frozen=True)
class Shared:
    """One of our rules and its peers, by the names of their libraries."""

    label: str
    make: Callable[[int, int], Aggregator]
    peers: dict[str, Peer] = field(default_factory=dict)
    most_rows: int = 1_000
    """Rows beyond which the search of a rule for a subset would take minutes somewhere."""
    fresh: bool = False
    """Whether the answers compared are those of first calls, because the rule remembers its last one."""


def _byzfl(name: str, *before: str, **values: Any) -> Callable[[Tensor, int], Prepared]:
    def prepare(rows: Tensor, f: int) -> Prepared:
        library = import_module("byzfl.aggregators")
        stages = [getattr(library, stage)(f) for stage in before]
        given = {key: f if value == "f" else value for key, value in values.items()}
        rule = getattr(library, name)(**given)

        def call() -> Any:
            mixed = rows
            for stage in stages:
                mixed = stage(mixed)
            return rule(mixed)

        return call

    return prepare


def _byzpy(room: str, name: str, *before: str, **values: Any) -> Callable[[Tensor, int], Prepared]:
    def prepare(rows: Tensor, f: int) -> Prepared:
        n, listed = len(rows), list(rows.unbind())
        given = {key: {"f": f, "n-f": n - f}.get(value, value) for key, value in values.items()}
        rule = getattr(import_module(f"byzpy.aggregators.{room}"), name)(**given)
        stages = [getattr(import_module("byzpy.pre_aggregators"), stage)(f) for stage in before]

        def call() -> Any:
            mixed = listed
            for stage in stages:
                mixed = stage.pre_aggregate(mixed)
            return rule.aggregate(mixed)

        return call

    return prepare


def _torchjd(name: str, *places: str) -> Callable[[Tensor, int], Prepared]:
    def prepare(rows: Tensor, f: int) -> Prepared:
        given = [{"f": f, "n-f": len(rows) - f}[place] for place in places]
        return partial(getattr(import_module("torchjd.aggregation"), name)(*given), rows)

    return prepare


def _flower_replies(rows: Tensor) -> list[Any]:
    app = import_module("flwr.app")
    return [
        app.RecordDict(
            {"arrays": app.ArrayRecord([row.numpy()]), "metrics": app.MetricRecord({"num-examples": 1})}
        )
        for row in rows
    ]  # fmt: skip


def _flower_mean(rows: Tensor, f: int) -> Prepared:
    utils = import_module("flwr.serverapp.strategy.strategy_utils")
    replies = _flower_replies(rows)
    return lambda: utils.aggregate_arrayrecords(replies, "num-examples").to_numpy_ndarrays()[0]


def _flower_krum(rows: Tensor, f: int, several: bool) -> Prepared:
    utils = import_module("flwr.serverapp.strategy.strategy_utils")
    select = import_module("flwr.serverapp.strategy.multikrum").select_multikrum
    replies, chosen = _flower_replies(rows), len(rows) - f if several else 1

    def call() -> Any:
        kept = select(replies, num_malicious_nodes=f, num_nodes_to_select=chosen)
        return utils.aggregate_arrayrecords(kept, "num-examples").to_numpy_ndarrays()[0]

    return call


def _flower_trimmed(rows: Tensor, f: int) -> Prepared:
    trim, array = import_module("flwr.serverapp.strategy.fedtrimmedavg").trim_mean, rows.numpy()
    return lambda: trim(array, f / len(array))


def _pfl_mean(rows: Tensor, f: int) -> Prepared:
    statistics = import_module("pfl.stats").MappedVectorStatistics
    aggregator = import_module("pfl.aggregate.base").SumAggregator()
    users = [statistics({"update": row.numpy()}, weight=1.0) for row in rows]

    def call() -> Any:
        total = None
        for user in users:
            total = aggregator.accumulate(accumulated=total, user_stats=user)
        return np.asarray(total["update"]) / total.weight

    return call


_GEOMETRIC, _COLUMNS, _NORMS = "geometric_wise", "coordinate_wise", "norm_wise"
_LOWER = "takes the lower of the two middle values where the number of rows is even"
_EARLY = "stops after 3 steps from zero"
_RANDOM = "takes a single power step from a random start in place of the top eigenvector"

SHARED = (
    Shared("Mean", lambda n, f: Mean(), {
        "byzfl": Peer(_byzfl("Average")), "torchjd": Peer(_torchjd("Mean")),
        "flwr": Peer(_flower_mean), "pfl": Peer(_pfl_mean),
    }),
    Shared("Median", lambda n, f: Median(), {
        "byzfl": Peer(_byzfl("Median")), "byzpy": Peer(_byzpy(_COLUMNS, "CoordinateWiseMedian"), _LOWER),
    }),
    Shared("TrimmedMean", lambda n, f: TrimmedMean(f=f), {
        "byzfl": Peer(_byzfl("TrMean", f="f")), "byzpy": Peer(_byzpy(_COLUMNS, "CoordinateWiseTrimmedMean", f="f")),
        "torchjd": Peer(_torchjd("TrimmedMean", "f")), "flwr": Peer(_flower_trimmed),
    }),
    Shared("Meamed", lambda n, f: Meamed(f=f), {
        "byzfl": Peer(_byzfl("Meamed", f="f")), "byzpy": Peer(_byzpy(_COLUMNS, "MeanOfMedians", f="f"), _LOWER),
    }),
    Shared("Krum", lambda n, f: Krum(f=f), {"flwr": Peer(partial(_flower_krum, several=False))}),
    Shared("Krum, n-f-1 neighbours", lambda n, f: Krum(f=f, neighbours="n-f-1"), {
        "byzfl": Peer(_byzfl("Krum", f="f")), "byzpy": Peer(_byzpy(_GEOMETRIC, "Krum", f="f")),
    }),
    Shared("Krum, plain distances", lambda n, f: Krum(f=f, squared=False), {"torchjd": Peer(_torchjd("Krum", "f"))}),
    Shared("MultiKrum, n-f-1 neighbours, n-f rows", lambda n, f: MultiKrum(f=f, k=n - f, neighbours="n-f-1"), {
        "byzfl": Peer(_byzfl("MultiKrum", f="f")), "byzpy": Peer(_byzpy(_GEOMETRIC, "MultiKrum", f="f", q="n-f")),
    }),
    Shared("MultiKrum, n-f rows", lambda n, f: MultiKrum(f=f, k=n - f), {
        "flwr": Peer(partial(_flower_krum, several=True)),
    }),
    Shared("MultiKrum, plain distances, n-f rows", lambda n, f: MultiKrum(f=f, k=n - f, squared=False), {
        "torchjd": Peer(_torchjd("Krum", "f", "n-f")),
    }),
    Shared("NNM >> Mean", lambda n, f: NNM(f=f) >> Mean(), {"byzfl": Peer(_byzfl("Average", "NNM"))}),
    Shared("NNM >> TrimmedMean", lambda n, f: NNM(f=f) >> TrimmedMean(f=f), {
        "byzfl": Peer(_byzfl("TrMean", "NNM", f="f")),
        "byzpy": Peer(_byzpy(_COLUMNS, "CoordinateWiseTrimmedMean", "NearestNeighborMixing", f="f")),
    }),
    Shared("NNM >> GeometricMedian", lambda n, f: NNM(f=f) >> GeometricMedian(), {
        "byzfl": Peer(_byzfl("GeometricMedian", "NNM"), _EARLY),
        "byzpy": Peer(_byzpy(_GEOMETRIC, "GeometricMedian", "NearestNeighborMixing")),
    }),
    Shared("GeometricMedian", lambda n, f: GeometricMedian(), {
        "byzfl": Peer(_byzfl("GeometricMedian"), _EARLY), "byzpy": Peer(_byzpy(_GEOMETRIC, "GeometricMedian")),
    }),
    Shared("GeometricMedian, 3 steps from zero",
        lambda n, f: GeometricMedian(iterations=3, start="origin", smoothing=0.1, tolerance=0.0),
        {"byzfl": Peer(_byzfl("GeometricMedian"))},
    ),
    Shared("CenteredClipping", lambda n, f: CenteredClipping(radius=RADIUS, iterations=STEPS), {
        "byzfl": Peer(_byzfl("CenteredClipping", L=STEPS, tau=RADIUS)),
        "byzpy": Peer(_byzpy("norm_wise.center_clipping", "CenteredClipping", c_tau=RADIUS, M=STEPS, init="zero")),
    }, fresh=True),
    Shared("CAF", lambda n, f: CAF(f=f), {
        "byzfl": Peer(_byzfl("CAF", f="f"), _RANDOM),
        "byzpy": Peer(_byzpy("norm_wise.caf", "CAF", f="f"), "takes three power steps in place of the top eigenvector"),
    }),
    Shared("CGE", lambda n, f: CGE(f=f), {
        "byzpy": Peer(_byzpy("norm_wise.comparative_gradient_elimination", "ComparativeGradientElimination", f="f")),
    }),
    Shared("MDA", lambda n, f: MDA(f=f), {
        "byzfl": Peer(_byzfl("MDA", f="f")), "byzpy": Peer(_byzpy(_GEOMETRIC, "MinimumDiameterAveraging", f="f")),
    }, most_rows=15),
    Shared("SMEA", lambda n, f: SMEA(f=f), {
        "byzfl": Peer(_byzfl("SMEA", f="f"), _RANDOM), "byzpy": Peer(_byzpy(_GEOMETRIC, "SMEA", f="f")),
    }, most_rows=10),
)  # fmt: skip
