"""Whole batches from the gradient of one fully connected layer with ReLU: algebra, and no optimisation.

The gradient of such a layer for a batch of B samples is a product of two thin matrices, and ReLU makes one of them
sparse. Sparsity tells which of the many ways to split the product is the right one.

>>> rng = np.random.default_rng(0)
>>> weight, bias, samples = rng.normal(size=(16, 5)), rng.normal(size=16), rng.normal(size=(3, 5))
>>> active = samples @ weight.T + bias > 0
>>> columns = np.where(active, rng.normal(size=active.shape), 0.0).T  # the gradient of the loss at the neurons
>>> found = solve_batch(columns @ samples, columns.sum(axis=1), weight, bias, rng=rng)
>>> found.rank, found.agreement
(3, 1.0)
>>> order = np.argsort(found.samples[:, 0])
>>> bool(np.allclose(found.samples[order], samples[np.argsort(samples[:, 0])]))
True
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustfl.errors import ParameterError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

_LIVE = 1e-7  # a neuron whose gradient is smaller than this share of the largest one says nothing
_RANK = 3e-6  # singular values below this share of the first are rounding of float32 messages
_ROUNDING = 50 * 6e-8  # what rounding of the message may leave of a zero, before the condition of the batch
_SAME = 1e-6  # directions with 1 - |cos| below this are one direction
_GRID = 2e-3  # about the angle that `_SAME` stands for
_BLOCK = 8192  # subsets that are solved at once
_KEPT = 2000  # directions that are compared with each other
_TRIED = 300  # directions that may take a place when the search begins again
_NOISE = 1.5  # how much the order of the directions changes when the search begins again


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSolution:
    """What a gradient says about the batch behind it.

    Attributes
    ----------
    rank : the number of different samples in the batch, B
    samples : [B, n] the samples; [0, n] when the sparsity of the gradient does not tell how to split it
    columns : [m, B] the gradient of the loss with respect to the inputs of the m neurons, for each sample
    agreement : the share of pairs of a neuron and a sample for which the neuron is active for the sample exactly when
        its gradient is not zero; 1 for a solution that explains everything, 0 without samples
    contradictions : the number of pairs with a gradient at a neuron that the sample leaves inactive, which cannot be
    """

    rank: int
    samples: Floats
    columns: Floats
    agreement: float
    contradictions: int


def solve_batch(
    weight_gradient: Floats,
    bias_gradient: Floats,
    weight: Floats,
    bias: Floats,
    *,
    rng: np.random.Generator,
    subsets: int = 60_000,
    restarts: int = 12,
    largest: int = 12,
) -> BatchSolution:
    """Find the B samples behind the gradient of a layer ``relu(W x + b)``, without their labels or any prior.

    With D [m, B], the gradient of the loss at the m neurons, the layer has the gradient ``A = [dW | db] = D [X | 1]``.
    A singular value decomposition ``A = L R`` gives both factors up to an unknown matrix Q [B, B]: ``D = L Q`` and
    ``[X | 1]' = Q^-1 R``. Neurons that a sample leaves inactive are zeros of its column of D, so its column of Q is
    orthogonal to their rows of L. Null vectors of many sets of B - 1 rows are therefore tried, those with many zeros
    are kept, and the B of them are chosen with which the samples activate just the neurons that have a gradient. The
    column of ones fixes the scale of each sample.

    Parameters
    ----------
    weight_gradient, bias_gradient : [m, n] and [m]; any positive multiple, and any sum or mean over the batch, will do
    weight, bias : [m, n] and [m] of the layer
    rng : draws the sets of rows when there are more than `subsets`, and the order in which the search begins again
    subsets : the largest number of sets of rows that are tried
    restarts : how often the choice begins again
    largest : the largest batch that is attempted; for larger ones only the rank is told

    Cost: O(subsets (B^3 + m B)) time. Batches of 2, 4 and 8 take some 2, 50 and 300 ms for m = 64.

    Guarantee: none; a solution with an agreement of 1 may be compared with the whole message, which proves it. It is
    found as a rule where each sample leaves B - 1 or more neurons inactive on which the other samples have rank B - 1.
    Early in a training and in wide layers that is so for batches of up to 8 or 10; later fewer neurons are inactive.

    Raises ParameterError for shapes that do not belong together and for values that are not finite.

    Reference: Dimitrov, Baader, Mueller, Vechev, "SPEAR: Exact Gradient Inversion of Batches in Federated Learning",
    NeurIPS 2024, whose idea this is. The choice, the merging and the treatment of rounding are our own.
    """
    gradient, layer = _augmented(weight_gradient, bias_gradient), _augmented(weight, bias)
    layer = layer / np.maximum(np.abs(layer).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)  # signs count alone
    if gradient.shape != layer.shape:
        raise ParameterError(
            f"A gradient should have the shape of its layer. Found {gradient.shape} and {layer.shape}, biases included."
        )
    for name, given, least in (("subsets", subsets, 1), ("restarts", restarts, 1), ("largest", largest, 1)):
        if given < least:
            raise ParameterError(f"`{name}` should be {least} or more. Found {given}.")
    neurons, width = gradient.shape
    peak = np.abs(gradient).max(axis=1)
    live = np.flatnonzero(peak > _LIVE * peak.max())
    nothing = BatchSolution(
        rank=0, samples=np.empty((0, width - 1)), columns=np.empty((neurons, 0)), agreement=0.0, contradictions=0
    )
    if not len(live):
        return nothing
    # The scale of the message is no part of the problem: very small and very large gradients would leave float64.
    left, values, right = np.linalg.svd(gradient[live] / peak.max(), full_matrices=False)
    rank = int((values > _RANK * values[0]).sum())
    split = _Split(
        left=left[:, :rank],
        right=values[:rank, None] * right[:rank],
        layer=layer[live],
        tolerance=float(np.clip(_ROUNDING * values[0] / values[rank - 1], 1e-5, 0.02)),
    )
    found = split.directions_of_samples(rng, subsets, restarts) if rank <= largest else None
    solution = None if found is None else split.solution(found)
    if solution is None:
        return BatchSolution(
            rank=rank, samples=nothing.samples, columns=nothing.columns, agreement=0.0, contradictions=0
        )
    samples, columns, agreeing, against = solution
    whole = np.zeros((neurons, rank))
    whole[live] = columns * peak.max()
    return BatchSolution(
        rank=rank, samples=samples, columns=whole, agreement=float(agreeing.mean()), contradictions=int(against.sum())
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Split:
    """The gradient of the live neurons as a product, and what is to be found: a direction in [B] for each sample.

    Attributes
    ----------
    left, right : [m, B] and [B, n + 1], whose product is the gradient
    layer : [m, n + 1] the weights and the bias of the live neurons
    tolerance : entries of a column of D below this share of its largest one count as zeros
    """

    left: Floats
    right: Floats
    layer: Floats
    tolerance: float

    @property
    def rank(self) -> int:
        return len(self.right)

    def active(self, directions: Floats) -> Flags:
        """Which neurons have a gradient if these were the directions of samples: [s, B] -> [s, m]."""
        size = np.abs(directions @ self.left.T)
        found: Flags = size > self.tolerance * size.max(axis=1, keepdims=True)
        return found

    def directions_of_samples(self, rng: np.random.Generator, subsets: int, restarts: int) -> Floats | None:
        """The directions [B, B] of all samples, one a row; None when there are fewer independent ones."""
        if self.rank == 1:
            return np.ones((1, 1))
        directions, scores = self._candidates(rng, subsets)
        choice = _Choice(self, directions)
        best: tuple[float, Places] | None = None
        for attempt in range(restarts):
            noise = _NOISE * rng.gumbel(size=len(scores)) if attempt else 0.0
            chosen = _independent(directions, scores + noise, self.rank)
            if chosen is None:
                continue
            agreement, chosen = choice.improved(chosen, _TRIED)
            if best is None or agreement > best[0]:
                best = agreement, chosen
            if agreement == 1:
                break
        if best is None:
            return None
        agreement, chosen = best if best[0] == 1 else choice.improved(best[1], len(directions))
        return self._polished(directions[chosen])

    def solution(self, directions: Floats) -> tuple[Floats, Floats, Flags, Flags] | None:
        """Samples [B, n], columns of D [m, B], and the pairs [B, m] that agree and that contradict each other.

        The samples that agree most come first. None when the directions do not tell the samples.
        """
        try:
            rows = np.asarray(np.linalg.solve(directions.T, self.right), dtype=np.float64)
        except np.linalg.LinAlgError:
            return None
        scales = rows[:, -1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rows = rows / scales[:, None]
        if not np.isfinite(rows).all():
            return None
        heard, active = self.active(directions), rows @ self.layer.T > 0
        order = np.argsort(-(heard == active).sum(axis=1), kind="stable")
        columns: Floats = (self.left @ directions.T) * scales
        agreeing: Flags = heard == active
        return rows[order, :-1], columns[:, order], agreeing[order], (heard & ~active)[order]

    def _candidates(self, rng: np.random.Generator, subsets: int) -> tuple[Floats, Floats]:
        """Directions [s, B] that leave B - 1 or more neurons without a gradient, with scores [s], best first."""
        found = [self._null_vectors(rows, rng) for rows in _subsets(len(self.left), self.rank - 1, subsets, rng)]
        directions = np.concatenate(found)
        directions, times = self._merged(directions, np.ones(len(directions)))
        # Several samples of rows may hold the same zeros: the direction that fits all of them is the exact one.
        zeros = (~self.active(directions)).astype(np.float64)
        squares = (self.left[:, :, None] * self.left[:, None, :]).reshape(len(self.left), -1)
        values, vectors = np.linalg.eigh((zeros @ squares).reshape(-1, self.rank, self.rank))
        sharp = np.sqrt(np.maximum(values[:, 1], 0.0)) > max(1e-5, self.tolerance)
        directions, times = self._merged(vectors[sharp, :, 0], times[sharp])
        scores = (~self.active(directions)).sum(axis=1) + np.log(times)
        order = np.argsort(-scores, kind="stable")
        return directions[order], scores[order]

    def _null_vectors(self, rows: Places, rng: np.random.Generator) -> Floats:
        """Unit vectors [<= s, B] that are orthogonal to each set [s, B - 1] of rows and have B - 1 zeros or more."""
        square = np.empty((len(rows), self.rank, self.rank))
        square[:, :-1] = self.left[rows]
        square[:, -1] = rng.standard_normal(self.rank)
        last = np.zeros((len(rows), self.rank, 1))
        last[:, -1] = 1.0
        with np.errstate(all="ignore"):  # sets that are not independent have no vector, and are left out
            found = _solved(square, last)[..., 0]
            found = found / np.linalg.norm(found, axis=1, keepdims=True)
        found = found[np.isfinite(found).all(axis=1)]
        kept: Floats = found[(~self.active(found)).sum(axis=1) >= self.rank - 1]
        return kept

    def _merged(self, directions: Floats, times: Floats) -> tuple[Floats, Floats]:
        """Different directions with B - 1 zeros or more, those with most zeros first, and how often each was found."""
        zeros = (~self.active(directions)).sum(axis=1) if len(directions) else np.zeros(0)
        enough = zeros >= self.rank - 1
        directions, times, zeros = directions[enough], times[enough], zeros[enough]
        if not len(directions):
            return directions, times
        strongest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
        directions = directions * np.sign(strongest)
        # First those in one cell of a grid, which is fast, and then the rest two by two.
        cells = np.round(directions / _GRID).astype(np.int64)
        keys = np.ascontiguousarray(cells).view(np.dtype((np.void, cells.dtype.itemsize * cells.shape[1])))[:, 0]
        order = np.argsort(-zeros, kind="stable")
        _, first, cell = np.unique(keys[order], return_index=True, return_inverse=True)
        times = np.bincount(cell, weights=times[order]).astype(np.float64)
        directions, zeros = directions[order][first], zeros[order][first]
        top = np.argsort(-(zeros + np.log(times)), kind="stable")[:_KEPT]
        directions, times = directions[top], times[top]
        same = np.abs(directions @ directions.T) > 1 - _SAME
        same[np.diag_indices(len(same))] = True
        owner = same.argmax(axis=1)
        times = np.bincount(owner, weights=times, minlength=len(owner)).astype(np.float64)
        own = owner == np.arange(len(owner))
        return directions[own], times[own]

    def _polished(self, directions: Floats) -> Floats:
        """The directions that fit all neurons that the samples leave inactive, if the samples then agree better."""
        current = self.solution(directions)
        for _ in range(3):
            if current is None or current[2].all():
                break
            inactive = current[0] @ self.layer[:, :-1].T + self.layer[:, -1] <= 0
            better = np.stack([np.linalg.svd(self.left[rows])[2][-1] for rows in inactive])
            after = self.solution(better)
            if after is None or after[2].sum() <= current[2].sum():
                break
            directions, current = better, after
        return directions


class _Choice:
    """Exchanges single directions of a choice while more pairs of a neuron and a sample agree."""

    def __init__(self, split: _Split, directions: Floats) -> None:
        self._directions, self._active = directions, split.active(directions)
        # What samples do at the neurons, up to the unknown matrix Q, and their scales in the last column.
        self._inputs = np.concatenate([split.right @ split.layer.T, split.right[:, -1:]], axis=1)

    def improved(self, chosen: Places, tried: int) -> tuple[float, Places]:
        """The agreement and the choice after all exchanges with one of the first `tried` directions that help."""
        chosen, best, waiting = chosen.copy(), self._agreement(chosen), len(chosen)
        place = 0
        while best < 1 and waiting:
            agreement, other = self._exchange(chosen, place, tried)
            waiting -= 1
            if agreement > best:
                chosen[place], best, waiting = other, agreement, len(chosen)
            place = (place + 1) % len(chosen)
        return best, chosen

    def _agreement(self, chosen: Places) -> float:
        inputs = np.linalg.solve(self._directions[chosen].T, self._inputs)
        return float((self._predicted(inputs) == self._active[chosen]).mean())

    def _exchange(self, chosen: Places, place: int, tried: int) -> tuple[float, int]:
        """The best direction for one place, and the agreement with it.

        An exchange changes one column of Q, and therefore the inputs by a multiple of one row (Sherman and Morrison).
        """
        matrix = self._directions[chosen].T
        inputs, parts = np.split(
            np.linalg.solve(matrix, np.concatenate([self._inputs, self._directions[:tried].T], axis=1)),
            [self._inputs.shape[1]],
            axis=1,
        )
        others = np.delete(np.arange(len(chosen)), place)
        neurons = inputs.shape[1] - 1
        own = (self._active[:tried] == self._predicted(inputs[place])).sum(axis=1)
        counts = np.zeros(parts.shape[1], dtype=np.int64)
        block = max(1, _BLOCK * 256 // (len(chosen) * neurons))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = parts[others] / parts[place]
        for start in range(0, parts.shape[1], block):
            stop = slice(start, start + block)
            with np.errstate(invalid="ignore", over="ignore"):
                moved = inputs[others] - ratios[:, stop].T[:, :, None] * inputs[place]
            counts[stop] = (self._predicted(moved) == self._active[chosen[others]]).sum(axis=(1, 2))
        counts = np.where(np.abs(parts[place]) > 1e-6, counts + own, -1)
        best = int(counts.argmax())
        return float(counts[best] / (len(chosen) * neurons)), best

    @staticmethod
    def _predicted(inputs: Floats) -> Flags:
        """Whether neurons are active: the sign of their inputs, which the last column scales."""
        found: Flags = inputs[..., :-1] * np.sign(inputs[..., -1:]) > 0
        return found


def _augmented(matrix: Floats, vector: Floats) -> Floats:
    """[matrix | vector] in double precision."""
    matrix, vector = np.asarray(matrix, dtype=np.float64), np.asarray(vector, dtype=np.float64)
    if matrix.ndim != 2 or vector.shape != matrix.shape[:1] or not matrix.size:
        raise ParameterError(
            f"A layer should have a matrix [m, n] and a vector [m], neither empty. Found {matrix.shape} and "
            f"{vector.shape}."
        )
    if not (np.isfinite(matrix).all() and np.isfinite(vector).all()):
        raise ParameterError("A gradient and its layer should be finite. Found NaN or infinity.")
    return np.concatenate([matrix, vector[:, None]], axis=1)


def _subsets(count: int, size: int, limit: int, rng: np.random.Generator) -> Iterator[Places]:
    """All sets of `size` numbers below `count`, or `limit` random ones if there are more, in blocks [s, size]."""
    if math.comb(count, size) <= limit:
        every = itertools.combinations(range(count), size)
        while block := list(itertools.islice(every, _BLOCK)):
            yield np.array(block, dtype=np.intp)
        return
    for start in range(0, limit, _BLOCK):
        keys = rng.random((min(_BLOCK, limit - start), count), dtype=np.float32)
        yield np.argpartition(keys, size, axis=1)[:, :size]


def _solved(square: Floats, right: Floats) -> Floats:
    """The solutions of many systems, NaN where one has none."""
    try:
        found = np.asarray(np.linalg.solve(square, right), dtype=np.float64)
    except np.linalg.LinAlgError:  # one exactly singular matrix stops all of them
        singular = np.linalg.matrix_rank(square) < square.shape[-1]
        found = np.full(right.shape, np.nan, dtype=np.float64)
        found[~singular] = np.linalg.solve(square[~singular], right[~singular])
    return found


def _independent(directions: Floats, scores: Floats, rank: int) -> Places | None:
    """The places of `rank` independent directions, greedily by their scores; None if there are fewer."""
    chosen: list[int] = []
    basis = np.zeros((0, directions.shape[1]))
    for place in np.argsort(-scores, kind="stable"):
        rest = directions[place] - basis.T @ (basis @ directions[place])
        rest -= basis.T @ (basis @ rest)
        size = np.linalg.norm(rest)
        if size < 1e-3:
            continue
        chosen.append(int(place))
        basis = np.concatenate([basis, rest[None] / size])
        if len(chosen) == rank:
            return np.array(chosen, dtype=np.intp)
    return None
