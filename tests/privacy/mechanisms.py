"""One mechanism that is right, and twelve that are broken in the ways that real code was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robustfl.privacy import Claim, Release

Array = Any
EXPECTED = 100
"""The expected cohort, which every sum is divided by."""


def finite(records: Array) -> Array:
    return np.where(np.isfinite(records).all(axis=1, keepdims=True), records, 0.0)


def clipped(records: Array, radius: float = 1.0) -> Array:
    norms = np.sqrt((records**2).sum(axis=1, keepdims=True))
    scale = np.abs(records).max(axis=1, keepdims=True, initial=0.0)
    norms = np.where(np.isfinite(norms), norms, scale * np.sqrt(records.shape[1]))
    return records * np.minimum(1.0, radius / np.maximum(norms, 1e-12))


def mean(records: Array) -> Array:
    return clipped(finite(records)).sum(axis=0) / EXPECTED


def layers(records: Array) -> Array:
    halves = np.split(finite(records), 2, axis=1)
    return np.concatenate([clipped(half) for half in halves], axis=1).sum(axis=0) / EXPECTED


def median_radius(records: Array) -> Array:
    safe = finite(records)
    radius = float(np.median(np.linalg.norm(safe, axis=1))) if len(safe) else 1.0
    return clipped(safe, radius).sum(axis=0) / EXPECTED


def realised(records: Array) -> Array:
    return clipped(finite(records)).sum(axis=0) / max(len(records), 1)


def median(records: Array) -> Array:
    return np.median(clipped(finite(records)), axis=0) if len(records) else np.zeros(records.shape[1])


def counted(records: Array) -> Array:
    if len(records) == 0:
        raise ValueError("nobody answered")
    return mean(records)


def build(rule: Callable[[Array], Array] = mean, loudness: float = 1.0, seed: int | None = None) -> Any:
    """A function of the noise multiplier that makes a mechanism: the rule, then noise for the mean."""

    def made(noise_multiplier: float) -> Any:
        def mechanism(records: Array, rng: np.random.Generator) -> Array:
            source = rng if seed is None else np.random.default_rng(seed)
            z = source.standard_normal(records.shape[1])
            return rule(records) + loudness * noise_multiplier / EXPECTED * z

        return mechanism

    return made


BROKEN: dict[str, tuple[Any, str]] = {
    "no noise": (build(loudness=0.0), "NO_NOISE"),
    "noise divided again": (build(loudness=1 / EXPECTED), "NOISE_TOO_SMALL"),
    "half the noise": (build(loudness=0.5), "NOISE_TOO_SMALL"),
    "noise ten percent low": (build(loudness=0.9), "NOISE_TOO_SMALL"),
    "no clip": (build(lambda records: finite(records).sum(axis=0) / EXPECTED), "SENSITIVITY"),
    "each layer clipped": (build(layers), "SENSITIVITY"),
    "radius from the data": (build(median_radius), "SENSITIVITY"),
    "realised cohort": (build(realised), "SENSITIVITY"),
    "the same noise every round": (build(seed=7), "REPEATED_NOISE"),
    "median with the noise of a mean": (build(median), "SENSITIVITY"),
    "NaN passes": (build(lambda records: clipped(records).sum(axis=0) / EXPECTED), "NOT_FINITE"),
    "empty cohort fails": (build(counted), "EMPTY_COHORT"),
}


def claim(made: Any, noise_multiplier: float = 1.0, dimension: int = 1810, **release: Any) -> Claim:
    return Claim(
        mechanism=made(noise_multiplier),
        noiseless=made(0.0),
        release=Release(noise_multiplier=noise_multiplier, **release),
        dimension=dimension,
        scale=1 / EXPECTED,
    )
