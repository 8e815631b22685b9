"""Noise that is correlated over the rounds, so that it cancels in the sums that training is made of.

A model after t rounds is the sum of t updates: what has to be accurate are the prefix sums A G of the updates G
[rounds, d], where A is the lower triangle of ones. With A = B C, the released A G + B Z = B (C G + Z) is a function of
the Gaussian mechanism C G + Z, and so costs what that costs: noise of σ times the sensitivity of C is a single release
with the noise multiplier σ, also when later updates depend on earlier answers (Denisov, McMahan, Rush, Smith and
Thakurta, "Improved Differential Privacy for SGD via Optimal Private Linear Operators on Adaptive Streams", NeurIPS
2022). No sampling is needed, and none is credited. The difference of two prefix sums is the update of one round with
its noise, a row of C⁻¹ Z.

B = A, C = I is independent noise in each round, whose error grows with the square root of the number of rounds; the
factorisations here grow with its logarithm.

>>> square_root(64).error() < independent(64).error() / 2
True
>>> round(square_root(4).sensitivity(), 4)
1.22
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.errors import MissingExtraError, ParameterError
from robustfl.privacy.pairs import FloatArray
from robustfl.privacy.releases import Release

MOST_ROUNDS = 48
"""Of the convex programme: its cost grows with the sixth power of the number of rounds."""


@dataclass(frozen=True, eq=False)
class Factorisation:
    """A = B C for prefix sums: `encoder` is C [rounds, rounds], lower triangular with a positive diagonal.

    `bands` is the number of its diagonals that are not zero.
    """

    encoder: FloatArray

    def __post_init__(self) -> None:
        c = self.encoder
        if c.ndim != 2 or c.shape[0] != c.shape[1] or np.triu(c, 1).any() or not (np.diag(c) > 0).all():
            raise ParameterError(
                "Factorisation: `encoder` should be a square lower triangular matrix with a positive diagonal, so that "
                f"noise is drawn before it is needed and the sums can be decoded. Found a matrix of shape {c.shape}."
            )

    @property
    def rounds(self) -> int:
        return int(self.encoder.shape[0])

    @property
    def bands(self) -> int:
        """How many rounds back the encoder reaches, the present one included."""
        rows, columns = np.nonzero(self.encoder)
        return int((rows - columns).max()) + 1

    @property
    def decoder(self) -> FloatArray:
        """B = A C⁻¹ [rounds, rounds]."""
        return np.cumsum(self.unmixed(np.eye(self.rounds)), axis=0)

    def unmixed(self, noise: FloatArray) -> FloatArray:
        """C⁻¹ Z for independent noise Z [rounds, d]: row t is the noise of round t's update. -> [rounds, d]"""
        from scipy import linalg  # slow to import

        return np.asarray(linalg.solve_triangular(self.encoder, noise, lower=True))

    def sensitivity(self, participations: int = 1, separation: int | None = None) -> float:
        """How far one record with updates of norm 1 moves C G, in L2 norm, when it joins or leaves.

        A record takes part at most `participations` times k, and at least `separation` rounds lie from one time to the
        next (default: rounds / k). Where the separation is at least the number of bands, its columns of C do not
        overlap, and the sensitivity is √k times the largest norm of a column (Choquette-Choo et al., "(Amplified)
        Banded Matrix Factorization", NeurIPS 2023). Otherwise k times this norm is a bound.
        """
        k = participations
        apart = self.rounds // k if separation is None and k > 0 else separation
        if k < 1 or apart is None or apart < 1 or (k - 1) * apart >= self.rounds:
            raise ParameterError(
                "`participations` and `separation` should be at least 1 and fit into the rounds. Found "
                f"participations={participations}, separation={separation}, rounds={self.rounds}."
            )
        column = float(np.sqrt((self.encoder**2).sum(axis=0)).max())
        return column * (math.sqrt(k) if apart >= self.bands else k)

    def error(self, participations: int = 1, separation: int | None = None) -> float:
        """The root mean square error of the prefix sums at a noise multiplier of 1: `sens(C) ‖B‖_F / √rounds`."""
        scale = self.sensitivity(participations, separation)
        return scale * float(np.linalg.norm(self.decoder)) / math.sqrt(self.rounds)

    def noise(
        self,
        rng: np.random.Generator,
        *,
        dimension: int,
        noise_multiplier: float,
        clip: float = 1.0,
        participations: int = 1,
        separation: int | None = None,
    ) -> FloatArray:
        """What is to be added to the summed updates of each round: [rounds, dimension]."""
        scale = noise_multiplier * clip * self.sensitivity(participations, separation)
        return self.unmixed(scale * rng.standard_normal((self.rounds, dimension)))

    def release(self, noise_multiplier: float) -> Release:
        """All rounds together, for the accountant: one release without sampling, for the noise of :meth:`noise`."""
        return Release(noise_multiplier=noise_multiplier)


def independent(rounds: int) -> Factorisation:
    """C = I: independent noise in every round."""
    return Factorisation(np.eye(_positive(rounds)))


def square_root(rounds: int, bands: int | None = None) -> Factorisation:
    """C = √A, the matrix with C² = A, in closed form: `C[s, t] = binom(2k, k) / 4^k` with k = s − t.

    It needs no solver, and its error is within a small constant of the optimum for every number of rounds
    (Fichtenberger, Henzinger and Upadhyay, "Constant Matters: Fine-grained Error Bound on Differentially Private
    Continual Observation", ICML 2023). `bands` cuts the coefficients off, for records that take part repeatedly.
    """
    from scipy import linalg  # slow to import

    steps = np.arange(1, _positive(rounds))
    coefficients = np.concatenate([[1.0], np.cumprod((2 * steps - 1) / (2 * steps))])
    coefficients[_banded(rounds, bands) :] = 0.0
    return Factorisation(linalg.toeplitz(coefficients, np.zeros(rounds)))


def optimal(rounds: int, bands: int | None = None) -> Factorisation:
    """The factorisation with the least mean square error, as a convex programme over X = CᵀC.

    Minimise `tr(A X⁻¹ Aᵀ)` subject to `X[t, t] = 1` and, with `bands`, to `X[s, t] = 0` for ``|s − t| >= bands``; C is
    then the factor of X that is lower triangular. All columns of C have norm 1, so its sensitivity is √k for k well
    separated participations. It needs cvxpy (``pip install 'robustfl[privacy]'``); 16 rounds take
    0.2 s, and 32 take 3 s.
    """
    width = _banded(rounds, bands)
    if rounds > MOST_ROUNDS:
        raise ParameterError(
            f"`rounds` should satisfy rounds <= {MOST_ROUNDS} for the convex programme. Found rounds={rounds}. "
            "square_root() is close to the optimum for any number of rounds."
        )
    cp = _cvxpy()
    workload = np.tril(np.ones((rounds, rounds)))
    gram = cp.Variable((rounds, rounds), PSD=True)
    far = [gram[s, t] == 0 for s in range(rounds) for t in range(s) if s - t >= width]
    problem = cp.Problem(cp.Minimize(cp.matrix_frac(workload.T, gram)), [cp.diag(gram) == 1, *far])
    problem.solve(solver=cp.CLARABEL)
    if problem.status != cp.OPTIMAL:
        raise ParameterError(f"The convex programme for rounds={rounds}, bands={bands} ended with {problem.status}.")
    return Factorisation(_lower_factor(gram.value, width))


def mean_error_bounds(rounds: int) -> tuple[float, float]:
    """Closed-form bounds of the least root mean square error of prefix sums, for one participation.

    The lower one is `‖A‖_* / rounds`, where the singular values of A are `1 / (2 sin((2i − 1)π / (4 rounds + 2)))`
    (Henzinger, Upadhyay and Upadhyay, "Almost Tight Error Bounds on Differentially Private Continual Counting", SODA
    2023); the upper one is the error of :func:`square_root`.
    """
    index = np.arange(1, _positive(rounds) + 1)
    nuclear = float((0.5 / np.sin((2 * index - 1) * math.pi / (4 * rounds + 2))).sum())
    return nuclear / rounds, square_root(rounds).error()


def _lower_factor(gram: FloatArray, bands: int) -> FloatArray:
    """The lower triangular C with CᵀC = X: Cholesky from the other corner; columns of norm 1, bands cut exactly."""
    turned = np.linalg.cholesky(gram[::-1, ::-1])
    factor = np.tril(turned.T[::-1, ::-1])
    factor[np.subtract.outer(np.arange(len(gram)), np.arange(len(gram))) >= bands] = 0.0
    return np.asarray(factor / np.sqrt((factor**2).sum(axis=0)))


def _positive(rounds: int) -> int:
    if rounds < 1:
        raise ParameterError(f"`rounds` should satisfy rounds >= 1. Found rounds={rounds}.")
    return rounds


def _banded(rounds: int, bands: int | None) -> int:
    width = _positive(rounds) if bands is None else bands
    if not 1 <= width <= rounds:
        raise ParameterError(f"`bands` should satisfy 1 <= bands <= rounds. Found bands={bands}, rounds={rounds}.")
    return width


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError as error:
        raise MissingExtraError(
            "The optimal factorisation is a convex programme that needs cvxpy, which is not installed. "
            "Install it: pip install 'robustfl[privacy]'. square_root() needs no solver and is close to the optimum."
        ) from error
    return cvxpy
