"""The curvature of the training loss, and how much of it the steps of a federation can bear."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robustfl.federation.settings import Federation

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.federation.task import Population

Product = Callable[["Tensor"], "Tensor"]

MOST_PRODUCTS = 20
"""The largest number of products with the Hessian for one eigenvalue."""

NOTHING_LEFT = 1e-5
"""A direction is rounding and nothing new when it is at most this share of the largest eigenvalue in size."""


def hessian(population: Population, weights: Tensor, features: Tensor, labels: Tensor) -> Product:
    """The product of vectors [d] with the Hessian of the mean loss on samples [m, ...] at a model [d].

    It is the derivative of ``<gradient, v>``, so it costs about as much as two gradients and d numbers of memory.
    """

    flat = weights.detach().requires_grad_()
    # `torch.func.grad` would load torch's compiler, and a vector as `grad_outputs` would load sympy; that takes longer
    # than all products. The derivative of a number needs neither, and is the same to the last bit.
    with torch.enable_grad():
        loss = cross_entropy(functional_call(population.module, population.views(flat), (features,)), labels)
        (slope,) = torch.autograd.grad(loss, flat, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        with torch.enable_grad():
            along = slope @ vector
        (image,) = torch.autograd.grad(along, flat, retain_graph=True)
        return image

    return product


def largest_eigenvalue(product: Product, start: Tensor) -> tuple[float, Tensor]:
    """The largest eigenvalue of a symmetric matrix that is known by its products, and an eigenvector [d].

    The iteration of Lanczos with full reorthogonalisation: power iteration that keeps what it has seen. Its value is at
    most the largest eigenvalue, and never less than what power iteration finds with as many products. It ends after
    `MOST_PRODUCTS` products, or when nothing new is left, so it is exact for matrices of at most that size. A small
    residual does not end it: that only says that theta is near some eigenvalue, which need not be the largest.

    Reference: C. Lanczos. An iteration method for the solution of the eigenvalue problem of linear differential and
    integral operators. Journal of Research of the National Bureau of Standards 45, 1950.
    """
    seen = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(seen[-1])
        diagonal.append(float(image @ seen[-1]))
        basis = torch.stack(seen)
        for _ in range(2):  # the second time removes what rounding has left
            image = image - basis.T @ (basis @ image)
        left = float(image.norm())
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        theta, mix = float(values[-1]), vectors[:, -1]
        spent = left <= NOTHING_LEFT * max(abs(values[0]), abs(theta))
        if spent or len(seen) == min(MOST_PRODUCTS, start.numel()) or not math.isfinite(left):
            return theta, basis.T @ torch.as_tensor(mix, dtype=start.dtype, device=start.device)
        beside.append(left)
        seen.append(image / left)


def largest_gain(client: float, server: float) -> float:
    """The largest product of step and curvature for which gradient steps with two momenta are stable.

    Along an eigenvector with eigenvalue a of the Hessian, clients send ``m <- beta m + (1 - beta) a x`` and the server
    makes the step ``v <- mu v + m``, ``x <- x - eta v``. With K = eta a the roots of
    ``(z - 1)(z - beta)(z - mu) + K (1 - beta) z^2`` decide: training is stable while all lie within the unit circle.
    Without momenta the bound is 2, with one of them ``2 (1 + beta)/(1 - beta)`` or ``2 (1 + mu)``; the first is the
    bound of heavy-ball steps, ``eta (1 - beta) a < 2 (1 + beta)``, because averages shorten the step by 1 - beta.
    """
    low, high = 0.0, 2.0 * (1 + client) * (1 + server) / (1 - client)  # at the latter -1 is a root
    fixed = np.poly([1.0, client, server])
    for _ in range(60):
        middle = (low + high) / 2
        roots = np.roots(fixed + middle * (1 - client) * np.array([0.0, 1.0, 0.0, 0.0]))
        low, high = (middle, high) if np.abs(roots).max() < 1 else (low, middle)
    return low


def stable_curvature(settings: Federation) -> float | None:
    """The largest eigenvalue of the Hessian for which a federation with the plain mean trains at a stable step.

    It holds for a quadratic loss that all clients share, and for full batches; small batches need smaller steps. For
    one gradient a round it is ``largest_gain / eta``. In E local steps at the rate r an eigenvalue a turns x into
    ``(1 - r a)^E x``, so the server's step has the gain ``eta (1 - (1 - r a)^E)`` (divided by r E where clients send
    mean gradients), and the local steps themselves are stable below ``2 / r``.

    None where no such bound is known: the server uses Adam, messages are old (asynchronous), or steps are
    sharpness-aware, which jump to and fro in every valley that is narrow enough.
    """
    server, rate, steps = settings.server, settings.local_learning_rate, settings.local_steps
    if server.optimizer != "sgd" or server.asynchronous or settings.sharpness_radius:
        return None
    most = largest_gain(settings.client_momentum, server.momentum) / server.learning_rate
    if settings.message == "gradient":
        most *= rate * steps
    # the smallest x = r a above 0 with 1 - (1 - x)^E >= most, or <= 0
    if steps == 1:
        return most / rate
    within = 1 - (1 - most) ** (1 / steps) if most < 1 else 1 + (most - 1) ** (1 / steps) if steps % 2 else 2.0
    return min(within, 2.0) / rate
