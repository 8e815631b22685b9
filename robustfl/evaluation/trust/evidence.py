"""The facts about the attacks and defenses of a suite on which statuses depend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustfl import registry
from robustfl.evaluation.results.records import Record, metrics_of, more_of
from robustfl.evaluation.specs import ALONE, DefenseTemplate
from robustfl.evaluation.suite.standard import PEERS, load_standard, made_for
from robustfl.evaluation.trust.declaration import ToldOff
from robustfl.evaluation.trust.leaks import Beyond
from robustfl.evaluation.trust.privacy import Mismatches
from robustfl.federation.channels.names import spoken_channel
from robustfl.federation.settings import Federation
from robustfl.threats import Identities, TiledAttack
from robustfl.threats.staging import stages
from robustfl.threats.updates.searched import SearchedAttack

if TYPE_CHECKING:
    from robustfl.evaluation.suite.plan import Cell


@dataclass(frozen=True, kw_only=True)
class Threat:
    """The facts about an attack that decide what it proves about a defense.

    Attributes
    ----------
    classes : the registered names of its stages
    knowledge : what it may look at, from `own` to `defense`
    goal : the goal of its search through the defense; None for an attack without a search
    planned : whether its search plans over the rounds to come
    tiled : its class, if all malicious clients send one vector and no search chooses it
    paired : whether lasting pairs of perturbations, or a disguise of its identities, make its rows differ
    start : the first round in which all of its parts act
    first : the first round in which any of them acts
    late : whether it starts after a share of the rounds
    tailored : whether it is made for some defenses
    label : its label in results
    """

    classes: tuple[str, ...]
    knowledge: tuple[str, ...] = ()
    goal: str | None = None
    planned: bool = False
    tiled: str | None = None
    paired: bool = False
    start: int = 0
    first: int = 0
    late: bool = False
    tailored: bool = False
    label: str = field(default="", compare=False)

    @classmethod
    def of(cls, attack: Any) -> Threat:
        """The facts of an attack with any stages."""
        parts = stages(attack)
        last = parts[-1]
        searched = isinstance(last, SearchedAttack)
        starts = [part.start_round for part in parts if hasattr(part, "start_round")]
        return cls(
            classes=tuple(part.name for part in parts),
            knowledge=tuple(attack.required_knowledge().names()),
            goal=last.goal if searched else None,
            planned=searched and last.plans,
            tiled=type(last).label if isinstance(last, TiledAttack) and not searched else None,
            paired=any(
                getattr(part, "diversify", "") == "pairs" or (isinstance(part, Identities) and part.disguise > 0)
                for part in parts
            ),
            start=max(starts, default=0),
            first=min(starts, default=0),
            late=any(getattr(part, "late", 0.0) > 0 for part in parts),
            tailored=bool(made_for(attack)),
            label=str(attack),
        )


@dataclass(frozen=True, kw_only=True)
class DefenseFacts:
    """The facts about a defense that decide what its evaluation needs.

    Attributes
    ----------
    channel : the channel of its messages
    searchable : whether a white-box search over such messages exists
    plannable : whether such a search exists that plans over the rounds to come
    stateful : whether it keeps a history
    trusting : whether it uses an update that the server computes on clean samples of its own
    made_for : the registered attacks that are made for one of its stages
    among_peers : the labels of the attacks that its evaluation needs where it mixes the models of peers
    baseline : whether it is the rule by which peers hear nobody, with which others are compared
    """

    channel: str = "dense"
    searchable: bool = True
    plannable: bool = True
    stateful: bool = False
    trusting: bool = False
    made_for: tuple[str, ...] = ()
    among_peers: tuple[str, ...] = ()
    baseline: bool = False

    @classmethod
    def of(cls, template: DefenseTemplate, federation: Federation | None = None) -> DefenseFacts:
        """The facts of a defense, in a federation that may let its clients speak another channel."""
        whole, names = template.build(0), set(template.names)
        channel = str(whole.channel) if federation is None else spoken_channel(whole.channel, federation)
        attacks = registry.find("attack")
        searches = [
            kind
            for kind in attacks.values()
            if issubclass(kind, SearchedAttack) and (kind.channels is None or channel in kind.channels)
        ]
        return cls(
            channel=channel,
            searchable=bool(searches),
            plannable=any(kind.plans for kind in searches),
            stateful=bool(whole.stateful),
            trusting=bool(getattr(whole, "wants_trusted", False)),
            made_for=tuple(
                name
                for name, kind in attacks.items()
                if _concerns(kind, whole) and (channel != "peers" or _among_peers(kind))
            ),
            among_peers=tuple(map(str, load_standard(PEERS).attacks)) if channel == "peers" else (),
            baseline=names == {ALONE},
        )


def _concerns(kind: Any, defense: Any) -> bool:
    """Whether attacks of a kind are made for a stage of a defense, with the parameters that it has."""
    return any(kind.concerns(stage) for stage in defense.stages if stage.name in made_for(kind))


def _among_peers(kind: Any) -> bool:
    """Whether attacks of a kind can be played in a network without a server."""
    channels = getattr(kind, "channels", None)
    return channels is None or "peers" in channels


@dataclass(frozen=True, kw_only=True)
class RoundShare:
    """The share of the rounds of one cell, over all of its seeds, in which something happened; it is above 0."""

    attack: str
    f: int
    share: float


RoundShares = Mapping[tuple[str, str], tuple[RoundShare, ...]]
"""(world, defense) -> the cells in which it happened."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything on which the statuses of a scored suite depend, in addition to its numbers.

    Attributes
    ----------
    threats : label of an attack -> its facts
    subjects : label of a defense -> its facts
    elsewhere : (world, defense) -> these facts in a world whose clients send predictions, or have no server
    rounds : label of a world -> the number of rounds of its training
    doubled : label of a search -> label of the same search with at least twice the effort
    conduct : (world, defense) -> the misbehaviour of the defense that was seen in its trials
    reached : (world, attack, f) -> the success of a targeted attack against the plain rule, as a share of its samples
    exceeded : the rounds in which more clients were caught than the defense was told
    held : the rounds in which the defense gave no answer
    not_repeated : (world, defense) -> what was different when its trials were played again
    mismatched : the attacks on privacy to which the true samples do not explain what was seen
    told_off : what defenses keep that are told a wrong f
    beyond : what attacks on privacy found out beyond what the account of a defense allows
    ranks_adaptive_only : whether only defenses with the status ADAPTIVE are ranked
    """

    threats: Mapping[str, Threat] = field(default_factory=dict)
    subjects: Mapping[str, DefenseFacts] = field(default_factory=dict)
    elsewhere: Mapping[tuple[str, str], DefenseFacts] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)
    doubled: Mapping[str, str] = field(default_factory=dict)
    conduct: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    reached: Mapping[tuple[str, str, int], float] = field(default_factory=dict)
    exceeded: RoundShares = field(default_factory=dict)
    held: RoundShares = field(default_factory=dict)
    not_repeated: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    mismatched: Mismatches = field(default_factory=dict)
    told_off: tuple[ToldOff, ...] = ()
    beyond: tuple[Beyond, ...] = ()
    ranks_adaptive_only: bool = False

    def acts(self, world: str, attack: str) -> bool:
        """Whether an attack begins before the training of this world ends; also if nothing is known of it."""
        threat, rounds = self.threats.get(attack), self.rounds.get(world)
        return threat is None or rounds is None or threat.first < rounds


def doubled_searches(attacks: Sequence[Any]) -> dict[str, str]:
    """Each search that occurs a second time with at least twice the effort and otherwise equal parameters."""
    searches = [attack for attack in attacks if isinstance(attack, SearchedAttack)]
    return {str(first): str(second) for first in searches for second in searches if second.doubles(first)}


def seen_conduct(records: Iterable[Record]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The misbehaviour of defenses in the records, each kind once: (world, defense) -> texts."""
    seen: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        texts = more_of(record).get("conduct") or []
        place = record["labels"]["world"], record["labels"]["defense"]
        for text in texts:
            seen.setdefault(place, {})[text] = None
    return {place: tuple(texts) for place, texts in seen.items()}


def reached_aims(cells: Iterable[Cell], records: Mapping[str, Record], plain: str) -> dict[tuple[str, str, int], float]:
    """The mean success of targeted attacks against the defense `plain` over the seeds: (world, attack, f) -> share."""
    found: dict[tuple[str, str, int], list[float]] = {}
    for cell in cells:
        record = records.get(cell.trial.id) if cell.trial is not None and cell.defense == plain else None
        success = more_of(record).get("attack_success")
        if success is not None:
            found.setdefault((cell.world, cell.attack, cell.f), []).append(success)
    return {place: sum(shares) / len(shares) for place, shares in found.items()}


def exceeded_rounds(record: Record) -> float:
    """The rounds of a trial in which a defense that is told f has caught more clients than that."""
    return more_of(record).get("exceeded_rounds") or 0.0


def held_rounds(record: Record) -> float:
    """The rounds of a trial in which a defense gave no answer, since too few rows were left."""
    return metrics_of(record).get("held_rounds") or 0.0


def round_shares(
    cells: Iterable[Cell],
    records: Mapping[str, Record],
    rounds: Mapping[str, int],
    counted: Callable[[Record], float],
) -> dict[tuple[str, str], tuple[RoundShare, ...]]:
    """The cells in which some rounds count, and which share of their rounds does, over the seeds that have a record.

    Parameters
    ----------
    cells : one for each seed
    records : by the id of their trial
    rounds : label of a world -> rounds of its training
    counted : how many rounds of a trial count, such as :func:`held_rounds`
    """
    found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for cell in cells:
        record = None if cell.trial is None else records.get(cell.trial.id)
        if record is not None:
            own = found.setdefault((cell.world, cell.defense), {})
            own.setdefault((cell.attack, cell.f), []).append(counted(record) / rounds[cell.world])
    shares = {
        place: tuple(
            RoundShare(attack=attack, f=f, share=sum(values) / len(values))
            for (attack, f), values in own.items()
            if any(values)
        )
        for place, own in found.items()
    }
    return {place: known for place, known in shares.items() if known}
