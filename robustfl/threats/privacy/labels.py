"""How many samples of each class a batch had, from the gradient of the last layer.

For logits W h + b and the mean cross-entropy of n samples, of which n_c have class c, the gradient of the bias is
``db_c = mean_i p_ic - n_c / n``. Only the mean probability is unknown. The functions differ in how they guess it, and
all return shares [k, C] that sum to 1; :func:`counted` makes whole numbers of them.

What a sample that the model has learnt well adds to the gradient is of size 1 - p, so the labels of such samples hardly
show: a low number for a trained model is a property of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from robustfl.threats.privacy.network import Linear, Network

Method = Literal["uniform", "greedy", "features", "auxiliary"]

_SUM_WEIGHT = 10.0
"""How much more the equation ``sum n = 1`` counts than each equation of a class."""


def counted(shares: Tensor, total: int) -> Tensor:
    """Whole numbers [k, C] that sum to `total`, nearest to ``total shares`` (largest remainders); below 0 is 0.

    >>> counted(torch.tensor([[0.5, 0.3, 0.2]]), 4).tolist()
    [[2, 1, 1]]
    """
    wanted = shares.double().nan_to_num(0.0, 0.0, 0.0).clamp(min=0.0)
    wanted = wanted / wanted.sum(dim=1, keepdim=True).clamp(min=1e-300) * total
    whole = wanted.floor()
    order = (wanted - whole).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    missing = total - whole.sum(dim=1, keepdim=True)
    return (whole + (order < missing)).long()


def listed(counts: Tensor) -> Tensor:
    """The labels [k, n] in ascending order, for counts [k, C] whose rows sum to n.

    >>> listed(torch.tensor([[2, 0, 1]])).tolist()
    [[0, 0, 2]]
    """
    classes = torch.arange(counts.shape[1], device=counts.device)
    return torch.stack([classes.repeat_interleave(row) for row in counts])


def uniform_shares(bias: Tensor, probabilities: Tensor | None = None) -> Tensor:
    """``n_c / n = p_c - db_c``, for bias gradients [k, C], with mean probabilities p [k, C] or 1/C.

    Exact for a model that has learnt nothing, and wrong by ``p - 1/C`` for others.
    """
    guess = 1.0 / bias.shape[1] if probabilities is None else probabilities
    return guess - bias


def greedy_counts(bias: Tensor, total: int) -> Tensor:
    """The counts [k, C] of a rule that takes labels one after the other.

    Every class with a negative gradient is there once and gives up its part m, which is the sum of the negative
    gradients by `total`. The class with the smallest gradient is then taken again and again.
    """
    left, counts = bias.double().clone(), torch.zeros_like(bias, dtype=torch.int64)
    for row, found in zip(left, counts, strict=True):
        part = float(row.clamp(max=0).sum()) / total
        there = torch.nonzero(row < 0).flatten()[:total]
        found[there] += 1
        row[there] -= part
        for _ in range(total - int(found.sum())):
            smallest = int(row.argmin())
            found[smallest] += 1
            row[smallest] -= part
    return counts


def class_probabilities(network: Network, models: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """The mean probabilities [k, C, C] that k models give to samples of each class: row c holds those of class c.

    A class without samples has the mean over all samples.
    """
    k = len(models)
    with torch.no_grad():
        chances = torch.stack([network.logits(model, features).double().softmax(dim=1) for model in models])
    classes = network.classes
    onehot = torch.nn.functional.one_hot(labels, classes).double()
    sums = onehot.T @ chances  # [k, C, C]
    counts = onehot.sum(dim=0)[:, None]
    everything = chances.mean(dim=1, keepdim=True).expand(k, classes, classes)
    return torch.where(counts > 0, sums / counts.clamp(min=1), everything)


def feature_probabilities(last: Linear, models: Tensor, gradients: Tensor) -> Tensor:
    """The probabilities [k, C, C] of k models for the typical features of each class, without any public samples.

    Formula: the gradient of row c of the last layer is ``sum_i (p_ic - 1[y_i = c]) h_i``, which the samples of class c
    dominate, and so is that of its bias: ``h_c = max(dW_c / db_c, 0)``, and row c holds ``softmax(W h_c + b)``.
    """
    weight, bias = last.of(gradients.double())  # [k, C, h], [k, C]
    features = (weight / torch.where(bias.abs() > 0, bias, torch.inf)[..., None]).clamp(min=0.0)
    own, offset = last.of(models.double())
    return (features @ own.transpose(1, 2) + offset[:, None]).softmax(dim=2)


def solved_shares(bias: Tensor, probabilities: Tensor) -> Tensor:
    """The shares n [k, C] with ``(M' - I) n = db``, ``sum n = 1`` and ``n >= 0`` (least squares).

    Row c of M [k, C, C] holds the mean probabilities of samples of class c.
    """
    from scipy.optimize import nnls

    classes = bias.shape[1]
    found: list[NDArray[np.float64]] = []
    for slope, matrix in zip(bias.double().cpu().numpy(), probabilities.double().cpu().numpy(), strict=True):
        if not (np.isfinite(slope).all() and np.isfinite(matrix).all()):
            found.append(np.full(classes, 1.0 / classes))
            continue
        system = np.vstack([matrix.T - np.eye(classes), np.full((1, classes), _SUM_WEIGHT)])
        found.append(nnls(system, np.append(slope, _SUM_WEIGHT))[0])
    return torch.as_tensor(np.stack(found), device=bias.device)


def label_counts(
    network: Network,
    models: Tensor,
    gradients: Tensor,
    total: int,
    *,
    method: Method = "features",
    auxiliary: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The number of samples of each class [k, C] behind mean gradients [k, d], of `total` samples each.

    `uniform` guesses equal probabilities, or with `auxiliary` samples their mean ones; `greedy` takes one label after
    the other; `features` guesses the features of each class; `auxiliary` needs public samples.

    A network whose last layer is not linear with a bias has no such gradient; ask `network.last` before.
    """
    last = network.last
    assert last is not None, "without it there is nothing to read labels off"
    bias = last.of(gradients)[1].double()
    if method == "greedy":
        return greedy_counts(bias, total)
    if method == "uniform":
        return counted(uniform_shares(bias), total)
    if method == "auxiliary":
        assert auxiliary is not None, "this method needs public samples"
        matrix = class_probabilities(network, models, *auxiliary)
    else:
        matrix = feature_probabilities(last, models, gradients)
    return counted(solved_shares(bias, matrix), total)
