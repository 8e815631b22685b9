"""What the summary of a run holds: these declarations type the code, and summaries are checked against them.

A key that is ``NotRequired`` may be absent from summaries of another version; this version writes all keys.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.axes import Exhibited, FaultsWorld, Interval, PrivacyWorld, TargetedWorld
from robustfl.evaluation.results.shapes import Shape
from robustfl.evaluation.results.training import TrainingReport


class ScoredCell(TypedDict):
    """One attack at one f: utility, accuracy, trial and status by seed; `U` and `ci` exist when no seed is missing."""

    u: list[float | None]
    U: float | None
    ci: Interval
    accuracy: list[float | None]
    trials: list[str | None]
    status: list[str]
    reasons: NotRequired[list[str]]


class LevelReport(TypedDict):
    """The worst case over the attacks of one level of knowledge, and how many these are."""

    W: float
    W_ci: Interval
    worst_attack: str | None
    attacks: int


class ScoredPoint(TypedDict):
    """One f of the curve of a defense: the worst case `W`, the mean `M` over the attacks, and their cells.

    `levels` holds the worst case for each level of knowledge, None where no attack of it was played. `W_cross_fitted`
    is too high on average where attacks are nearly equal, and `W` too low.
    """

    f: int
    fraction: float
    W: float | None
    W_ci: Interval
    W_cross_fitted: NotRequired[float | None]
    levels: NotRequired[dict[str, LevelReport | None]]
    M: float | None
    M_ci: NotRequired[Interval]
    worst_attack: str | None
    invalid: str | None
    incomplete: list[str]
    attacks: dict[str, ScoredCell]


class BreakdownReport(TypedDict):
    """The largest number of malicious clients that a defense withstands; `bound` is what theory says."""

    f: int
    beta: float | None
    verdict: str
    evaluated: NotRequired[list[int]]
    grid: NotRequired[list[int]]
    bound: NotRequired[str | None]


class LevelResilience(TypedDict):
    """The resilience against attackers of one level of knowledge."""

    R: float | None
    R_ci: Interval


class ScoredDefense(TypedDict):
    """One defense in one world: `R_unt` over the attacked shares, and what it keeps `undisturbed`."""

    defense: str
    R_unt: float | None
    R_unt_ci: Interval
    R_levels: NotRequired[dict[str, LevelResilience | None]]
    undisturbed: NotRequired[float | None]
    curve: list[ScoredPoint]
    breakdown: BreakdownReport | None
    status: NotRequired[str]
    why: NotRequired[list[str]]


class BaselineLevel(TypedDict):
    """The accuracy of the plain rule without an attack."""

    mean: float | None
    per_seed: NotRequired[list[float | None]]


class PeersAlone(TypedDict):
    """The accuracy of all peers of a world that train alone: of their mean and of the worst one, also of each seed."""

    mean: float | None
    worst: float | None
    mean_per_seed: list[float | None]
    worst_per_seed: list[float | None]


class PeersServed(TypedDict):
    """The accuracy of honest peers with a defense, in its worst case with `f` malicious ones: the largest number."""

    attack: str | None
    f: int
    mean: float | None
    worst: float | None
    diverged: bool


class PeersReport(TypedDict):
    """What peers without a server have alone and with each defense; `listed_as` is the defense that hears nobody."""

    alone: PeersAlone
    listed_as: str | None
    defenses: dict[str, PeersServed]


class ScoredWorldReport(TypedDict):
    """All defenses in one world; `settings` are its task and federation, by which equal worlds are found again."""

    world: str
    id: NotRequired[str]
    settings: NotRequired[dict[str, Any]]
    clients: int
    rounds: NotRequired[int]
    seeds: list[int]
    f_grid: list[int]
    chance: float
    test_size: int
    effective_test_size: NotRequired[float]
    baseline: BaselineLevel
    training: NotRequired[TrainingReport | None]
    informative: bool
    peers: NotRequired[PeersReport | None]
    defenses: list[ScoredDefense]


class RankRow(TypedDict):
    """A row of the ranking; the rank is None for a defense that may not be ranked or has no numbers.

    `R_levels` and `undisturbed` are means over the worlds, as `R_mean` is. `W_at_max_f` is the smallest over the
    worlds, and `world` is where. `tied` says that the row cannot be told apart from the best one above it.
    """

    rank: int | None
    status: NotRequired[str]
    why: NotRequired[list[str]]
    defense: str
    R_mean: float | None
    R_min: float | None
    R_ci: Interval
    R_levels: NotRequired[dict[str, float | None]]
    undisturbed: NotRequired[float | None]
    W_at_max_f: float | None
    W_ci: NotRequired[Interval]
    worst_attack: str | None
    world: NotRequired[str | None]
    tied: NotRequired[bool]
    beaten_by: NotRequired[list[str]]
    beats: list[str]


class RemarkReport(TypedDict):
    """A reason to doubt a number, and the place of that number."""

    code: str
    level: str
    world: str | None
    defense: str | None
    attack: str | None
    f: int | None
    message: str


class ScoreSettingsReport(TypedDict):
    """The settings with which the score was made; `aims_first` marks a suite whose utilities count what is kept."""

    accuracy: NotRequired[str]
    threshold: NotRequired[float]
    margin: NotRequired[float]
    alpha: NotRequired[float]
    plain: NotRequired[str]
    aims_first: NotRequired[bool]


class Scores(TypedDict):
    """The score of a suite."""

    schema: Annotated[int, Shape(SCHEMA)]
    settings: ScoreSettingsReport
    worlds: list[ScoredWorldReport]
    ranking: list[RankRow]
    pairs: NotRequired[list[dict[str, Any]]]
    flags: list[RemarkReport]


class ClaimReport(TypedDict):
    """A claim, and what was measured for it."""

    text: str
    source: str
    measure: str
    expect: str
    value: float | None
    per_seed: list[float]
    ci: Interval
    difference: float | None
    verdict: str
    reason: str
    parts: dict[str, float | None]


class Served(TypedDict):
    """How good a model is for those that it serves worst."""

    worst_class: float | None
    worst_client: float | None
    client_spread: float | None


class LostUtility(TypedDict):
    """A loss compared with the plain rule, and its interval."""

    mean: float
    ci: Interval


class Undisturbed(Served):
    """The cost of a defense without an attack, for all declared numbers `f` that have the same outcome."""

    f: list[int]
    honest_ignored: float | None
    honest_unheard: float | None
    utility_lost: LostUtility | None
    worst_class_lost: LostUtility | None
    worst_client_lost: LostUtility | None


class Detected(TypedDict):
    """Whom a defense ignores under one attack."""

    detection_precision: float | None
    detection_recall: float | None
    detection_auc: float | None
    honest_ignored: float | None


class Caught(TypedDict):
    """Whom a defense ignores when the number of malicious clients is the largest."""

    f: int
    attacks: dict[str, Detected]
    mean: Detected
    hardest: str | None


class DefenseCosts(TypedDict):
    """Costs and detection of one defense."""

    defense: str
    undisturbed: list[Undisturbed]
    caught: Caught | None


class SideEffects(TypedDict):
    """Costs and detection in one world."""

    world: str
    baseline: Served
    defenses: list[DefenseCosts]


class Trigger(TypedDict):
    """A test sample without and with the trigger of a backdoor."""

    world: str
    aim: str
    height: int
    width: int
    channels: int
    clean: str
    marked: str
    truth: str
    wanted: str


class DefenseCard(TypedDict):
    """What the documentation of a defense says."""

    stages: NotRequired[list[str]]
    summary: NotRequired[str | None]
    guarantee: NotRequired[str | None]
    sensitivity: NotRequired[str | None]
    requires: NotRequired[str | None]
    reference: NotRequired[str | None]


class AttackCard(TypedDict):
    """What the documentation of an attack says."""

    summary: NotRequired[str | None]
    knowledge: NotRequired[list[str]]
    reference: NotRequired[str | None]


class Components(TypedDict):
    """All defenses and attacks of a suite."""

    defenses: dict[str, DefenseCard]
    attacks: dict[str, AttackCard]


class Histogram(TypedDict):
    """The number of samples of each class that each client has, for one seed.

    `notes` says what was done to the values of the data's files. Of many clients some are shown, spread evenly over the
    numbers of all: `clients` are their numbers, and `left_out` says how many more there are. Without these keys all
    clients are shown, in their order.
    """

    classes: list[str]
    seed: int
    counts: list[list[int]]
    malicious: list[int]
    notes: NotRequired[list[str]]
    clients: NotRequired[list[int]]
    left_out: NotRequired[int]


class FrozenAttacks(TypedDict):
    """A frozen attack list."""

    name: str
    hash: str


class SuiteReport(TypedDict):
    """The suite, and the commands that play it again."""

    name: str
    description: str | None
    hash: str
    standard: NotRequired[FrozenAttacks | None]
    command: str
    rows: NotRequired[dict[str, str]]
    seeds: list[int]
    settings: NotRequired[dict[str, Any]]


class RunTime(TypedDict):
    """When a run was made, and how long it took, with all starts that it needed."""

    created: str
    elapsed_s: float
    workers: int


class TrialCounts(TypedDict):
    """The number of trials of each status, and the number of cells without a trial."""

    total: int
    ok: int
    diverged: int
    failed: int
    invalid: int
    not_applicable: NotRequired[int]


class Summary(TypedDict):
    """Everything that reports need in addition to the records."""

    schema: Annotated[int, Shape(SCHEMA)]
    suite: SuiteReport
    provenance: dict[str, Any]
    time: RunTime
    trials: TrialCounts
    components: Components
    histograms: dict[str, Histogram]
    scores: Scores
    side_effects: NotRequired[list[SideEffects]]
    targeted: NotRequired[list[TargetedWorld]]
    faults: NotRequired[list[FaultsWorld]]
    privacy: NotRequired[list[PrivacyWorld]]
    exhibits: NotRequired[list[Exhibited]]
    triggers: NotRequired[list[Trigger]]
    claims: NotRequired[list[ClaimReport]]
