"""Every attack of the folder with the settings that the common tests walk, and what may be expected of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from robustfl.attacks import (
    ALIE,
    AWGN,
    DBA,
    DLG,
    FGSM,
    IDLG,
    IPM,
    MPAF,
    PGD,
    RMIA,
    ROP,
    AGRTailored,
    AlternatingMinimisation,
    Analytic,
    AntiCGE,
    BadNets,
    BitFlip,
    BoundarySwap,
    Churn,
    Compress,
    ConsistentWhiteBox,
    Constant,
    ConstantDirection,
    CorruptedGradient,
    Crash,
    Dissensus,
    Drift,
    Dropout,
    DroppedCoordinates,
    DuplicateClient,
    DuplicateSamples,
    Echo,
    Edge,
    EdgeCase,
    EmptyClient,
    ExactBatches,
    FangKrum,
    FangTrimmedMean,
    FeatureNoise,
    Framing,
    FreeRider,
    Gaussian,
    Geodesic,
    GradientAscent,
    GradInversion,
    HiddenShift,
    Imprint,
    InconsistentModel,
    InvertingGradients,
    LabelCounts,
    LabelFlip,
    LabelNoise,
    LiRA,
    LossThreshold,
    Mimic,
    MinMax,
    MinSum,
    ModelReplacement,
    NaNClient,
    Neurotoxin,
    NonFinite,
    OmniscientLabelFlip,
    OneCoordinate,
    OptALIE,
    OptIPM,
    OutOfOrder,
    Partial,
    PeerWhiteBox,
    PGDConstrained,
    PlannedDrift,
    PoisonedFL,
    PredictionSearch,
    RandomRescaling,
    Replay,
    ReversedBeliefs,
    ReverseRanking,
    RowRatios,
    Scaling,
    ShuffledRanking,
    SignFlip,
    SignRandomising,
    SignStatistics,
    SparseHybrid,
    Spectral,
    Stale,
    StateOverride,
    Straggler,
    TrustCosine,
    UniformNoise,
    UpdateAlignment,
    ValueInverting,
    WhiteBox,
    WrongClass,
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
    """v(2 H) = 2 v(H), with `own` and the models so far scaled alike."""
    sends_own: bool = False
    """What is sent is what was trained: the attack is in the training."""


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
    Row(OmniscientLabelFlip(), scales=True),
    Row(OmniscientLabelFlip(mode="cyclic", diversify="pairs"), scales=True),
    Row(SignFlip(), scales=True),
    Row(SignFlip(mode="mean", scale=3.0), scales=True),
    Row(SignFlip(mode="cancel"), scales=True),
    Row(Gaussian()),
    Row(Gaussian(mode="additive", scale=0.1)),
    Row(Gaussian(mode="additive", scale="own"), scales=True),
    Row(Gaussian(center=0.1, scale=0.1)),
    Row(Gaussian(mode="matched"), scales=True),
    Row(Mimic(), symmetric=False, scales=True),
    Row(Mimic(warmup=1), symmetric=False, scales=True),
    Row(Mimic(warmup=1, side="least"), symmetric=False, scales=True),
    Row(Mimic(client=0), symmetric=False, translates=True, scales=True),
    Row(MinMax(), translates=True, scales=True),
    Row(MinMax(direction="unit"), scales=True),
    Row(MinMax(direction="sign", diversify="pairs"), scales=True),
    Row(MinMax(estimate="own"), scales=True),
    Row(MinSum(), translates=True, scales=True),
    Row(MinSum(direction="unit", bound="min"), scales=True),
    Row(ROP()),
    Row(ROP(z=1.0, angle=180.0)),
    Row(SparseHybrid(), scales=True),
    Row(SparseHybrid(sensitive=0.5, budget="alie", diversify="pairs"), scales=True),
    Row(FangKrum(), scales=True),
    Row(FangKrum(estimate="own", epsilon=0.0), scales=True),
    Row(FangTrimmedMean(), scales=True),
    Row(FangTrimmedMean(deterministic=True), scales=True),
    Row(FangTrimmedMean(estimate="own"), scales=True),
    Row(WhiteBox()),
    Row(WhiteBox(harm="l2", diversify="pairs")),
    Row(WhiteBox(harm="fixed", steady="random", pool=False)),
    Row(ConsistentWhiteBox()),
    Row(ConsistentWhiteBox(steady="across")),
    Row(ConsistentWhiteBox(steady="across", harm="relocated")),
    Row(ConsistentWhiteBox(steady="anti", search_every=2)),
    Row(PlannedDrift(), symmetric=False),
    Row(PlannedDrift(data="own", estimate="own", late=0.5, diversify="pairs")),
    Row(OptIPM(), scales=True),
    Row(OptIPM(method="swing")),
    Row(OptALIE(), scales=True),
    Row(AGRTailored(), scales=True),
    Row(AGRTailored(direction="unit", diversify="pairs"), scales=True),
    Row(AGRTailored(estimate="own"), scales=True),
    Row(FreeRider()),
    Row(FreeRider(mode="zero"), scales=True),
    Row(FreeRider(mode="delta"), scales=True),
    Row(FreeRider(mode="noisy_delta", scale=0.5), scales=True),
    Row(FreeRider(mode="disguised"), scales=True),
    Row(FreeRider(mode="stale"), scales=True, sends_own=True),
    Row(SignRandomising(), scales=True),
    Row(ValueInverting()),
    Row(ValueInverting(probability=1.0, floor=1e-3)),
    Row(RandomRescaling(), scales=True),
    Row(Scaling(), scales=True),
    Row(Constant(), scales=True),
    Row(Constant(value=-3.0, diversify="pairs")),
    Row(Constant(value="denormal")),
    Row(GradientAscent(), scales=True, sends_own=True),
    Row(Drift(), translates=True, scales=True),
    Row(Drift(steady="random"), translates=True, scales=True),
    Row(Drift(steady="anti"), translates=True, scales=True),
    Row(ConstantDirection(), scales=True),
    Row(ConstantDirection(steady="minus_ones", diversify="pairs"), scales=True),
    Row(OneCoordinate(), translates=True, scales=True),
    Row(OneCoordinate(coordinate="all"), translates=True, scales=True),
    Row(OneCoordinate(coordinate=0, diversify="pairs"), scales=True),
    Row(MPAF(base="initial"), scales=True),
    Row(PoisonedFL(), scales=True),
    Row(AntiCGE(), scales=True),
    Row(SignStatistics(), scales=True),
    Row(SignStatistics(mode="alie"), translates=True, scales=True),
    Row(SignStatistics(mode="min_max"), translates=True, scales=True),
    Row(Geodesic(), scales=True),
    Row(TrustCosine(), scales=True),
    Row(TrustCosine(steady="random", diversify="pairs"), scales=True),
    Row(UniformNoise()),
    Row(UniformNoise(low=-3.0, high=-1.0)),
    Row(DroppedCoordinates(fraction=0.7), scales=True),
    Row(CorruptedGradient(fraction=1.0)),
    Row(Analytic()),
    Row(ExactBatches()),
    Row(ExactBatches(summed=True, subsets=1000)),
    Row(Imprint()),
    Row(Imprint(summed=True)),
    Row(InconsistentModel(bias=50.0)),
    Row(DLG()),
    Row(IDLG()),
    Row(GradInversion()),
    Row(InvertingGradients()),
    Row(LabelCounts()),
    Row(RowRatios()),
    Row(LossThreshold()),
    Row(LiRA(mode="online")),
    Row(RMIA(a=0.5)),
    Row(UpdateAlignment(centred=True)),
    Row(FGSM()),
    Row(PGD(restarts=2)),
    Row(ZerothOrder()),
    Row(NonFinite(), finite=False),
    Row(NonFinite(payload="inf"), finite=False),
    Row(NonFinite(payload="-inf"), finite=False),
    Row(NonFinite(payload="sparse_nan", density=0.3), finite=False),
    Row(NonFinite(payload="huge")),
    Row(WrongClass()),
    Row(WrongClass(choice="runner_up", confidence=0.8, diversify="jitter")),
    Row(ReversedBeliefs()),
    Row(ReversedBeliefs(mode="complement", estimate="peers")),
    Row(HiddenShift()),
    Row(HiddenShift(z=0.5, spare=False, estimate="own")),
    Row(PredictionSearch()),
    Row(PredictionSearch(harm="flips", search_every=2)),
    Row(ReverseRanking()),
    Row(ShuffledRanking()),
    Row(BoundarySwap()),
    Row(BoundarySwap(width=0.1)),
    Row(LabelFlip()),
    Row(LabelFlip(mode="cyclic", fraction=0.5)),
    Row(LabelFlip(mode="random")),
    Row(LabelFlip(mode="targeted", source=2, target=0)),
    Row(BadNets(target=1, ratio=0.5)),
    Row(BadNets(mode="source", source=2)),
    Row(BadNets(mode="all2all")),
    Row(DBA()),
    Row(EdgeCase(source=2, target=0)),
    Row(ModelReplacement(boost=10.0), scales=True),
    Row(ModelReplacement(bound=1.0)),
    Row(PGDConstrained(), scales=True, sends_own=True),
    Row(Neurotoxin(), scales=True, sends_own=True),
    Row(AlternatingMinimisation(), scales=True, sends_own=True),
    Row(LabelFlip(mode="swap", source=2, target=0)),
    Row(Dropout()),
    Row(Dropout(probability=0.5)),
    Row(Crash()),
    Row(Crash(probability=1.0, permanent=True, share=0.8)),
    Row(Churn()),
    Row(Straggler()),
    Row(Straggler(on_time=0.4, late="stale")),
    Row(Stale()),
    Row(Partial()),
    Row(AWGN()),
    Row(BitFlip(rate=1e-3)),
    Row(Compress(keep=0.5)),
    Row(Compress(method="qsgd", feedback=True)),
    Row(Compress(method="sign")),
    Row(Compress(method="fp16")),
    Row(Echo()),
    Row(Dissensus()),
    Row(Edge()),
    Row(Framing()),
    Row(Edge(direction="away", slack=0.0)),
    Row(Spectral()),
    Row(PeerWhiteBox()),
    Row(PeerWhiteBox(direction="spectral")),
    Row(StateOverride()),
    Row(LabelNoise()),
    Row(FeatureNoise(mode="swapped", share=0.2)),
    Row(DuplicateClient()),
    Row(DuplicateSamples()),
    Row(Replay()),
    Row(NaNClient()),
    Row(NaNClient(mode="diverging")),
    Row(EmptyClient()),
    Row(OutOfOrder()),
)

PREDICTIONS = [row for row in TABLE if isinstance(row.attack, UpdateAttack) and row.attack.surface == "predictions"]
UPDATE = [row for row in TABLE if isinstance(row.attack, UpdateAttack) and row.attack.surface == "updates"]


def walk(rows: list[Row]) -> pytest.MarkDecorator:
    """One test for each row, called by the attack's own text."""
    return pytest.mark.parametrize("row", rows, ids=lambda row: repr(row.attack))


def crafted(
    attack: Component,
    honest: npt.NDArray[np.floating],
    own: npt.NDArray[np.floating],
    rng: int = 0,
    history: list[Matrix] | None = None,
) -> npt.NDArray[np.floating]:
    """The malicious updates, one for each row of `own`; arrays or, of the same kind as `honest`, tensors."""
    assert isinstance(attack, UpdateAttack)
    history = models(honest.shape[1]) if history is None else history
    result: npt.NDArray[np.floating] = attack(
        honest, f=len(own), own=own, aggregate=lambda rows: rows[0], history=history, relabelled=-honest, rng=rng
    )
    return result


def models(d: int = 5) -> list[Matrix]:
    """The global models [d] so far: the first one, and those of the last round and of this one."""
    return list(np.random.default_rng(9).normal(size=(3, d)))


def updates(h: int = 7, d: int = 5, seed: int = 0) -> Matrix:
    """Honest updates [h, d] around a mean that is not zero."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + 0.5 * rng.normal(size=(h, d))
