"""What malicious members learn from where their data are poisoned."""

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
    """The poisoned labels of all training samples, and what becomes of the features in the batches of attackers.

    Attackers are numbered by their places among the malicious members, identities included; what each of them shows of
    a trigger follows from that number.

    Parameters
    ----------
    population, members : whose data; which samples malicious members train on is set here
    attack : what it does to them
    rng : the attack's

    Raises
    ------
    ParameterError : the attack does not fit the data
    AttackError : the poisoned labels are none
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
            attack.stamp(population.features[:1])  # refuses data that it does not fit before anybody trains
            self._substitutes = attack.substitutes(samples_of(population))

    def active(self, number: int) -> bool:
        """Whether data are poisoned in round `number`."""
        return self._attack.active(number)

    def __call__(self, features: Tensor, labels: Tensor, index: Tensor, ids: Ids) -> tuple[Tensor, Tensor]:
        """Batches [k, steps, batch, ...] and labels [k, steps, batch] of members `ids`, poisoned for the malicious.

        `index` [k, steps, batch] are the places of the samples in the training data. What is given stays as it is.
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
    """The poisoning of an attack made ready, None where it leaves data alone."""
    found = poisoning_of(attack)
    return None if found is None else Poisoning(population, members, found, rng)


def samples_of(population: Population) -> Samples:
    """A task's data as attacks on data get to see them."""
    train_y = population.labels.cpu().numpy()
    return Samples(population.features, train_y, population.test_features, population.test_labels.cpu().numpy())


def require_labels(attack: Attack | None, poisoned: NDArray[np.generic], shape: tuple[int, ...], classes: int) -> None:
    """Refuse what an attack says are labels of this shape, where they are not.

    Raises AttackError for another shape or type, or a class that does not exist.
    """
    whole = poisoned.shape == shape and poisoned.dtype.kind in "iu"
    if not whole or poisoned.min(initial=0) < 0 or poisoned.max(initial=0) >= classes:
        raise AttackError(
            f"{attack!r} should return {math.prod(shape)} labels from 0 to {classes - 1}. Found {poisoned.dtype} "
            f"{list(poisoned.shape)}{f', {poisoned.min()} to {poisoned.max()}' if whole else ''}."
        )
