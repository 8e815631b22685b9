"""Small networks with everything that can go wrong with letters, and what one peer sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixed

Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Network:
    """A mixing: its letters, its neighbourhoods, and the slots whose letters are sound."""

    letters: Letters
    hoods: Hoods
    sound: Matrix

    def heard(self, line: int) -> tuple[Matrix, Matrix, Matrix, list[int]]:
        """The own model [d], sound letters [k, d], their weights [k] and senders' ids, by ascending id."""
        slots = [slot for slot in range(1, self.hoods.m) if self.sound[line, slot]]
        slots.sort(key=lambda slot: int(self.hoods.senders[line, slot]))
        rows = self.hoods.index[line, slots]
        own = self.letters.rows[self.hoods.index[line, 0]]
        return own, self.letters.rows[rows], self.hoods.weights[line, slots], self.hoods.senders[line, slots].tolist()


def random_network(
    seed: int, *, n: int = 12, d: int = 70, dtype: Any = np.float32, hostile: bool = True, b: int = 1
) -> Network:
    """A random graph with unequal degrees and Metropolis weights; malicious senders write to each peer by hand.

    The ids n and n + 1 are malicious. With `hostile`, some letters are missing, not finite, too large or unreadable,
    some come twice, and some from strangers; the last peer hears nobody.
    """
    rng = np.random.default_rng(seed)
    total = n + 2
    near = rng.random((total, total)) < 0.5
    near |= np.roll(np.eye(total, dtype=bool), 1, axis=0)
    near = (near | near.T) & ~np.eye(total, dtype=bool)
    near[n - 1] = near[:, n - 1] = False
    degree = near.sum(axis=1)
    models = 3.0 + rng.standard_normal((n, d))
    crafted: list[Any] = []
    m = int(degree.max()) + 3
    index, senders = np.full((n, m), -1), np.full((n, m), -1)
    weights, sound, strangers = np.zeros((n, m)), np.zeros((n, m), bool), np.zeros((n, m), bool)
    bounds = np.full(n, b)
    for line in range(n):
        index[line, 0] = senders[line, 0] = line
        sound[line, 0] = True
        for slot, sender in enumerate(rng.permutation(np.flatnonzero(near[line])).tolist(), 1):
            senders[line, slot] = sender
            weights[line, slot] = 1.0 / (1 + max(degree[line], degree[sender]))
            index[line, slot], sound[line, slot] = sender, True
            if sender >= n:
                index[line, slot] = n + len(crafted)
                crafted.append(models[line] * rng.choice([-1.0, 0.5, 5.0]) + rng.standard_normal(d))
        weights[line, 0] = 1.0 - weights[line].sum()
    if hostile:
        huge = 3e38 if dtype == np.float32 else 1e308
        faults: list[Any] = [np.full(d, value) for value in (np.nan, -np.inf, huge, 1j)]
        faults += [np.ones(d + 1), "hello"]
        for line, fault in enumerate(faults):
            index[line, 1], sound[line, 1] = n + len(crafted), False
            crafted.append(fault)
        index[6, 1], sound[6, 1] = -1, False
        index[7, m - 1], senders[7, m - 1], strangers[7, m - 1] = 0, 99, True
        index[8, m - 1], senders[8, m - 1] = 0, senders[8, 1]
        sound[8, 1] = False
    letters = Letters.of(models.astype(dtype), crafted)
    return Network(letters, Hoods(index, weights, bounds, senders, strangers), sound)


def assert_as_expected(mixed: Mixed, network: Network, line: int, expected: Matrix, tolerance: float) -> None:
    """The new model of a peer is what an oracle says, in units of the largest number in its neighbourhood."""
    own, letters, _, _ = network.heard(line)
    size = max(1.0, float(np.abs(np.concatenate([own[None], letters])).max()))
    np.testing.assert_allclose(mixed.models[line], expected, rtol=0, atol=tolerance * size)
