"""Rows of the table of rules: rules that look at columns, signs, clusters or an update that the server trusts."""

from __future__ import annotations

from typing import Any

from robustfl import defenses
from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.updates.source import Source
from robustfl.defenses import (
    FLAME,
    NNM,
    Bulyan,
    ClientMomentum,
    ConsistencyCheck,
    DnC,
    Krum,
    Meamed,
    Median,
    NormBound,
    Phocas,
    RobustLearningRate,
    SignGuard,
    SignMajority,
    TrimmedMean,
)
from tests.aggregation import column_oracles as naive
from tests.aggregation import oracles
from tests.aggregation.case import Case, at_least


class Trusting:
    """A rule that trusts the coordinate-wise median of the rows given: so it can be walked like all the others.

    In text and comparison it is the rule itself.
    """

    @property
    def wants_trusted(self) -> bool:
        return False

    def extra_points(self, source: Source) -> list[Array]:
        source.trusted = source.columnwise(source.kernels.median)
        points: list[Array] = super().extra_points(source)  # type: ignore[misc]
        return points

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(tuple(self.parameters().values()))  # type: ignore[attr-defined]


class FLTrust(Trusting, defenses.FLTrust):
    pass


class ServerAlone(Trusting, defenses.ServerAlone):
    pass


class MoNNA(Trusting, defenses.MoNNA):
    pass


def with_momentum(share: float, oracle: Any) -> Any:
    """What a rule makes of the first round's momenta."""
    return lambda x, f: oracle(share * x, f)


RULES: list[Case] = [
    Case("meamed", lambda f: Meamed(f=f), naive.meamed, at_least(2, 1), rotation=False),
    Case("phocas", lambda f: Phocas(f=f), naive.phocas, at_least(2, 1), rotation=False),
    Case("bulyan", lambda f: Bulyan(f=f), naive.bulyan, at_least(4, 3), permutation=False, rotation=False),
    Case("dnc", lambda f: DnC(f=f, columns=1 << 20), naive.dnc, at_least(2, 1)),  # robust to f rows of one size only
    Case(
        "dnc of two filters",  # after a mixing rounding would decide: rows often coincide there
        lambda f: DnC(f=f, iterations=2, removal=1.5, columns=1 << 20),
        lambda x, f: naive.dnc_weights(x, f, 2, 1.5) @ x,
        at_least(2, 1),
    ),
    Case(
        "sign majority",
        lambda f: SignMajority(),
        naive.sign_majority,
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        rotation=False,
        box=False,
        consensus=False,
    ),
    Case(
        "robust learning rate",
        lambda f: RobustLearningRate(threshold=3),
        naive.robust_learning_rate(3, oracles.mean),
        at_least(0, 3),
        told=False,
        translation=False,
        rotation=False,
        box=False,
        robust_from=None,
    ),
    Case(
        "robust learning rate, median",
        lambda f: RobustLearningRate(threshold=1, base="median"),
        naive.robust_learning_rate(1, oracles.median),
        at_least(0, 1),
        told=False,
        translation=False,
        rotation=False,
        box=False,
    ),
    Case(
        "robust learning rate, signs",
        lambda f: RobustLearningRate(threshold=2, base="sign"),
        naive.robust_learning_rate(2, naive.sign_majority),
        at_least(0, 2),
        told=False,
        translation=False,
        scaling=False,
        rotation=False,
        box=False,
        consensus=False,
    ),
    Case(
        "norm bound",
        lambda f: NormBound(radius=1.5),
        naive.norm_bound(1.5),
        at_least(0, 1),
        told=False,
        translation=False,
        scaling=False,
        box=False,
    ),
    Case(
        "fltrust",
        lambda f: FLTrust(),
        lambda x, f: naive.fltrust(x, oracles.median(x)),
        at_least(0, 1),
        told=False,
        translation=False,
        rotation=False,  # by the median that is trusted here
        box=False,
        stretching=True,
    ),
    Case(
        "server alone",
        lambda f: ServerAlone(),
        lambda x, f: oracles.median(x),
        at_least(0, 1),
        told=False,
        rotation=False,  # by the median that is trusted here
    ),
    Case(
        "monna",
        lambda f: MoNNA(f=f),
        lambda x, f: naive.monna(x, f, oracles.median(x)),
        at_least(1, 1),
        rotation=False,  # by the median that is trusted here
    ),
    Case(
        "flame",
        lambda f: FLAME(noise=0.0),
        naive.flame,
        at_least(0, 1),
        told=False,
        translation=False,
        box=False,
    ),
    Case(
        "signguard",
        lambda f: SignGuard(share=1.0),
        lambda x, f: naive.signguard(x, 1.0),
        at_least(0, 1),
        told=False,
        translation=False,
        rotation=False,
        box=False,
    ),
    Case(
        "momentum, median",
        lambda f: ClientMomentum(beta=0.75) >> Median(),
        with_momentum(0.25, oracles.median),
        at_least(0, 1),
        told=False,
        translation=False,
        rotation=False,
        box=False,
        consensus=False,
    ),
    Case(
        "consistency check, trimmed mean",
        lambda f: ConsistencyCheck() >> TrimmedMean(f=f),
        oracles.trimmed_mean,
        at_least(2, 1),
        rotation=False,
    ),
    Case(
        "momentum, nnm, krum",
        lambda f: ClientMomentum(beta=0.5) >> NNM(f=f) >> Krum(f=f),
        with_momentum(0.5, lambda x, f: oracles.krum()(oracles.nnm(x, f), f)),
        at_least(2, 3),
        translation=False,
        box=False,
        consensus=False,
    ),
]
