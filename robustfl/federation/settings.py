"""The rules of a federation as data: scenarios state them, trials hash them, and the simulation obeys them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Strict, ValidationInfo, field_validator, model_validator

TAIL_MEASUREMENTS = 5
"""The number of measurements from which the accuracy of a training is averaged, at least, unless it is very short."""


@dataclass(frozen=True)
class Derived:
    """Stands beside a key that the model fills in from other keys where a file leaves it out, and says how."""

    default: str


class Settings(BaseModel):
    """The base of all scenario models: they are frozen and refuse unknown keys; the text under a field describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` for 1 and `"2"` for 2: such a value is a mistake that the user should see."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation in (int, float) and isinstance(value, bool | str):
            raise ValueError(f"should be a number. Found {value!r}")
        return value


Weights = Literal["polynomial", "constant", "hinge"]
"""How the weight of a message falls with the age of the model that it was computed with."""


class FirstOrder(Settings):
    """The server extrapolates stale updates to its newest model: ``g + strength g g (w_t - w_tau)``, value by value."""

    method: Literal["first_order"]
    """The name of this method."""
    strength: Annotated[float, Gt(0)] = 1.0
    """The factor before the squared gradient, which stands in for the curvature."""


class Inversion(Settings):
    """The server estimates from each stale update the samples behind it, and corrects the update by theirs.

    That is an attack on privacy, carried out by the server."""

    method: Literal["inversion"]
    """The name of this method."""
    iterations: Annotated[int, Ge(1), Le(100_000)] = 100
    """The number of steps that search for the samples of a message."""
    learning_rate: Annotated[float, Gt(0)] = 0.1
    """The step size of this search, in units of the range of the data."""
    unexplained: Annotated[float, Gt(0), Lt(1)] = 0.5
    """The largest share of an update's length that its estimated samples may leave unexplained; such an update is
    treated as if there was no repair."""
    patience: Annotated[int, Ge(1)] = 20
    """The number of comparisons after which the server gives up repairing for good when, looking back, it has been
    farther from what clients then sent than their old updates were."""
    otherwise: Weights = "constant"
    """The weights of stale updates that are not repaired."""


class Server(Settings):
    """How the server applies an aggregate to the global model."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """The optimiser that is applied to the aggregates: sgd (with momentum if wanted) or adam (FedAdam)."""
    learning_rate: Annotated[float, Gt(0)] = 0.5
    """The step size of the server; 1.0 with messages `delta` is plain FedAvg."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The momentum of the server's optimiser (sgd only)."""
    trusted_samples: Annotated[int, Ge(1)] = 100
    """The number of clean training samples on which the server computes an update of its own, for rules that want one
    (FLTrust). They are a random choice in the class proportions of all training samples; clients keep them as well."""
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    """synchronous: a round waits for all clients of the round; asynchronous: the server makes a step whenever `buffer`
    messages have arrived, and clients work at their own speed."""
    buffer: Annotated[int, Ge(1)] = 5
    """The number of messages in one step of the server (asynchronous only); at most the number of clients."""
    staleness: Weights | FirstOrder | Inversion = "polynomial"
    """What becomes of a message that was computed with the model of tau steps ago (asynchronous only). It gets a
    weight: polynomial is (1 + tau)^-a, constant is 1, and hinge is 1 up to the grace b and 1/(a (tau - b) + 1) above.
    Or it is corrected and keeps the weight 1: by `{method: first_order}` or `{method: inversion}`."""
    staleness_exponent: Annotated[float, Gt(0)] = 0.5
    """The exponent a in the formulas of `staleness`."""
    staleness_grace: Annotated[int, Ge(0)] = 4
    """The grace b in the formula of the hinge, in steps of the server."""
    speed_spread: Annotated[float, Ge(0), Le(10)] = 1.0
    """The standard deviation of the logarithm of the clients' working times (asynchronous only)."""

    @property
    def asynchronous(self) -> bool:
        return self.mode == "asynchronous"

    @model_validator(mode="after")
    def _asynchronous_only(self) -> Self:
        names = ("buffer", "staleness", "staleness_exponent", "staleness_grace", "speed_spread")
        given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
        if given and not self.asynchronous:
            raise ValueError(f"{', '.join(given)} belongs to `mode: asynchronous`, which is not given")
        return self


class Augmentation(Settings):
    """How clients change their training images; the changes are drawn again for every image of every batch."""

    crop: Annotated[int, Ge(0)] = 0
    """The largest number of pixels by which an image moves, up or down and left or right; black comes in from the
    edge."""
    flip: Annotated[float, Ge(0), Le(1)] = 0.0
    """The probability that left and right are exchanged."""
    warp: Annotated[float, Ge(0), Le(1)] = 0.0
    """The longest time for which pixels move along the flow of Lotka and Volterra; the coordinates of the flow are
    pixels from the centre. At 0.01 a corner of a 32 x 32 image moves by about 3 pixels; at 0.1 a corner of an 8 x 8
    image moves by 2."""
    noise: Annotated[float, Ge(0)] = 0.0
    """The standard deviation of the Gaussian noise on every value of an image, in the units of the data (mostly 0 to
    1)."""
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    """The share of the images that are changed at all; chance decides for each image."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"share"}:
            raise ValueError("names no change of the images: give `crop`, `flip`, `warp` or `noise`, or leave it out")
        return self


class AdversarialTraining(Settings):
    """Clients learn from samples that they have first made as hard as possible by signed steps that raise the loss."""

    epsilon: Annotated[float, Gt(0)]
    """The largest change of a feature, in the units of the data (mostly 0 to 1)."""
    steps: Annotated[int, Ge(1), Le(1000)] = 7
    """The number of steps that raise the loss of each batch."""
    step_size: Annotated[float, Gt(0), Strict()] | None = None
    """The length of a step in each feature; it is 2.5 epsilon / steps when it is not given."""
    random_start: bool = True
    """Whether the search starts at a random place within epsilon, or at the sample itself."""


class Distillation(Settings):
    """How clients with models of their own learn from each other: they exchange what they predict, and no weights."""

    public_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """The share of the training samples that is public: everybody has these samples, nobody has their labels, and no
    client has them among its own samples. They are a random choice; the test set is never touched."""
    steps: Annotated[int, Ge(1), Le(10_000)] = 10
    """The number of SGD steps, at `local_learning_rate`, in which a client learns what the server has answered."""
    batch_size: Annotated[int, Ge(1)] = 64
    """The number of public samples in such a step; all of them if there are fewer."""
    temperature: Annotated[float, Gt(0), Le(100)] = 1.0
    """The temperature T of what clients send, the softmax of logits / T, and of what they learn: T^2 times the
    divergence of Kullback and Leibler from the answer."""
    own_weight: Annotated[float, Ge(0), Le(100)] = 1.0
    """The weight of the cross-entropy on the client's own batches of the round in these steps; it keeps a client from
    forgetting what only its own samples show."""


class VirtualData(Settings):
    """How clients make the few synthetic samples that they send in place of updates."""

    samples: Annotated[int, Ge(1), Le(10_000)] = 10
    """The number of samples that a client sends in a round; their labels are in the proportions of its batches of the
    round."""
    steps: Annotated[int, Ge(1), Le(100_000)] = 40
    """The number of steps in which a client makes its samples, from noise."""
    learning_rate: Annotated[float, Gt(0)] = 0.1
    """The size of these steps, in units of the range of the data; it falls to a tenth at 3/8, 5/8 and 7/8 of them."""


class Federation(Settings):
    """Who takes part, what clients compute, what they send, and how the server steps."""

    clients: Annotated[int, Ge(1)] = 15
    """The number of all clients, including the malicious ones."""
    rounds: Annotated[int, Ge(1)] = 100
    """The number of training rounds."""
    algorithm: Literal["fedsgd", "fedavg"] = "fedsgd"
    """fedsgd: a client computes one gradient on one batch per round; fedavg: it makes `local_steps` steps of local
    SGD."""
    local_steps: Annotated[int, Ge(1)] = 1
    """The number of SGD steps that a client makes in a round (fedavg only)."""
    local_learning_rate: Annotated[float, Gt(0)] = 0.1
    """The step size of the clients' local SGD (fedavg only)."""
    batch_size: Annotated[int, Ge(1)] = 16
    """The number of samples in a batch; they are drawn with replacement from the client's own data."""
    message: Annotated[Literal["gradient", "delta"], Derived("'gradient' for fedsgd and 'delta' for fedavg")]
    """What clients send: a gradient that the server subtracts, or a model difference that it adds."""
    client_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The beta of the exponential moving average that clients keep over their messages and send: m <- beta m +
    (1 - beta) message."""
    participation: Annotated[float, Gt(0), Le(1)] = 1.0
    """The share of the clients that take part in a round."""
    participation_sampling: Literal["fixed", "poisson"] = "fixed"
    """fixed: a round has exactly the share `participation` of the clients; poisson: each client takes part with this
    probability, whatever the others do. Rounds then have random sizes and may be empty. With privacy mechanisms it
    costs far less epsilon, and it needs `malicious_per_round: sampled`."""
    malicious_per_round: Literal["fixed", "sampled"] = "fixed"
    """fixed: every round has malicious clients in their proportion to all clients; sampled: chance decides how many of
    the sampled clients are malicious."""
    augment: Augmentation | None = None
    """How clients change their training images; without it they do not change them."""
    adversarial_training: AdversarialTraining | None = None
    """How clients make the adversarial samples from which they learn (federated adversarial learning); without it they
    learn from plain samples."""
    distillation: Distillation | None = None
    """How clients distil: every client then has a model of its own, and sends what it predicts for public samples, in
    place of updates (FedMD). Without it, clients send updates."""
    virtual_data: VirtualData | None = None
    """How clients make virtual data: they then send a few synthetic samples with labels, made from their own, in place
    of updates, and the server trains on them (as in FedLGD). Without it, clients send updates."""
    server: Server = Server()
    """The settings of the server."""
    evaluate_every: Annotated[int, Ge(1)] = 10
    """The number of rounds from one measurement on the test set to the next. The end of the training is measured more
    often if that is too rare there: the accuracy of a trial is the mean over the last tenth of the rounds, with at
    least 5 measurements."""
    client_mode: Literal["auto", "vmap", "loop"] = "auto"
    """How the training of clients is computed: vmap computes all clients at once, loop computes one after the other,
    and auto chooses the faster of the two for the model and the device."""

    @model_validator(mode="before")
    @classmethod
    def _default_message(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("message") is None:
            return {**values, "message": "delta" if values.get("algorithm") == "fedavg" else "gradient"}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.algorithm == "fedsgd" and self.local_steps != 1:
            raise ValueError(f"fedsgd takes one step a round, but local_steps={self.local_steps}. Use fedavg.")
        if self.client_momentum and not isinstance(self.server.staleness, str):
            raise ValueError(
                f"client_momentum={self.client_momentum} mixes updates of several models, and "
                f"`staleness: {{method: {self.server.staleness.method}}}` corrects updates of one. Use one of the two"
            )
        if self.server.asynchronous and (self.server.buffer > self.clients or self.participation < 1):
            raise ValueError(
                "an asynchronous server hears all clients, up to `buffer` at a time: it should satisfy "
                f"buffer <= clients and participation = 1. Found buffer={self.server.buffer}, clients={self.clients}, "
                f"participation={self.participation}"
            )
        if self.distillation is not None:
            self._distils()
        if self.virtual_data is not None and (self.client_momentum or self.distillation is not None):
            raise ValueError(
                "with `virtual_data` clients send samples, which have no momentum, and no predictions. Leave out "
                f"{'`distillation`' if self.distillation is not None else 'client_momentum'}"
            )
        if self.participation_sampling == "poisson" and (
            self.server.asynchronous or self.malicious_per_round != "sampled"
        ):
            raise ValueError(
                "with `participation_sampling: poisson` each client decides for itself, so it should be combined with "
                "`malicious_per_round: sampled` and a synchronous server. Found "
                f"malicious_per_round={self.malicious_per_round!r}, server.mode={self.server.mode!r}"
            )
        return self

    def _distils(self) -> None:
        """Refuse settings that mean nothing where clients send predictions."""
        if self.algorithm != "fedavg":
            raise ValueError("with `distillation` clients train models of their own in local steps. Use fedavg.")
        if self.client_momentum:
            raise ValueError(
                f"predictions have no momentum. Found client_momentum={self.client_momentum}; leave it out with "
                "`distillation`"
            )

    @property
    def alone(self) -> Federation:
        """The same rules for a client that learns alone: the steps of distillation go to its own samples."""
        if self.distillation is None:
            return self
        more = self.distillation.steps if self.distillation.own_weight else 0
        return self.model_copy(update={"local_steps": self.local_steps + more})

    @property
    def tail(self) -> int:
        """The number of rounds at the end over which the accuracy is averaged.

        Formula: ``max(ceil(rounds / 10), min(5, ceil(rounds / 2)))``: the last tenth, but no fewer rounds than the
        measurements need, and never more than the last half, in which a short training still learns.
        """
        return max(-(-self.rounds // 10), min(TAIL_MEASUREMENTS, -(-self.rounds // 2)))

    def measured(self, finished: int) -> bool:
        """Whether models are measured when this many rounds are finished.

        Before the tail that is every `evaluate_every` rounds. In the tail the measurements are equally far apart and
        the last round is one of them; they are `min(evaluate_every, max(1, tail // 5))` rounds apart, so there are at
        least 5 where the tail has so many rounds, and at most 9 more than `evaluate_every` alone would ask for.
        """
        left = self.rounds - finished
        if left < self.tail:
            return left % min(self.evaluate_every, max(1, self.tail // TAIL_MEASUREMENTS)) == 0
        return finished % self.evaluate_every == 0

    @property
    def measurements(self) -> int:
        """The number of measurements in the whole training."""
        return sum(map(self.measured, range(1, self.rounds + 1)))

    @property
    def per_round(self) -> int:
        """The number of clients that take part in a round."""
        return self.sampled(self.clients)

    def sampled(self, members: int) -> int:
        """The number of rows in a round when `members` members could take part."""
        if self.server.asynchronous:
            return min(self.server.buffer, members)
        return max(1, round(self.participation * members))

    def malicious_rows(self, f: int, members: int | None = None) -> int:
        """The number of rows of a round that may be malicious, rounded up, when `f` of all `members` are malicious.

        `members` is the number of clients when it is not given.
        """
        members = self.clients if members is None else members
        rows = self.sampled(members)
        if self.server.asynchronous:  # malicious clients answer at once
            return min(rows, f)
        return min(rows, math.ceil(f * rows / members - 1e-9))
