"""The table of rules for peers: each with an oracle for one peer that shares no code with the rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.aggregation.neighbourhoods import Mixer, Occasion
from robustfl.defenses import (
    GTS,
    IOS,
    NNA,
    UBAR,
    Alone,
    Balance,
    Bridge,
    Bristle,
    ClippedGossip,
    CSHe,
    CSPlus,
    Gossip,
    LocalFoolsGold,
    PeerMeritRank,
    SybilWall,
    VarianceCorrected,
)

Matrix = np.ndarray[Any, Any]
Oracle = Callable[[Matrix, Matrix, Matrix, int], Matrix]
"""own [d], letters [k, d] by ascending id, gossip weights [k], b -> the new model [d]; all float64"""


@dataclass(frozen=True)
class Case:
    """One rule, and what holds for it."""

    name: str
    rule: Mixer
    oracle: Oracle
    bounded: bool  # one letter of any length moves its receiver by a bounded distance, if it is told b=1
    echo: bool = True  # equal letters are their own mixture


def distances(own: Matrix, letters: Matrix) -> list[float]:
    return [float(np.linalg.norm(letter - own)) for letter in letters]


def nearest(own: Matrix, letters: Matrix) -> list[int]:
    far = distances(own, letters)
    return sorted(range(len(letters)), key=lambda place: (far[place], place))


def bad_weight(w: Matrix, b: int) -> float:
    return float(sum(sorted(w.tolist(), reverse=True)[:b]))


def clip(difference: Matrix, radius: float) -> Matrix:
    length = float(np.linalg.norm(difference))
    return difference if length <= radius else difference * (radius / length)


def clipped(own: Matrix, letters: Matrix, w: Matrix, radius: float) -> Matrix:
    return own + sum(weight * clip(letter - own, radius) for weight, letter in zip(w, letters, strict=True))


def alone(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    return own


def gossip(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    return (1 - w.sum()) * own + w @ letters


def nna(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    kept = nearest(own, letters)[: len(letters) - b]
    return np.mean([own, *letters[kept]], axis=0)


def gts(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    left = w.sum() - bad_weight(w, b)  # the own model has its weight in any case
    result = own.copy()
    for place in nearest(own, letters):
        part = min(w[place], max(left, 0.0))
        result = result + part * (letters[place] - own)
        left -= w[place]
    return result


def cs_plus(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    target, reached, radius = 1 - 2 * bad_weight(w, b), 1 - w.sum(), 0.0
    far = distances(own, letters)
    for place in nearest(own, letters):
        reached += w[place]
        if reached <= target + 1e-9:
            radius = far[place]
    return clipped(own, letters, w, radius)


def cs_he(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    bad = bad_weight(w, b)
    if bad == 0:
        return gossip(own, letters, w, b)
    reached, total = 1 - w.sum(), 0.0
    far = distances(own, letters)
    for place in nearest(own, letters):
        reached += w[place]
        if reached < 1 - bad - 1e-9:
            total += w[place] * far[place] ** 2
    return clipped(own, letters, w, float(np.sqrt(total / bad)))


def ios(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    rows, shares = [own, *letters], [1 - w.sum(), *w.tolist()]
    for _ in range(b):
        mean = np.average(rows, axis=0, weights=shares)
        far = [float(np.linalg.norm(row - mean)) for row in rows[1:]]
        worst = 1 + int(np.argmax(far))
        del rows[worst], shares[worst]
    return np.average(rows, axis=0, weights=shares)


def bridge(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    ordered = np.sort([own, *letters], axis=0)
    return ordered[b : len(ordered) - b].mean(axis=0)


def loss(models: Matrix) -> Matrix:
    """What peers take for the losses of models [c, d] in these tests."""
    return np.abs(np.asarray(models, np.float64)[:, :3]).sum(axis=1)


def ubar(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    kept = nearest(own, letters)[: max(len(letters) - b, 1)]
    losses = [float(loss(letters[place : place + 1])[0]) for place in kept]
    better = [place for place, value in zip(kept, losses, strict=True) if value < loss(own[None])[0]]
    chosen = better or [kept[int(np.argmin(losses))]]
    return 0.5 * own + 0.5 * letters[chosen].mean(axis=0)


def balance(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    limit = 0.7 * np.exp(-1.0 * 0.25) * np.linalg.norm(own)
    near = [letter for letter, far in zip(letters, distances(own, letters), strict=True) if far <= limit]
    return 0.5 * own + 0.5 * np.mean(near, axis=0) if near else own


def local_fools_gold(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    k = len(letters)
    unit = letters / np.linalg.norm(letters, axis=1, keepdims=True)
    similar = unit @ unit.T - np.eye(k)
    most = similar.max(axis=1) if k > 1 else np.zeros(k)
    for i in range(k):
        for j in range(k):
            if i != j and most[i] < most[j]:
                similar[i, j] *= most[i] / most[j]
    apart = np.clip(1 - (similar.max(axis=1) if k > 1 else np.zeros(k)), 0, 1)
    if apart.max() < 1e-9:
        return own
    apart = np.minimum(apart / apart.max(), 0.99)
    with np.errstate(divide="ignore"):
        trust = np.clip(np.log(apart / (1 - apart) + 1e-5) + 0.5, 0, 1)
    return (own + trust @ letters) / (1 + trust.sum())


CLASSES, SAMPLES, SHARED = 10, 4, 3
"""What peers know in these tests: the first five classes, four samples of each, and three of them with everybody."""


def confusions(peer: int, models: Matrix) -> Matrix:
    """What models [c, d] take samples for in these tests: the larger number t of a model, the more of class t."""
    rows = np.asarray(models, np.float64)
    counts = np.zeros((len(rows), CLASSES, CLASSES))
    for line, row in enumerate(rows):
        for label in range(CLASSES // 2):
            right = round(SAMPLES / (1 + np.exp(-np.clip(row[label], -50.0, 50.0))))
            counts[line, label, label] += right
            counts[line, label, (label + 1) % CLASSES] += SAMPLES - right
    return counts


def f1(counts: Matrix, label: int) -> float:
    hits = counts[label, label]
    return float(2 * hits / (2 * hits + (counts[label].sum() - hits) + (counts[:, label].sum() - hits)))


def bristle(own: Matrix, letters: Matrix, w: Matrix, b: int, longest: float = np.inf) -> Matrix:
    familiar = [label for label in range(CLASSES) if label < CLASSES // 2]
    mine, *theirs = confusions(0, np.stack([own, *letters]))
    totals, sums = np.ones(CLASSES), {label: own[class_part(label, len(own))].copy() for label in range(CLASSES)}
    for letter, counts in zip(letters, theirs, strict=True):
        good = {label: f1(counts, label) for label in familiar}
        score = {}
        for label in familiar:
            before = f1(mine, label)
            better, gap = good[label] > before, 10 * abs(good[label] - before)
            score[label] = gap ** (3 + before) if better else -(gap ** (4 + before))
        best = sorted(familiar, key=lambda label: (-good[label], label))[:SHARED]
        certainty = max(0.0, float(np.mean([good[x] for x in best]) - np.std([good[x] for x in best])))
        for label in range(CLASSES):
            judged = score[label] if label in familiar else sum(score[x] for x in best)
            judged = min(max(judged, -100.0), 1e4) / 100
            weight = max(0.0, 10 / (1 + np.exp(-judged)) - 4) * certainty
            totals[label] += weight
            sums[label] += weight * clip(letter, longest)[class_part(label, len(own))]
    result = own.copy()
    for label in range(CLASSES):
        result[class_part(label, len(own))] = sums[label] / totals[label]
    return result


def bristle_shortened(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    return bristle(own, letters, w, b, float(np.linalg.norm(own)))


def class_part(label: int, d: int) -> Matrix:
    """The places of a class in a model of two layers, of 30 numbers and the rest; of one layer of 40."""
    layers = [(0, 30), (30, d)] if d != 40 else [(0, 40)]
    steps = [(start + label * (stop - start) // CLASSES, (stop - start) // CLASSES) for start, stop in layers]
    return np.concatenate([np.arange(start, start + size) for start, size in steps])


OCCASION = Occasion(
    number=1,
    rounds=4,
    losses=lambda peer, models: loss(models),
    confusions=confusions,
    shared=lambda peer, others: np.full(len(others), SHARED),
    layers=(30, 40),
)
"""What peers can find out in these tests."""


def variance_corrected(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    mixed, result = gossip(own, letters, w, b), []
    for layer in (slice(0, 30), slice(30, None)):
        part = mixed[layer]
        wanted = (1 - w.sum()) * own[layer].var() + sum(x * y[layer].var() for x, y in zip(w, letters, strict=True))
        result.append((part - part.mean()) * np.sqrt(wanted / part.var()) + part.mean())
    return np.concatenate(result)


def reached(steps: Matrix, start: int, goal: int, taboo: int | None = None) -> float:
    """The chance that a walk from `start` meets `goal`, before it meets `taboo`: a system of equations of its own."""
    n = len(steps)
    system, right = np.eye(n), np.zeros(n)
    for node in range(n):
        if node == goal:
            right[node] = 1.0
        elif node != taboo:
            system[node] -= steps[node]
    return float(np.linalg.solve(system, right)[start])


def merits(edges: Matrix, stop: float, decay: float, threshold: float) -> Matrix:
    """The scores of all nodes but the first, from which walks start."""
    total = edges.sum(axis=1, keepdims=True)
    steps = (1 - stop) * np.divide(edges, total, out=np.zeros_like(edges), where=total > 0)
    hits = np.array([reached(steps, 0, v) for v in range(1, len(edges))])
    scores: Matrix = hits / hits.sum()
    for v in range(1, len(edges)):
        through = [reached(steps, 0, u, v) * reached(steps, u, v) for u in range(1, len(edges)) if u != v]
        if max(through, default=0.0) > threshold * hits[v - 1]:
            scores[v - 1] *= 1 - decay
    return scores


def peer_merit_rank(own: Matrix, letters: Matrix, w: Matrix, b: int) -> Matrix:
    k = len(letters)
    edges = np.zeros((k + 1, k + 1))
    survivors = nearest(own, letters)[: k - b]
    edges[0, [1 + place for place in survivors]] = 1.0
    for place in range(k):
        others = [other for other in nearest(letters[place], letters) if other != place]
        edges[1 + place, [1 + other for other in others[: max(k - 1 - b, 0)]]] = 1.0
    if not survivors:
        return own
    scores = merits(edges, 0.15, 0.5, 0.95)
    total, result = sum(scores[place] for place in survivors), own.copy()
    for place in survivors:
        part = 0.95 * scores[place] / total + 0.05 / len(survivors)
        result = result + w.sum() * min(part, 3.0 / k) * (letters[place] - own)
    return result


MIXERS = [
    Case("alone", Alone(), alone, bounded=True),
    Case("gossip", Gossip(), gossip, bounded=False),
    Case("nna", NNA(), nna, bounded=True),
    Case("gts", GTS(), gts, bounded=True),
    Case("cs_plus", CSPlus(), cs_plus, bounded=True),
    Case("cs_he", CSHe(), cs_he, bounded=True),
    Case("clipped_gossip", ClippedGossip(tau=2.0), lambda o, x, w, b: clipped(o, x, w, 2.0), bounded=True),
    Case("ios", IOS(), ios, bounded=True),
    Case("bridge", Bridge(), bridge, bounded=True),
    Case("bristle", Bristle(prioritised=20), bristle, bounded=False),
    Case("bristle_shortened", Bristle(prioritised=20, longest=1.0), bristle_shortened, bounded=True),
    Case("ubar", UBAR(), ubar, bounded=True),
    Case("balance", Balance(gamma=0.7), balance, bounded=True),
    Case("local_fools_gold", LocalFoolsGold(), local_fools_gold, bounded=False),
    Case("sybilwall", SybilWall(), local_fools_gold, bounded=False),
    Case("sybilwall_quorum", SybilWall(quorum=2), local_fools_gold, bounded=False),
    Case("peer_merit_rank", PeerMeritRank(), peer_merit_rank, bounded=True),
    Case("variance_corrected", VarianceCorrected(), variance_corrected, bounded=False),
]
