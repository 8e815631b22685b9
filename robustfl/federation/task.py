"""Tasks: which data are learnt, how they are divided over the clients, and with which model."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.overlapping import OverlappingParts
from robustfl.federation.data.partitions import Given, Partition, class_histogram
from robustfl.federation.models.architectures import Model
from robustfl.federation.streams import stream, stream_seed

if TYPE_CHECKING:
    from torch import Tensor, nn

Indices = NDArray[np.int64]

REFERENCE = 256
"""A model with batch normalisation is judged with the statistics of so many training samples."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set, its partition over the clients, and a model."""

    data: Data
    model: Model
    partition: Partition

    def parts(self, clients: int, seed: int, root: Path | None = None) -> tuple[Dataset, Sequence[Indices]]:
        """The data and the sample indices of every client, for one seed."""
        dataset = self.data.load(root)
        given = Given(
            labels=dataset.train_y, features=dataset.train_x, owners=dataset.train_owners, names=dataset.owners
        )
        return dataset, self.partition.split(given, clients, stream(seed, "partition"))

    def prepare(self, *, clients: int, seed: int, device: str = "cpu", root: Path | None = None) -> Population:
        """The task for one seed, on one device."""
        dataset, parts = self.parts(clients, seed, root)
        return Population(self, dataset, parts, seed, device)


class Population:
    """A task made ready: the clients' data and the initial model, as tensors on a device.

    Attributes
    ----------
    module : the model's structure; its parameters are replaced by views of flat vectors when it is called
    initial : [d] the initial weights
    parts : the places of each client's training samples; where clients share samples, they are computed when asked for
    features, labels : all training samples
    test_features, test_labels : the test set
    public : the places [m] of the training samples that everybody has; None as long as none are set aside
    kept : what simulations with these clients and samples keep for each other, by what it depends on beside these
    """

    def __init__(self, task: Task, dataset: Dataset, parts: Sequence[Indices], seed: int, device: str) -> None:
        import torch

        self.task, self.dataset, self.parts, self.device = task, dataset, parts, torch.device(device)
        self.classes = len(dataset.classes)
        self.module = self._network(stream_seed(seed, "weights"))
        self.shapes = {name: parameter.shape for name, parameter in self.module.named_parameters()}
        self.initial = _flat(self.module)
        self.features, self.labels = self._tensor(dataset.train_x), self._tensor(dataset.train_y)
        self.test_features, self.test_labels = self._tensor(dataset.test_x), self._tensor(dataset.test_y)
        self.public: Indices | None = None
        self._aside: dict[tuple[float, int], tuple[Population, Indices]] = {}
        self._index()

    @property
    def clients(self) -> int:
        return len(self.parts)

    @property
    def d(self) -> int:
        """The number of parameters."""
        return int(self.initial.numel())

    @cached_property
    def layers(self) -> tuple[slice, ...]:
        """The places of the model's tensors in a flat vector, in order."""
        ends = list(accumulate(shape.numel() for shape in self.shapes.values()))
        return tuple(slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False))

    @cached_property
    def widths(self) -> tuple[int, ...] | None:
        """The widths of a network of linear layers with ReLU between them, see :func:`widths_of`; else None."""
        from robustfl.federation.clients.fully_connected import widths_of

        return widths_of(self.module)

    @cached_property
    def chance(self) -> float:
        """The accuracy of a model that always answers the most frequent class of the test set."""
        return float(self.dataset.chance)

    @property
    def shared(self) -> OverlappingParts | None:
        """The clients' samples where clients share them, see :class:`OverlappingParts`; None where nobody does."""
        return self.parts if isinstance(self.parts, OverlappingParts) else None

    @property
    def sizes(self) -> Indices:
        """The number of samples of each client, [clients]."""
        return self._sizes if self.shared is None else self.shared.sizes

    def held(self, clients: Indices) -> Indices:
        """The places of all samples of some clients together; a sample that they share is there once."""
        if self.shared is not None:
            return self.shared.held(clients)
        parts = [self.parts[client] for client in clients.tolist()]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])

    def others(self, clients: Indices) -> Indices:
        """The places of the samples of everybody but some clients, who hold none of them."""
        if self.shared is not None:
            return np.setdiff1d(self.shared.held(np.arange(self.clients)), self.shared.held(clients))
        return self.held(np.delete(np.arange(self.clients), clients[clients < self.clients]))

    def histogram(self, clients: Indices) -> Indices:
        """How many samples of each class, by their true labels, some clients have, [k, C]."""
        return class_histogram(self.dataset.train_y, self.parts, self.classes, clients)

    def with_data(self, features: Tensor, labels: Tensor, parts: Sequence[Indices]) -> Population:
        """The same task with other training samples for the same clients; some clients may have no samples."""
        other = copy.copy(self)
        other.features, other.labels, other.parts = features, labels, parts
        other._aside = {}
        other._index()
        return other

    def from_zeros(self) -> Population:
        """The same task with an initial model of zeros."""
        other = copy.copy(self)
        other.initial = self.initial.new_zeros(self.initial.shape)
        other._aside = {}
        return other

    def held_back(self, per_class: int, rng: np.random.Generator) -> tuple[Population, list[Indices]]:
        """The same task whose clients train with `per_class` samples of each class at most, and their other samples.

        A client that has no more samples of any class has no others: it gets those with which it trains.

        Raises ParameterError where clients share samples.
        """
        if self.shared is not None:
            raise ParameterError(
                "`train_per_class` divides the samples of each client, and here others hold the same samples. Leave it "
                "out, or take a partition in which every sample belongs to one client, such as `class_windows`."
            )
        labels, trained, others = self.labels.cpu().numpy(), [], []
        for part in self.parts:
            mixed = rng.permutation(part)
            ordered = mixed[np.argsort(labels[mixed], kind="stable")]
            _, first, place = np.unique(labels[ordered], return_index=True, return_inverse=True)
            used = np.arange(len(ordered)) - first[place] < per_class
            trained.append(np.sort(ordered[used]))
            others.append(np.sort(ordered if used.all() else ordered[~used]))
        return self.with_data(self.features, self.labels, trained), others

    def set_aside(self, share: float, seed: int) -> tuple[Population, Indices]:
        """The same task without a random share of the training samples, which become public, and their places [m].

        The places are in random order. Clients may be left without samples. The answer is kept, so that trials of one
        seed share it. Where public samples are set aside already, these stay the public ones.

        Raises ParameterError when no client has a sample left.
        """
        if self.public is not None:
            return self, self.public
        if (share, seed) not in self._aside:
            count = max(1, round(share * len(self.labels)))
            public = stream(seed, "public samples").permutation(len(self.labels))[:count]
            private = np.ones(len(self.labels), dtype=np.bool_)
            private[public] = False
            rest = self.with_data(self.features, self.labels, self._only(private))
            if not rest.sizes.any():
                raise ParameterError(
                    f"Clients should have samples of their own beside the public ones. Found none, with {count} of "
                    f"{len(self.labels)} training samples public. Lower `public_share`."
                )
            rest.public = public
            self._aside[share, seed] = rest, public
        return self._aside[share, seed]

    def subset(self, chosen: NDArray[np.bool_]) -> Population:
        """The same clients with the training samples that `chosen` [N] marks, as if there had never been others.

        No part of a simulation can come across the rest: neither clients nor a server with samples of its own. Clients
        may be left without samples. Initial weights and the test set are the same, and public samples stay public.

        Cost: a copy of the chosen samples. Raises DataError when none is chosen.
        """
        import torch

        other, places = copy.copy(self), np.cumsum(chosen) - 1
        rows = torch.as_tensor(np.flatnonzero(chosen), device=self.device)
        train_x, train_y = self.dataset.train_x[chosen], self.dataset.train_y[chosen]
        owners = None if self.dataset.train_owners is None else self.dataset.train_owners[chosen]
        other.dataset = replace(self.dataset, train_x=train_x, train_y=train_y, train_owners=owners)
        other.features, other.labels = self.features[rows], self.labels[rows]
        other.parts = self._only(chosen, places)
        other.public = None if self.public is None else places[self.public[chosen[self.public]]]
        other._aside = {}
        other._index()
        return other

    def draw(self, rng: np.random.Generator, samples: int) -> Indices:
        """Draw indices [clients, samples] of training samples, uniformly with replacement within each client's part.

        The row of a client without samples holds samples of other clients; the caller must not let it compute.
        It is for clients that share no samples; :meth:`OverlappingParts.draw` draws for clients that do.
        """
        assert self.shared is None, "what is drawn for everybody costs as much as there are clients"
        offsets = (rng.random((self.clients, samples)) * self._sizes[:, None]).astype(np.int64)
        drawn: Indices = self._order[np.minimum(self._starts[:, None] + offsets, len(self._order) - 1)]
        return drawn

    def _only(self, chosen: NDArray[np.bool_], places: Indices | None = None) -> Sequence[Indices]:
        """The clients' parts with the samples that `chosen` [N] marks alone, under the new numbers `places` if any."""
        if self.shared is not None:
            return self.shared.kept(chosen, places)
        kept = [part[chosen[part]] for part in self.parts]
        return kept if places is None else [places[part] for part in kept]

    def _index(self) -> None:
        self.kept: dict[Any, Any] = {}
        if getattr(self.module, "normalises", False):
            places = np.linspace(0, len(self.labels) - 1, min(len(self.labels), REFERENCE)).astype(np.int64)
            self.module = copy.copy(self.module)  # populations of other samples keep theirs
            self.module.reference = self.features[places]
        if self.shared is not None:
            return
        self._order = np.concatenate(self.parts)
        self._sizes = np.array([len(part) for part in self.parts])
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector [..., d] as named parameters [..., *shape], without a copy."""
        named, start = {}, 0
        for name, shape in self.shapes.items():
            size = shape.numel()
            named[name] = flat[..., start : start + size].reshape(*flat.shape[:-1], *shape)
            start += size
        return named

    def another_initial(self, rng: np.random.Generator) -> Tensor:
        """The weights [d] of another initial model of the same architecture."""
        return _flat(self._network(int(rng.integers(2**63))))

    def _network(self, seed: int) -> nn.Module:
        import torch

        generator = torch.Generator().manual_seed(seed)
        built = self.task.model.build(self.dataset.input_shape, self.classes, generator).to(self.device)
        return built.requires_grad_(False)

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        """The values as a tensor, which shares the memory of the read-only arrays on the CPU.

        Nothing in the simulation writes to samples.
        """
        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.as_tensor(values, device=self.device)


def _flat(module: nn.Module) -> Tensor:
    """The parameters of a network as one vector [d]."""
    import torch

    return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
