"""What an attack on updates sees of a round."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from robustfl.aggregation.updates.source import largest_magnitude
from robustfl.threats.knowledge import Knowledge, RoundFacts, RoundView

if TYPE_CHECKING:
    from torch import Tensor

Message = Literal["delta", "gradient"]
"""What clients send: a model difference, which the server adds, or a gradient, which the server subtracts."""

Whose = Literal["peers", "own"]
"""Whose updates or data an attack looks at: those of all honest clients, or those of the malicious clients."""

Relabelling = Callable[["Tensor", int], "Tensor"]
"""A function from labels (int64, any shape) and the number of classes to other labels."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the federation learns, as functions that can be differentiated: what an attacker needs to plan ahead.

    With theta the model, m the clients' momentum and eta the server's step, a round of honest training is
    ``m <- beta m + (1 - beta) update(theta, x, y)`` and ``theta, memory <- step(theta, aggregate, memory)``. An update
    and a step may offer more than these functions, see :mod:`robustfl.threats.updates.planning.replay`.

    Attributes
    ----------
    rounds : rounds of the whole training
    tail : the number of rounds at the end whose models the score counts
    batch_size : samples in a batch of an honest client
    pooled : whether the mean of the updates of clients with equally many samples is the update on all their samples
    update : model [d], samples [m, ...], labels [m] -> what an honest client sends [d] that learns from these samples,
        in one batch and without momentum; or for k clients at once: [d] or [k, d], [k, m, ...], [k, m] -> [k, d]
    step : model [d], aggregate [d], memory -> model [d] and memory after the server's step; also with [k, d] in place
        of [d]
    memory : what the server's optimiser remembers now
    momentum : beta of the clients, 0 without momentum
    predict : model [d], samples [m, ...] -> logits [m, classes]; or for k models at once, [k, d] -> [k, m, classes]
    """

    rounds: int
    tail: int
    batch_size: int
    pooled: bool
    update: Callable[[Tensor, Tensor, Tensor], Tensor]
    step: Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
    memory: Any
    momentum: float
    predict: Callable[[Tensor, Tensor], Tensor]


@dataclass(kw_only=True)
class Facts(RoundFacts["Tensor"]):
    """Everything about one round of updates: the facts of every round, and the following.

    Attributes
    ----------
    relabelled : makes the updates [h, d] that the honest clients would have sent with other labels
    weights : the global model [d] at the start of the round
    previous_weights : the global model [d] one round earlier; None in the first round
    initial_weights : the global model [d] before the first round
    server_rate : the server's learning rate, which is needed to compute an aggregate from two models
    fresh : makes another random initial model [d]
    layers : the slices of the model's tensors in a vector [d], in order
    loss : [d] -> the mean loss of a model on the malicious clients' own samples
    training : makes the functions by which the federation learns
    holdings : makes the training samples and labels of each malicious client ("own") or each honest one ("peers")
    marked : makes from samples and labels those that bear the adversary's trigger, with the labels that it wants
    rotation_equivariant : whether the defense only uses products between rows, so that it can be asked in fewer
        dimensions
    message : whether clients send model differences or gradients
    answered : the defense's answer [d] one round earlier, where it cannot be computed from two models
    classes : the number C of classes when the messages are predictions, d = m C; None for updates
    """

    relabelled: Callable[[Relabelling], Tensor] | None = None
    weights: Tensor | None = None
    previous_weights: Tensor | None = None
    initial_weights: Tensor | None = None
    server_rate: float = 1.0
    fresh: Callable[[np.random.Generator], Tensor] | None = None
    layers: tuple[slice, ...] = ()
    loss: Callable[[Tensor], float] | None = None
    training: Callable[[], Training] | None = None
    holdings: Callable[[Whose], list[tuple[Tensor, Tensor]]] | None = None
    marked: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    rotation_equivariant: bool = False
    message: Message = "gradient"
    answered: Tensor | None = None
    classes: int | None = None


class Lent:
    """Tensors that were handed out to be read only."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Tensor, tuple[int, bytes]]] = {}

    def out(self, tensor: Tensor, what: str) -> Tensor:
        """Hand out a tensor that may only be read, and remember its content."""
        if what not in self._known:
            self._known[what] = (tensor, _fingerprint(tensor))
        return tensor

    def changed(self) -> list[str]:
        """The names of what has been changed since it was handed out."""
        return [what for what, (tensor, before) in self._known.items() if _fingerprint(tensor) != before]

    def holds(self, tensor: Tensor) -> bool:
        """Whether `tensor` shares memory with something that was handed out."""
        place = tensor.untyped_storage().data_ptr()
        return any(place == lent.untyped_storage().data_ptr() for lent, _ in self._known.values())


class View(RoundView["Tensor"]):
    """What an attack sees of one round.

    Every attack may see `round`, `n`, `f`, `h`, `d`, `declared_f`, `message`, `rng`, `ids` (the names of its own f
    rows), the `receiver` for whom it crafts, and `memory`, a dictionary that the attack keeps between the rounds of a
    trial. Everything else needs the knowledge that its description names.
    """

    messages: ClassVar[str] = "updates"
    _facts: Facts

    def __init__(self, facts: Facts, knowledge: Knowledge, owner: Any, memory: dict[str, Any]) -> None:
        super().__init__(facts, knowledge, owner, memory)
        self._usable: dict[str, NDArray[np.bool_]] = {}
        self._lent = Lent()
        self.h, self.d = int(facts.honest.shape[0]), int(facts.honest.shape[1])
        self.n, self.message = self.h + self.f, facts.message

    def _lend(self, tensor: Tensor, what: str) -> Tensor:
        return self._lent.out(tensor, what)

    def changed(self) -> list[str]:
        """The names of what was handed out to be read only, but has been changed since."""
        return self._lent.changed()

    def lends(self, tensor: Tensor) -> bool:
        """Whether `tensor` shares memory with something that was handed out."""
        return self._lent.holds(tensor)

    def relabelled(self, change: Relabelling) -> Tensor:
        """The updates [h, d] that the honest clients would have sent, in order, with other labels (needs DATA).

        The honest clients' training of the round is done a second time for this. Client momentum is not included.
        """
        self._need(Knowledge.DATA, "the honest clients' data")
        return self._given(self._facts.relabelled, "the honest clients' data")(change)

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
        if self._facts.answered is not None:
            self._need(Knowledge.HISTORY, "the previous aggregate")
            return self._lend(self._facts.answered, "the previous aggregate")
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
    def classes(self) -> int:
        """The number C of classes, when the messages are predictions [m, C] as vectors [d], d = m C."""
        return self._given(self._facts.classes, "predictions: the number of classes")

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

    @property
    def trains(self) -> bool:
        """Whether there is a federation that learns; outside of one there are only rows, and nothing can be planned."""
        return self._facts.training is not None

    def holdings(self, of: Whose = "own") -> list[tuple[Tensor, Tensor]]:
        """Samples [N, ...] and labels [N] of each malicious client (needs OWN), or of each honest one (needs DATA)."""
        knowledge = Knowledge.OWN if of == "own" else Knowledge.DATA
        self._need(knowledge, "the malicious clients' own data" if of == "own" else "the honest clients' data")
        return self._given(self._facts.holdings, "training samples")(of)

    def samples(self, of: Whose = "own") -> tuple[Tensor, Tensor]:
        """All samples [N, ...] and labels [N] of the malicious clients (needs OWN), or the honest ones (needs DATA)."""
        import torch

        held = self.holdings(of)
        return torch.cat([features for features, _ in held]), torch.cat([labels for _, labels in held])

    def marked(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [m, ...] with the trigger of the backdoor that stands before the attack, and the labels [m] it wants.

        Left out are the samples for which the trigger changes nothing, because they are of the wanted class.
        """
        return self._given(self._facts.marked, "a backdoor before it, as in [bad_nets, planned_drift]")(
            features, labels
        )

    @property
    def rotation_equivariant(self) -> bool:
        """Whether the defense only uses products between rows (needs DEFENSE)."""
        self._need(Knowledge.DEFENSE, "the defense")
        return self._facts.rotation_equivariant

    def aggregate(self, messages: Tensor) -> Tensor:
        """[n, d] -> [d]: the answer of the defense to these updates, malicious rows first (needs DEFENSE)."""
        answer: Tensor = super().aggregate(messages)
        return answer

    def mean(self, of: Whose = "peers") -> Tensor:
        """The mean [d] of the finite honest (or own) updates; zeros when there are none."""
        rows = self.finite(of)
        return rows.mean(dim=0) if len(rows) else self.full(0.0)

    def std(self, of: Whose = "peers", ddof: int = 0) -> Tensor:
        """The standard deviations [d] of the finite honest (or own) updates; zeros when there are too few."""
        rows = self.finite(of)
        if len(rows) <= ddof:
            return self.full(0.0)
        # torch's own `std` over rows takes ten times as long
        return (rows - rows.mean(dim=0)).square_().sum(dim=0).div_(len(rows) - ddof).sqrt_()

    def typical_length(self) -> Tensor:
        """The median length of the finite honest updates, averaging the middle two; 0 when there are none."""
        rows = self.finite()
        return median_length(rows) if len(rows) else self.full(0.0).sum()

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

    def usable(self, of: Whose = "peers") -> NDArray[np.bool_]:
        """Which honest (or own) updates have only finite values, as booleans [h] or [f]."""
        rows = self.honest if of == "peers" else self.own
        if of not in self._usable:
            self._usable[of] = finite_rows(rows)
        return self._usable[of]

    def finite(self, of: Whose = "peers") -> Tensor:
        """The honest (or own) updates [k, d] that have only finite values; they must not be changed."""
        rows, usable = self.honest if of == "peers" else self.own, self.usable(of)
        return rows if usable.all() else rows[usable.tolist()]


def median_length(rows: Tensor) -> Tensor:
    """The median length of rows [k, d], k >= 1, averaging the middle two."""
    lengths = rows.norm(dim=1).sort().values
    middle: Tensor = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
    return middle


def finite_rows(rows: Tensor) -> NDArray[np.bool_]:
    """Which rows of [n, d] have only finite values, as booleans [n]; in float64, whose squares are finite as well.

    A finite sum has finite terms, and summing costs a tenth of a look at each value. Therefore only the values of rows
    with a sum that is not finite are looked at. Squares of float32 are summed in float64, and never overflow.
    """
    import torch

    if rows.dtype == torch.float64 and rows.numel():
        within: NDArray[np.bool_] = (rows.abs().amax(dim=1) <= largest_magnitude("float64", *rows.shape)).cpu().numpy()
        return within
    # numpy looks at a few numbers in a tenth of the time, and does not know bfloat16
    found: NDArray[np.bool_] = np.isfinite(rows.sum(dim=1).detach().float().cpu().numpy())
    for row in np.flatnonzero(~found).tolist():
        found[row] = bool(rows[row].isfinite().all())
    return found


def finite_vectors(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the vectors [d] or [k, d] that have only values which :func:`finite_rows` calls finite.

    In most cases the sums of all are finite together, and looking at each would cost several times as much.
    """
    import torch

    if all(vector.dtype == torch.float32 for vector in vectors.values()):
        sums = torch.stack([vector.sum() for vector in vectors.values()])
        if math.isfinite(float(sums.sum())):
            return dict(vectors)
    return {name: vector for name, vector in vectors.items() if finite_rows(vector.reshape(-1, vector.shape[-1])).all()}


def _fingerprint(tensor: Tensor) -> tuple[int, bytes]:
    """A value that changes when the tensor [..., d] is written to: its version, and on the CPU about 64 columns.

    Torch raises the version with every change that it makes. The columns are needed because a numpy array can share
    the memory and change it without raising the version.
    """
    import torch

    if tensor.device.type != "cpu":
        return tensor._version, b""
    step = max(1, tensor.shape[-1] // 64)
    if tensor.dtype is not torch.bfloat16:
        return tensor._version, tensor.detach().numpy()[..., ::step].tobytes()
    return tensor._version, tensor.detach()[..., ::step].contiguous().view(torch.uint8).numpy().tobytes()
