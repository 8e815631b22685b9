"""How the training samples are distributed to the clients.

>>> import numpy as np
>>> labels = np.repeat(np.arange(3), 4)
>>> parts = Shards(per_client=1).split(labels, clients=3, rng=np.random.default_rng(0))
>>> class_histogram(labels, parts, classes=3).max(axis=1).tolist()
[4, 4, 4]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import DataError, ParameterError
from robustfl.federation.data.dealing import MOST_CLIENTS as MOST_CLIENTS
from robustfl.federation.data.dealing import Given as Given
from robustfl.federation.data.dealing import Partition as Partition
from robustfl.federation.data.overlapping import OverlappingParts

Indices = npt.NDArray[np.int64]

Alpha = Annotated[float, Gt(0), Le(1e6), Doc("concentration: small values give skewed parts, large values even ones")]


@dataclass(frozen=True, kw_only=True)
class IID(Partition):
    """Samples are dealt at random, and sizes differ by at most one: every client sees the same distribution."""

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        return np.array_split(rng.permutation(len(samples.labels)), clients)


@dataclass(frozen=True, kw_only=True)
class Dirichlet(Partition):
    """The samples of each class are divided over the clients in Dirichlet(alpha) proportions.

    Labels and sizes are therefore skewed. For each class c, proportions p ~ Dirichlet(alpha, ..., alpha) over the
    clients are drawn, and client i gets the share p_i of class c. A client with fewer than `minimum` samples gets
    random samples from the client that then has the most.

    References: Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", 2019 (the concentration as a measure of skew); Yurochkin et al., "Bayesian nonparametric federated
    learning of neural networks", ICML 2019 (proportions for each class over the clients, as here).
    """

    alpha: Alpha
    minimum: Annotated[int, Ge(1), Doc("smallest number of samples of a client")] = 1

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        dealt: list[list[Indices]] = [[] for _ in range(clients)]
        for label in np.unique(samples.labels):
            members = rng.permutation(np.flatnonzero(samples.labels == label))
            shares = rng.dirichlet(np.full(clients, self.alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64).clip(max=len(members))
            for client, piece in enumerate(np.split(members, cuts)):
                dealt[client].append(piece)
        parts = [rng.permutation(np.concatenate(pieces)) for pieces in dealt]
        return _topped_up(parts, self.minimum, type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class Shards(Partition):
    """Samples are sorted by label and cut into equal shards, and each client gets `per_client` random shards.

    When all classes have the same number of samples, a client sees about `per_client` classes.

    Reference: McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS
    2017.
    """

    per_client: Annotated[int, Ge(1), Doc("number of shards of each client")] = 2

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        count = clients * self.per_client
        if count > len(samples.labels):
            raise ParameterError(
                f"Shards: `per_client` should satisfy clients * per_client <= samples. Found per_client="
                f"{self.per_client}, clients={clients}, samples={len(samples.labels)}. Use fewer shards or more data."
            )
        mixed = rng.permutation(len(samples.labels))  # chance decides which samples of a class share a shard
        shards = np.array_split(mixed[np.argsort(samples.labels[mixed], kind="stable")], count)
        hands = rng.permutation(count).reshape(clients, self.per_client)
        return [np.concatenate([shards[shard] for shard in hand]) for hand in hands]


@dataclass(frozen=True, kw_only=True)
class ClassGroups(Partition):
    """Classes and clients are divided into `groups`, and the samples of a group of classes are dealt to one of clients.

    Within a group samples are dealt at random, and sizes differ by at most one. With two groups, one half of the
    clients knows one half of the classes, and the other half the others. Which clients are in a group is left to
    chance. There are no more groups than classes or clients.
    """

    groups: Annotated[int, Ge(1), Doc("number of groups of classes, and of clients")] = 2

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        classes = np.unique(samples.labels)
        groups = min(self.groups, len(classes), clients)
        parts: list[Indices] = [np.empty(0, dtype=np.int64)] * clients
        hands = np.array_split(rng.permutation(clients), groups)
        for known, hand in zip(np.array_split(classes, groups), hands, strict=True):
            members = rng.permutation(np.flatnonzero(np.isin(samples.labels, known)))
            for client, piece in zip(hand.tolist(), np.array_split(members, len(hand)), strict=True):
                parts[client] = piece
        return _topped_up(parts, 1, type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class ClassWindows(Partition):
    """Each client knows a window of neighbouring classes and has a few samples of each; all others go to nobody.

    The classes stand in a circle. One client knows the first `classes` of them, the next one those from the second on,
    and so on; which client has which window is left to chance. Every class that a client does not know is foreign to
    it: it can learn that one from others alone. With as many classes as there are, all clients see the same.

    Reference: Verbraeken, de Vos, Pouwelse, "Bristle: decentralized federated learning in Byzantine, non-i.i.d.
    environments", 2021.
    """

    complete: ClassVar[bool] = False
    label_parameters: ClassVar[tuple[str, ...]] = ("classes",)

    classes: Annotated[int, Ge(1), Doc("number of classes that a client knows; all if there are fewer")] = 4
    per_class: Annotated[int, Ge(1), Doc("number of samples of each of these classes")] = 12

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        labels, counts = np.unique(samples.labels, return_counts=True)
        width = min(self.classes, len(labels))
        first = rng.permutation(clients) % len(labels)
        knows = (np.arange(len(labels)) - first[:, None]) % len(labels) < width  # [clients, labels]
        wanted = knows.sum(axis=0) * self.per_class
        if (wanted > counts).any():
            rarest = int((counts - wanted).argmin())
            raise ParameterError(
                f"ClassWindows: `per_class` should leave enough samples for all {knows.sum(axis=0)[rarest]} of "
                f"{clients} clients that know class {labels[rarest]}. Found per_class={self.per_class}, and "
                f"{counts[rarest]} samples of this class. Use fewer samples, classes or clients."
            )
        parts: list[list[Indices]] = [[] for _ in range(clients)]
        for place, label in enumerate(labels):
            who, members = np.flatnonzero(knows[:, place]), rng.permutation(np.flatnonzero(samples.labels == label))
            for client, some in zip(who, members[: wanted[place]].reshape(-1, self.per_class), strict=True):
                parts[client].append(some)
        return [np.concatenate(part) for part in parts]


@dataclass(frozen=True, kw_only=True)
class QuantitySkew(Partition):
    """Sizes are in Dirichlet(alpha) proportions and samples are random.

    Clients therefore differ in how many samples they have, but not in the distribution of these samples.

    Reference: Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022.
    """

    alpha: Alpha
    minimum: Annotated[int, Ge(1), Doc("smallest number of samples of a client")] = 1

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        shares = rng.dirichlet(np.full(clients, self.alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(samples.labels)).astype(np.int64).clip(max=len(samples.labels))
        return _topped_up(np.split(rng.permutation(len(samples.labels)), cuts), self.minimum, type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class PowerLaw(Partition):
    """Sizes follow a power law, from the client with the fewest samples to the one with the most; samples are random.

    Client i of n gets a share of the samples in proportion to the quantile ``q_i^(1/exponent)`` of the density
    ``exponent x^(exponent - 1)`` on [0, 1], with q_i evenly spaced from 1 % to 99 %. With the default exponent and ten
    clients the shares go from 1.0 % to 16.2 %. Client 0 has the fewest samples.

    Reference: Xu, Lyu, "A reputation mechanism is all you need: collaborative fairness and adversarial robustness in
    federated learning", FL-ICML 2021.
    """

    exponent: Annotated[float, Gt(0), Le(1e6), Doc("small values give skewed sizes, large values even ones")] = 1.6591
    minimum: Annotated[int, Ge(1), Doc("smallest number of samples of a client")] = 1

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        quantiles = np.linspace(0.01, 0.99, clients) ** (1.0 / self.exponent)
        total = quantiles.sum()
        shares = quantiles / total if total > 0 else np.eye(clients)[-1]  # an extreme exponent leaves one client
        cuts = np.rint(np.cumsum(shares)[:-1] * len(samples.labels)).astype(np.int64).clip(max=len(samples.labels))
        return _topped_up(np.split(rng.permutation(len(samples.labels)), cuts), self.minimum, type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class ClassImbalance(Partition):
    """Clients see between one class and all classes, and have about the same number of samples.

    With C classes and n clients, client i sees ``1 + floor(i (C - 1)/(n - 1))`` classes: client 0 sees one, and the
    last client sees all. Each client takes the classes that are least in demand so far (ties are broken at random). A
    class is divided among the clients that see it, in inverse proportion to the number of classes that each of them
    sees. Since all samples are distributed, sizes are equal only as far as the classes allow: with fewer clients than
    classes, client 0 has only the samples of one class.

    Reference: the same as for :class:`PowerLaw`; there, clients share the first classes, and most samples stay unused.
    """

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        classes, counts = np.unique(samples.labels, return_counts=True)
        seen = np.linspace(1, len(classes), clients).astype(np.int64)
        if clients == 1:
            seen[:] = len(classes)
        demand = np.zeros((clients, len(classes)))
        for client, number in enumerate(seen):
            order = rng.permutation(len(classes))
            load = demand.sum(axis=0) / counts
            least = order[np.argsort(load[order], kind="stable")][:number]
            demand[client, least] = 1.0 / number
        dealt: list[list[Indices]] = [[] for _ in range(clients)]
        for label, wanted in zip(classes, demand.T, strict=True):
            members = rng.permutation(np.flatnonzero(samples.labels == label))
            cuts = np.rint(np.cumsum(wanted / wanted.sum())[:-1] * len(members)).astype(np.int64)
            for client, piece in enumerate(np.split(members, cuts.clip(max=len(members)))):
                dealt[client].append(piece)
        parts = [rng.permutation(np.concatenate(pieces)) for pieces in dealt]
        return _topped_up(parts, 1, type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class ByClient(Partition):
    """Each client gets the samples that were its own: the natural split, which the data bring along.

    With as many clients as owners, client i is the owner i, in the order of their names. With `merge` there may be
    fewer clients: owners are then handed out whole, from the one with the most samples on, each to the client that has
    the fewest so far. Nothing is drawn at random, so all seeds have the same parts.

    Raises ParameterError when the data name no owners, or other numbers of clients and owners are wanted.
    """

    merge: Annotated[bool, Doc("whether one client may stand for several owners")] = False

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        if samples.owners is None:
            raise ParameterError(
                "ByClient: the data should say whose sample each one is. Name the column of a table that does "
                "(`client_column` of `csv`), or choose another partition."
            )
        owners, sizes = np.unique(samples.owners, return_counts=True)
        if len(samples.owners) != len(samples.labels):
            raise DataError(
                f"ByClient: every one of {len(samples.labels)} samples needs an owner. Found {sizes.sum()}."
            )
        if clients > len(owners) or (clients < len(owners) and not self.merge):
            shown = ", ".join(samples.names[owner] for owner in owners[:5])
            remedy = ", or let clients stand for several: `merge: true`" if clients < len(owners) else ""
            raise ParameterError(
                f"ByClient: there should be as many clients as owners of training samples. Found clients={clients} and "
                f"{len(owners)} owners ({shown}{', ...' if len(owners) > 5 else ''}). Say `federation.clients: "
                f"{len(owners)}`{remedy}."
            )
        held, hands = np.zeros(clients, dtype=np.int64), np.arange(len(owners))
        if clients < len(owners):
            for owner in np.argsort(-sizes, kind="stable"):
                hands[owner] = held.argmin()
                held[hands[owner]] += sizes[owner]
        of = hands[np.searchsorted(owners, samples.owners)]
        return [np.flatnonzero(of == client) for client in range(clients)]


@dataclass(frozen=True, kw_only=True)
class Overlapping(Partition):
    """Each client draws samples of its own from all of them: a small data set serves a million clients.

    A client's samples follow from the seed and the client's number alone, and are drawn with replacement, so clients
    share samples and some samples may belong to nobody. Without `alpha` all clients see the same distribution. With it,
    a client first draws its mix of classes ``q ~ Dirichlet(alpha p)``, where p are the shares of the classes among all
    samples, and then its samples from q. Note that a class has the concentration ``alpha p_c``: with ten equal classes
    a tenth of what :class:`Dirichlet` would give it, so that alpha = 5 here is about as skewed as 0.5 there.

    Memory and time: nothing is kept for clients that take no part, and their batches are not drawn. Clients that
    take part differ from those of other partitions in this: their batches are drawn by the seed, the round and the
    client.

    References: Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", 2019 (the mix of classes of a client).

    >>> labels = np.repeat(np.arange(10), 100)
    >>> parts = Overlapping(samples=5).split(labels, clients=1_000_000, rng=np.random.default_rng(0))
    >>> len(parts), len(parts[999_999])
    (1000000, 5)
    """

    overlaps: ClassVar[bool] = True

    samples: Annotated[int, Ge(1), Le(100_000), Doc("number of samples of each client")] = 20
    alpha: Annotated[
        float | None,
        Gt(0),
        Le(1e6),
        Doc("concentration of the classes at each client; all clients see the same distribution when it is not given"),
    ] = None

    def _deal(self, samples: Given, clients: int, rng: np.random.Generator) -> Sequence[Indices]:
        return OverlappingParts(samples.labels, clients, self.samples, self.alpha, int(rng.integers(2**63)))


def class_histogram(
    labels: npt.NDArray[Any], parts: Sequence[npt.NDArray[Any]], classes: int, clients: Indices | None = None
) -> Indices:
    """How many samples of each class each client has; the clients [k] that are asked for, or all of them.

    Shapes: `labels` [N], one index array per client -> [k, classes].
    """
    y = np.asarray(labels)
    if y.size and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise DataError(f"Labels should lie from 0 to {classes - 1}. Found {y.min()} to {y.max()}.")
    if isinstance(parts, OverlappingParts):
        return parts.classes(y, np.arange(len(parts)) if clients is None else clients, classes)
    chosen = parts if clients is None else [parts[client] for client in clients.tolist()]
    rows = [np.bincount(y[part], minlength=classes) for part in chosen]
    return np.array(rows, dtype=np.int64).reshape(len(chosen), classes)


def _topped_up(parts: Sequence[Indices], minimum: int, owner: str) -> list[Indices]:
    """The parts after every part below `minimum` got samples, one at a time, from the end of the largest part.

    The usual way, to draw the whole partition again until it fits, may never end: for small alpha almost no draw fits.
    """
    sizes = np.array([len(part) for part in parts])
    if minimum * len(parts) > sizes.sum():
        raise ParameterError(
            f"{owner}: `minimum` should satisfy minimum * clients <= samples. Found minimum={minimum}, "
            f"clients={len(parts)}, samples={sizes.sum()}. Use fewer clients or more data."
        )
    kept = [list(part) for part in parts]
    for poor in np.flatnonzero(sizes < minimum):
        while sizes[poor] < minimum:
            rich = int(sizes.argmax())
            kept[poor].append(kept[rich].pop())
            sizes[poor] += 1
            sizes[rich] -= 1
    return [np.array(part, dtype=np.int64) for part in kept]
