"""A softmax regression on digits, with a counter and a running variance as models of networks have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

Model = dict[str, Any]
TRAINING = 1400
"""The number of samples that clients share; the others are the test set."""


def start() -> Model:
    return {
        "weight": np.zeros((64, 10), np.float32),
        "bias": np.zeros(10, np.float32),
        "norm.running_var": np.ones(64, np.float32),
        "norm.num_batches_tracked": np.array(0),
    }


def digits() -> tuple[Any, Any]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order] / 16).astype(np.float32), y[order]


def trained(model: Model, part: int, parts: int, number: int, steps: int = 20) -> Model:
    """The model of a client after some local steps."""
    x, y = (values[:TRAINING][part::parts] for values in digits())
    weight, bias = model["weight"].copy(), model["bias"].copy()
    rng = np.random.default_rng([number, part])
    for _ in range(steps):
        batch = rng.integers(len(x), size=32)
        logits = x[batch] @ weight + bias
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        chances[np.arange(32), y[batch]] -= 1
        weight -= 0.5 / 32 * x[batch].T @ chances
        bias -= 0.5 * chances.mean(axis=0)
    variance = (0.9 * model["norm.running_var"] + 0.1 * x.var(axis=0)).astype(np.float32)
    tracked = model["norm.num_batches_tracked"] + steps
    return {"weight": weight, "bias": bias, "norm.running_var": variance, "norm.num_batches_tracked": tracked}


def accuracy(model: Model) -> float:
    x, y = (values[TRAINING:] for values in digits())
    return float(((x @ model["weight"] + model["bias"]).argmax(axis=1) == y).mean())
