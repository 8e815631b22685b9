"""Poisoned data: the samples and labels from which malicious members learn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.errors import AttackError
from robustfl.federation.clients.participants import Members
from robustfl.federation.task import Population
from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor, Samples
from robustfl.threats.data.contract import DataPoisoning
from robustfl.threats.staging import poisoning_of

if TYPE_CHECKING:
    from torch import Tensor

Ids = NDArray[np.int64]


class Poisoning:
    """The poisoned labels of all training samples, and the changes of the features in the attackers' batches.

    Attackers are numbered by their places among the malicious members, including identities. This number decides which
    part of a trigger an attacker shows.

    Parameters
    ----------
    population, members : the data and their owners; this class restricts the samples of malicious members
    attack : the attack on the data
    rng : the random stream of the attack

    Raises
    ------
    ParameterError : the attack does not fit the data
    AttackError : the attack returns something that is not labels
    """

    def __init__(
        self, population: Population, members: Members, attack: DataPoisoning, rng: np.random.Generator
    ) -> None:
        self._attack, self._members = attack, members
        self._part = np.cumsum(members.malicious) - 1
        held = members.samples()
        self.labels = population.labels.clone()  # [N]
        where = torch.as_tensor(held, device=self.labels.device)
        clean = self.labels[where].cpu().numpy()
        poisoned, changed = (np.asarray(found) for found in attack.poison(clean, population.classes, rng))
        require_labels(attack, poisoned, clean.shape, population.classes)
        self.labels[where] = torch.as_tensor(poisoned, device=self.labels.device)
        self._changed = torch.zeros(len(self.labels), dtype=torch.bool, device=self.labels.device)
        self._changed[where] = torch.as_tensor(changed, device=self.labels.device)
        self._any = bool(changed.any())
        used = np.ones(len(self.labels), dtype=np.bool_)
        used[held] = attack.used(clean, poisoned.astype(np.int64))
        members.restrict(used)
        self._substitutes = None
        if isinstance(attack, Backdoor):
            attack.stamp(population.features[:1])  # refuses unfit data before training
            self._substitutes = attack.substitutes(samples_of(population))

    def active(self, number: int) -> bool:
        """Whether data are poisoned in round `number`."""
        return self._attack.active(number)

    def __call__(self, features: Tensor, labels: Tensor, index: Tensor, ids: Ids) -> tuple[Tensor, Tensor]:
        """The batches [k, steps, batch, ...] and labels [k, steps, batch] of the members `ids` after poisoning.

        Only those of malicious members change. `index` [k, steps, batch] holds the places of the samples in the
        training data. The arguments stay as they are.
        """
        bad = np.flatnonzero(self._members.malicious[ids])
        if not len(bad):
            return features, labels
        rows = torch.as_tensor(bad, device=labels.device)
        labels = labels.index_copy(0, rows, self.labels[index[rows]])
        if not self._any:
            return features, labels
        features = features.clone()
        for row in bad.tolist():
            marked = self._changed[index[row]]  # [steps, batch]
            if not bool(marked.any()):
                continue
            if self._substitutes is None:
                chosen = self._attack.poison_features(features[row][marked], int(self._part[ids[row]]))
            else:
                chosen = self._substitutes[index[row][marked] % len(self._substitutes)]
            features[row][marked] = chosen
        return features, labels


def poisoning_for(
    population: Population, members: Members, attack: Attack | None, rng: np.random.Generator
) -> Poisoning | None:
    """The poisoning of an attack, made ready; None when the attack does not change data."""
    found = poisoning_of(attack)
    return None if found is None else Poisoning(population, members, found, rng)


def samples_of(population: Population) -> Samples:
    """A task's data in the form in which attacks on data see them."""
    train_y = population.labels.cpu().numpy()
    return Samples(population.features, train_y, population.test_features, population.test_labels.cpu().numpy())


def require_labels(attack: Attack | None, poisoned: NDArray[np.generic], shape: tuple[int, ...], classes: int) -> None:
    """Check that what an attack returned as labels are labels of this shape.

    Raises AttackError for another shape or type, or for a class that does not exist.
    """
    whole = poisoned.shape == shape and poisoned.dtype.kind in "iu"
    if not whole or poisoned.min(initial=0) < 0 or poisoned.max(initial=0) >= classes:
        raise AttackError(
            f"{attack!r} should return {math.prod(shape)} labels from 0 to {classes - 1}. Found {poisoned.dtype} "
            f"{list(poisoned.shape)}{f', {poisoned.min()} to {poisoned.max()}' if whole else ''}."
        )
