"""What an adversary knows: declared by the attack, enforced here.

:class:`Facts` is the whole truth of a round, held by the machine. An attack only ever sees a :class:`View` of it,
which hands out what the attack declared to know and raises :class:`~robustfl.errors.KnowledgeError` for the rest.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import AttackError, KnowledgeError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

Message = Literal["delta", "gradient"]
"""What clients send: a model difference that the server adds, or a gradient that it subtracts."""

Relabelling = Callable[["Tensor", int], "Tensor"]
"""Makes other labels of labels, int64 of any shape, given the number of classes."""


class Knowledge(enum.Flag):
    """What an attack may look at; combine with `|`."""

    NOTHING = 0
    OWN = enum.auto()
    """What the malicious clients would have sent honestly, from their own data."""
    HISTORY = enum.auto()
    """The global models so far, which every participant receives."""
    PEERS = enum.auto()
    """All honest updates of this round, and the data behind them (an omniscient adversary)."""
    DEFENSE = enum.auto()
    """The defense itself, as a function that may be called (white-box)."""

    def names(self) -> list[str]:
        """The members in words, for records: `["own", "peers"]`."""
        return [str(member.name).lower() for member in type(self) if member in self]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the federation learns, as functions that can be differentiated: what an attacker needs to plan ahead.

    With theta the model, m the clients' momentum and eta the server's step, a round of honest training is
    ``m <- beta m + (1 - beta) update(theta, x, y)`` and ``theta, memory <- step(theta, aggregate, memory)``.

    Attributes
    ----------
    rounds : rounds of the whole training
    update : model [d], samples [m, ...], labels [m] -> what an honest client sends [d] that learns from these samples,
        in one batch and without momentum
    step : model [d], aggregate [d], memory -> model [d] and memory after the server's step
    memory : what the server's optimiser remembers now
    momentum : beta of the clients, 0 without momentum
    predict : model [d], samples [m, ...] -> logits [m, classes]
    """

    rounds: int
    update: Callable[[Tensor, Tensor, Tensor], Tensor]
    step: Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
    memory: Any
    momentum: float
    predict: Callable[[Tensor, Tensor], Tensor]


@dataclass(kw_only=True)
class Facts:
    """The whole truth of one round.

    Attributes
    ----------
    round : round number, from 0
    f : malicious clients in this round
    declared_f : what the defense believes f to be
    honest : [h, d] honest updates exactly as submitted
    honest_ids : the h clients that sent them
    ids : the f names under which the malicious rows are sent; row numbers when not given
    own : makes the [f, d] updates that the malicious clients would have sent; called only when looked at
    receiver : who will get the messages: the server, or one peer
    relabelled : makes the [h, d] updates that the honest clients would have sent with other labels
    weights : [d] global model at the start of the round; `previous_weights` [d] one round earlier, or None;
        `initial_weights` [d] before the first round
    server_rate : step of the server, by which two models tell what the aggregate between them was
    fresh : makes another initial model [d], at random
    layers : places of the model's tensors in a vector [d], in order
    loss : [d] -> mean loss of a model on the malicious clients' own samples
    training : makes the functions by which the federation learns
    samples : makes the training samples and labels of the malicious clients ("own") or of the honest ones ("peers")
    aggregate : [n, d] -> [d], the defense without any effect on its state; malicious rows first
    rotation_equivariant : whether only products between rows matter to the defense, so that it may be asked in fewer
        dimensions
    message : the message convention
    rng : the attack's own generator
    """

    round: int
    f: int
    declared_f: int
    honest: Tensor
    honest_ids: tuple[Hashable, ...]
    own: Callable[[], Tensor]
    ids: tuple[Hashable, ...] | None = None
    receiver: Hashable = "server"
    relabelled: Callable[[Relabelling], Tensor] | None = None
    weights: Tensor | None = None
    previous_weights: Tensor | None = None
    initial_weights: Tensor | None = None
    server_rate: float = 1.0
    fresh: Callable[[np.random.Generator], Tensor] | None = None
    layers: tuple[slice, ...] = ()
    loss: Callable[[Tensor], float] | None = None
    training: Callable[[], Training] | None = None
    samples: Callable[[Literal["own", "peers"]], tuple[Tensor, Tensor]] | None = None
    aggregate: Callable[[Tensor], Tensor] | None = None
    rotation_equivariant: bool = False
    message: Message = "gradient"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


class View:
    """One round through the eyes of an attack.

    Free to see: `round`, `n`, `f`, `h`, `d`, `declared_f`, `message`, `rng`, `ids` (the names of its own f rows), the
    `receiver` for whom it crafts, and
    `memory`, a dictionary that the attack keeps between the rounds of a trial. The rest needs the knowledge that it
    names.
    """

    def __init__(self, facts: Facts, knowledge: Knowledge, owner: str, memory: dict[str, Any]) -> None:
        self._facts = facts
        self._knowledge = knowledge
        self._owner = owner
        self._own: Tensor | None = None
        self._usable: dict[str, NDArray[np.bool_]] = {}
        self._lent: dict[str, tuple[Tensor, tuple[int, bytes]]] = {}
        self.memory = memory
        self.round, self.f, self.declared_f = facts.round, facts.f, facts.declared_f
        self.receiver = facts.receiver
        self.h, self.d = int(facts.honest.shape[0]), int(facts.honest.shape[1])
        self.n = self.h + self.f
        self.message, self.rng = facts.message, facts.rng
        self.ids = tuple(range(facts.f)) if facts.ids is None else facts.ids

    def _need(self, knowledge: Knowledge, what: str) -> None:
        if knowledge not in self._knowledge:
            declared = ", ".join(self._knowledge.names()) or "nothing"
            raise KnowledgeError(
                f"{self._owner} looked at {what}, which needs the knowledge '{knowledge.names()[0]}'. "
                f"It declares: {declared}. Declare it, or do without."
            )

    def _given(self, value: T | None, what: str) -> T:
        if value is None:
            raise AttackError(f"{self._owner} needs {what}, which was not given.")
        return value

    def _lend(self, tensor: Tensor, what: str) -> Tensor:
        """Hand out a tensor that may only be read, and remember how it looked."""
        if what not in self._lent:
            self._lent[what] = (tensor, _fingerprint(tensor))
        return tensor

    def changed(self) -> list[str]:
        """What was handed out to be read only, and has been written to since."""
        return [what for what, (tensor, before) in self._lent.items() if _fingerprint(tensor) != before]

    def lends(self, tensor: Tensor) -> bool:
        """Whether `tensor` lies in the memory of something that was handed out."""
        place = tensor.untyped_storage().data_ptr()
        return any(place == lent.untyped_storage().data_ptr() for lent, _ in self._lent.values())

    @property
    def honest(self) -> Tensor:
        """[h, d] honest updates (needs PEERS)."""
        self._need(Knowledge.PEERS, "the honest updates")
        return self._lend(self._facts.honest, "the honest updates")

    @property
    def honest_ids(self) -> tuple[Hashable, ...]:
        """The clients behind `honest`, in order (needs PEERS)."""
        self._need(Knowledge.PEERS, "the honest clients' ids")
        return self._facts.honest_ids

    def relabelled(self, change: Relabelling) -> Tensor:
        """[h, d] what the honest clients would have sent, in order, had their labels been others (needs PEERS).

        Costs the honest clients' training of the round again; their momentum is not in it.
        """
        self._need(Knowledge.PEERS, "the honest clients' data")
        return self._given(self._facts.relabelled, "the honest clients' data")(change)

    @property
    def own(self) -> Tensor:
        """[f, d] what the malicious clients would have sent honestly (needs OWN)."""
        self._need(Knowledge.OWN, "the malicious clients' own updates")
        if self._own is None:
            self._own = self._facts.own()
        return self._lend(self._own, "the malicious clients' own updates")

    @property
    def weights(self) -> Tensor:
        """[d] the global model at the start of the round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the global model")
        return self._lend(self._given(self._facts.weights, "the global model"), "the global model")

    @property
    def previous_weights(self) -> Tensor | None:
        """[d] the global model one round earlier, None in the first round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the previous global model")
        previous = self._facts.previous_weights
        return None if previous is None else self._lend(previous, "the previous global model")

    @property
    def initial_weights(self) -> Tensor:
        """[d] the global model before the first round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the first global model")
        return self._lend(self._given(self._facts.initial_weights, "the first global model"), "the first global model")

    @property
    def previous_aggregate(self) -> Tensor | None:
        """[d] what the defense answered one round earlier, as the models tell; None in the first (needs HISTORY).

        ``(w_t - w_{t-1}) / rate``, with the opposite sign where clients send gradients. Exact for a server that takes
        plain steps; with momentum or Adam it is the step that was taken.
        """
        previous = self.previous_weights
        if previous is None:
            return None
        sign = 1.0 if self.message == "delta" else -1.0
        return (self.weights - previous) * (sign / self._facts.server_rate)

    def stepped(self, aggregate: Tensor) -> Tensor:
        """[d] the global model after a plain step of the server with this aggregate [d] (needs HISTORY)."""
        sign = 1.0 if self.message == "delta" else -1.0
        return self.weights + sign * self._facts.server_rate * aggregate

    def fresh_model(self) -> Tensor:
        """[d] another initial model, drawn with the attack's own generator (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the architecture of the model")
        return self._given(self._facts.fresh, "the architecture of the model")(self.rng)

    @property
    def layers(self) -> tuple[slice, ...]:
        """Places of the model's tensors in a vector [d], in order; one for all where unknown (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the architecture of the model")
        return self._facts.layers or (slice(0, self.d),)

    def loss(self, weights: Tensor) -> float:
        """Mean loss of a model [d] on the malicious clients' own samples (needs OWN)."""
        self._need(Knowledge.OWN, "the malicious clients' own data")
        return self._given(self._facts.loss, "the malicious clients' own data")(weights)

    @property
    def training(self) -> Training:
        """The functions by which the federation learns, for an attack that plans ahead (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "how the federation learns")
        return self._given(self._facts.training, "how the federation learns")()

    def samples(self, of: Literal["own", "peers"] = "own") -> tuple[Tensor, Tensor]:
        """Samples [N, ...] and labels [N] in the hands of the malicious (needs OWN) or honest clients (needs PEERS)."""
        knowledge = Knowledge.OWN if of == "own" else Knowledge.PEERS
        self._need(knowledge, "the malicious clients' own data" if of == "own" else "the honest clients' data")
        return self._given(self._facts.samples, "training samples")(of)

    @property
    def rotation_equivariant(self) -> bool:
        """Whether only products between rows matter to the defense (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._facts.rotation_equivariant

    def aggregate(self, updates: Tensor) -> Tensor:
        """[n, d] -> [d] what the defense would make of `updates`, malicious rows first (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._given(self._facts.aggregate, "the defense")(updates)

    def mean(self, of: Literal["peers", "own"] = "peers") -> Tensor:
        """[d] mean of the finite honest (or own) updates; zeros when there are none."""
        rows = self.finite(of)
        return rows.mean(dim=0) if len(rows) else self.full(0.0)

    def std(self, of: Literal["peers", "own"] = "peers", ddof: int = 0) -> Tensor:
        """[d] standard deviation of the finite honest (or own) updates; zeros when there are too few."""
        rows = self.finite(of)
        if len(rows) <= ddof:
            return self.full(0.0)
        # torch's own `std` over rows takes ten times as long
        return (rows - rows.mean(dim=0)).square_().sum(dim=0).div_(len(rows) - ddof).sqrt_()

    def typical_length(self) -> Tensor:
        """Median length of the finite honest updates, of two in the middle their mean; 0 when there are none."""
        lengths = self.finite().norm(dim=1).sort().values
        if not len(lengths):
            return self.full(0.0).sum()
        middle: Tensor = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
        return middle

    def farthest(self, side: Tensor) -> Tensor:
        """[d] in every coordinate the largest finite honest value where `side` >= 0, and the smallest elsewhere."""
        rows = self.finite()
        return rows.amax(dim=0).where(side >= 0, rows.amin(dim=0)) if len(rows) else self.full(0.0)

    def full(self, value: float) -> Tensor:
        """[d] one value everywhere, in the updates' type and device."""
        return self._facts.honest.new_full((self.d,), value)

    def normal(self, rows: int | None = None) -> Tensor:
        """Standard normal draws from the attack's own generator: [d], or [rows, d]."""
        draws = self.rng.standard_normal((self.d,) if rows is None else (rows, self.d), dtype=np.float32)
        return self._facts.honest.new_tensor(draws)

    def usable(self, of: Literal["peers", "own"] = "peers") -> NDArray[np.bool_]:
        """Which honest (or own) updates have finite values only, [h] or [f]."""
        rows = self.honest if of == "peers" else self.own
        if of not in self._usable:
            self._usable[of] = finite_rows(rows)
        return self._usable[of]

    def finite(self, of: Literal["peers", "own"] = "peers") -> Tensor:
        """The honest (or own) updates [k, d] that have finite values only; to be read."""
        rows, usable = self.honest if of == "peers" else self.own, self.usable(of)
        return rows if usable.all() else rows[usable.tolist()]


def finite_rows(rows: Tensor) -> NDArray[np.bool_]:
    """Which rows [n, d] have finite values only, bool [n].

    A finite sum has finite terms, and costs a tenth of looking at each; only the other rows are looked at.
    """
    found: NDArray[np.bool_] = rows.sum(dim=1).isfinite().cpu().numpy()
    for row in np.flatnonzero(~found).tolist():
        found[row] = bool(rows[row].isfinite().all())
    return found


def _fingerprint(tensor: Tensor) -> tuple[int, bytes]:
    """Changes when the tensor [..., d] is written to: its version, and on the CPU some 64 columns.

    Torch raises the version at every change of its own; numpy arrays that share the memory write past it.
    """
    import torch

    if tensor.device.type != "cpu":
        return tensor._version, b""
    columns = tensor.detach()[..., :: max(1, tensor.shape[-1] // 64)].contiguous()
    return tensor._version, columns.view(torch.uint8).numpy().tobytes()
