"""What an adversary knows: an attack declares it, and this module enforces it.

:class:`Facts` holds everything about a round, and only the machine sees it. An attack sees a :class:`View` of it. The
view hands out what the attack has declared to know, and raises :class:`~robustfl.errors.KnowledgeError` for the rest.
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
"""What clients send: a model difference, which the server adds, or a gradient, which the server subtracts."""

Relabelling = Callable[["Tensor", int], "Tensor"]
"""A function from labels (int64, any shape) and the number of classes to other labels."""


class Knowledge(enum.Flag):
    """What an attack may look at; several members are combined with `|`."""

    NOTHING = 0
    OWN = enum.auto()
    """What the malicious clients would have sent honestly, and their own data."""
    HISTORY = enum.auto()
    """All global models up to now, which every participant receives."""
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
    """Everything about one round.

    Attributes
    ----------
    round : number of the round, counted from 0
    f : number of malicious clients in this round
    declared_f : the number of malicious clients that the defense assumes
    honest : the honest updates [h, d], exactly as they were sent
    honest_ids : the h clients that sent them
    ids : the f names under which the malicious rows are sent; row numbers when not given
    own : makes the updates [f, d] that the malicious clients would have sent; called only when an attack looks at them
    receiver : who will get the messages: the server, or one peer
    relabelled : makes the updates [h, d] that the honest clients would have sent with other labels
    weights : the global model [d] at the start of the round
    previous_weights : the global model [d] one round earlier; None in the first round
    initial_weights : the global model [d] before the first round
    server_rate : the server's learning rate, which is needed to compute an aggregate from two models
    fresh : makes another random initial model [d]
    layers : the slices of the model's tensors in a vector [d], in order
    loss : [d] -> the mean loss of a model on the malicious clients' own samples
    training : makes the functions by which the federation learns
    samples : makes the training samples and labels of the malicious clients ("own") or of the honest ones ("peers")
    aggregate : [n, d] -> [d], the defense, called without any effect on its state; malicious rows come first
    rotation_equivariant : whether the defense only uses products between rows, so that it can be asked in fewer
        dimensions
    message : whether clients send model differences or gradients
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
    """What an attack sees of one round.

    Every attack may see `round`, `n`, `f`, `h`, `d`, `declared_f`, `message`, `rng`, `ids` (the names of its own f
    rows), the `receiver` for whom it crafts, and `memory`, a dictionary that the attack keeps between the rounds of a
    trial. Everything else needs the knowledge that its description names.
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
        """Hand out a tensor that may only be read, and remember its content."""
        if what not in self._lent:
            self._lent[what] = (tensor, _fingerprint(tensor))
        return tensor

    def changed(self) -> list[str]:
        """The names of what was handed out to be read only, but has been changed since."""
        return [what for what, (tensor, before) in self._lent.items() if _fingerprint(tensor) != before]

    def lends(self, tensor: Tensor) -> bool:
        """Whether `tensor` shares memory with something that was handed out."""
        place = tensor.untyped_storage().data_ptr()
        return any(place == lent.untyped_storage().data_ptr() for lent, _ in self._lent.values())

    @property
    def honest(self) -> Tensor:
        """The honest updates [h, d] (needs PEERS)."""
        self._need(Knowledge.PEERS, "the honest updates")
        return self._lend(self._facts.honest, "the honest updates")

    @property
    def honest_ids(self) -> tuple[Hashable, ...]:
        """The clients behind `honest`, in order (needs PEERS)."""
        self._need(Knowledge.PEERS, "the honest clients' ids")
        return self._facts.honest_ids

    def relabelled(self, change: Relabelling) -> Tensor:
        """The updates [h, d] that the honest clients would have sent, in order, with other labels (needs PEERS).

        The honest clients' training of the round is done a second time for this. Client momentum is not included.
        """
        self._need(Knowledge.PEERS, "the honest clients' data")
        return self._given(self._facts.relabelled, "the honest clients' data")(change)

    @property
    def own(self) -> Tensor:
        """The updates [f, d] that the malicious clients would have sent honestly (needs OWN)."""
        self._need(Knowledge.OWN, "the malicious clients' own updates")
        if self._own is None:
            self._own = self._facts.own()
        return self._lend(self._own, "the malicious clients' own updates")

    @property
    def weights(self) -> Tensor:
        """The global model [d] at the start of the round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the global model")
        return self._lend(self._given(self._facts.weights, "the global model"), "the global model")

    @property
    def previous_weights(self) -> Tensor | None:
        """The global model [d] one round earlier, or None in the first round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the previous global model")
        previous = self._facts.previous_weights
        return None if previous is None else self._lend(previous, "the previous global model")

    @property
    def initial_weights(self) -> Tensor:
        """The global model [d] before the first round (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the first global model")
        return self._lend(self._given(self._facts.initial_weights, "the first global model"), "the first global model")

    @property
    def previous_aggregate(self) -> Tensor | None:
        """The defense's answer [d] one round earlier, computed from the models; None in the first (needs HISTORY).

        Formula: ``(w_t - w_{t-1}) / rate``, with the opposite sign when clients send gradients. This is exact for a
        server that takes plain steps. With momentum or Adam it is the step that the server took, divided by the rate.
        """
        previous = self.previous_weights
        if previous is None:
            return None
        sign = 1.0 if self.message == "delta" else -1.0
        return (self.weights - previous) * (sign / self._facts.server_rate)

    def stepped(self, aggregate: Tensor) -> Tensor:
        """The global model [d] after a plain step of the server with this aggregate [d] (needs HISTORY)."""
        sign = 1.0 if self.message == "delta" else -1.0
        return self.weights + sign * self._facts.server_rate * aggregate

    def fresh_model(self) -> Tensor:
        """Another initial model [d], drawn with the attack's own generator (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the architecture of the model")
        return self._given(self._facts.fresh, "the architecture of the model")(self.rng)

    @property
    def layers(self) -> tuple[slice, ...]:
        """The slices of the model's tensors in a vector [d], in order; one slice if unknown (needs HISTORY)."""
        self._need(Knowledge.HISTORY, "the architecture of the model")
        return self._facts.layers or (slice(0, self.d),)

    def loss(self, weights: Tensor) -> float:
        """The mean loss of a model [d] on the malicious clients' own samples (needs OWN)."""
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
        """Whether the defense only uses products between rows (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._facts.rotation_equivariant

    def aggregate(self, updates: Tensor) -> Tensor:
        """The defense's answer [d] to `updates` [n, d], in which malicious rows come first (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._given(self._facts.aggregate, "the defense")(updates)

    def mean(self, of: Literal["peers", "own"] = "peers") -> Tensor:
        """The mean [d] of the finite honest (or own) updates; zeros when there are none."""
        rows = self.finite(of)
        return rows.mean(dim=0) if len(rows) else self.full(0.0)

    def std(self, of: Literal["peers", "own"] = "peers", ddof: int = 0) -> Tensor:
        """The standard deviations [d] of the finite honest (or own) updates; zeros when there are too few."""
        rows = self.finite(of)
        if len(rows) <= ddof:
            return self.full(0.0)
        # torch's own `std` over rows takes ten times as long
        return (rows - rows.mean(dim=0)).square_().sum(dim=0).div_(len(rows) - ddof).sqrt_()

    def typical_length(self) -> Tensor:
        """The median length of the finite honest updates, averaging the middle two; 0 when there are none."""
        lengths = self.finite().norm(dim=1).sort().values
        if not len(lengths):
            return self.full(0.0).sum()
        middle: Tensor = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
        return middle

    def farthest(self, side: Tensor) -> Tensor:
        """In each coordinate [d], the largest honest value of finite updates if `side` >= 0, else the smallest."""
        rows = self.finite()
        return rows.amax(dim=0).where(side >= 0, rows.amin(dim=0)) if len(rows) else self.full(0.0)

    def full(self, value: float) -> Tensor:
        """A vector [d] with one value everywhere, in the type and on the device of the updates."""
        return self._facts.honest.new_full((self.d,), value)

    def normal(self, rows: int | None = None) -> Tensor:
        """Standard normal draws from the attack's own generator: [d], or [rows, d]."""
        draws = self.rng.standard_normal((self.d,) if rows is None else (rows, self.d), dtype=np.float32)
        return self._facts.honest.new_tensor(draws)

    def usable(self, of: Literal["peers", "own"] = "peers") -> NDArray[np.bool_]:
        """Which honest (or own) updates have only finite values, as booleans [h] or [f]."""
        rows = self.honest if of == "peers" else self.own
        if of not in self._usable:
            self._usable[of] = finite_rows(rows)
        return self._usable[of]

    def finite(self, of: Literal["peers", "own"] = "peers") -> Tensor:
        """The honest (or own) updates [k, d] that have only finite values; they must not be changed."""
        rows, usable = self.honest if of == "peers" else self.own, self.usable(of)
        return rows if usable.all() else rows[usable.tolist()]


def finite_rows(rows: Tensor) -> NDArray[np.bool_]:
    """Which rows of [n, d] have only finite values, as booleans [n].

    A finite sum has finite terms, and summing costs a tenth of a look at each value. Therefore only the values of rows
    with a sum that is not finite are looked at.
    """
    found: NDArray[np.bool_] = rows.sum(dim=1).isfinite().cpu().numpy()
    for row in np.flatnonzero(~found).tolist():
        found[row] = bool(rows[row].isfinite().all())
    return found


def _fingerprint(tensor: Tensor) -> tuple[int, bytes]:
    """A value that changes when the tensor [..., d] is written to: its version, and on the CPU about 64 columns.

    Torch raises the version with every change that it makes. The columns are needed because a numpy array can share
    the memory and change it without raising the version.
    """
    import torch

    if tensor.device.type != "cpu":
        return tensor._version, b""
    columns = tensor.detach()[..., :: max(1, tensor.shape[-1] // 64)].contiguous()
    return tensor._version, columns.view(torch.uint8).numpy().tobytes()
