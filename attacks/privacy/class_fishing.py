"""Fishes the samples of one class out of a batch, by the last layer that an active server sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats.privacy.capability import Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.network import Linear, Network

_GUESSES = (1, 2, 3)  # how many samples of the class a message may hold if its last layer does not tell
_ROUNDING = 0.01  # a smaller number of samples is what rounding leaves of none


@dataclass(frozen=True, kw_only=True)
class ClassFishing(PrivacyAttack):
    """Class fishing: the last layer is sure that no sample has one class, so only the samples of that class teach.

    Formula: in the last layer, with weights W and biases b, the row of the fished class c stays as it is. All other
    rows of W are zero, and all other biases are `bias`. Then p_c is zero for every sample. What the layers before learn
    from a sample of class y is ``W' (p - e_y)``, which is ``-W_c`` for y = c and exactly zero for all others. Their
    gradient is that of the samples of one class, however large the batch, and ``-n db_c`` counts these.

    If the model begins with a fully connected layer and ReLU, the samples are recovered as by
    :class:`~robustfl.attacks.ExactBatches`, and certificates compare the first layer alone. Where that proves nothing,
    and for other models, they are searched for as by :class:`~robustfl.attacks.InvertingGradients`, in all layers that
    only they have taught. Behind secure aggregation (`summed`) there are two ways, see `others`.

    What is missing: the published attack goes on to single out one of the samples of a class by a threshold on a
    feature. One round fishes one class, so of a batch with all classes only a share of 1/C can be found.

    Shapes: [k, d] -> up to n_c samples for each of k sightings. Cost: that of `ExactBatches` for n_c samples, and of
    `InvertingGradients` where that proves nothing.

    Guarantee: with one local step the gradient of all layers but the last is exactly that of the samples of the class,
    and one sample of it in a batch is exact, where the first layer is linear. Later local steps mix other classes in.

    Knowledge: the choice of the model, messages or their sum, the loss, and how clients train.

    References
    ----------
    Y. Wen, J. Geiping, L. Fowl, M. Goldblum, T. Goldstein. Fishing for User Data in Large-Batch Federated Learning via
    Gradient Magnification. ICML 2022.
    D. Pasquini, D. Francati, G. Ateniese. Eluding Secure Aggregation in Federated Learning via Model Inconsistency.
    ACM CCS 2022, for models that silence all clients but one.

    Examples
    --------
    >>> import torch
    >>> from dataclasses import replace
    >>> from robustfl.attacks import ClassFishing
    >>> from robustfl.threats.privacy.network import Network
    >>> from robustfl.threats.privacy.view import Circumstances, PrivacyFacts, Sighting
    >>> layers = [torch.nn.Flatten(), torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)]
    >>> network = Network(torch.nn.Sequential(*layers), (1, 2, 2), classes=3)
    >>> model = torch.randn(network.d, generator=torch.Generator().manual_seed(1))
    >>> asked = Sighting(round=0, client=1, senders=(1,), model=model)
    >>> about = Circumstances(shape=(1, 2, 2), classes=3, batch_size=6)
    >>> facts = PrivacyFacts(observer="active", sightings=[asked], circumstances=about, network=network)
    >>> attack = ClassFishing(fished=2)
    >>> sent = attack.model(attack.view(facts), client=1)
    >>> secret = torch.rand(1, 6, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    >>> message = network.gradients(sent[None], secret, torch.tensor([[0, 1, 1, 2, 0, 1]]))[0]
    >>> found = attack.spy(replace(facts, sightings=[replace(asked, model=sent, message=message)]))
    >>> found.certified.tolist(), bool((found.features[0] - secret[0, 3]).abs().max() < 1e-5)
    ([1], True)
    """

    unfit: ClassVar[str] = (
        "where an `imprint` fits in front of the model, which reads most samples of a batch and not those of one class "
        "alone, or where clients compare the models that they get (`consistency_check`) and others are silenced"
    )
    reference: ClassVar[str] = (
        "Wen et al., Fishing for User Data in Large-Batch Federated Learning via Gradient Magnification, ICML 2022"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("summed", "others")
    observers: ClassVar[tuple[str, ...]] = ("active",)
    knowledge: ClassVar[Capability] = (
        Capability.MESSAGE
        | Capability.ACTIVE
        | Capability.MODEL
        | Capability.LOSS
        | Capability.BATCH_SIZE
        | Capability.LEARNING_RATE
        | Capability.STEPS
        | Capability.MOMENTUM
        | Capability.HISTORY
    )

    fished: Annotated[
        int | None, Ge(0), Doc("the class that is fished for; None takes the number of the client modulo C")
    ] = None
    summed: Annotated[
        bool, Doc("whether it sees the sum of all messages alone, as behind secure aggregation, and not each message")
    ] = False
    others: Annotated[
        Literal["silent", "alike"],
        Doc(
            "what the other clients get if `summed`: a last layer without weights, from which no earlier layer learns, "
            "so that the sum is one client's message there; or the same model, which nobody can tell by comparing"
        ),
    ] = "silent"
    bias: Annotated[
        float, Gt(0), Le(1e30), Doc("biases of the other classes; far above any logit of the fished class")
    ] = 1000.0
    subsets: Annotated[
        int, Ge(1), Le(10_000_000), Doc("sets of neurons that are tried; more find larger batches, in more time")
    ] = 60_000
    iterations: Annotated[int, Ge(1), Doc("number of steps of each search")] = 400
    restarts: Annotated[
        int, Ge(1), Le(1000), Doc("number of searches, and how often the choice among what was found begins again")
    ] = 4
    smoothness: Annotated[float, Ge(0), Doc("weight of the total variation in searches")] = 1e-3

    def required_knowledge(self) -> Capability:
        return self.knowledge & ~Capability.MESSAGE | Capability.SUM if self.summed else self.knowledge

    def one_sender(self) -> bool:
        return self.summed and self.others == "silent"

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        if network.last is None:
            return "the last layer of the model is not linear with a bias, so that it cannot be made sure of a class"
        if network.last == network.first:
            return "the first layer of the model is its last, so that no layer before it learns from one class alone"
        if self.fished is not None and self.fished >= about.classes:
            return f"there is no class {self.fished} among {about.classes} classes, which count from 0"
        return None

    def model(self, view: PrivacyView, client: int) -> Tensor:
        last, chosen = _last(view.network), view.models[0].clone()
        weight, bias = last.of(chosen)
        fished = self._class(view, 0)
        own = weight[fished].clone(), bias[fished].clone()
        weight[:], bias[:] = 0.0, self.bias
        if not self.one_sender() or client == view.clients[0]:
            weight[fished] = own[0]
        bias[fished] = own[1]
        return chosen

    def infer(self, view: PrivacyView) -> Reconstruction:
        import torch

        found = [self._fished(view, place, gradient) for place, gradient in enumerate(view.gradients())]
        return Reconstruction(
            features=[view.clamped(catch.features) for catch in found],
            certified=torch.tensor([len(catch.features) if catch.certified else 0 for catch in found]),
            losses=torch.tensor([catch.distance for catch in found]),
        )

    def _class(self, view: PrivacyView, place: int) -> int:
        client = view.clients[place]
        assert client is not None, "an active server asks somebody"
        return client % view.classes if self.fished is None else self.fished

    def _fished(self, view: PrivacyView, place: int, gradient: Tensor) -> _Catch:
        """The samples of the fished class behind one mean gradient [d]."""
        from robustfl.threats.privacy.proving import recover_batch, rectified

        network, model, fished = view.network, view.models[place], self._class(view, place)
        heard = gradient.new_ones(network.d)
        for part in _last(network).of(heard):
            part[:] = 0.0
            part[fished] = 0.0 if self.one_sender() else 1.0  # what silent clients have of the class is there as well
        total = view.batch_size * view.steps * len(view.senders[place])
        nothing = _Catch(features=gradient.new_empty((0, *view.shape)), distance=float("inf"), certified=False)
        if not bool(gradient.isfinite().all()) or not bool((gradient * heard).any()):
            return nothing
        counts = _GUESSES if self.one_sender() else _counted(_last(network).of(gradient)[1][fished], total)
        if not counts:
            return nothing
        tried = []
        if rectified(network):
            solved = recover_batch(
                network,
                model,
                gradient,
                rng=view.rng,
                subsets=self.subsets,
                restarts=self.restarts,
                first_layer_only=True,
            )
            if solved.certified:
                return _Catch(features=solved.features.float(), distance=solved.distance, certified=True)
            tried.append(solved.features.float())
        aim = _Aim(network=network, model=model, gradient=gradient, heard=heard, fished=fished, total=total)
        tried += [self._searched(view, aim, count) for count in counts]
        catches = [_Catch(features=one, distance=aim.distance(one), certified=False) for one in tried if len(one)]
        return min(catches, key=lambda catch: catch.distance, default=nothing)

    def _searched(self, view: PrivacyView, aim: _Aim, count: int) -> Tensor:
        from robustfl.threats.privacy.inversion import Search, Target, cosine_distance, inverted

        target = Target(
            network=aim.network,
            models=aim.model[None],
            gradients=aim.gradient[None],
            labels=aim.labels(count)[:, None],
            rate=view.learning_rate,
            low=view.low,
            high=view.high,
            images=view.images,
        )
        search = Search(
            iterations=self.iterations,
            restarts=self.restarts,
            smoothness=self.smoothness,
            distance=lambda found, seen: cosine_distance(found * aim.heard, seen * aim.heard),
        )
        return inverted(target, search, view.rng)[0][0, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Catch:
    """Samples [m, *shape] of the fished class, how far they are from explaining the gradient, and whether by proof."""

    features: Tensor
    distance: float
    certified: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Aim:
    """What samples of the fished class are to explain.

    Attributes
    ----------
    network, model, gradient : the model [d] that was sent, and the mean gradient [d] of `total` samples of all classes
    heard : [d] 1 where only samples of the class have taught, and 0 elsewhere
    fished : the class
    """

    network: Network
    model: Tensor
    gradient: Tensor
    heard: Tensor
    fished: int
    total: int

    def labels(self, count: int) -> Tensor:
        """The labels [1, count] of so many samples."""
        import torch

        return torch.full((1, count), self.fished, device=self.model.device)

    def distance(self, samples: Tensor) -> float:
        """How far the gradient of samples [m, *shape] is from the given one, which also tells how many there are."""
        from robustfl.threats.privacy.inversion import relative_distance

        count = len(samples)
        own = self.network.gradients(self.model[None], samples[None], self.labels(count)) * (count / self.total)
        return float(relative_distance(own * self.heard, (self.gradient * self.heard)[None]).sqrt())


def _last(network: Network) -> Linear:
    assert network.last is not None, "not applicable without"
    return network.last


def _counted(bias: Tensor, total: int) -> tuple[int, ...]:
    """The number of samples that a bias gradient tells, also if the message was shortened; none if it tells of none."""
    told = -total * float(bias)
    return (min(total, max(1, round(told))),) if told > _ROUNDING else ()
