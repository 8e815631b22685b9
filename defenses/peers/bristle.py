"""Bristle: letters are tried out class by class, and count for classes that the receiver knows nothing of itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.aggregation.kernels.base import Array, Floats
from robustfl.aggregation.neighbourhoods import Gathering, Group, Mixer, Mixing
from robustfl.aggregation.neighbourhoods.letters import Integers
from robustfl.errors import ParameterError, RobustflError

NEVER = -100.0
"""The score over 100 below which a sigmoid is taken for 0, so that its exponential is finite."""


@dataclass(frozen=True, kw_only=True)
class Bristle(Mixer):
    """Bristle: each class of the output layer is mixed by how well neighbours recognise the receiver's own samples.

    Formula: the model is one output layer over frozen features, and column c of it, W[c], is what decides for class c.
    The prioritiser draws B of k > B neighbours by chance: they are sorted by ``||x_j - x_i||`` and cut into thirds, of
    which the near one gives ``(1-a)^2 B`` letters, the middle one ``2a(1-a) B`` and the far one ``a^2 B`` (each
    rounded, and no more than it has). The integrator tries their letters on samples of i alone. F are the classes of
    these samples, s_i(c) and s_j(c) the F1 of the own model and of letter j, and S_j the q_j classes of F with the
    largest s_j(c), where q_j is the number of classes that i and j both know. With the certainty
    ``z_j = max(0, mean - std of s_j(c) over S_j)`` and ``e_j(c) = (10 |s_i - s_j|)^(3 + s_i)`` where j does better,
    else ``-(10 |s_i - s_j|)^(4 + s_i)``, the weight of j is ``g(e) z_j``, with
    ``g(e) = max(0, 10/(1 + exp(-e/100)) - 4)``: of ``e_j(c)`` for a class c of F, and of the sum of e_j over S_j for
    all other classes, which i cannot judge. ``W_i[c] <- (W_i[c] + sum_j w_j(c) W_j[c])/(1 + sum_j w_j(c))``. An equal
    neighbour has the weight 1 times its certainty, none has more than 6, and one with g = 0 has none.

    Shapes: [N, d] letters -> [n, d]. Cost: n k d for the distances of k neighbours a peer, n (B + 1) models tried on
    its samples, and n B d for the sums. Peers have to say what models do with their samples (`Occasion.confusions`),
    and should say how many classes they share with each neighbour (`Occasion.shared`), which the cardinality of a
    private set intersection tells them without their telling each other which. Without that, classes that a peer does
    not know stay as they are, since neighbours who know other classes would all seem to be liars.

    Guarantee: no letter has more than 6 times the weight of the own model in any class, and one that recognises none of
    the classes that both know has none. As published, nothing bounds how long a letter is, and a model that is
    multiplied by a number recognises the same: one whose other columns are wrong, and long, decides what its receiver
    does with classes that it does not know. `longest` (this project's) shortens such letters, which changes nothing of
    what they recognise. What a neighbour says of how many classes it knows is believed.
    Breakdown point: none is known.

    References
    ----------
    J. Verbraeken, M. de Vos, J. Pouwelse. Bristle: Decentralized Federated Learning in Byzantine, Non-i.i.d.
    Environments. arXiv:2110.11006, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.aggregation.neighbourhoods import Hoods, Letters, Occasion
    >>> from robustfl.defenses import Bristle
    >>> around_0 = Hoods(index=[[0, 1, 2]], weights=np.full((1, 3), 1 / 3), bounds=[0])
    >>> tried = np.zeros((3, 3, 3))  # models, classes of the samples, and what models take them for
    >>> tried[[0, 1], 0, 0] = tried[[0, 1], 1, 1] = tried[2, 0, 1] = tried[2, 1, 0] = 4
    >>> occasion = Occasion(confusions=lambda peer, models: tried, shared=lambda peer, others: np.array([2, 2]))
    >>> letters = Letters(np.array([[1.0, 1.0, 0.0], [3.0, 1.0, 8.0], [9.0, 9.0, 9.0]]))
    >>> Bristle().mix(letters, around_0, occasion).models.tolist()
    [[2.0, 1.0, 4.0]]
    """

    name: ClassVar[str] = "bristle"
    family: ClassVar[str] = "peers, by performance"
    uses_bound: ClassVar[bool] = False
    by_class: ClassVar[bool] = True
    guarantee: ClassVar[str] = "no letter has more than 6 times the weight of the own model in any class"
    breakdown: ClassVar[str] = "not known"
    reference: ClassVar[str] = (
        "Verbraeken, de Vos and Pouwelse, Bristle: Decentralized Federated Learning in Byzantine, Non-i.i.d. "
        "Environments, 2021"
    )
    unfit: ClassVar[str] = (
        "for models that are more than one layer over frozen features, or where attackers know the classes of their "
        "receivers: letters that are right in these and wrong in all others are believed, and long ones decide alone "
        "unless `longest` shortens them"
    )

    prioritised: Annotated[int, Ge(2), Le(10_000), Doc("how many letters a peer tries out at most (B)")] = 10
    exploration: Annotated[
        float, Ge(0), Le(1), Doc("how many of them come from farther thirds (a): 0 none, 1 only from the farthest")
    ] = 0.4
    bands: Annotated[bool, Doc("whether letters are drawn by distance; otherwise all are equally likely")] = True
    metric: Annotated[
        Literal["f1", "recall"], Doc("how well a class is recognised: F1, or the share of its samples")
    ] = "f1"
    longest: Annotated[
        float | None,
        Gt(0),
        Le(1e6),
        Doc("length, in lengths of the own model, to which longer letters are shortened; as published they never are"),
    ] = None

    def _mix(self, gathering: Gathering) -> Mixing:
        if gathering.occasion.confusions is None:
            raise ParameterError(
                f"{self!r} tries letters out. Say what models take samples for: `Occasion(confusions=...)`, a function "
                "of a peer's id and models [c, d] that returns counts [c, C, C]."
            )
        by_class: list[Floats] = []
        lengths: list[Floats] = []
        tried: dict[int, list[int]] = {}
        for number, group in enumerate(gathering.groups):
            distances = gathering.squared_distances(number)
            lengths += list(self._shortened(gathering, number, group.index.shape))
            for place, senders in enumerate(group.senders.tolist()):
                chosen = self._prioritised(distances[place], gathering, senders[0])
                tried[senders[0]] = [senders[1 + one] for one in chosen.tolist()]
                by_class.append(self._shares(gathering, group, place, chosen))
        shares = np.split(np.arange(len(by_class)), np.cumsum([len(group.lines) for group in gathering.groups])[:-1])
        return Mixing(
            shares=[np.stack([by_class[one].mean(axis=1) for one in part]) for part in shares],
            fill=partial(_integrate, gathering, by_class, lengths),
            info={"tried": tried, "foreign": gathering.occasion.shared is not None},
        )

    def _shortened(self, gathering: Gathering, number: int, shape: tuple[int, ...]) -> Floats:
        """What the letters [g, m] of a group are multiplied by."""
        if self.longest is None:
            return np.ones(shape)
        squares = gathering.squared_norms(number)
        most = np.broadcast_to(self.longest**2 * squares[:, :1], shape)
        found = np.sqrt(np.divide(most, squares, out=np.ones(shape), where=squares > most))
        found[:, 0] = 1.0  # the own model is as long as it is
        return found

    def _prioritised(self, distances: Floats, gathering: Gathering, peer: int) -> Integers:
        """The places, ascending, of the neighbours whose letters are tried, by their squared distances [k]."""
        k, draws = len(distances), gathering.occasion.draws
        if k <= self.prioritised:
            return np.arange(k)
        if draws is None:
            raise ParameterError(
                f"{self!r} draws {self.prioritised} of {k} letters by chance. Say by which: `Occasion(draws=...)`, a "
                "function of a peer's id that returns a random generator."
            )
        rng, order = draws(peer), np.argsort(distances, kind="stable")
        if not self.bands:
            return np.sort(rng.choice(order, self.prioritised, replace=False))
        near = 1.0 - self.exploration
        parts = (near**2, 2.0 * near * self.exploration, self.exploration**2)
        counts = np.rint(self.prioritised * np.array(parts)).astype(np.int64)
        found = [
            rng.choice(third, min(int(count), len(third)), replace=False)
            for third, count in zip(np.array_split(order, 3), counts, strict=True)
        ]
        return np.sort(np.concatenate(found))

    def _shares(self, gathering: Gathering, group: Group, place: int, chosen: Integers) -> Floats:
        """The shares [m, C] of a peer's letters in each class, its own first."""
        occasion, peer = gathering.occasion, int(group.senders[place, 0])
        assert occasion.confusions is not None
        rows = gathering.rows[group.index[place, np.insert(1 + chosen, 0, 0)]]
        counts = np.asarray(occasion.confusions(peer, rows), np.float64)
        if counts.ndim != 3 or counts.shape[0] != len(rows) or counts.shape[1] != counts.shape[2]:
            raise RobustflError(
                f"`confusions` should return counts [{len(rows)}, C, C]. Found shape {list(counts.shape)}."
            )
        if not (np.isfinite(counts) & (counts >= 0)).all():
            raise RobustflError("`confusions` should return counts that are finite and >= 0. Some are not.")
        known = counts[0].sum(axis=1) > 0
        scores = recognised(counts, self.metric)[:, known]
        shared = None
        if occasion.shared is not None:
            shared = np.asarray(occasion.shared(peer, group.senders[place, 1 + chosen]))
            if shared.shape != chosen.shape or shared.dtype.kind not in "iu":
                raise RobustflError(
                    f"`shared` should return {len(chosen)} integers. Found {shared.dtype} {list(shared.shape)}."
                )
        familiar, foreign = class_weights(scores[0], scores[1:], shared)
        shares = np.zeros((group.m, counts.shape[1]))
        shares[0] = 1.0
        column = np.zeros((len(chosen), counts.shape[1]))
        column[:, known], column[:, ~known] = familiar, foreign[:, None]
        shares[1 + chosen] = column
        return np.asarray(shares / shares.sum(axis=0))


def recognised(counts: Floats, metric: str) -> Floats:
    """How well each class is recognised, [c, C], by counts [c, C, C] of samples of a class taken for another one.

    F1 is ``2 TP/(2 TP + FP + FN)``, and recall ``TP/(TP + FN)``. A class without samples has 0.

    >>> recognised(np.array([[[3.0, 1.0], [1.0, 1.0]]]), "f1").tolist()
    [[0.75, 0.5]]
    """
    right = np.diagonal(counts, axis1=1, axis2=2)
    samples = counts.sum(axis=2)
    whole = samples if metric == "recall" else (samples + counts.sum(axis=1)) / 2.0
    found: Floats = np.divide(right, whole, out=np.zeros_like(right), where=samples > 0)
    return found


def class_weights(own: Floats, others: Floats, shared: Integers | None) -> tuple[Floats, Floats]:
    """The weights of letters in the classes that a peer knows, [c, F], and in all others, [c].

    Parameters
    ----------
    own, others : how well the own model, [F], and each letter, [c, F], recognise the F classes that the peer knows
    shared : how many classes the peer shares with each sender, [c]; without it all others have the weight 0

    >>> familiar, foreign = class_weights(np.array([0.5, 0.5]), np.array([[0.5, 0.5]]), np.array([2]))
    >>> familiar.tolist(), foreign.tolist()
    ([[0.5, 0.5]], [0.5])
    """
    gap = 10.0 * np.abs(others - own)
    scores = np.where(others > own, gap ** (3.0 + own), -(gap ** (4.0 + own)))  # [c, F]
    count = np.full(len(others), len(own)) if shared is None else np.clip(shared, 0, len(own))
    best = np.argsort(-others, axis=1, kind="stable")
    judged = np.zeros(others.shape, np.bool_)
    np.put_along_axis(judged, best, np.arange(len(own)) < count[:, None], axis=1)
    some = np.maximum(count, 1)
    mean = np.where(judged, others, 0.0).sum(axis=1) / some
    spread = np.sqrt(np.where(judged, (others - mean[:, None]) ** 2, 0.0).sum(axis=1) / some)
    certainty = np.where(count > 0, np.maximum(mean - spread, 0.0), 0.0)
    familiar = _preference(scores) * certainty[:, None]
    foreign = _preference(np.where(judged, scores, 0.0).sum(axis=1)) * certainty
    return familiar, np.zeros(len(others)) if shared is None else foreign


def _preference(scores: Floats) -> Floats:
    """g: 1 for a score of 0, 0 below -40.5, and 6 for a very large one."""
    return np.maximum(10.0 / (1.0 + np.exp(-np.maximum(scores / 100.0, NEVER))) - 4.0, 0.0)


def _integrate(gathering: Gathering, shares: list[Floats], lengths: list[Floats], out: Array) -> None:
    """Write the mixtures of all groups into their lines of `out`.

    Each peer has `shares` [m, C] of its letters in each class, and what these are multiplied by, `lengths` [m].
    """
    rows, classes = gathering.rows, shares[0].shape[1]
    sizes = gathering.occasion.layers or (rows.shape[1],)
    if sum(sizes) != rows.shape[1] or any(size % classes for size in sizes):
        raise ParameterError(
            f"Bristle mixes an output layer in which each of {classes} classes has an equal part. Found layers of "
            f"{list(sizes)} numbers. Freeze the other layers, and let peers train one layer over what they make."
        )
    lines = [(group, place) for group in gathering.groups for place in range(len(group.lines))]
    made = np.empty((len(lines), rows.shape[1]), rows.dtype)
    start = 0
    for size in sizes:
        layer = slice(start, start + size)
        start += size
        for one, ((group, place), share, length) in enumerate(zip(lines, shares, lengths, strict=True)):
            own = rows[group.index[place, 0], layer].astype(np.float64).reshape(classes, -1)
            moved = np.zeros_like(own)
            for slot in np.flatnonzero(share[1:].any(axis=1)).tolist():
                letter = rows[group.index[place, 1 + slot], layer].reshape(classes, -1)
                moved += share[1 + slot, :, None] * (length[1 + slot] * letter - own)
            made[one, layer] = (own + moved).reshape(-1)
    for (group, place), model in zip(lines, made, strict=True):
        out[group.lines[place]] = model
