"""What clients do to their batches before they learn from them: augmentation and adversarial training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robustfl.federation.clients.augmentation import Augmenter
from robustfl.federation.settings import AdversarialTraining, Federation
from robustfl.federation.streams import Keyed, stream, stream_seed
from robustfl.threats.evasion import box, climbed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from robustfl.federation.task import Population


def feature_range(features: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest and highest values of samples [N, ...]: one pair for images, and one pair per column for a table."""
    if features.ndim == 2:
        return features.amin(dim=0), features.amax(dim=0)
    return features.amin(), features.amax()


class InnerSearch:
    """Makes a batch as hard as it can for the present weights: projected gradient ascent on the loss.

    Formula: ``x <- clamp(x + step_size sign(grad_x L(w; x, y)))``, where each feature is clamped to within epsilon of
    the sample and to the range of the training data.

    References: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018; Li, Song,
    Yang, "Federated adversarial learning: a framework with convergence analysis", ICML 2023.
    """

    def __init__(self, settings: AdversarialTraining, population: Population) -> None:
        self._settings = settings
        self._range = feature_range(population.features)
        self._step = 2.5 * settings.epsilon / settings.steps if settings.step_size is None else settings.step_size

    def __call__(self, slope: Callable[[Tensor], Tensor], features: Tensor, start: Tensor) -> Tensor:
        """The hardened batch; `slope` computes the gradient of the loss with respect to the features.

        It works under `torch.func.vmap` as well.
        """
        lower, upper = box(features, self._settings.epsilon, *self._range)
        start = start.maximum(lower).minimum(upper)
        return climbed(start, lower, upper, slope, step_size=self._step, steps=self._settings.steps)


def inner_search(population: Population, settings: Federation) -> InnerSearch | None:
    """The search of adversarial training, or None when the settings do not ask for it."""
    wanted = settings.adversarial_training
    return None if wanted is None else InnerSearch(wanted, population)


class Hardening:
    """The random part of augmentation and of adversarial training; each of the two has a stream of its own.

    In every round each member gets a seed, whether it takes part or not, so the changes depend neither on who takes
    part, nor on the attack, nor on the defense. Where clients share samples, and may be very many, the seed follows
    from the round and the member, and is made for those who take part.

    Parameters
    ----------
    population : the population whose samples are changed
    settings : `augment` and `adversarial_training` say how samples are changed
    seed : the seed of the simulation
    who : the beginning of the streams' names; the server's own samples have other streams than the clients
    members : the number of members

    Raises ParameterError when the samples cannot be augmented in this way.
    """

    def __init__(self, population: Population, settings: Federation, seed: int, *, who: str = "", members: int) -> None:
        self._members = members
        self._augmenter = None
        if settings.augment is not None:
            shape = tuple(population.features.shape[1:])
            low, high = float(population.features.min()), float(population.features.max())
            self._augmenter = Augmenter(settings.augment, shape, low, high)
        wanted = settings.adversarial_training
        self._radius = wanted.epsilon if wanted is not None and wanted.random_start else 0.0
        self._rng = {name: stream(seed, who + name) for name in ("augment", "adversarial")}
        self._sharing, self._seed, self._who = population.shared is not None, seed, who
        self._rounds = dict.fromkeys(self._rng, 0)

    def __call__(self, features: Tensor, ids: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """The changed batches [k, steps, batch, ...] of the members `ids`, and the starts of the search in each.

        The starts are None unless adversarial training begins at random starts.
        """
        if self._augmenter is not None:
            seeds = self._seeds("augment", ids)
            features = self._augmenter(features, seeds) if seeds else features
        if not self._radius:
            return features, None
        seeds, shape = self._seeds("adversarial", ids), tuple(features.shape[1:])
        draws = [np.random.default_rng(seed).random(shape, dtype=np.float32) for seed in seeds]
        shifts = features.new_tensor(np.array(draws)).reshape(features.shape)
        return features, features + self._radius * (2 * shifts - 1)

    def _seeds(self, name: str, ids: Any) -> list[int]:
        if self._sharing:
            numbers = Keyed(stream_seed(self._seed, f"{self._who}{name}, round {self._rounds[name]}"))
            self._rounds[name] += 1
            drawn: list[int] = (numbers.words(ids, 1)[:, 0] >> np.uint64(1)).tolist()
            return drawn
        seeds: list[int] = self._rng[name].integers(2**63, size=self._members)[ids].tolist()
        return seeds
