"""Every attack of the folder with the settings that the common tests walk, and what may be expected of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from robustfl.attacks import (
    ALIE,
    FGSM,
    IPM,
    PGD,
    BoundarySwap,
    CorruptedGradient,
    Dropout,
    DroppedCoordinates,
    FreeRider,
    Gaussian,
    LabelFlip,
    Mimic,
    NonFinite,
    RandomRescaling,
    ReverseRanking,
    ShuffledRanking,
    SignFlip,
    SignRandomising,
    UniformNoise,
    ValueInverting,
    ZerothOrder,
)
from robustfl.components import Component
from robustfl.threats import UpdateAttack

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """An attack and the properties that it has by its nature."""

    attack: Component
    symmetric: bool = True
    """The honest rows are a set: their order does not matter."""
    finite: bool = True
    """Finite honest rows give finite updates."""
    translates: bool = False
    """v(H + c) = v(H) + c."""
    scales: bool = False
    """v(2 H) = 2 v(H), with `own` scaled alike."""


TABLE: tuple[Row, ...] = (
    Row(ALIE(), translates=True, scales=True),
    Row(ALIE(z="formula", sign="plus"), translates=True, scales=True),
    Row(ALIE(z=0.3, sign="against", ddof=1), scales=True),
    Row(ALIE(estimate="own"), scales=True),
    Row(ALIE(diversify="jitter"), scales=True),
    Row(IPM(), scales=True),
    Row(IPM(epsilon=10.0), scales=True),
    Row(IPM(diversify="jitter"), scales=True),
    Row(IPM(diversify="pairs"), scales=True),
    Row(SignFlip(), scales=True),
    Row(SignFlip(mode="mean", scale=3.0), scales=True),
    Row(SignFlip(mode="cancel"), scales=True),
    Row(Gaussian()),
    Row(Gaussian(mode="additive", scale=0.1)),
    Row(Gaussian(mode="matched"), scales=True),
    Row(Mimic(), symmetric=False, scales=True),
    Row(Mimic(warmup=1), symmetric=False, scales=True),
    Row(FreeRider()),
    Row(SignRandomising(), scales=True),
    Row(ValueInverting()),
    Row(ValueInverting(probability=1.0, floor=1e-3)),
    Row(RandomRescaling(), scales=True),
    Row(UniformNoise()),
    Row(UniformNoise(low=-3.0, high=-1.0)),
    Row(DroppedCoordinates(fraction=0.7), scales=True),
    Row(CorruptedGradient(fraction=1.0)),
    Row(FGSM()),
    Row(PGD(restarts=2)),
    Row(ZerothOrder()),
    Row(NonFinite(), finite=False),
    Row(NonFinite(payload="inf"), finite=False),
    Row(NonFinite(payload="-inf"), finite=False),
    Row(NonFinite(payload="sparse_nan", density=0.3), finite=False),
    Row(NonFinite(payload="huge")),
    Row(ReverseRanking()),
    Row(ShuffledRanking()),
    Row(BoundarySwap()),
    Row(BoundarySwap(width=0.1)),
    Row(LabelFlip()),
    Row(LabelFlip(mode="cyclic", fraction=0.5)),
    Row(LabelFlip(mode="random")),
    Row(LabelFlip(mode="targeted", source=2, target=0)),
    Row(Dropout()),
    Row(Dropout(probability=0.5)),
)

UPDATE = [row for row in TABLE if isinstance(row.attack, UpdateAttack)]


def walk(rows: list[Row]) -> pytest.MarkDecorator:
    """One test for each row, called by the attack's own text."""
    return pytest.mark.parametrize("row", rows, ids=lambda row: repr(row.attack))


def crafted(
    attack: Component, honest: npt.NDArray[np.floating], own: npt.NDArray[np.floating], rng: int = 0
) -> npt.NDArray[np.floating]:
    """The malicious updates, one for each row of `own`."""
    assert isinstance(attack, UpdateAttack)
    result: npt.NDArray[np.floating] = attack(honest, f=len(own), own=own, aggregate=lambda rows: rows[0], rng=rng)
    return result


def updates(h: int = 7, d: int = 5, seed: int = 0) -> Matrix:
    """Honest updates [h, d] around a mean that is not zero."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + 0.5 * rng.normal(size=(h, d))
