"""What a server makes of updates of old models, beyond giving them a weight: it corrects them for its newest model.

In an asynchronous federation a client computes its update at the model ``w_tau`` that it got, and the server applies it
to ``w_t``. Where the stale clients hold data that nobody else has, neither their old updates nor a small weight for
them says what these data want now. Two corrections estimate it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustfl.federation.clients.hardening import feature_range
from robustfl.federation.clients.training import TracedTrainer
from robustfl.federation.round import Ids, Round
from robustfl.federation.settings import FirstOrder, Inversion
from robustfl.federation.setup import Setup
from robustfl.federation.streams import stream
from robustfl.federation.transforms import Transform, staleness_weights

if TYPE_CHECKING:
    from torch import Tensor


def repair_for(setup: Setup) -> Transform:
    """The correction that the settings of the server ask for."""
    wanted = setup.settings.server.staleness
    if isinstance(wanted, FirstOrder):
        return FirstOrderRepair(setup, wanted)
    assert isinstance(wanted, Inversion), "weights are no correction"
    return InversionRepair(setup, wanted)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The samples that a server thinks to be behind a stale message.

    Attributes
    ----------
    member : who sent the message
    message : [d] the message
    features, labels : [steps, batch, ...] and [steps, batch, classes], the samples and the probabilities of labels
    update : [d] the sum of their gradients at the model that the message was computed with
    unexplained : how long the difference of this sum from that of the message is, as a share of the latter's length
    """

    member: int
    message: Tensor
    features: Tensor
    labels: Tensor
    update: Tensor
    unexplained: float


class _Repair(Transform):
    """Corrects honest updates of old models; those of the newest model stay as they are, and so do infinite ones.

    As with staleness weights, an adversary that knows the honest messages sees them corrected, as the defense does.
    """

    channels = ("dense",)

    def __init__(self, setup: Setup) -> None:
        settings = setup.settings
        self._setup = setup
        delta = settings.message == "delta"
        self._unit = -settings.local_learning_rate if delta else 1.0 / settings.local_steps
        """A message is this many times the sum of the gradients over the local steps."""

    def _begun(self, round: Round, ids: Ids) -> Tensor:
        """The models [h, d] from which these honest members began."""
        assert round.models is not None
        assert round.lesson is not None
        if round.models.ndim == 1:
            return round.models.expand(len(ids), -1)
        places = round.lesson.place[len(round.lesson.place) - len(round.honest) :]  # honest members come last
        rows = places[np.searchsorted(round.honest, ids)]
        return round.models[torch.as_tensor(rows, device=round.models.device)]

    @abstractmethod
    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor: ...


class FirstOrderRepair(_Repair):
    """Extrapolates a stale update to the newest model, with the squared gradient in place of the curvature.

    Formula: for the mean gradient g over the local steps, ``g + strength g g (w_t - w_tau)``, value by value. For
    losses that are negative log likelihoods, the expected square of a gradient is the diagonal of the Fisher
    information, which near an optimum is that of the curvature; the square of one gradient is a rough stand-in for it.

    Shapes: [h, d] -> [h, d]. Cost: one pass. It reads nothing of the clients' data.

    References
    ----------
    S. Zheng, Q. Meng, T. Wang, W. Chen, N. Yu, Z.-M. Ma, T.-Y. Liu. Asynchronous Stochastic Gradient Descent with Delay
    Compensation. ICML 2017.
    """

    def __init__(self, setup: Setup, wanted: FirstOrder) -> None:
        super().__init__(setup)
        self._strength = wanted.strength

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        moved = round.receivers[0].model.weights - self._begun(round, ids)
        steps = self._setup.settings.local_steps
        mean = messages / (self._unit * steps)
        corrected = (mean + self._strength * mean.square() * moved) * (self._unit * steps)
        stale = torch.as_tensor(round.ages(ids) > 0, device=messages.device)[:, None]
        return corrected.where(stale & corrected.isfinite().all(dim=1, keepdim=True), messages)


class InversionRepair(_Repair):
    """Estimates from a stale update the samples behind it, and adds what theirs would have changed since.

    Formula: the server looks for samples x in the range of the data and for probabilities y of their labels, as many as
    the client's batches hold, whose update ``U(x, y; w_tau)`` through the client's known local steps fits the message m
    best. The corrected message is ``m + U(x, y; w_t) - U(x, y; w_tau)``: the update is computed again at the newest
    model, and what the estimate does not explain of m is taken as it is. If the estimate is exact, so is the
    correction; if it explains nothing, nothing is corrected. The search minimises one minus the cosine of the two
    updates plus the squared difference of their lengths over the length of m, by signed steps of Adam whose size falls
    to a tenth at 3/8, 5/8 and 7/8 of the `iterations`. It needs to know the local steps, the batch size and the local
    learning rate, which a server does.

    Two criteria, neither of which needs to know the truth, say when not to repair:

    * a message of which the estimate leaves more than `unexplained` of its length is not repaired;
    * looking back: the next message of the same client says, with the noise of another batch, what its update at a
      later model is. The server corrects the message that it had before for that model as well, and compares how far
      the corrected and the old message are from the new one. When, after `patience` such comparisons, the mean
      logarithm of the ratio of the two distances is above 0 (of an average that forgets with this patience), it gives
      repairing up for good. That happens late in training, when updates are the noise of their batches and no longer
      what their data have in common.

    Messages that are not repaired are weighted as `otherwise` says.

    **This is an attack, used by the server.** It reconstructs clients' samples, as well as it can. It needs each
    client's message and so does not work behind secure aggregation; noise, pruning and coarse rounding at the clients
    break it, and then the two criteria switch it off. Whoever has promised clients that the server learns nothing about
    single samples must not use it.

    Shapes: [h, d] -> [h, d]. Cost: about ``5 iterations`` times the local training of each stale message.

    References
    ----------
    H. Wang, H. Yang et al. Tackling Intertwined Data and Device Heterogeneities in Federated Learning with Unlimited
    Staleness. AAAI 2025 (there the update at the newest model replaces the stale one as a whole).
    """

    def __init__(self, setup: Setup, wanted: Inversion) -> None:
        super().__init__(setup)
        population = setup.population
        self._wanted = wanted
        settings = setup.settings
        self._train = TracedTrainer(population, settings.local_learning_rate, settings.sharpness_radius)
        self._lower, self._upper = feature_range(population.features)
        self._heard = -1
        self._past: dict[int, Estimate] = {}
        self.comparisons = 0
        self.worse = 0.0
        """The mean logarithm of (distance of the repaired message / distance of the old one) from the next message."""

    @property
    def given_up(self) -> bool:
        """Whether the server repairs nothing any more."""
        return self.comparisons >= self._wanted.patience and self.worse > 0

    def sent(self, messages: Tensor, ids: Ids, round: Round) -> Tensor:
        first = round.number > self._heard  # it may be asked again, with what clients would have sent with other labels
        if first:
            self._heard = round.number
            self._look_back(messages, ids, round)
        ages = round.ages(ids)
        weights = staleness_weights(ages, self._setup.settings.server, self._wanted.otherwise)
        answer = messages * messages.new_tensor(weights)[:, None]
        lengths = messages.double().norm(dim=1).cpu().numpy()
        usable = np.flatnonzero((ages > 0) & np.isfinite(lengths) & (lengths > 0))
        if self.given_up or not len(usable):
            return answer
        rows = torch.as_tensor(usable, device=messages.device)
        begun = self._begun(round, ids)[rows]
        estimates = self._estimates(messages[rows], begun, round, ids[usable])
        newest = round.receivers[0].model.weights.expand_as(begun)
        for place, repaired, estimate in zip(usable.tolist(), self._at(newest, estimates), estimates, strict=True):
            if estimate.unexplained <= self._wanted.unexplained and bool(repaired.isfinite().all()):
                answer[place] = repaired
                if first:
                    self._past[estimate.member] = estimate
        return answer

    def _look_back(self, messages: Tensor, ids: Ids, round: Round) -> None:
        """Compare what clients send now with their last repaired messages, as these were and as they would be now."""
        known = [place for place, member in enumerate(ids.tolist()) if member in self._past]
        if not known or self.given_up:
            return
        estimates = [self._past.pop(member) for member in ids[known].tolist()]
        rows = torch.as_tensor(known, device=messages.device)
        predicted = self._at(self._begun(round, ids)[rows], estimates)
        for estimate, message, repaired in zip(estimates, messages[rows], predicted, strict=True):
            near, far = (float((message - guess).double().norm()) for guess in (repaired, estimate.message))
            if not (math.isfinite(near) and math.isfinite(far) and near > 0 and far > 0):
                continue
            self.comparisons += 1
            share = max(1 / self.comparisons, 1 / self._wanted.patience)
            self.worse += share * (math.log(near / far) - self.worse)

    def _at(self, models: Tensor, estimates: Sequence[Estimate]) -> Tensor:
        """The messages [k, d] behind these estimates, corrected for these models [k, d]."""
        features = torch.stack([estimate.features for estimate in estimates])
        labels = torch.stack([estimate.labels for estimate in estimates])
        now = self._train(models, features, labels)
        then = torch.stack([estimate.update for estimate in estimates])
        return torch.stack([estimate.message for estimate in estimates]) + (now - then) * self._unit

    def _estimates(self, messages: Tensor, begun: Tensor, round: Round, members: Ids) -> list[Estimate]:
        """The samples behind each of the messages [k, d] that were computed at the models [k, d]."""
        sums = messages / self._unit
        features, labels = self._searched(sums, begun, round, members)
        updates = self._train(begun, features, labels)
        unexplained = ((sums - updates).norm(dim=1) / sums.norm(dim=1)).tolist()
        fields = zip(members.tolist(), messages.clone(), features, labels, updates, unexplained, strict=True)
        return [
            Estimate(member=m, message=sent, features=x, labels=y, update=u, unexplained=left)
            for m, sent, x, y, u, left in fields
        ]

    def _searched(self, sums: Tensor, begun: Tensor, round: Round, members: Ids) -> tuple[Tensor, Tensor]:
        """The samples [k, steps, batch, ...] and probabilities of labels [k, steps, batch, classes] that fit best."""
        settings, population = self._setup.settings, self._setup.population
        shape = (settings.local_steps, settings.batch_size)
        rngs = [stream(self._setup.seed, f"repair of {member} in round {round.number}") for member in members.tolist()]
        low, span = self._lower, self._upper - self._lower
        noise = np.array([rng.standard_normal((*shape, *population.features.shape[1:])) for rng in rngs])
        units = (0.5 + 0.5 * sums.new_tensor(noise)).clamp(0, 1).requires_grad_()  # of the range of each feature
        chances = np.array([rng.standard_normal((*shape, population.classes)) for rng in rngs])
        logits = sums.new_tensor(0.1 * chances).requires_grad_()
        rate, total = self._wanted.learning_rate, self._wanted.iterations
        adam = torch.optim.Adam([{"params": [units], "lr": rate}, {"params": [logits], "lr": 10 * rate}])
        falls = torch.optim.lr_scheduler.MultiStepLR(adam, [part * total // 8 for part in (3, 5, 7)], gamma=0.1)
        models = begun.detach().requires_grad_()  # the trainer then returns gradients that can be differentiated
        lengths = sums.norm(dim=1)
        for _ in range(total):
            with torch.enable_grad():
                found = self._train(models, low + span * units, logits.softmax(dim=-1))
                cosine = torch.nn.functional.cosine_similarity(found, sums, dim=1)
                loss = (1 - cosine + ((found.norm(dim=1) - lengths) / lengths).square()).sum()
                slopes = torch.autograd.grad(loss, [units, logits])
            units.grad, logits.grad = slopes[0].sign(), slopes[1]
            adam.step()
            falls.step()
            with torch.no_grad():
                units.clamp_(0, 1)
        return low + span * units.detach(), logits.detach().softmax(dim=-1)
