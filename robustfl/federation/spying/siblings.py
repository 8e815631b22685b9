"""Federations like the one that is watched, each trained on its own half of the samples.

An attack on membership is measured on them, and not on the federation of the trial: there every training sample is a
member, and nobody could say what the model would do without it. What all siblings have in common is the task, the
initial weights, the settings, the defense with its mechanisms, faults, and who is malicious; batches, noise and all
else that is random is drawn anew. So what is attacked is what the trial trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.clients.training import trainer_for
from robustfl.federation.lockstep import together
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.spying.gathering import Gathering, Seen
from robustfl.federation.spying.plan import Spying
from robustfl.federation.streams import stream, stream_seed
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.rotation import Rotation
from robustfl.threats.privacy.view import asked

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.engine import Simulation
    from robustfl.federation.setup import Setup
    from robustfl.federation.task import Population

MOST_BYTES = 2**29
"""How much memory the training samples of the federations may take that are played at once."""


@dataclass(frozen=True, kw_only=True)
class Kin:
    """How siblings of a federation are made.

    Attributes
    ----------
    make : makes the simulation of a population with a seed; its clients train with the trainer, or with the one that
        the settings name if it is None
    copied : whether each has a defense of its own; if not, all use that of the federation, one after the other, and
        each begins with an empty history
    trainer : the trainer of the federation; None for the one that the settings name
    """

    make: Callable[[Population, int, Trainer | None], Simulation]
    copied: bool
    trainer: Trainer | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sibling:
    """What was seen of one sibling, and what its last model says.

    Attributes
    ----------
    seen : what the observer saw, in the order of rounds
    model : [d] the last model among that
    known : [q] the model's confidence in each candidate
    auxiliary : [N] its confidence in each public sample
    """

    seen: list[Seen]
    model: Tensor
    known: FloatArray
    auxiliary: FloatArray


Missing = Literal["diverged", "unseen"]
"""Why a sibling says nothing: its training diverged, or no honest client took part in a watched round."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """All siblings, and the candidates.

    Attributes
    ----------
    samples : [q, *shape] and [q] the candidates: the training samples of honest clients that are spied on
    owners : [q] the client that each belongs to
    public : [N, *shape] and [N] samples on which nobody trains
    rotation : which sibling was trained on which candidate
    members : the siblings in the order of the rotation
    """

    samples: tuple[Tensor, Tensor]
    owners: NDArray[np.int64]
    public: tuple[Tensor, Tensor]
    rotation: Rotation
    members: list[Sibling | Missing]


class Watching(Observer):
    """Hears the rounds of a sibling for what is gathered of them."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    def hear(self, round: Round) -> None:
        self._gathering.hear(round)


def raised(setup: Setup, spying: Spying, kin: Kin) -> Family:
    """Play all siblings of a federation.

    Cost: `spying.federations` trainings. Where each can have a defense of its own, their clients train together, in
    groups whose samples fit into 512 MiB.

    Raises ParameterError when no honest client has samples, or when the observer sees no single messages.
    """
    import torch

    whole = setup.clean
    watched = Gathering.order(setup)
    if spying.observer in ("server", "wire", "active"):
        watched = watched[: spying.targets]
    parts = [(client, whole.parts[client]) for client in watched.tolist() if client < whole.clients]
    owners = np.concatenate([np.full(len(part), client, dtype=np.int64) for client, part in parts])
    places = np.concatenate([part for _, part in parts]).astype(np.int64)
    if not len(places):
        raise ParameterError("No client that is spied on has samples, so there is nobody whose membership could leak.")
    rotation = Rotation.draw(
        runs=spying.federations, samples=len(whole.labels), rng=stream(setup.seed, "privacy siblings")
    )
    if whole.public is not None:  # everybody has these samples in every sibling
        rotation.inside[:, whole.public] = True
    rows = torch.as_tensor(places, device=whole.device)
    samples = whole.features[rows], whole.labels[rows]
    public = whole.test_features, whole.test_labels
    play = partial(_played, setup, spying, kin, samples, owners, public)
    jobs = [partial(play, run, rotation.inside[run]) for run in range(len(rotation))]
    members: list[Sibling | Missing] = []
    for group in _groups(jobs, whole, kin, setup):
        if len(group) == 1:
            members.append(group[0](kin.trainer))
        else:
            members += together(group, kin.trainer or trainer_for(whole, setup.settings))
    return Family(
        samples=samples,
        owners=owners,
        public=public,
        rotation=Rotation(inside=rotation.inside[:, places]),
        members=members,
    )


Play = Callable[[Trainer | None], Sibling | Missing]


def _groups(jobs: Sequence[Play], whole: Population, kin: Kin, setup: Setup) -> Iterator[Sequence[Play]]:
    """The siblings that are played at once. Adversarial training searches in the range of each one's own samples."""
    size = whole.features.numel() * whole.features.element_size() // 2
    alone = not kin.copied or (setup.settings.adversarial_training is not None and kin.trainer is None)
    most = 1 if alone else max(1, MOST_BYTES // max(1, size))
    for start in range(0, len(jobs), most):
        yield jobs[start : start + most]


def _played(
    setup: Setup,
    spying: Spying,
    kin: Kin,
    samples: tuple[Tensor, Tensor],
    owners: NDArray[np.int64],
    public: tuple[Tensor, Tensor],
    run: int,
    inside: NDArray[np.bool_],
    train: Trainer | None,
) -> Sibling | Missing:
    """One sibling that knows the samples `inside` [N]."""
    simulation = kin.make(setup.clean.subset(inside), stream_seed(setup.seed, f"privacy sibling {run}"), train)
    gathering = Gathering(simulation.setup, simulation.channel, spying)
    simulation.observers.append(Watching(gathering))
    trace = simulation.run()
    seen = gathering.passive
    if trace.diverged:
        return "diverged"
    if not seen:
        gathering.require_messages()
        return "unseen"
    model, sightings = seen[-1][0].model, [sighting for sighting, _ in seen]
    try:
        known = asked(gathering.network, sightings, samples, owners, own=gathering.about.own_models)
        auxiliary = gathering.network.confidences(model, *public)
    except ParameterError:  # its logits are not finite on some of these samples, though they are on the test set's mean
        return "diverged"
    return Sibling(seen=seen, model=model, known=known, auxiliary=auxiliary)
