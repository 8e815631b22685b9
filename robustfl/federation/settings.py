"""The rules of a federation as data: read from scenarios, hashed into trials, used by the simulation."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Strict, ValidationInfo, field_validator, model_validator


class Settings(BaseModel):
    """Base of all scenario models: frozen, unknown keys refused, the text under a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`true` is not 1 and `"2"` is not 2: such a value is a slip that should be seen."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation in (int, float) and isinstance(value, bool | str):
            raise ValueError(f"should be a number. Found {value!r}")
        return value


class Server(Settings):
    """How the server applies an aggregate to the global model."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimiser over the aggregates: sgd (with momentum if wanted) or adam (FedAdam)."""
    learning_rate: Annotated[float, Gt(0)] = 0.5
    """Step of the server; 1.0 with messages `delta` is plain FedAvg."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Server momentum (sgd)."""
    trusted_samples: Annotated[int, Ge(1)] = 100
    """Clean training samples on which the server computes an update of its own, for rules that want one (FLTrust).
    A random choice in the class proportions of all of them; clients keep them as well."""
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    """synchronous: a round waits for all clients of the round; asynchronous: the server makes a step whenever `buffer`
    messages are in, and clients work at their own speed."""
    buffer: Annotated[int, Ge(1)] = 5
    """Messages of a step (asynchronous), at most as many as there are clients."""
    staleness: Literal["polynomial", "constant", "hinge"] = "polynomial"
    """How messages computed with the model of tau steps ago are weighted (asynchronous): polynomial (1 + tau)^-a,
    constant 1, or hinge, 1 up to the grace b and 1/(a (tau - b) + 1) above."""
    staleness_exponent: Annotated[float, Gt(0)] = 0.5
    """The a of these weights."""
    staleness_grace: Annotated[int, Ge(0)] = 4
    """The b of the hinge, in steps of the server."""
    speed_spread: Annotated[float, Ge(0), Le(10)] = 1.0
    """Standard deviation of the logarithm of clients' working times (asynchronous)."""

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
    """How clients change their training images, anew for every image of every batch."""

    crop: Annotated[int, Ge(0)] = 0
    """Most pixels by which an image moves, up or down and left or right; black comes in from the edge."""
    flip: Annotated[float, Ge(0), Le(1)] = 0.0
    """Probability that left and right are exchanged."""
    warp: Annotated[float, Ge(0), Le(1)] = 0.0
    """Longest time along which pixels move in the flow of Lotka and Volterra, in which coordinates are pixels from the
    centre: at 0.01 a corner of a 32 x 32 image moves by about 3 pixels, at 0.1 one of an 8 x 8 image by 2."""
    noise: Annotated[float, Ge(0)] = 0.0
    """Standard deviation of Gaussian noise on every value of an image, in the units of the data (0 to 1 mostly)."""
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the images that is changed at all; chance decides for each."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"share"}:
            raise ValueError("names no change of the images: give `crop`, `flip`, `warp` or `noise`, or leave it out")
        return self


class AdversarialTraining(Settings):
    """Clients learn from samples that they have first made as hard as they can, by signed steps up their loss."""

    epsilon: Annotated[float, Gt(0)]
    """Largest change of a feature, in the units of the data (0 to 1 mostly)."""
    steps: Annotated[int, Ge(1), Le(1000)] = 7
    """Steps up the loss for every batch."""
    step_size: Annotated[float, Gt(0), Strict()] | None = None
    """Length of a step in each feature; 2.5 epsilon / steps when not given."""
    random_start: bool = True
    """Whether the search starts at a random place within epsilon, or at the sample itself."""


class Federation(Settings):
    """Who takes part, what they compute, what they send and how the server steps."""

    clients: Annotated[int, Ge(1)] = 15
    """All clients, malicious ones included."""
    rounds: Annotated[int, Ge(1)] = 100
    """Rounds of training."""
    algorithm: Literal["fedsgd", "fedavg"] = "fedsgd"
    """fedsgd: one gradient on one batch a round; fedavg: `local_steps` of local SGD."""
    local_steps: Annotated[int, Ge(1)] = 1
    """SGD steps of a client in a round (fedavg)."""
    local_learning_rate: Annotated[float, Gt(0)] = 0.1
    """Step of the clients' local SGD (fedavg)."""
    batch_size: Annotated[int, Ge(1)] = 16
    """Samples in a batch, drawn with replacement from the client's own data."""
    message: Literal["gradient", "delta"]
    """What clients send: a gradient that the server subtracts, or a model difference that it adds."""
    client_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Exponential moving average that clients keep over their messages and send: m <- beta m + (1 - beta) message."""
    participation: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the clients that takes part in a round."""
    malicious_per_round: Literal["fixed", "sampled"] = "fixed"
    """fixed: malicious clients are sampled in proportion in every round; sampled: chance decides how many."""
    augment: Augmentation | None = None
    """How clients change their training images."""
    adversarial_training: AdversarialTraining | None = None
    """Whether clients learn from adversarial samples (federated adversarial learning)."""
    server: Server = Server()
    """The server's optimiser."""
    evaluate_every: Annotated[int, Ge(1)] = 10
    """Rounds between two measurements on the test set; the last round is always measured."""
    client_mode: Literal["auto", "vmap", "loop"] = "auto"
    """How clients are computed: all at once, one by one, or whichever is faster for model and device."""

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
        if self.server.asynchronous and (self.server.buffer > self.clients or self.participation < 1):
            raise ValueError(
                "an asynchronous server hears all clients, up to `buffer` at a time: it should satisfy "
                f"buffer <= clients and participation = 1. Found buffer={self.server.buffer}, clients={self.clients}, "
                f"participation={self.participation}"
            )
        return self

    @property
    def per_round(self) -> int:
        """Clients that take part in a round."""
        return self.sampled(self.clients)

    def sampled(self, members: int) -> int:
        """Rows of a round when `members` could take part."""
        if self.server.asynchronous:
            return min(self.server.buffer, members)
        return max(1, round(self.participation * members))

    def malicious_rows(self, f: int, members: int | None = None) -> int:
        """Rows of a round that may be malicious when `f` of all members (the clients) are, rounded up."""
        members = self.clients if members is None else members
        rows = self.sampled(members)
        if self.server.asynchronous:  # malicious clients answer at once
            return min(rows, f)
        return min(rows, math.ceil(f * rows / members - 1e-9))
