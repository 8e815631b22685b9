"""Which claim holds: a mechanism with a rule, a channel and a sampling, as a table that programs and readers share.

A mechanism protects only what its proof covers. Some combinations have no proof, so they should not be built (an
error). Others run, but what they run on was not public or not bounded, so the claim is withdrawn (void). Others hold
and need a remark (a note). :data:`CELLS` is the table, :data:`CODES` says what each code means, and :func:`standing`
reads both.

>>> poisson = Situation(place="server", rule=RuleFacts(name="trimmed_mean", averages=False), sampling="poisson")
>>> found = standing(poisson)
>>> str(found.level), [reason.code for reason in found.reasons]
('error', ['SECRET_NUMBER_OF_ROWS'])
>>> str(standing(Situation(place="server")).level)
'ok'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from robustfl.errors import ParameterError
from robustfl.privacy.account import Unit
from robustfl.privacy.releases import Relation

Place = Literal["server", "steps", "clients", "shares"]
"""Who adds the noise: the server, to the answer of its rule; each client, in each of its local steps; each client, all
of it, to its message; each client, a share that is enough in the sum of all messages."""

Drawn = Literal["everyone", "poisson", "fixed", "replacement"]
"""How the records of a release are drawn: all of them; each with the same probability, independently; a fixed number
of different ones; a fixed number with replacement."""

Column = Literal[
    "averages",
    "bounded",
    "unbounded",
    "secure sum",
    "rows seen",
    "other channel",
    "poisson",
    "fixed",
    "replacement",
    "always",
]
"""What a combination has that may matter for its claim."""

COLUMNS: Final[Mapping[Column, str]] = {
    "averages": "a rule that averages (mean, norm_bound)",
    "bounded": "another rule of known sensitivity",
    "unbounded": "a rule without a known sensitivity",
    "secure sum": "the server sees only the sum of messages",
    "rows seen": "the server sees every message",
    "other channel": "messages that are no updates",
    "poisson": "records drawn independently (Poisson)",
    "fixed": "a fixed number of records drawn",
    "replacement": "records drawn with replacement",
    "always": "whatever else",
}
"""The columns of the table in words."""

MECHANISMS: Final[Mapping[Place, str]] = {
    "server": "dp_fed_avg",
    "steps": "dp_sgd",
    "clients": "local_dp",
    "shares": "secure_sum_dp",
}
"""The usual mechanism of each place."""


class Level(StrEnum):
    """How a claim stands, the worst last."""

    OK = "ok"
    NOTE = "note"
    """The claim holds, and something about it should be said."""
    VOID = "void"
    """It can be run, and the claim does not hold."""
    ERROR = "error"
    """It should not be built: there is no mechanism of this kind."""


@dataclass(frozen=True, kw_only=True)
class RuleFacts:
    """What is asked of the rule behind a mechanism.

    Attributes
    ----------
    name : its name
    averages : whether its answer is a sum of what each row gives on its own, over the number of rows
    bounded : whether a bound is known for how far one row moves its answer
    why : why not
    geometric : whether distances or inner products between rows decide
    names : whether the clients' ids decide something, such as who shares a bucket
    """

    name: str = "mean"
    averages: bool = True
    bounded: bool = True
    why: str = ""
    geometric: bool = False
    names: bool = False


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A mechanism and what it is combined with; what is not given is harmless.

    Attributes
    ----------
    place : who adds the noise
    rule : the rule behind it
    channel : what messages are; `dense` for updates
    secure_sum : whether the server sees only the sum of messages
    sampling : how the records of a release are drawn: clients, or for `steps` the examples of a client
    relation : the relation between neighbours of the claim
    weights : of clients in a sum: equal, or public with a public maximum, or as clients report them
    denominator : what sums are divided by: a public number, or the records that happened to take part
    clip : a public number, one found from the data with noise that the account counts, or from the data without noise
    noised_message : whether all of a message is computed from what was noised in the local steps
    noise_to_signal : the length of the noise of one message over its clip; see :func:`noise_to_signal`
    diverged : whether the model stopped being finite
    tuned : whether hyper-parameters were chosen by looking at results on the same data
    """

    place: Place
    rule: RuleFacts = RuleFacts()
    channel: str = "dense"
    secure_sum: bool | None = None
    sampling: Drawn = "everyone"
    relation: Relation = "replace_one"
    weights: Literal["equal", "public", "reported"] = "equal"
    denominator: Literal["public", "counted"] = "public"
    clip: Literal["public", "noised", "data"] = "public"
    noised_message: bool = True
    noise_to_signal: float = 0.0
    diverged: bool = False
    tuned: bool = False

    def __post_init__(self) -> None:
        if self.place not in CELLS:
            raise ParameterError(f"`place` should be one of {tuple(CELLS)}. Found place={self.place!r}.")
        if not self.noise_to_signal >= 0:
            raise ParameterError(f"`noise_to_signal` should be at least 0. Found {self.noise_to_signal}.")

    @property
    def unit(self) -> Unit:
        """Whose privacy it is: what one record stands for."""
        return "example" if self.place == "steps" else "client"

    @property
    def summed(self) -> bool:
        """Whether the server sees only the sum: as told, else where the mechanism asks for it."""
        return self.place == "shares" if self.secure_sum is None else self.secure_sum

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the table that this combination falls under."""
        rule: Column = "averages" if self.rule.averages else "bounded" if self.rule.bounded else "unbounded"
        found: list[Column] = [rule, "secure sum" if self.summed else "rows seen"]
        found += ["other channel"] if self.channel != "dense" else []
        found += [self.sampling] if self.sampling != "everyone" else []
        return *found, "always"


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a code stands for: how grave it is, when it applies (also in words), and a sentence with the remedy.

    The sentence is a template, which may name the fields of a :class:`Situation`.
    """

    level: Level
    text: str
    when: str = ""
    applies: Callable[[Situation], bool] = lambda situation: True


CODES: Final[Mapping[str, Code]] = {
    "NO_SENSITIVITY": Code(
        level=Level.ERROR,
        text="No bound is known for how far one row moves the answer of {rule.name}: {rule.why}. Take a rule that has "
        "one, let clients add the noise (local_dp), or drop the claim.",
    ),
    "SECRET_NUMBER_OF_ROWS": Code(
        level=Level.ERROR,
        text="{rule.name} divides by the number of rows, which is a secret under Poisson sampling. Let everybody or a "
        "cohort of fixed size take part, or take the mean.",
        when="unless the rule averages",
        applies=lambda situation: not situation.rule.averages,
    ),
    "NEEDS_ROWS": Code(
        level=Level.ERROR,
        text="{rule.name} needs every row, and the server sees only their sum. Take the mean.",
        when="unless the rule averages",
        applies=lambda situation: not situation.rule.averages,
    ),
    "SHARES_NEED_A_SECURE_SUM": Code(
        level=Level.ERROR,
        text="A share of the noise protects nobody whose message is seen. Add a secure sum, or let each client add all "
        "of the noise (local_dp).",
    ),
    "NO_SENSITIVITY_OF_CHANNEL": Code(
        level=Level.ERROR,
        text="Messages of the channel {channel} have no length that could be clipped, so that no sensitivity is known.",
    ),
    "MESSAGE_NOT_NOISED": Code(
        level=Level.ERROR,
        text="Messages of the channel {channel} should be computed from noised gradients alone. Something else goes "
        "into them, which no noise covers.",
        when="unless noised gradients are all that goes into them",
        applies=lambda situation: not situation.noised_message,
    ),
    "RELATION_WITHOUT_PRICE": Code(
        level=Level.ERROR,
        text="In a cohort of fixed size every record that leaves makes room for another one, so only the replacement "
        "of a record has a price. Claim that, or sample independently.",
        when="where the claim is about one record more or less",
        applies=lambda situation: situation.relation != "replace_one",
    ),
    "NAMES_DECIDE": Code(
        level=Level.ERROR,
        text="In {rule.name} ids decide, so another client in the place of one that was not drawn changes more than "
        "one row. The price of sampling assumes that it does not. Let everybody take part, or take another rule.",
        when="where clients' ids decide, as in bucketing",
        applies=lambda situation: situation.rule.names,
    ),
    "DRAWN_WITH_REPLACEMENT": Code(
        level=Level.VOID,
        text="Records are drawn with replacement, so one may count several times. No account here covers that.",
    ),
    "REPORTED_WEIGHTS": Code(
        level=Level.VOID,
        text="Clients are weighted by numbers that they report, and no public maximum bounds what one of them adds. "
        "Use equal weights, or public ones.",
        when="where clients report their weights",
        applies=lambda situation: situation.weights == "reported",
    ),
    "COUNTED_DENOMINATOR": Code(
        level=Level.VOID,
        text="The sum is divided by the number of records that took part, which one record changes for all others. "
        "Divide by the expected number.",
        when="where a sum is divided by the records that took part",
        applies=lambda situation: situation.denominator == "counted",
    ),
    "CLIP_FROM_DATA": Code(
        level=Level.VOID,
        text="The clip comes from the data, and no share of the budget pays for it. Use a public one, or one that is "
        "found with noise of its own.",
        when="where the clip comes from the data without a price",
        applies=lambda situation: situation.clip == "data",
    ),
    "DIVERGED": Code(
        level=Level.VOID,
        text="The model stopped being finite, and that this happened was seen by everybody.",
        when="where the model stopped being finite",
        applies=lambda situation: situation.diverged,
    ),
    "TUNED": Code(
        level=Level.NOTE,
        text="Hyper-parameters were chosen by results on the same data. That is not part of the account.",
        when="where results on the same data chose hyper-parameters",
        applies=lambda situation: situation.tuned,
    ),
    "NO_AMPLIFICATION": Code(
        level=Level.NOTE,
        text="Whoever gets the messages knows who took part, so sampling hides nobody from the server, from one behind "
        "a secure sum, or from the wire.",
    ),
    "NOISE_BEATS_GEOMETRY": Code(
        level=Level.NOTE,
        text="The noise of a message is {noise_to_signal:.3g} times as long as the clip, so distances between rows are "
        "those of noise, and {rule.name} cannot tell honest rows from others by them.",
        when="where noise decides the distances between rows",
        applies=lambda situation: situation.rule.geometric and beats_geometry(situation.noise_to_signal),
    ),
}
"""All codes."""

_ALL: Final = ("CLIP_FROM_DATA", "DIVERGED", "TUNED")
_GEOMETRY: Final = ("NOISE_BEATS_GEOMETRY",)

CELLS: Final[Mapping[Place, Mapping[Column, tuple[str, ...]]]] = {
    "server": {
        "averages": (),
        "bounded": (),
        "unbounded": ("NO_SENSITIVITY",),
        "secure sum": ("NEEDS_ROWS",),
        "rows seen": (),
        "other channel": ("NO_SENSITIVITY_OF_CHANNEL",),
        "poisson": ("SECRET_NUMBER_OF_ROWS",),
        "fixed": ("RELATION_WITHOUT_PRICE", "NAMES_DECIDE"),
        "replacement": ("DRAWN_WITH_REPLACEMENT",),
        "always": ("REPORTED_WEIGHTS", "COUNTED_DENOMINATOR", *_ALL),
    },
    "steps": {
        "averages": (),
        "bounded": _GEOMETRY,
        "unbounded": _GEOMETRY,
        "secure sum": ("NEEDS_ROWS",),
        "rows seen": (),
        "other channel": ("MESSAGE_NOT_NOISED",),
        "poisson": (),
        "fixed": ("RELATION_WITHOUT_PRICE",),
        "replacement": ("DRAWN_WITH_REPLACEMENT",),
        "always": ("COUNTED_DENOMINATOR", *_ALL),
    },
    "clients": {
        "averages": (),
        "bounded": _GEOMETRY,
        "unbounded": _GEOMETRY,
        "secure sum": ("NEEDS_ROWS",),
        "rows seen": (),
        "other channel": ("NO_SENSITIVITY_OF_CHANNEL",),
        "poisson": ("NO_AMPLIFICATION",),
        "fixed": ("NO_AMPLIFICATION",),
        "replacement": ("DRAWN_WITH_REPLACEMENT",),
        "always": ("REPORTED_WEIGHTS", *_ALL),
    },
    "shares": {
        "averages": (),
        "bounded": ("NEEDS_ROWS",),
        "unbounded": ("NEEDS_ROWS",),
        "secure sum": (),
        "rows seen": ("SHARES_NEED_A_SECURE_SUM",),
        "other channel": ("NO_SENSITIVITY_OF_CHANNEL",),
        "poisson": ("NO_AMPLIFICATION",),
        "fixed": ("NO_AMPLIFICATION",),
        "replacement": ("DRAWN_WITH_REPLACEMENT",),
        "always": ("REPORTED_WEIGHTS", "COUNTED_DENOMINATOR", *_ALL),
    },
}
"""The table: for each place of the noise, the codes that may apply under each column."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One thing that speaks against a claim, or should be said about it."""

    code: str
    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the claim of a combination stands: the reasons, the gravest first."""

    reasons: tuple[Reason, ...] = ()

    @property
    def level(self) -> Level:
        """That of the gravest reason; a note leaves a claim in order."""
        worst = self.reasons[0].level if self.reasons else Level.OK
        return Level.OK if worst is Level.NOTE else worst

    def of(self, level: Level) -> tuple[Reason, ...]:
        """The reasons of one level."""
        return tuple(reason for reason in self.reasons if reason.level is level)


def standing(situation: Situation) -> Standing:
    """How the claim of a mechanism stands in a situation.

    It only reads :data:`CELLS`: each column that the situation falls under may bring codes, and each code says itself
    whether it applies. No reason means that the claim holds as it is made.
    """
    row = CELLS[situation.place]
    codes = dict.fromkeys(code for column in situation.columns for code in row[column])
    found = [
        Reason(code=code, level=CODES[code].level, text=CODES[code].text.format(**vars(situation)))
        for code in codes
        if CODES[code].applies(situation)
    ]
    order = list(Level)
    return Standing(reasons=tuple(sorted(found, key=lambda reason: -order.index(reason.level))))


def noise_to_signal(noise_multiplier: float, d: int) -> float:
    """The expected length of the noise on one message of d numbers, over the clip: ``sigma sqrt(d)``.

    It is the noise-to-signal ratio of a row as a robust rule sees it. The mean of n rows has 1/sqrt(n) of it.

    >>> noise_to_signal(0.5, 100)
    5.0
    """
    if not (noise_multiplier >= 0 and d >= 0):
        raise ParameterError(f"`noise_multiplier` and `d` should be at least 0. Found {noise_multiplier}, {d}.")
    return noise_multiplier * math.sqrt(d)


def beats_geometry(ratio: float) -> bool:
    """Whether noise of this :func:`noise_to_signal` outweighs what rows clipped to a length differ in: above 1.

    Two rows differ by 2 clips at most, while the noises of two rows are ``sqrt(2)`` times the ratio of clips apart.
    """
    return ratio > 1.0
