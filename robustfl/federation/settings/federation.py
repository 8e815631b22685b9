"""The rules of one federation."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import PlainSerializer, field_validator, model_validator

from robustfl.errors import RobustflError
from robustfl.federation.graphs.contract import GraphFamily
from robustfl.federation.graphs.sampled import Sampled
from robustfl.federation.settings.base import Derived, Settings
from robustfl.federation.settings.clients import AdversarialTraining, Augmentation, Distillation, VirtualData
from robustfl.federation.settings.peers import Peers
from robustfl.federation.settings.server import Server

OF_NEIGHBOURS = (
    "weights",
    "allow",
    "gossip_steps",
    "mix_every",
    "merge",
    "order",
    "start",
    "read",
    "malicious_mixing",
    "arrange",
    "redraw",
)
"""The settings of peers that mean nothing where a sample trains one model."""

TAIL_MEASUREMENTS = 5
"""The number of measurements from which the accuracy of a training is averaged, at least, unless it is very short."""


def _written(family: Any) -> Any:
    """A family of graphs as records hold it."""
    return None if family is None else {"name": family.name, **family.parameters()}


class Federation(Settings):
    """Who takes part, what clients compute, what they send, and how the server steps."""

    clients: Annotated[int, Ge(1), Le(1_000_000)] = 15
    """The number of all clients, including the malicious ones."""
    rounds: Annotated[int, Ge(1), Le(10_000_000)] = 100
    """The number of training rounds."""
    algorithm: Literal["fedsgd", "fedavg"] = "fedsgd"
    """fedsgd: a client computes one gradient on one batch per round; fedavg: it makes `local_steps` steps of local
    SGD."""
    local_steps: Annotated[int, Ge(1), Le(1_000_000)] = 1
    """The number of SGD steps that a client makes in a round (fedavg only)."""
    local_learning_rate: Annotated[float, Gt(0)] = 0.1
    """The step size of the clients' local SGD (fedavg only)."""
    batch_size: Annotated[int, Ge(1), Le(1_000_000)] = 16
    """The number of samples in a batch; they are drawn with replacement from the client's own data."""
    message: Annotated[
        Literal["gradient", "delta"], Derived("'gradient' for fedsgd and 'delta' for fedavg and among peers")
    ]
    """What clients send: a gradient that the server subtracts, or a model difference that it adds."""
    client_momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The beta of the exponential moving average that clients keep over their messages and send: m <- beta m +
    (1 - beta) message."""
    sharpness_radius: Annotated[float, Ge(0)] = 0.0
    """The rho of sharpness-aware minimisation (FedSAM; DFedSAM among peers): a local step follows the gradient, not at
    the model w, but at w + rho g/||g||, where g is the gradient at w on the same batch. It takes twice the time, and 0
    is plain training. 0.01 to 0.05 are usual. Malicious clients who train in a way of their own make plain steps."""
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
    topology: Annotated[Any, PlainSerializer(_written)] = None
    """The network of peers, such as `{regular: {degree: 8}}`, where clients have models of their own and send them to
    their neighbours (`robustfl list topologies`). Without it there is a server."""
    peers: Peers | None = None
    """How peers mix what they get; only with a `topology`."""
    evaluate_every: Annotated[int, Ge(1), Le(10_000_000)] = 10
    """The number of rounds from one measurement on the test set to the next. The end of the training is measured more
    often if that is too rare there: the accuracy of a trial is the mean over the last tenth of the rounds, with at
    least 5 measurements."""
    client_mode: Literal["auto", "vmap", "loop"] = "auto"
    """How the training of clients is computed: vmap differentiates all clients at once, loop one after the other, and
    auto chooses the faster of the two for the model and the device, or gradients that are written out where the model
    has them (fully connected networks, and on a CPU the `cnn` without norm)."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        networked = values.get("topology") is not None
        if values.get("message") is None:
            delta = networked or values.get("algorithm") == "fedavg"
            values = {**values, "message": "delta" if delta else "gradient"}
        return {**values, "peers": Peers()} if networked and values.get("peers") is None else values

    @field_validator("topology", mode="before")
    @classmethod
    def _a_network(cls, value: Any) -> Any:
        if isinstance(value, RobustflError):  # why what a suite names could not be made
            raise ValueError(str(value))
        if value is not None and not isinstance(value, GraphFamily):
            raise ValueError(f"should be a family of graphs, such as Ring(). Found {value!r}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.algorithm == "fedsgd" and self.local_steps != 1:
            raise ValueError(f"fedsgd takes one step a round, but local_steps={self.local_steps}. Use fedavg.")
        usual = type(self).model_fields["local_learning_rate"].default
        if self._sends_gradients and self.local_learning_rate != usual:
            raise ValueError(
                f"clients that send gradients make no step of their own, but local_learning_rate="
                f"{self.local_learning_rate}. Set server.learning_rate, or use fedavg"
            )
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
        if self.sharpness_radius:
            self._sharpness_aware()
        if self.distillation is not None:
            self._distils()
        if self.virtual_data is not None and (self.client_momentum or self.distillation is not None):
            raise ValueError(
                "with `virtual_data` clients send samples, which have no momentum, and no predictions. Leave out "
                f"{'`distillation`' if self.distillation is not None else 'client_momentum'}"
            )
        if self.topology is not None:
            self._networked()
        elif self.peers is not None:
            raise ValueError("`peers` says how a network mixes. Give a `topology` as well, or leave it out")
        if self.participation_sampling == "poisson" and (
            self.server.asynchronous or self.malicious_per_round != "sampled"
        ):
            raise ValueError(
                "with `participation_sampling: poisson` each client decides for itself, so it should be combined with "
                "`malicious_per_round: sampled` and a synchronous server. Found "
                f"malicious_per_round={self.malicious_per_round!r}, server.mode={self.server.mode!r}"
            )
        return self

    @property
    def _sends_gradients(self) -> bool:
        """Whether what clients send is one gradient each, so that the step is the server's alone."""
        own = self.topology is not None or self.distillation is not None or self.virtual_data is not None
        return self.algorithm == "fedsgd" and self.message == "gradient" and not own

    def _sharpness_aware(self) -> None:
        """Refuse what sharpness-aware steps do not go together with."""
        others = ("adversarial_training", "distillation", "virtual_data")
        given = [name for name in others if getattr(self, name) is not None]
        if given:
            why = {
                "adversarial_training": "both look for the worst nearby, of samples and of models",
                "distillation": "its steps towards an answer would be plain",
                "virtual_data": "the server would learn from samples in plain steps",
            }
            raise ValueError(
                f"sharpness_radius={self.sharpness_radius} is for clients who learn from their own, unchanged samples "
                f"and send updates or models; with `{given[0]}`, {why[given[0]]}. Use one of the two"
            )

    def _distils(self) -> None:
        """Refuse settings that mean nothing where clients send predictions."""
        if self.algorithm != "fedavg":
            raise ValueError("with `distillation` clients train models of their own in local steps. Use fedavg.")
        if self.client_momentum:
            raise ValueError(
                f"predictions have no momentum. Found client_momentum={self.client_momentum}; leave it out with "
                "`distillation`"
            )

    def _networked(self) -> None:
        """Refuse settings that mean nothing without a server."""
        given = [name for name in Server.model_fields if getattr(self.server, name) != getattr(Server(), name)]
        if given:
            raise ValueError(
                f"with a `topology` there is no server. Found server.{', server.'.join(given)}; leave it out. Peers "
                "make steps at `local_learning_rate`"
            )
        if self.participation != 1 or self.participation_sampling != "fixed":
            raise ValueError(
                "all peers of a `topology` take part: it should satisfy participation = 1. Found participation="
                f"{self.participation} ({self.participation_sampling}). Faults such as `churn` say who is absent"
            )
        mine, usual = self.network, Peers()
        if isinstance(self.topology, Sampled):
            odd = [name for name in OF_NEIGHBOURS if getattr(mine, name) != getattr(usual, name)]
            if odd:
                raise ValueError(
                    f"peers.{', peers.'.join(odd)} belongs to networks of neighbours, who all have their own models. "
                    "Leave it out with the topology `sampled`"
                )
        if not isinstance(mine.mix_every, str) and mine.mix_every > self.rounds:
            raise ValueError(
                f"peers who mix in every k-th round should do so at least once: k <= rounds. Found peers.mix_every="
                f"{mine.mix_every}, rounds={self.rounds}. Use the rule `alone` for peers who never mix"
            )
        if mine.order == "combine_then_adapt" and (mine.merge == "all" or mine.mix_every == "last"):
            raise ValueError(
                "peers who combine before they adapt train on after the last mixing, so that no merging ends their "
                f"training. Found peers.order={mine.order!r}, mix_every={mine.mix_every!r}, merge={mine.merge!r}. Use "
                "adapt_then_combine"
            )
        if not isinstance(mine.bound, str) and mine.bound >= self.clients:
            raise ValueError(
                "a rule that is told of more malicious neighbours than there are peers would hear nobody: peers.bound "
                f"should satisfy bound < clients. Found bound={mine.bound}, clients={self.clients}"
            )
        if self.distillation is not None or self.virtual_data is not None or self.message != "delta":
            raise ValueError(
                "peers of a `topology` send models. Leave `distillation` and `virtual_data` out, and `message` as it "
                f"is. Found distillation={self.distillation}, virtual_data={self.virtual_data}, "
                f"message={self.message!r}"
            )

    @property
    def network(self) -> Peers:
        """How peers mix; only in networks of peers."""
        assert self.peers is not None
        return self.peers

    @property
    def alone(self) -> Federation:
        """The same rules for a client that learns alone: the steps of distillation go to its own samples."""
        if self.distillation is None:
            return self
        more = self.distillation.steps if self.distillation.own_weight else 0
        return self.model_copy(update={"local_steps": self.local_steps + more})

    @property
    def ends_merged(self) -> bool:
        """Whether peers merge their models in the last round, in a way in which they do not before."""
        return self.peers is not None and self.peers.ends_merged(self.rounds)

    @property
    def tail(self) -> int:
        """The number of rounds at the end over which the accuracy is averaged.

        Formula: ``max(ceil(rounds / 10), min(5, ceil(rounds / 2)))``: the last tenth, but no fewer rounds than the
        measurements need, and never more than the last half, in which a short training still learns. It is one round
        where peers merge their models in the last one, since all measurements before are of other models.
        """
        if self.ends_merged:
            return 1
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
